"""A whole study: from processed sessions to its tables and statistics."""

from __future__ import annotations

import difflib
import hashlib
import os
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd

import physio_hqc
from physio_hqc.config import nearest
from physio_hqc.errors import StudyError
from physio_hqc.pipeline.store import Layout, write_results
from physio_hqc.study.collect import Collected, Progress, collect_sessions
from physio_hqc.study.config import StudyConfig, load_study_config
from physio_hqc.study.participants import load_participants, match_sessions
from physio_hqc.study.result import StudyResult
from physio_hqc.study.schema import FIXED, columns_of
from physio_hqc.study.wide import wide_table

if TYPE_CHECKING:
    from physio_hqc.study.contrasts import ConditionContrasts

Config = StudyConfig | str | Path | None
Table: TypeAlias = str | os.PathLike[str] | pd.DataFrame

DERIVED = ("report.html", "methods.md")
FIGURES = "figures"
"""What reports leave in the folder of a study."""

_OUR_FIGURES = re.compile(
    r"(participants_flow|quality|course_(change|level)|reactivity|contrasts|recovery|"
    r"allostatic_load_proxy|ratings|sensitivity)(_\d+)?\.(svg|png)"
)

_LIBRARIES = ("numpy", "scipy", "pandas", "statsmodels", "pingouin", "neurokit2", "mne")
_TESTED_ROLES = ("preparation", "task")
_WIDE_KINDS = ("phase", "phase_last", "interaction")


def process_study(
    source: str | os.PathLike[str],
    participants: Table,
    *,
    ratings: Table | None = None,
    config: Config = None,
    out_dir: str | os.PathLike[str] | None = None,
    allow_mixed: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
    finish: Callable[[StudyResult, Path], object] | None = None,
) -> StudyResult:
    """Collect a study: reactivity, recovery, proxy, ratings, and the tests of its conditions.

    Parameters
    ----------
    source : path-like
        Folder in which :func:`physio_hqc.process_session` left the sessions, or a CSV file of
        features with the columns session, participant, window, feature, value.
    participants : path-like or DataFrame
        participants.csv: id, sex, age, condition, dyad, session, any covariates.
        A text in the column ``exclude`` takes a participant out, for that reason.
    ratings : path-like or DataFrame, optional
        ratings.csv, in addition to the ratings of the sessions: participant, window, name, value;
        or one column per item.
    config : StudyConfig, str, Path or None
        Settings, or their name or file; the shipped ``default`` if None.
    out_dir : path-like, optional
        Folder of the study's results, such as ``derivatives/study``, replaced whole or not at
        all. Without it nothing is written.
    allow_mixed : bool
        Whether sessions may have been processed with different settings or versions.
    jobs : int
        Processes that read sessions.
    progress : callable, optional
        Called with stage, done, total.
    finish : callable, optional
        Called with the result and the folder that will become `out_dir`, to add reports: they
        appear together with the tables.

    Returns
    -------
    StudyResult

    Raises
    ------
    StudyError
        If participants, ratings and sessions do not fit together, or there is nothing to compare.
    ConfigError
        If the settings, the proxy or the scale are wrong.
    OutputError
        If the results cannot be written.

    References
    ----------
    Lepore SJ, Allen KAM, Evans GW (1993). Psychosomatic Medicine 55, 518-524.
    doi:10.1097/00006842-199311000-00007: the design.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from physio_hqc import process_session, process_study
    >>> from physio_hqc.simulate import simulate_study
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> made = simulate_study(folder, 3, seed=2, time_scale=0.1, streams=["cuff"])
    >>> for session in made.sessions:
    ...     _ = process_session(session.path, out_dir=folder / "derivatives")
    >>> study = process_study(folder / "derivatives", made.participants_csv)
    >>> study.tables["flow"]["status"].value_counts().to_dict()
    {'analysed': 9}
    """
    if isinstance(source, pd.DataFrame):
        raise StudyError(
            "source is a DataFrame: pass the folder of processed sessions or a CSV file; "
            "condition_contrasts takes tables"
        )
    settings = config if isinstance(config, StudyConfig) else load_study_config(config)
    run = _Run(settings, progress)
    collected = collect_sessions(
        source,
        baseline=settings.baseline,
        quality_min=settings.quality_min,
        allow_mixed=allow_mixed,
        jobs=jobs,
        progress=progress,
    )
    run.notices.extend(collected.notices)
    people, flow = _people(participants, collected, run)
    inputs = dict(collected.inputs)
    for given in (participants, ratings):
        inputs |= _hashed(given)
    study = _Sample.of(collected, people, flow)
    tables = _tables(study, ratings, run)
    result = StudyResult(
        out_dir=None if out_dir is None else Path(out_dir),
        tables=tables,
        config=settings.model_dump(mode="json"),
        provenance=_provenance(study, inputs, settings),
        notices=run.notices,
    )
    return result if out_dir is None else _written(result, settings, finish)


@dataclass(frozen=True)
class _Run:
    """Settings, progress, and what was noticed."""

    config: StudyConfig
    progress: Progress | None
    notices: list[str]

    def __init__(self, config: StudyConfig, progress: Progress | None) -> None:
        object.__setattr__(self, "config", config)
        object.__setattr__(self, "progress", progress)
        object.__setattr__(self, "notices", [])

    def begin(self, stage: str, done: int = 0, total: int = 0) -> None:
        """Say that a stage begins, or how far it is."""
        if self.progress is not None:
            self.progress(stage, done, total)


@dataclass(frozen=True, eq=False)
class _Sample:
    """The sessions that are analysed and the people who took part."""

    collected: Collected
    people: pd.DataFrame
    flow: pd.DataFrame

    @classmethod
    def of(cls, collected: Collected, people: pd.DataFrame, flow: pd.DataFrame) -> _Sample:
        """Keep the sessions that are analysed, under the participants table's ids."""
        used = flow[flow["status"] == "analysed"].set_index("session")
        if used.empty:
            raise StudyError(
                "no participant has a processed session: compare the ids of the participants "
                "table with those of the sessions (inspect shows them)"
            )

        def mine(table: pd.DataFrame) -> pd.DataFrame:
            rows = table[table["session"].isin(used.index)]
            return rows.assign(
                participant=rows["session"].map(used["participant"]),
                condition=rows["session"].map(used["condition"]),
            ).reset_index(drop=True)

        names = ("features", "windows", "courses", "cuff", "ratings", "quality", "reactivity")
        kept = {name: mine(getattr(collected, name)) for name in names}
        return cls(replace(collected, **kept), people, flow)


def _people(
    participants: Table, collected: Collected, run: _Run
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Participants with their sessions, and what became of everybody."""
    conditions = run.config.conditions or _conditions_of(collected)
    people = load_participants(participants, conditions=conditions or None)
    run.notices.extend(people.attrs.get("notices", ()))
    people, flow = match_sessions(people, collected.sessions)
    return people, _with_exclusions(people, flow, collected)


def _conditions_of(collected: Collected) -> tuple[str, ...]:
    """Conditions that the protocols of the sessions declare."""
    names: dict[str, None] = {}
    for provenance in collected.provenance.values():
        protocol = provenance.get("protocol") or {}
        for condition in protocol.get("conditions", ()):
            names[str(condition.get("label", ""))] = None
    return tuple(name for name in names if name)


def _with_exclusions(
    people: pd.DataFrame, flow: pd.DataFrame, collected: Collected
) -> pd.DataFrame:
    """Flow with those whom the lab excludes, and those whose results cannot be read."""
    flow = flow.copy()
    if "exclude" in people.columns:
        said = people["exclude"].fillna("").astype(str).str.strip()
        words = dict(zip(people["id"], said, strict=True))
        reason = flow["participant"].map(words).fillna("")
        out = (flow["status"] == "analysed") & (reason != "")
        flow.loc[out, "status"] = "excluded"
        flow.loc[out, "reason"] = reason[out]
    broken = flow["session"].map(collected.failed).fillna("")
    named = flow["participant"].map(collected.failed).fillna("")
    why = broken.where(broken != "", named)
    hit = (flow["status"] != "analysed") & (why != "")
    flow.loc[hit, "status"] = "not processed"
    flow.loc[hit, "reason"] = why[hit]
    return flow


def _tables(sample: _Sample, ratings: Table | None, run: _Run) -> dict[str, pd.DataFrame]:
    """Every table of the study."""
    from physio_hqc.reactivity import combine_windows, recovery_scores, residualized_change

    data, settings = sample.collected, run.config
    run.begin("reactivity and recovery")
    scores = residualized_change(combine_windows(data.reactivity, settings.combined))
    recovery = recovery_scores(
        scores, data.courses, windows=data.windows, at_s=settings.recovery_at_s
    )
    run.begin("allostatic-load proxy")
    proxy = _proxy(sample, recovery, run)
    run.begin("ratings")
    rated, reliability = _ratings(sample, ratings, run)
    run.begin("contrasts")
    found = _contrasts(sample, scores, run)
    run.begin("ratings and physiology")
    related = _associations(_in_phases(scores, data.windows), rated, sample.people, found, run)
    return {
        "participants": sample.people,
        "flow": sample.flow,
        "windows": data.windows,
        "features_long": data.features,
        "features_wide": _wide(data.features, sample.people),
        "courses": data.courses,
        "cuff": data.cuff,
        "quality": data.quality,
        "reactivity": scores,
        "recovery": recovery,
        **proxy,
        "ratings": rated,
        "reliability": reliability,
        "descriptives": found.descriptives,
        "statistics": found.statistics,
        "assumptions": found.assumptions,
        "sensitivity": found.sensitivity,
        "power": found.power,
        "associations": related,
    }


def _wide(features: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    """One row per analysed participant, one column per feature and window, as models take it."""
    rows = features[features["kind"].isin(_WIDE_KINDS)]
    values = wide_table(rows, index=["participant"])
    who = people[people["id"].isin(values.index)].rename(columns={"id": "participant"})
    first = [name for name in ("participant", "session", "condition", "sex", "age") if name in who]
    return who[first].merge(values, left_on="participant", right_index=True, how="left")


def _proxy(sample: _Sample, recovery: pd.DataFrame, run: _Run) -> dict[str, pd.DataFrame]:
    """Allostatic-load proxy of every analysed participant, its means and its cut points."""
    from physio_hqc.reactivity import allostatic_proxy, load_proxy, proxy_summary, proxy_values

    names = ("allostatic", "allostatic_summary", "cut_points")
    empty = {name: _empty(name) for name in names}
    if run.config.proxy is None:
        return empty
    definition = load_proxy(run.config.proxy)
    analysed = set(sample.flow.loc[sample.flow["status"] == "analysed", "participant"])
    used = sample.people[sample.people["id"].isin(analysed)]
    values = proxy_values(
        definition,
        sample.collected.features,
        recovery,
        used,
        baseline=_resting(sample, run),
        quality_min=run.config.quality_min,
    )
    seed, n_boot = run.config.seed, run.config.n_boot
    try:
        proxy = allostatic_proxy(values, definition, n_boot=n_boot, seed=seed)
    except StudyError as error:
        run.notices.append(f"no allostatic-load proxy: {error}")
        return empty
    # A table in attrs would break every pd.concat that meets it.
    cut_points = proxy.attrs.pop("cut_points")
    if len(cut_points) and cut_points["cut"].isna().all():
        why = next((text for text in cut_points["reason"] if text), "no value")
        run.notices.append(f"the allostatic-load proxy has no cut points: {why}")
    summary = proxy_summary(proxy, participants=used, n_boot=n_boot, seed=seed)
    return dict(zip(names, (proxy, summary, cut_points), strict=True))


def _resting(sample: _Sample, run: _Run) -> list[str]:
    """Names of the baseline windows that the sessions have, then those of the settings."""
    used = sample.collected.reactivity["baseline_window"]
    own = [name for text in dict.fromkeys(used) for name in str(text).split("; ") if name]
    return list(dict.fromkeys([*own, *run.config.baseline]))


def _ratings(sample: _Sample, given: Table | None, run: _Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ratings of sessions and of the lab's table, scored."""
    from physio_hqc.study.ratings import load_ratings
    from physio_hqc.study.scales import load_scale, reliability, score_scale

    parts = []
    own = sample.collected.ratings.rename(columns={"label": "name"})
    if len(own):
        parts.append(load_ratings(own))
    if given is not None:
        parts.append(_placed(load_ratings(given), sample, run))
        _check_windows(parts[-1], sample, run)
    if not parts:
        return _empty("ratings"), _empty("reliability")
    rated = pd.concat(parts, ignore_index=True)
    _refuse_twice(rated)
    if run.config.scale is None:
        return rated, _empty("reliability")
    scale = load_scale(run.config.scale)
    names = {item.lower() for item in scale.items}
    if not rated["name"].astype(str).str.lower().isin(names).any():
        run.notices.append(f"no rating is an item of the scale {scale.name}: nothing is scored")
        return rated, _empty("reliability")
    return score_scale(rated, scale), reliability(rated, scale)


def _placed(rated: pd.DataFrame, sample: _Sample, run: _Run) -> pd.DataFrame:
    """Ratings of the lab's table with participant and session; of the analysed ones only."""
    flow = sample.flow
    known = flow[flow["session"] != ""]
    session_of = dict(zip(known["participant"], known["session"], strict=True))
    person_of = {session: person for person, session in session_of.items()}
    person = rated["participant"].where(
        rated["participant"] != "", rated["session"].map(person_of).fillna("")
    )
    unknown = ~person.isin(set(sample.people["id"]))
    if unknown.any():
        row = rated[unknown].iloc[0]
        who = row["participant"] or row["session"]
        raise StudyError(f"ratings: '{who}' is not in the participants table")
    session = rated["session"].where(rated["session"] != "", person.map(session_of).fillna(""))
    rated = rated.assign(participant=person, session=session)
    analysed = set(flow.loc[flow["status"] == "analysed", "participant"])
    out = ~rated["participant"].isin(analysed)
    if out.any():
        people = rated.loc[out, "participant"].nunique()
        run.notices.append(f"ratings of {people} participants who are not analysed are left out")
    return rated[~out]


def _check_windows(rated: pd.DataFrame, sample: _Sample, run: _Run) -> None:
    """Refuse a misspelt window; say which rated windows no session has."""
    known = [str(name) for name in dict.fromkeys(sample.collected.windows["window"])]
    for name in dict.fromkeys(rated["window"]):
        if name in ("", *known):
            continue
        if difflib.get_close_matches(name, known, 1, cutoff=0.8):
            raise StudyError(f"ratings: no session has a window '{name}'; {nearest(name, known)}")
        run.notices.append(f"ratings of '{name}': no session has such a window")


def _refuse_twice(rated: pd.DataFrame) -> None:
    """Refuse a rating that session and table both hold, with different values."""
    twice = rated[rated.duplicated(["participant", "window", "name"])]
    if len(twice):
        row = twice.iloc[0]
        raise StudyError(
            f"ratings: '{row['name']}' of participant '{row['participant']}' in window "
            f"'{row['window']}' is in the session and in the table: keep one"
        )


def _contrasts(sample: _Sample, scores: pd.DataFrame, run: _Run) -> ConditionContrasts:
    """Run the tests that the settings ask for."""
    from physio_hqc.study.contrasts import condition_contrasts

    settings, windows = run.config, _tested_windows(sample.collected.windows, run)
    primary = settings.primary_outcome
    known = [str(name) for name in dict.fromkeys(scores["feature"])]
    if primary is not None and primary.removeprefix("ln ") not in known:
        raise StudyError(f"primary_outcome '{primary}' is no feature; {nearest(primary, known)}")
    return condition_contrasts(
        scores,
        participants=sample.people,
        courses=sample.collected.courses,
        outcomes=settings.outcomes or None,
        windows=windows or None,
        conditions=settings.conditions or _declared(sample),
        contrasts=[f"{one} - {other}" for one, other in settings.contrasts] or None,
        covariates=tuple(name for name in settings.covariates if _varies(sample, name, run)),
        errors=settings.errors,
        quality_min=settings.quality_min,
        alpha=settings.alpha,
        power=settings.power,
        reference_g=settings.reference_g,
        log_outcomes=settings.log_outcomes,
        progress=lambda done, total: run.begin("contrasts", done, total),
    )


def _varies(sample: _Sample, name: str, run: _Run) -> bool:
    """Whether a covariate differs between people; one that the lab does not have is refused."""
    if name not in sample.people.columns:
        raise StudyError(
            f"covariate '{name}' is not in the participants table; "
            + nearest(name, [str(column) for column in sample.people.columns])
        )
    values = sample.people[name].replace("", None).dropna()
    if values.nunique() < 2:
        what = "is the same for everybody" if len(values) else "is given for nobody"
        run.notices.append(f"covariate '{name}' {what}: left out")
        return False
    return True


def _declared(sample: _Sample) -> tuple[str, ...] | None:
    """Conditions of the protocols that somebody is in; None where no protocol tells."""
    declared = _conditions_of(sample.collected)
    present = set(sample.collected.windows["condition"])
    return tuple(name for name in declared if name in present) or None


def _tested_windows(windows: pd.DataFrame, run: _Run) -> tuple[str, ...]:
    """Windows that are tested: as asked, else phases before recovery and shared interactions."""
    known = [str(name) for name in dict.fromkeys([*windows["window"], *run.config.combined])]
    for name in run.config.windows:
        if name not in known:
            raise StudyError(f"no session has a window '{name}'; {nearest(name, known)}")
    tested = run.config.windows or _usual_windows(windows)
    primary = run.config.primary_window
    if primary is not None and tested and primary not in tested:
        raise StudyError(
            f"primary_window '{primary}' is not tested; {nearest(primary, list(tested))}"
        )
    return tested


def _usual_windows(windows: pd.DataFrame) -> tuple[str, ...]:
    """Preparation and task phases, and interaction windows that every condition has."""
    rows = windows[windows["role"].isin(_TESTED_ROLES)]
    conditions = windows.loc[windows["condition"] != "", "condition"].nunique()
    shared = rows.groupby("window", sort=False)["condition"].nunique() >= conditions
    asked = (rows["kind"] == "phase") | (
        (rows["kind"] == "interaction") & rows["window"].map(shared)
    )
    order = rows[asked].sort_values("onset", kind="stable")["window"]
    return tuple(str(name) for name in dict.fromkeys(order))


def _associations(
    scores: pd.DataFrame,
    rated: pd.DataFrame,
    people: pd.DataFrame,
    found: ConditionContrasts,
    run: _Run,
) -> pd.DataFrame:
    """How ratings go with reactivity, within and between persons."""
    from physio_hqc.study.association import rating_associations

    # A logarithm that was made for the tests has no change score of its own.
    outcomes = [name.removeprefix("ln ") for name in dict.fromkeys(found.statistics["outcome"])]
    usable = rated[rated["kind"] != "item"]
    shared = set(usable["window"]) & set(scores["window"])
    if usable.empty or not outcomes or not shared:
        if len(rated):
            run.notices.append("no rating belongs to a window that has reactivity scores")
        return _empty("associations")
    # Preparing is less of a strain than speaking, whoever is there: phases are no relation.
    asked = ("condition", "phase")
    usable = _told_apart(usable)
    return rating_associations(
        scores, usable, outcomes=outcomes, covariates=asked, participants=people
    )


def _told_apart(rated: pd.DataFrame) -> pd.DataFrame:
    """Ratings under the name of their scale where a single rating has the same name."""
    single = set(rated.loc[rated["kind"] == "single", "name"])
    both = (rated["kind"] != "single") & rated["name"].isin(single)
    return rated.assign(name=rated["name"].mask(both, rated["scale"] + ": " + rated["name"]))


def _in_phases(scores: pd.DataFrame, windows: pd.DataFrame) -> pd.DataFrame:
    """Scores with the phase that each window lies in."""
    places = windows[["session", "window", "phase"]]
    return scores.merge(places, on=["session", "window"], how="left", validate="many_to_one")


def _empty(name: str) -> pd.DataFrame:
    return pd.DataFrame(columns=[column.name for column in FIXED[name]])


def _provenance(sample: _Sample, inputs: dict[str, str], settings: StudyConfig) -> dict[str, Any]:
    """Everything that the numbers came from."""
    return {
        "study": True,
        "package": {"name": "physio-hqc", "version": physio_hqc.__version__},
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "config": settings.model_dump(mode="json"),
        "definitions": _definitions(settings),
        "inputs": inputs,
        "sessions": sample.collected.provenance,
        "failed": sample.collected.failed,
    }


def _definitions(settings: StudyConfig) -> dict[str, Any]:
    """Proxy and scale as they were used."""
    from physio_hqc.reactivity import load_proxy
    from physio_hqc.study.scales import load_scale

    proxy = None if settings.proxy is None else load_proxy(settings.proxy)
    scale = None if settings.scale is None else load_scale(settings.scale)
    return {
        "proxy": None if proxy is None else proxy.model_dump(mode="json"),
        "scale": None if scale is None else scale.model_dump(mode="json"),
    }


def _hashed(given: Table | None) -> dict[str, str]:
    """Name and SHA-256 of a file that was read."""
    if given is None or isinstance(given, pd.DataFrame):
        return {}
    path = Path(given)
    try:
        with path.open("rb") as file:
            return {path.name: hashlib.file_digest(file, "sha256").hexdigest()}
    except OSError as error:
        raise StudyError(f"{path}: {error.strerror or 'cannot be read'}") from error


def _written(
    result: StudyResult,
    settings: StudyConfig,
    finish: Callable[[StudyResult, Path], object] | None,
) -> StudyResult:
    """Write every table, its dictionary, the provenance and what `finish` adds, all at once."""
    columns = columns_of(result.tables, settings.recovery_at_s)
    if result.out_dir is None:
        return result
    written = write_results(
        result.out_dir,
        result.tables,
        {**result.provenance, "notices": result.notices},
        Layout(columns, DERIVED, {FIGURES: _OUR_FIGURES}),
        None if finish is None else lambda folder: finish(result, folder),
    )
    return replace(result, provenance=written)
