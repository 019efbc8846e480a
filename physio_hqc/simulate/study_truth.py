"""What is true of a simulated study: the yardstick for everything that analyzes it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from physio_hqc.errors import OutputError, SessionFileError
from physio_hqc.protocol import Protocol
from physio_hqc.simulate._assignment import contrasts_of
from physio_hqc.simulate._courses import FloatArray, Stretch, approach
from physio_hqc.simulate._heart import TAU_RISE_S
from physio_hqc.simulate._skin import TAU_TONIC_S
from physio_hqc.simulate.effects import PERSONAL_SHARE, ConditionEffect
from physio_hqc.simulate.participant import CUFF_AVERAGING_S, stretches_of
from physio_hqc.simulate.person import RMSSD_REACTIVITY_SD
from physio_hqc.simulate.truth import SimulatedTruth

STUDY_TRUTH = "study_truth.json"
STUDY_TRUTH_FORMAT = "physio-hqc/study-truth"
STUDY_TRUTH_VERSION = 1

# Mean resting RMSSD of the people that are drawn, ms.
MEAN_RMSSD = 41.0

_COLUMNS = {
    "changes": ("feature", "window", "condition", "expected", "drawn", "n"),
    "contrasts": ("feature", "window", "term", "expected", "drawn"),
    "participants": (
        *("participant", "session", "condition", "window", "feature"),
        *("baseline", "value", "change"),
    ),
    "quality": ("participant", "condition", "quality"),
}
_GRID_POINTS = 50_000


@dataclass(frozen=True, eq=False)
class StudyTruth:
    """What is true of a simulated study.

    Attributes
    ----------
    settings : dict
        How the study was made: seed, sex_effect, rating_effect, effects, ...
    changes : DataFrame
        Columns feature, window, condition, expected (mean change of the window against baseline
        in the population: half women, half men), drawn (mean true change of those who have a
        session), n.
    contrasts : DataFrame
        Columns feature, window, term ("support - nonsupport"), expected, drawn.
    participants : DataFrame
        Columns participant, session, condition, window, feature, baseline, value, change: true
        means of everybody who has a session.
    quality : DataFrame
        Columns participant, condition, quality: the planted quality of the connection behind the
        ratings, 1 being its SD within a condition.
    """

    settings: dict[str, Any]
    changes: pd.DataFrame
    contrasts: pd.DataFrame
    participants: pd.DataFrame
    quality: pd.DataFrame

    def contrast(self, feature: str, window: str, term: str) -> float:
        """Return the expected contrast.

        Raises
        ------
        KeyError
            If the study has no such contrast.
        """
        at = self.contrasts
        rows = at[(at["feature"] == feature) & (at["window"] == window) & (at["term"] == term)]
        if rows.empty:
            raise KeyError((feature, window, term))
        return float(rows["expected"].iloc[0])


def study_truth(
    protocol: Protocol,
    conditions: Sequence[str],
    effects: Mapping[str, ConditionEffect],
    sessions: Sequence[tuple[str, SimulatedTruth]],
    quality: pd.DataFrame,
    settings: Mapping[str, Any],
) -> StudyTruth:
    """Collect what is true of a study.

    Parameters
    ----------
    protocol : Protocol
        As used, its times scaled.
    conditions : sequence of str
    effects : mapping
        Effect by condition.
    sessions : sequence of (str, SimulatedTruth)
        Session name and truth of everybody who has a session.
    quality : DataFrame
        Columns participant, condition, quality.
    settings : mapping
        What else is to be kept.

    Returns
    -------
    StudyTruth
    """
    rows = [row for name, truth in sessions for row in _of_session(protocol, name, truth)]
    people = pd.DataFrame(rows, columns=list(_COLUMNS["participants"]))
    features = [*_MEASURES, *_CUFF] if any(p.cuff_at_s for p in protocol.phases) else [*_MEASURES]
    windows = [p.name for p in protocol.phases if p.role != "baseline"]
    drawn = people.groupby(["feature", "window", "condition"])["change"].agg(["mean", "count"])
    expected = {name: _expected(protocol, effects[name]) for name in conditions}
    changes = pd.DataFrame(
        [
            (
                *(feature, window, name, expected[name][feature][window]),
                float(drawn["mean"].get((feature, window, name), math.nan)),
                int(drawn["count"].get((feature, window, name), 0)),
            )
            for feature in features
            for window in windows
            for name in conditions
        ],
        columns=list(_COLUMNS["changes"]),
    )
    return StudyTruth(dict(settings), changes, _contrasts(changes, conditions), people, quality)


def _contrasts(changes: pd.DataFrame, conditions: Sequence[str]) -> pd.DataFrame:
    """Return the differences between conditions."""
    wide = changes.pivot_table(
        index=["feature", "window"],
        columns="condition",
        values=["expected", "drawn"],
        sort=False,
        dropna=False,
    )
    rows = [
        (
            *(feature, window, f"{first} - {second}"),
            *(float(row[kind][first] - row[kind][second]) for kind in ("expected", "drawn")),
        )
        for (feature, window), row in wide.iterrows()
        for first, second in contrasts_of(conditions)
    ]
    return pd.DataFrame(rows, columns=list(_COLUMNS["contrasts"]))


_MEASURES = (
    *("BP_SBP_Mean", "BP_DBP_Mean", "ECG_Rate_Mean", "HRV_RMSSD", "HRV_lnRMSSD"),
    "EDA_Tonic_Mean",
)
_CUFF = ("CUFF_SBP_Mean", "CUFF_DBP_Mean", "CUFF_HR_Mean")
# Feature to field of a phase change, and time constant with which a phase sets in, s.
_COURSES = {
    "BP_SBP_Mean": ("sbp", TAU_RISE_S),
    "BP_DBP_Mean": ("dbp", TAU_RISE_S),
    "ECG_Rate_Mean": ("hr", TAU_RISE_S),
    "EDA_Tonic_Mean": ("scl", TAU_TONIC_S),
}


def _of_session(
    protocol: Protocol, session: str, truth: SimulatedTruth
) -> list[tuple[str | float, ...]]:
    """Return one row per window and feature of one session."""
    stretches = stretches_of(protocol)
    rest = next(s for s in stretches if s.role == "baseline")
    length = protocol.baseline.last_s or rest.duration
    at_rest = _true_means(truth, rest.offset - length, rest.offset)
    found: list[tuple[str | float, ...]] = []
    for stretch in stretches:
        if stretch.role == "baseline":
            continue
        values = _true_means(truth, stretch.onset, stretch.offset)
        found += [
            (
                *(truth.participant_id, session, truth.condition, stretch.name, feature),
                *(at_rest[feature], value, value - at_rest[feature]),
            )
            for feature, value in values.items()
        ]
    return found


def _true_means(truth: SimulatedTruth, onset: float, offset: float) -> dict[str, float]:
    """Return what was true in [onset, offset)."""
    beats = slice(*np.searchsorted(truth.beat_times_s, [onset, offset]))
    grid = slice(*np.searchsorted(truth.grid_s, [onset, offset]))
    cuff = slice(*np.searchsorted(truth.cuff_times_s, [onset, offset]))
    rr = 1000.0 * np.diff(truth.beat_times_s[beats])
    rmssd = math.sqrt(_mean(np.diff(rr) ** 2))
    found = {
        "BP_SBP_Mean": _mean(truth.sbp[beats]),
        "BP_DBP_Mean": _mean(truth.dbp[beats]),
        "ECG_Rate_Mean": 60000.0 / _mean(rr),
        "HRV_RMSSD": rmssd,
        "HRV_lnRMSSD": math.log(rmssd) if rmssd > 0 else math.nan,
        "EDA_Tonic_Mean": _mean(truth.tonic_us[grid]),
    }
    if len(truth.cuff_times_s):
        columns = zip(_CUFF, (0, 1, 3), strict=True)
        found |= {name: _mean(truth.cuff_true[cuff, k]) for name, k in columns}
    return found


def _mean(values: FloatArray) -> float:
    """Return the mean, NaN of nothing."""
    return float(values.mean()) if len(values) else math.nan


def _expected(protocol: Protocol, effect: ConditionEffect) -> dict[str, dict[str, float]]:
    """Return the expected change of every window by feature."""
    stretches = stretches_of(protocol)
    at = {
        name: _expected_course(stretches, effect, field, rise)
        for name, (field, rise) in _COURSES.items()
    }
    found: dict[str, dict[str, float]] = {name: {} for name in (*_MEASURES, *_CUFF)}
    for stretch, phase in zip(stretches, protocol.phases, strict=True):
        if stretch.role == "baseline":
            continue
        for name, (field, _) in _COURSES.items():
            # Planted is the mean of the phase; in recovery, what the level settles at.
            found[name][stretch.name] = (
                _between(*at[name], stretch.onset, stretch.offset)
                if stretch.role == "recovery"
                else float(getattr(effect.planted(stretch.role), field))
            )
        ratio = effect.planted(stretch.role).rmssd_ratio
        # A log-normal factor lies above its median on average.
        spread = PERSONAL_SHARE.get(stretch.role, 0.0) * RMSSD_REACTIVITY_SD
        mean_ratio = ratio * math.exp(0.5 * spread**2)
        found["HRV_RMSSD"][stretch.name] = (mean_ratio - 1.0) * MEAN_RMSSD
        found["HRV_lnRMSSD"][stretch.name] = math.log(ratio)
        for name, source in zip(
            _CUFF, ("BP_SBP_Mean", "BP_DBP_Mean", "ECG_Rate_Mean"), strict=True
        ):
            times, course = at[source]
            spans = [
                (onset, min(onset + CUFF_AVERAGING_S, stretch.offset))
                for onset in (stretch.onset + due for due in phase.cuff_at_s)
            ]
            readings = [_between(times, course, onset, offset) for onset, offset in spans]
            found[name][stretch.name] = _mean(np.array(readings))
    return found


def _expected_course(
    stretches: Sequence[Stretch], effect: ConditionEffect, field: str, rise_s: float
) -> tuple[FloatArray, FloatArray]:
    """Return the change over the session of somebody who reacts as people do on average."""
    times = stretches[-1].offset * (np.arange(_GRID_POINTS) + 0.5) / _GRID_POINTS
    changes = [getattr(effect.planted(stretch.role), field) for stretch in stretches]
    taus = [effect.recovery_s if stretch.role == "recovery" else rise_s for stretch in stretches]
    return times, approach(times, stretches, changes, taus, 0.0)


def _between(times: FloatArray, course: FloatArray, onset: float, offset: float) -> float:
    """Return the mean of a course in [onset, offset)."""
    return _mean(course[slice(*np.searchsorted(times, [onset, offset]))])


def save_study_truth(path: str | os.PathLike[str], truth: StudyTruth) -> Path:
    """Write the truth of a study as JSON: settings, and its tables as lists of records.

    Parameters
    ----------
    path : path-like
    truth : StudyTruth

    Returns
    -------
    Path

    Raises
    ------
    OutputError
        If the file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from physio_hqc.simulate import load_study_truth, save_study_truth, simulate_study
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> made = simulate_study(folder, 1, time_scale=0.02, streams=["cuff"])
    >>> truth = load_study_truth(folder)
    >>> saved = save_study_truth(folder / "copy.json", truth)
    >>> load_study_truth(saved).settings == truth.settings
    True
    """
    target = Path(path)
    head = {"format": STUDY_TRUTH_FORMAT, "version": STUDY_TRUTH_VERSION}
    tables = {name: _records(getattr(truth, name)) for name in _COLUMNS}
    whole = {**head, "settings": truth.settings, **tables}
    try:
        text = json.dumps(whole, indent=1, allow_nan=False, ensure_ascii=False)
        target.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{target}: the truth cannot be written ({error.strerror}).") from error
    return target


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as plain data, numbers rounded, null where there is none."""
    return [
        {
            name: (None if math.isnan(value) else round(value, 6))
            if isinstance(value, float)
            else value
            for name, value in row.items()
        }
        for row in table.to_dict("records")
    ]


def load_study_truth(path: str | os.PathLike[str]) -> StudyTruth:
    """Read the truth of a simulated study.

    Parameters
    ----------
    path : path-like
        ``study_truth.json``, or the folder that holds it.

    Returns
    -------
    StudyTruth

    Raises
    ------
    SessionFileError
        If it is missing or is no truth of a study.

    Examples
    --------
    >>> import tempfile
    >>> from physio_hqc.simulate import simulate_study
    >>> folder = tempfile.mkdtemp()
    >>> made = simulate_study(folder, 1, time_scale=0.02, streams=["cuff"])
    >>> load_study_truth(folder).contrast("BP_SBP_Mean", "speech", "support - nonsupport")
    -14.0
    """
    source = Path(path)
    if source.is_dir():
        source = source / STUDY_TRUTH
    try:
        whole = json.loads(source.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SessionFileError(f"{source}: no truth lies here; is the study simulated?") from error
    except (OSError, ValueError) as error:
        raise SessionFileError(f"{source}: this is no truth of a simulated study.") from error
    known = isinstance(whole, dict) and whole.get("format") == STUDY_TRUTH_FORMAT
    if not known or not isinstance(whole.get("settings"), dict):
        raise SessionFileError(f"{source}: this is no truth of a simulated study.")
    if whole.get("version") != STUDY_TRUTH_VERSION:
        raise SessionFileError(f"{source}: version {whole.get('version')} is not known here.")
    try:
        tables = {
            name: pd.DataFrame(whole[name], columns=list(columns))
            for name, columns in _COLUMNS.items()
        }
    except (KeyError, TypeError, ValueError) as error:
        raise SessionFileError(f"{source}: this is no truth of a simulated study.") from error
    return StudyTruth(settings=whole["settings"], **tables)
