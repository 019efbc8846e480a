"""Simple recovery scores of many courses at once.

Times (m, p) ascend in every row and are padded with NaN at the end, values alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

# A cuff reading takes about 40 s and minute means are minutes: a point speaks for 30 s around it.
REACH_S = 30.0
_SAME_TIME_S = 1e-9


def value_at(
    times: FloatArray, values: FloatArray, lengths: FloatArray, at: float, max_gap: float
) -> FloatArray:
    """Value of every row at one time: (m,), NaN where no point is near enough.

    Between two neighbors at most `max_gap` apart it is interpolated; elsewhere it is the value of
    the nearest point, where that point reaches so far (`REACH_S`, or half its piece).
    """
    m, p = times.shape
    if p == 0:
        return np.full(m, np.nan)
    rows = np.arange(m)
    n = np.isfinite(times).sum(axis=1)
    later = (times <= at + _SAME_TIME_S).sum(axis=1)
    first, second = np.clip(later - 1, 0, p - 1), np.clip(later, 0, p - 1)
    t0, t1 = times[rows, first], times[rows, second]
    v0, v1 = values[rows, first], values[rows, second]
    between = (later > 0) & (later < n)
    span = np.where(between, t1 - t0, 1.0)
    inside = v0 + (v1 - v0) * (at - t0) / np.where(span > 0, span, 1.0)
    distance = np.where(np.isfinite(times), np.abs(times - at), np.inf)
    nearest = distance.argmin(axis=1)
    reach = np.maximum(REACH_S, lengths[rows, nearest] / 2)
    near = distance[rows, nearest] <= reach + _SAME_TIME_S
    beside = np.where(near, values[rows, nearest], np.nan)
    hit = (later > 0) & (np.abs(t0 - at) <= _SAME_TIME_S)
    found: FloatArray = np.where(hit, v0, np.where(between & (span <= max_gap), inside, beside))
    return found


def half_times(
    times: FloatArray, values: FloatArray, baseline: FloatArray, task: FloatArray
) -> tuple[FloatArray, BoolArray]:
    """First crossing of half the reactivity by linear interpolation, (m,); NaN if not reached.

    The course is taken to start from the task level at time 0 where it has no point there; the
    second array says where that mattered (half was left behind before the first point).
    """
    direction = np.sign(task - baseline)[:, None]
    above = direction * (values - ((task + baseline) / 2)[:, None])
    start = np.abs(task - baseline)[:, None] / 2
    above = np.concatenate([start, above], axis=1)
    clock = np.concatenate([np.zeros_like(start), times], axis=1)
    crossed = above <= 0
    second = crossed.argmax(axis=1)
    reached = crossed.any(axis=1) & (second > 0)
    rows = np.arange(len(times))
    first = np.maximum(second - 1, 0)
    up, down = above[rows, first], above[rows, second]
    share = up / np.where(up > down, up - down, 1.0)
    moment = clock[rows, first] + share * (clock[rows, second] - clock[rows, first])
    early = reached & (second == 1) & (clock[rows, second] > 0)
    return np.where(reached, moment, np.nan), early


def area_above(times: FloatArray, values: FloatArray, baseline: FloatArray) -> FloatArray:
    """Trapezoid of values minus baseline over the points, unit x time, (m,); needs two points."""
    above = values - baseline[:, None]
    pieces = (above[:, 1:] + above[:, :-1]) / 2 * np.diff(times, axis=1)
    enough = np.isfinite(pieces).any(axis=1)
    area: FloatArray = np.where(enough, np.nansum(pieces, axis=1), np.nan)
    return area + 0.0 * baseline


def mean_elevation(times: FloatArray, values: FloatArray, baseline: FloatArray) -> FloatArray:
    """Mean of the points after time 0, minus baseline, (m,)."""
    used = np.isfinite(values) & (times > 0)
    count = used.sum(axis=1)
    total = np.where(used, values, 0.0).sum(axis=1)
    mean: FloatArray = np.where(count > 0, total / np.maximum(count, 1), np.nan) - baseline
    return mean


def widest_gap(times: FloatArray) -> FloatArray:
    """Longest time between neighboring points, (m,); 0 with fewer than two."""
    steps = np.diff(times, axis=1)
    widest: FloatArray = np.max(np.where(np.isfinite(steps), steps, 0.0), axis=1, initial=0.0)
    return widest
