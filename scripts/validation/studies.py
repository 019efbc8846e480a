"""Simulate studies of a scenario, analyze them as users do, keep what the tests said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from physio_hqc.errors import PhysioError
from physio_hqc.parallel import run_parallel
from physio_hqc.protocol import load_protocol
from physio_hqc.reactivity import reactivity_scores
from physio_hqc.simulate import FeatureStudy, simulate_feature_study
from physio_hqc.study import condition_contrasts
from validation.scenarios import OUTCOME, TERMS, WINDOW, Scenario

ERRORS = ("robust", "classical")
_NUMBERS = ("estimate", "p", "p_holm", "ci_low", "ci_high", "hedges_g", "g_low", "g_high")
_MANY = 10_000
_SEEDS_PER_SCENARIO = 1_000_000


@dataclass(frozen=True, eq=False)
class Findings:
    """What the tests said.

    Attributes
    ----------
    numbers : dict of (errors, number) to ndarray, shape (studies, windows, terms)
        The contrasts of every study; NaN where a study gave none.
    primary : str
        Which errors are primary.
    failed : list of str
        What the analysis said where it gave no contrast.
    """

    numbers: dict[tuple[str, str], np.ndarray[Any, np.dtype[np.float64]]]
    primary: str
    failed: list[str]


def simulate(scenario: Scenario, study: int, *, courses: bool = False) -> FeatureStudy:
    """Simulate one study of a scenario."""
    return simulate_feature_study(
        scenario.cells,
        seed=scenario.number * _SEEDS_PER_SCENARIO + study,
        measures=["sbp"],
        protocol=_protocol(),
        courses=courses,
        **scenario.options,
    )


_loaded: list[Any] = []


def _protocol() -> Any:
    """Return the protocol, read once."""
    if not _loaded:
        _loaded.append(load_protocol("lepore_1993"))
    return _loaded[0]


def find(
    scenario: Scenario,
    n: int,
    jobs: int,
    *,
    analysis: str = "ANCOVA",
    windows: Sequence[str] = (WINDOW,),
    batch: int = 25,
    done: Callable[[int], None] | None = None,
) -> Findings:
    """Simulate and analyze `n` studies of a scenario."""
    calls = [
        (scenario, tuple(range(first, min(first + batch, n))), analysis, tuple(windows))
        for first in range(0, n, batch)
    ]

    def advance(number: int, _: Any) -> None:
        if done is not None:
            done(len(calls[number][1]))

    parts = run_parallel(analyze, calls, jobs, advance)
    for part in parts:
        if isinstance(part, PhysioError):
            raise part
    numbers = {key: np.concatenate([part.numbers[key] for part in parts]) for key in _keys()}
    failed = [text for part in parts for text in part.failed]
    return Findings(numbers, parts[0].primary, failed)


def _keys() -> list[tuple[str, str]]:
    return [(errors, number) for errors in ERRORS for number in _NUMBERS]


def analyze(
    scenario: Scenario, studies: Sequence[int], analysis: str, windows: Sequence[str]
) -> Findings:
    """Analyze several studies in one call of `condition_contrasts`, each as an outcome of its own.

    Their participants are put into one order (by condition and sex; all designs have as many women
    as men) so that one participants' table serves all: outcomes do not influence each other.
    """
    mixed = analysis == "mixed model"
    made = [simulate(scenario, study, courses=mixed) for study in studies]
    names = [f"study {study}" for study in studies]
    people, scores, courses = _as_outcomes(made, names)
    result = condition_contrasts(
        scores,
        participants=people,
        courses=courses if mixed else None,
        outcomes=names,
        windows=list(windows),
        analyses=(analysis,),
        checks=False,
    )
    return _collected(result.statistics, names, windows)


def _as_outcomes(
    made: Sequence[FeatureStudy], names: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return participants, scores and courses in which each study is a feature of its own."""
    tables: dict[str, list[pd.DataFrame]] = {"features": [], "courses": []}
    people: list[pd.DataFrame] = []
    for study, name in zip(made, names, strict=True):
        alias, listed = _aliases(study.participants)
        people.append(listed)
        for kind, parts in tables.items():
            table = getattr(study, kind)
            who = table["participant"].map(alias)
            parts.append(table.assign(session=name + "/" + who, participant=who))
    features = pd.concat(tables["features"], ignore_index=True)
    scores = _own_outcome(reactivity_scores(features))
    return people[0], scores, _own_outcome(pd.concat(tables["courses"], ignore_index=True))


def _aliases(participants: pd.DataFrame) -> tuple[dict[str, str], pd.DataFrame]:
    """Return new names of participants, by condition and sex, and their table."""
    cell = participants["condition"] + " " + participants["sex"]
    number = cell.groupby(cell, sort=False).cumcount()
    names = cell + " " + number.map("{:03d}".format)
    listed = participants.assign(id=names, session=names).sort_values("id", ignore_index=True)
    return dict(zip(participants["id"], names, strict=True)), listed[["id", "sex", "condition"]]


def _own_outcome(table: pd.DataFrame) -> pd.DataFrame:
    """Name the feature after the study that the session is of."""
    table = table[table["feature"] == OUTCOME]
    if table.empty:
        return table
    feature = table["session"].str.partition("/")[0]
    return table.assign(feature=feature, session=table["participant"]).reset_index(drop=True)


def _collected(statistics: pd.DataFrame, names: Sequence[str], windows: Sequence[str]) -> Findings:
    """Return the contrasts of every study as arrays."""
    rows = statistics[statistics["kind"] == "contrast"]
    index = pd.MultiIndex.from_product([names, windows, TERMS])
    numbers = {}
    shape = (len(names), len(windows), len(TERMS))
    for errors in ERRORS:
        chosen = rows[rows["errors"] == errors].set_index(["outcome", "window", "term"])
        for number in _NUMBERS:
            numbers[errors, number] = chosen[number].reindex(index).to_numpy(float).reshape(shape)
    primary = rows.loc[rows["primary"].astype(bool), "errors"]
    bare = rows[rows["estimate"].isna() | rows["p"].isna()]
    return Findings(
        numbers, str(primary.iloc[0]) if len(primary) else "", bare["note"].astype(str).tolist()
    )


def truth(scenario: Scenario, windows: Sequence[str] = (WINDOW,)) -> np.ndarray[Any, Any]:
    """Return the planted contrasts, shape (windows, terms)."""
    planted = simulate(scenario, 0).truth["contrasts"][OUTCOME]
    return np.array([[planted[window][term] for term in TERMS] for window in windows])


def true_g(scenario: Scenario, windows: Sequence[str] = (WINDOW,)) -> np.ndarray[Any, Any]:
    """Return the planted contrasts in pooled SD of the change, shape (windows, terms).

    The SD of observed changes is taken from one study of the same kind with 10,000 people in each
    condition; pooled, it is weighted by the cells of the scenario, as the estimate is.
    """
    many = Scenario(
        scenario.name,
        scenario.number,
        dict.fromkeys(scenario.cells, _MANY),
        {**scenario.options, "missing_share": 0.0},
    )
    scores = reactivity_scores(simulate(many, 999_999).features)
    variance = scores.groupby(["window", "condition"])["delta"].var()
    weight: Mapping[str, int] = scenario.cells
    found = []
    for window, contrasts in zip(windows, truth(scenario, windows), strict=True):
        for term, contrast in zip(TERMS, contrasts, strict=True):
            pair = term.split(" - ")
            squares = sum((weight[name] - 1) * variance[window, name] for name in pair)
            found.append(contrast / np.sqrt(squares / sum(weight[name] - 1 for name in pair)))
    return np.array(found).reshape(len(windows), len(TERMS))
