"""Means by condition with their confidence intervals, on a time axis that all sessions share."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LEVEL: Final = 0.95
_SPLIT: Final = 0.5
"""Readings of several sessions are one point in time if they lie closer than this share of the
usual distance between two readings of one session."""


def means(rows: pd.DataFrame, by: list[str], value: str) -> pd.DataFrame:
    """Mean with its t confidence interval per group; one value alone has no interval.

    Parameters
    ----------
    rows : DataFrame
        Holds `by` and `value`.
    by : list of str
        Columns that make a group.
    value : str
        Column that is averaged; NaN is left out.

    Returns
    -------
    DataFrame
        `by`, n, mean, low, high.
    """
    from scipy.special import stdtrit

    known = rows[rows[value].notna()]
    made = known.groupby(by, sort=False, observed=True)[value].agg(["size", "mean", "std"])
    made = made.reset_index().rename(columns={"size": "n"})
    n = made["n"].to_numpy(dtype=float)
    spread = made["std"].to_numpy(dtype=float)
    with np.errstate(invalid="ignore"):
        half = stdtrit(np.maximum(n - 1, 1), (1 + LEVEL) / 2) * spread / np.sqrt(n)
    half = np.where(n > 1, half, np.nan)
    return made.assign(low=made["mean"] - half, high=made["mean"] + half).drop(columns="std")


def shared_phases(windows: pd.DataFrame) -> pd.DataFrame:
    """Phases on the axis that all sessions share: median onset and duration of each.

    Without phases, the interaction windows take their place.

    Returns
    -------
    DataFrame
        window, kind, label, role, onset, duration (s), in the order of time.
    """
    for kind in ("phase", "interaction"):
        rows = windows[(windows["kind"] == kind) & windows["onset"].notna()]
        if not len(rows):
            continue
        groups = rows.groupby("window", sort=False)
        made = groups[["onset", "duration"]].median()
        made = made.join(groups[["kind", "label", "role"]].first()).reset_index()
        return made.sort_values(["onset", "window"], kind="stable", ignore_index=True)
    names = ["window", "kind", "label", "role", "onset", "duration"]
    return pd.DataFrame({name: pd.Series(dtype=object) for name in names})


def with_change(courses: pd.DataFrame, reactivity: pd.DataFrame) -> pd.DataFrame:
    """Add `change`: value minus the baseline of the same session and feature.

    The baseline is that of the reactivity scores. Where they have none, the mean of the course in
    the phases whose role is baseline takes its place.
    """
    keys = ["session", "feature"]
    base = reactivity.dropna(subset=["baseline"]).drop_duplicates(keys)
    base = base.set_index(keys)["baseline"]
    resting = courses[courses["role"] == "baseline"].groupby(keys)["value"].mean()
    base = base.combine_first(resting)
    index = pd.MultiIndex.from_frame(courses[keys])
    found = base.reindex(index).to_numpy(dtype=float)
    return courses.assign(baseline=found, change=courses["value"].to_numpy(dtype=float) - found)


def course_means(courses: pd.DataFrame, phases: pd.DataFrame, value: str) -> pd.DataFrame:
    """Mean by condition with 95 % confidence band, over the session that all share.

    A piece or reading stands where its phase stands in the median session; what one participant
    has several times at one point counts once.

    Parameters
    ----------
    courses : DataFrame
        participant, condition, window, kind, feature, since_s, duration_s, and `value`.
    phases : DataFrame
        As `shared_phases` makes them.
    value : str
        "value" or "change".

    Returns
    -------
    DataFrame
        feature, condition, window, time_s, n, mean, low, high; ordered by time.
    """
    names = ["feature", "condition", "window", "time_s", "n", "mean", "low", "high"]
    rows = courses[courses[value].notna() & courses["since_s"].notna()]
    rows = rows.merge(phases[["window", "kind", "onset", "duration"]], on=["window", "kind"])
    rows = rows[rows["since_s"] <= rows["duration"] + 1.0]
    if not len(rows):
        return pd.DataFrame({name: pd.Series(dtype=object) for name in names})
    spot = pd.Series(-1, index=rows.index)
    for _, part in rows.groupby(["feature", "window"], sort=False):
        spot.loc[part.index] = same_time(part)
    rows = rows.assign(spot=spot)
    places = rows.groupby(["feature", "window", "spot"])["since_s"].transform("median")
    rows = rows.assign(time_s=rows["onset"] + places)
    person = ["feature", "condition", "window", "time_s", "participant"]
    once = rows.groupby(person, sort=False)[value].mean().reset_index()
    made = means(once, ["feature", "condition", "window", "time_s"], value)
    return made.sort_values(["feature", "condition", "time_s"], kind="stable", ignore_index=True)[
        names
    ]


def same_time(rows: pd.DataFrame) -> NDArray[np.int64]:
    """Number the points in time at which the sessions of one phase were measured.

    Pieces of a minute are numbered by their place. Cuff readings never start to the second: sorted
    readings of all sessions are parted where nothing lies for half of the usual distance between
    readings; if jitter leaves no such gaps, by that distance itself.
    """
    since = rows["since_s"].to_numpy(dtype=float)
    step = _usual_step(rows)
    if not np.isfinite(step):
        return np.zeros(len(since), dtype=np.int64)
    order = np.argsort(since, kind="stable")
    number = np.zeros(len(since), dtype=np.int64)
    number[order] = np.cumsum(np.diff(since[order], prepend=since[order][0]) > _SPLIT * step)
    wide = pd.Series(since).groupby(number).agg(np.ptp)
    if (wide > step).any():
        number = np.floor((since - since.min()) / step + 0.5).astype(np.int64)
    return number


def _usual_step(rows: pd.DataFrame) -> float:
    """Usual distance between two points of one session; NaN if no session has two."""
    length = float(rows["duration_s"].median())
    if length > 0:
        return length
    ordered = rows.sort_values(["session", "since_s"], kind="stable")
    steps = ordered.groupby("session", sort=False)["since_s"].diff().to_numpy(dtype=float)
    steps = steps[steps > 0]
    return float(np.median(steps)) if steps.size else float("nan")


def spread_out(values: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Sideways places that keep points apart, the same for the same values.

    Neighbours in value get far places of the van der Corput sequence; where values are dense the
    cloud is wide.
    """
    n = len(values)
    if n < 2:
        return np.zeros(n)
    order = np.argsort(values, kind="stable")
    bits = (np.arange(n)[:, None] >> np.arange(12)) & 1
    places = (bits * 0.5 ** (np.arange(12) + 1)).sum(axis=1) - 0.5
    made = np.empty(n)
    made[order] = places * _density(values[order])
    return made * width


def _density(ordered: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the greatest density at each of the sorted values, at least 0.25."""
    spread = float(np.ptp(ordered))
    if spread == 0:
        return np.ones(len(ordered))
    reach = spread / 8
    near = np.searchsorted(ordered, ordered + reach) - np.searchsorted(ordered, ordered - reach)
    return np.asarray(np.clip(near / near.max(), 0.25, 1.0), dtype=float)
