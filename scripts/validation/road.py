"""One study through the whole road: signals, processing, study, against the planted truth."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from physio_hqc import process_session
from physio_hqc.errors import PhysioError
from physio_hqc.parallel import run_parallel
from physio_hqc.simulate import SimulatedStudy, load_study_truth, simulate_study
from physio_hqc.study import StudyConfig, StudyResult, process_study
from validation.common import Figure, Outcome, Table, worst
from validation.scenarios import CONDITIONS, TERMS

Advance = Callable[[str, int, int], None]

WINDOWS = ("preparation", "speech")
# Feature, and how far the mean change of a condition may lie from what was true of its people.
TOLERANCE = {
    "CUFF_SBP_Mean": 1.0,
    "CUFF_DBP_Mean": 1.0,
    "BP_SBP_Mean": 0.5,
    "BP_DBP_Mean": 0.5,
    "ECG_Rate_Mean": 0.3,
    "HRV_RMSSD": 1.0,
    "HRV_lnRMSSD": 0.03,
    "EDA_Tonic_Mean": 0.15,
}
# Effects on RMSSD are planted as factors: it is the logarithm that changes alike in everybody.
TESTED = tuple(feature for feature in TOLERANCE if feature != "HRV_RMSSD")
QUESTION = ("CUFF_SBP_Mean", "BP_SBP_Mean")
_KEYS = ["feature", "window", "condition"]


def run(
    n: int, seed: int, time_scale: float, jobs: int, advance: Advance, out: Path | None = None
) -> Outcome:
    """Simulate `n` sessions per condition, process them, analyze the study, compare."""
    start = time.perf_counter()
    outcome = Outcome("road", 3 * n)
    with _folder(out) as folder:
        made = simulate_study(
            folder / "sessions",
            n,
            seed=seed,
            time_scale=time_scale,
            jobs=jobs,
            overwrite=True,
            progress=lambda done, total, _: advance("simulating sessions", done, total),
        )
        _process(made, folder / "derivatives", jobs, advance)
        advance("the study", 0, 1)
        result = process_study(
            folder / "derivatives",
            made.participants_csv,
            ratings=made.ratings_csv,
            config=_config(seed),
            out_dir=folder / "derivatives" / "study",
            jobs=jobs,
        )
        advance("the study", 1, 1)
        _compare(outcome, made, result)
    outcome.notes += result.notices
    outcome.seconds = time.perf_counter() - start
    return outcome


def _config(seed: int) -> StudyConfig:
    """Return the settings of the study: all that has a truth is tested."""
    return StudyConfig(
        outcomes=TESTED,
        windows=WINDOWS,
        conditions=CONDITIONS,
        contrasts=tuple((a, b) for a, b in (term.split(" - ") for term in TERMS)),
        n_boot=200,
        seed=seed,
    )


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    """Give the folder that was asked for, or one that is gone afterwards."""
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def _process(made: SimulatedStudy, out: Path, jobs: int, advance: Advance) -> None:
    """Process every session; the first error ends it."""
    calls = [(session.path, out) for session in made.sessions]
    done = [0]

    def count(_: int, result: object) -> None:
        if isinstance(result, PhysioError):
            raise result
        done[0] += 1
        advance("processing sessions", done[0], len(calls))

    run_parallel(_process_one, calls, jobs, count)


def _process_one(path: Path, out: Path) -> str:
    """Process one session; only its name goes back to the first process."""
    process_session(path, out_dir=out)
    return path.stem


def _compare(outcome: Outcome, made: SimulatedStudy, result: StudyResult) -> None:
    """Compare what was measured with what is true."""
    _measurement(outcome, made, result)
    _intervals(outcome, made, result)
    _pattern(outcome, result)


def _measurement(outcome: Outcome, made: SimulatedStudy, result: StudyResult) -> None:
    """Compare mean changes with what was true of the same people."""
    truth = load_study_truth(made.truth_path).participants
    scores = result.tables["reactivity"]
    both = truth.merge(
        scores[["participant", "window", "feature", "delta"]],
        on=["participant", "window", "feature"],
        how="left",
    ).dropna(subset=["delta", "change"])
    means = both.groupby(_KEYS, sort=False)[["delta", "change"]].mean()
    error = (means["delta"] - means["change"]).unstack("condition")
    people = both.assign(error=both["delta"] - both["change"])
    spread = people.groupby(["feature", "window"])["error"].std()
    n = both.groupby(["feature", "window"])["participant"].nunique()
    table = Table(
        "Mean change of each condition, measured minus true of the same people",
        (
            "feature",
            "window",
            "people",
            *CONDITIONS,
            "SD of one person",
            "may differ by",
            "verdict",
        ),
    )
    for feature, bound in TOLERANCE.items():
        for window in WINDOWS:
            here = error.loc[(feature, window)] if (feature, window) in error.index else None
            largest = float(here.abs().max()) if here is not None else float("nan")
            name = f"{feature}: mean change, measured minus true"
            found = Figure(window, name, "", largest, 0.0, 0.0, bound)
            outcome.figures.append(found)
            shown = [f"{here[c]:+.3f}" for c in CONDITIONS] if here is not None else ["-"] * 3
            key = (feature, window)
            table.rows.append(
                (
                    *(feature, window, str(n.get(key, 0)), *shown),
                    *(f"{spread.get(key, np.nan):.3f}", f"{bound:g}", worst([found])),
                )
            )
    outcome.tables.append(table)


def _intervals(outcome: Outcome, made: SimulatedStudy, result: StudyResult) -> None:
    """Look whether the primary intervals hold what was planted."""
    truth = made.truth.contrasts.set_index(["feature", "window", "term"])
    rows = result.tables["statistics"]
    rows = rows[
        (rows["kind"] == "contrast")
        & rows["primary"].astype(bool)
        & rows["outcome"].isin(TESTED)
        & rows["window"].isin(WINDOWS)
    ]
    table = Table(
        "Planted contrasts and their 95 % intervals (primary errors)",
        ("analysis", "feature", "window", "contrast", "planted", "estimate", "interval", "covered"),
    )
    for analysis, part in rows.groupby("analysis", sort=False):
        covered = []
        for row in part.itertuples():
            planted = float(truth.loc[(row.outcome, row.window, row.term), "expected"])
            inside = bool(row.ci_low <= planted <= row.ci_high)
            covered.append(inside)
            if row.outcome in QUESTION or not inside:
                table.rows.append(
                    (
                        *(str(analysis), row.outcome, row.window, row.term, f"{planted:+.2f}"),
                        f"{row.estimate:+.2f}",
                        f"{row.ci_low:+.2f} to {row.ci_high:+.2f}",
                        "yes" if inside else "no",
                    )
                )
        share = float(np.mean(covered)) if covered else float("nan")
        name = f"{analysis}: intervals that hold the planted contrast"
        # Outcomes of the same people go together: far fewer than all intervals are independent.
        se = float(np.sqrt(0.05 * 0.95 / (len(TERMS) * len(WINDOWS))))
        outcome.figures.append(Figure("road", name, "", share, se, 0.9, 1.0))
        outcome.notes.append(f"{name}: {sum(covered)} of {len(covered)}")
    if rows.empty:
        outcome.figures.append(Figure("road", "intervals", "", float("nan"), 0.0, 0.9, 1.0))
    outcome.tables.append(table)


def _pattern(outcome: Outcome, result: StudyResult) -> None:
    """Look whether the study says nonsupport > alone > support."""
    rows = result.tables["statistics"]
    rows = rows[(rows["kind"] == "contrast") & rows["primary"].astype(bool)]
    rows = rows[(rows["analysis"] == "ANCOVA") & (rows["window"] == "speech")]
    estimates = rows.set_index(["outcome", "term"])["estimate"]
    for feature in QUESTION:
        held = all(
            float(estimates.get((feature, term), np.nan)) < 0
            for term in ("alone - nonsupport", "support - alone")
        )
        name = f"{feature}: nonsupport > alone > support"
        outcome.figures.append(Figure("speech", name, "", float(held), 0.0, 1.0, 1.0))
    said = result.tables.get("associations", pd.DataFrame())
    if len(said) and "outcome" in said:
        here = said[said["outcome"].isin(QUESTION) & (said["level"] == "between")]
        outcome.notes += [
            f"{row.outcome} on {row.rating}, between persons: {row.estimate:+.2f} per point "
            f"({row.ci_low:+.2f} to {row.ci_high:+.2f})"
            for row in here.itertuples()
            if str(row.rating) in ("capacities", "experiences")
        ]
