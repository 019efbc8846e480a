"""How features run inside a window: sliding pieces and cuff readings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.errors import SignalError
from physio_hqc.reactivity._tables import (
    numbers_of,
    numeric,
    refuse_twice,
    require_columns,
    texts_of,
    with_session,
)

COURSE_COLUMNS: tuple[str, ...] = (
    "session",
    "participant",
    "condition",
    "window",
    "kind",
    "role",
    "feature",
    "time_s",
    "since_s",
    "duration_s",
    "value",
    "unit",
    "quality",
    "source",
)

COURSE_FEATURES: tuple[str, ...] = (
    "ECG_Rate_Mean",
    "HRV_MeanNN",
    "HRV_RMSSD",
    "HRV_lnRMSSD",
    "HRV_pNN50",
    "BP_SBP_Mean",
    "BP_DBP_Mean",
    "BP_MAP_Mean",
    "BP_PP_Mean",
    "BP_RPP_Mean",
    "BP_PAT_Mean",
    "EDA_Tonic_Mean",
    "SCR_Rate",
    "RSP_Rate",
)

_CUFF_UNITS = {
    "CUFF_SBP_Mean": "mmHg",
    "CUFF_DBP_Mean": "mmHg",
    "CUFF_MAP_Mean": "mmHg",
    "CUFF_PP_Mean": "mmHg",
    "CUFF_HR_Mean": "1/min",
    "CUFF_RPP_Mean": "mmHg/min",
}
FOLLOWED = frozenset((*COURSE_FEATURES, *_CUFF_UNITS))
"""Features that have a course where their stream was recorded."""

_NEEDED = ("session", "window", "kind", "onset", "duration", "feature", "value")
_NEEDED_WINDOWS = ("window", "kind", "onset", "duration")
_NEEDED_CUFF = ("time_s", "SBP", "DBP", "valid")
# Onsets and offsets are sums of floats; a microsecond is no overlap.
_TOLERANCE_S = 1e-6


def feature_courses(
    features: pd.DataFrame,
    windows: pd.DataFrame,
    *,
    cuff: pd.DataFrame | None = None,
    names: Sequence[str] = COURSE_FEATURES,
    kinds: Sequence[str] = ("phase", "interaction"),
) -> pd.DataFrame:
    """Follow every feature through the windows of its session.

    Sliding windows overlap and would count the same seconds several times. In each window those
    that lie wholly inside it are thinned to pieces that do not overlap: the first one, then always
    the next that starts when the last has ended. Cuff readings are taken one by one.

    Parameters
    ----------
    features : DataFrame
        Tidy features of one or many sessions, as in ``features.csv``, with the rows of kind
        ``sliding``. Needed columns: session, window, kind, onset, duration (s), feature, value.
        Used where present: participant, condition, unit, quality (0 to 1).
    windows : DataFrame
        As in ``windows.csv``: window, kind, onset, duration (s), where present role; with a
        session column if `features` hold more than one session.
    cuff : DataFrame, optional
        Cuff readings: time_s, SBP, DBP (mmHg), valid; where present MAP (mmHg), HR (1/min); with
        a session column like `windows`. Only valid readings are used. A reading that the protocol
        discards (the first of the baseline) has to come as not valid.
    names : sequence of str
        Features to follow; by default those that a minute is long enough for. Spectral power,
        SDNN, entropy and respiratory sinus arrhythmia need two minutes or more.
    kinds : sequence of str
        Kinds of windows to follow them in.

    Returns
    -------
    DataFrame
        One row per window, feature and point, ordered by session, window, feature and time;
        columns `COURSE_COLUMNS`. ``time_s`` is the middle of the piece or the time of the reading
        since session start, ``since_s`` the same since the start of the window, ``duration_s``
        the length of the piece (0 for a reading), ``source`` sliding or cuff. Readings carry the
        name of the phase feature that they make up: ``CUFF_SBP_Mean``, ... . Points without a
        value are left out.

    Raises
    ------
    SignalError
        If a column is missing or not numeric, a window has no onset or length or occurs twice,
        or windows or readings name a session that is not there.

    Notes
    -----
    The same stretch is in the course of a phase and of an interaction window inside it: choose
    by ``kind`` before plotting or modelling. Mean pressure that the monitor did not send is
    (SBP + 2 DBP) / 3, as in `physio_hqc.features.cuff_pressure`.

    References
    ----------
    Shapiro D. et al. (1996). Psychophysiology 33, 1-12. doi:10.1111/j.1469-8986.1996.tb02103.x.
    Laborde S., Mosley E., Thayer J. F. (2017). Frontiers in Psychology 8, 213.
    doi:10.3389/fpsyg.2017.00213.

    Examples
    --------
    >>> import pandas as pd
    >>> from physio_hqc.reactivity import feature_courses
    >>> features = pd.DataFrame({"session": "p01", "window": ["s1", "s2", "s3"], "kind": "sliding",
    ...                          "onset": [0.0, 30.0, 60.0], "duration": 60.0,
    ...                          "feature": "ECG_Rate_Mean", "value": [71.0, 75.0, 78.0]})
    >>> windows = pd.DataFrame({"window": ["speech"], "kind": "phase", "role": "task",
    ...                         "onset": [0.0], "duration": [120.0]})
    >>> feature_courses(features, windows)[["window", "since_s", "value"]].to_dict("list")
    {'window': ['speech', 'speech'], 'since_s': [30.0, 90.0], 'value': [71.0, 78.0]}
    """
    require_columns(features, _NEEDED, "features")
    sessions = features["session"].unique()
    given = with_session(require_columns(windows, _NEEDED_WINDOWS, "windows"), sessions, "windows")
    targets = _targets(given[given["kind"].isin(list(kinds))])
    pieces = _sliding(features, names)
    _check_sessions(pieces, given["session"], "sliding windows", "windows")
    parts = [_from_sliding(pieces, targets)]
    if cuff is not None:
        readings = with_session(require_columns(cuff, _NEEDED_CUFF, "cuff"), sessions, "cuff")
        known = pd.concat([given["session"], features["session"]])
        _check_sessions(readings, known, "cuff readings", "windows and features")
        parts.append(_from_cuff(readings, targets))
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    return _arranged(table, _people(features), names)


def _targets(given: pd.DataFrame) -> pd.DataFrame:
    """Windows that features are followed in, numbered in their order."""
    targets = pd.DataFrame(
        {
            "session": given["session"].to_numpy(dtype=object),
            "target": given["window"].to_numpy(dtype=object),
            "kind": given["kind"].to_numpy(dtype=object),
            "role": texts_of(given, "role"),
            "start": numeric(given["onset"], "onset").to_numpy(),
            "length": numeric(given["duration"], "duration").to_numpy(),
        }
    )
    _check_spans(targets, "target", "start", "length", "window")
    twice = targets.duplicated(["session", "target"])
    if twice.any():
        row = targets[twice].iloc[0]
        raise SignalError(
            f"session {row['session']!r}: windows hold {row['target']!r} twice; "
            "windows of a session need unique names"
        )
    targets["number"] = np.arange(len(targets))
    return targets


def _check_spans(table: pd.DataFrame, name: str, onset: str, length: str, what: str) -> None:
    """Refuse windows without a start or a length."""
    sound = np.isfinite(table[onset]) & np.isfinite(table[length]) & (table[length] > 0)
    if not sound.all():
        row = table[~sound].iloc[0]
        raise SignalError(
            f"session {row['session']!r}: {what} {row[name]!r} has onset {row[onset]:g} s and "
            f"duration {row[length]:g} s; give numbers and a duration above 0"
        )


def _check_sessions(table: pd.DataFrame, known: pd.Series, what: str, where: str) -> None:
    """Refuse rows of a session that the other tables do not hold."""
    lost = ~table["session"].isin(known.unique())
    if len(known) and lost.any():
        name = table.loc[lost, "session"].iloc[0]
        raise SignalError(
            f"{what} of session {name!r}: {where} hold no such session; pass tables of the same "
            "sessions"
        )


def _sliding(features: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Rows of the sliding windows with the features to follow."""
    rows = features[(features["kind"] == "sliding") & features["feature"].isin(list(names))]
    table = pd.DataFrame(
        {
            "session": rows["session"].to_numpy(dtype=object),
            "piece": rows["window"].to_numpy(dtype=object),
            "onset": numeric(rows["onset"], "onset").to_numpy(),
            "duration_s": numeric(rows["duration"], "duration").to_numpy(),
            "feature": rows["feature"].to_numpy(dtype=object),
            "value": numeric(rows["value"], "value").to_numpy(),
            "unit": texts_of(rows, "unit"),
            "quality": numbers_of(rows, "quality"),
        }
    )
    _check_spans(table, "piece", "onset", "duration_s", "sliding window")
    refuse_twice(table, ("session", "piece", "feature"))
    return table


def _from_sliding(table: pd.DataFrame, targets: pd.DataFrame) -> pd.DataFrame:
    """Values of the pieces that do not overlap, for every window that holds them."""
    kept = _pieces(table, targets)
    found = kept.merge(table[np.isfinite(table["value"])], on=["session", "piece"], sort=False)
    time = found["onset"] + found["duration_s"] / 2
    return found.assign(time_s=time, since_s=time - found["start"], source="sliding")


def _pieces(table: pd.DataFrame, targets: pd.DataFrame) -> pd.DataFrame:
    """Pieces wholly inside each window that do not overlap: from the first, always the next."""
    pieces = table.drop_duplicates(["session", "piece"])[
        ["session", "piece", "onset", "duration_s"]
    ]
    pairs = targets.merge(pieces, on="session", sort=False)
    end = pairs["onset"] + pairs["duration_s"]
    inside = (pairs["onset"] >= pairs["start"] - _TOLERANCE_S) & (
        end <= pairs["start"] + pairs["length"] + _TOLERANCE_S
    )
    pairs = pairs[inside].sort_values(
        ["number", "onset", "duration_s", "piece"], kind="stable", ignore_index=True
    )
    keep = _not_overlapping(
        pairs["number"].to_numpy(),
        pairs["onset"].to_numpy(),
        (pairs["onset"] + pairs["duration_s"]).to_numpy(),
    )
    return pairs[keep].drop(columns=["onset", "duration_s"])


def _not_overlapping(
    group: NDArray[np.int64], onset: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Mark the first stretch of each group and then always the next that starts after its end.

    Sorted by group and onset. All groups advance together, one stretch per round.
    """
    n = len(group)
    keep = np.zeros(n, dtype=bool)
    if not n:
        return keep
    # Ranks in place of seconds: group and onset make one exact, sorted whole number.
    levels = np.unique(onset)
    base = group * (len(levels) + 1)
    follower = np.searchsorted(
        base + np.searchsorted(levels, onset), base + np.searchsorted(levels, end - _TOLERANCE_S)
    )
    follower = np.maximum(follower, np.arange(n) + 1)
    current = np.flatnonzero(np.diff(group, prepend=-1))
    while current.size:
        keep[current] = True
        following = follower[current]
        there = following < n
        there[there] = group[following[there]] == group[current[there]]
        current = following[there]
    return keep


def _from_cuff(cuff: pd.DataFrame, targets: pd.DataFrame) -> pd.DataFrame:
    """Every valid reading as points of the windows that it lies in."""
    values = _readings(cuff)
    pairs = targets.merge(values, on="session", sort=False)
    inside = (pairs["time_s"] >= pairs["start"]) & (
        pairs["time_s"] < pairs["start"] + pairs["length"]
    )
    keys = [*targets.columns, "time_s"]
    long = pairs[inside].melt(id_vars=keys, value_vars=list(_CUFF_UNITS), var_name="feature")
    long = long[np.isfinite(long["value"])]
    return long.assign(
        since_s=long["time_s"] - long["start"],
        duration_s=0.0,
        unit=long["feature"].map(_CUFF_UNITS),
        quality=1.0,
        source="cuff",
    )


def _readings(cuff: pd.DataFrame) -> pd.DataFrame:
    """Valid readings with the values that a phase feature averages."""
    valid = cuff["valid"]
    if valid.dtype == object:
        valid = valid.map(str).map({"True": True, "False": False})
    if not valid.isin([True, False]).all():
        raise SignalError("cuff column 'valid' holds other values than true and false")
    used = cuff[valid.astype(bool)]
    time, sbp, dbp, sent, rate = (
        numbers_of(used, name) for name in ("time_s", "SBP", "DBP", "MAP", "HR")
    )
    rate = np.where(rate > 0, rate, np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, pulse, product = (sbp + 2 * dbp) / 3, sbp - dbp, sbp * rate
    return pd.DataFrame(
        {
            "session": used["session"].to_numpy(dtype=object),
            "time_s": time,
            "CUFF_SBP_Mean": sbp,
            "CUFF_DBP_Mean": dbp,
            "CUFF_MAP_Mean": np.where(sent > 0, sent, mean),
            "CUFF_PP_Mean": pulse,
            "CUFF_HR_Mean": rate,
            "CUFF_RPP_Mean": product,
        }
    )


def _people(features: pd.DataFrame) -> pd.DataFrame:
    """Participant and condition of every session."""
    first = features.drop_duplicates("session")
    return pd.DataFrame(
        {
            "session": first["session"].to_numpy(dtype=object),
            "participant": texts_of(first, "participant"),
            "condition": texts_of(first, "condition"),
        }
    )


def _arranged(table: pd.DataFrame, people: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Columns and rows in their order."""
    order = {name: rank for rank, name in enumerate([*names, *_CUFF_UNITS])}
    table = table.assign(rank=table["feature"].map(order).astype(np.float64))
    table = table.sort_values(["number", "rank", "time_s", "value"], kind="stable")
    table = table.rename(columns={"target": "window"}).merge(people, on="session", how="left")
    texts = ["participant", "condition"]
    table[texts] = table[texts].astype(object).where(table[texts].notna(), "")
    return table[list(COURSE_COLUMNS)].reset_index(drop=True)
