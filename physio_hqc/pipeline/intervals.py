"""Beat times from the intervals that a device sent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_EXACT_S = 0.02
_TOLERANCE_S = 0.15
_LOST_SHARE = 0.6
_NEIGHBORS = 16


def beats_from_intervals(ends_s: FloatArray, rr_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Turn intervals and the times of their ends into beat times and gaps.

    Within a run the beats follow from the intervals alone, which are exact to a millisecond,
    while the stated times of a radio sensor are late by up to a second. A run ends where the
    stated times run away from the summed intervals: an interval between is lost.

    Parameters
    ----------
    ends_s : ndarray, shape (n,)
        Stated time of the end of each interval in s, ascending.
    rr_s : ndarray, shape (n,)
        Intervals in s.

    Returns
    -------
    beats_s : ndarray, shape (k,)
        Beat times in s, ascending: the ends of all intervals and the start of every run.
    gaps_s : ndarray, shape (g, 2)
        From the last beat of a run to the first of the next.

    Notes
    -----
    Arrival is never early, so the time of a run is its smallest difference between stated and
    summed time. Where stated times are exact, a step over 0.15 s is a gap; where they jitter, the
    smallest difference of the next 16 beats must exceed that of the last 16 by 0.6 of an interval.

    Examples
    --------
    >>> beats_from_intervals(np.array([1.8, 2.6, 5.4]), np.array([0.8, 0.8, 0.8]))
    (array([1. , 1.8, 2.6, 4.6, 5.4]), array([[2.6, 4.6]]))
    """
    if not rr_s.size:
        return np.empty(0), np.empty((0, 2))
    summed = np.cumsum(rr_s)
    late = ends_s - summed
    exact = _is_exact(late)
    first = np.concatenate(
        [[0], _steps(late) if exact else _moves(late, _LOST_SHARE * float(np.median(rr_s)))]
    )
    last = np.append(first[1:], rr_s.size) - 1
    # Where times jitter, the place of a break is known to a few beats only: those do not vote.
    voting = first + np.where(exact | (last - first < 2 * _NEIGHBORS), 0, _NEIGHBORS)
    offset = np.minimum.reduceat(late, np.column_stack([voting, last + 1]).ravel()[:-1])[::2]
    ends = summed + np.repeat(offset, last - first + 1)
    starts = ends[first] - rr_s[first]
    # A start that falls on the run before (its times were late) would go back in time.
    own = np.concatenate([[True], starts[1:] > ends[last[:-1]] + _TOLERANCE_S])
    begin = np.where(own, starts, ends[first])
    beats = np.unique(np.insert(ends, first[own], starts[own]))
    gaps = np.column_stack([ends[last[:-1]], begin[1:]])
    return beats, gaps[gaps[:, 1] > gaps[:, 0]]


def _is_exact(late: FloatArray) -> bool:
    """Whether stated times follow the intervals, but for lost ones."""
    if late.size < 2:
        return True
    return bool(np.quantile(np.abs(np.diff(late)), 0.75, method="lower") < _EXACT_S)


def _steps(late: FloatArray) -> NDArray[np.int64]:
    """Indices of the intervals before which another is lost, where times are exact."""
    return np.flatnonzero(np.abs(np.diff(late)) > _TOLERANCE_S) + 1


def _moves(late: FloatArray, tolerance_s: float) -> NDArray[np.int64]:
    """Indices of the intervals before which another is lost, where times jitter."""
    # Too few beats at the end cannot tell delay from loss: -inf lets them find nothing.
    padded = np.concatenate([np.full(_NEIGHBORS, np.inf), late, np.full(_NEIGHBORS, -np.inf)])
    lowest = np.lib.stride_tricks.sliding_window_view(padded, _NEIGHBORS).min(axis=1)
    before = lowest[1 : late.size]
    after = lowest[_NEIGHBORS + 1 : _NEIGHBORS + late.size]
    moved = np.concatenate([[False], after - before > tolerance_s, [False]])
    edges = np.flatnonzero(np.diff(moved.astype(np.int8)))
    # Runs of candidates are few and short: the largest step of each is the break.
    step = np.append(-np.inf, np.diff(late))
    return np.array(
        [
            begin + 1 + int(np.argmax(step[begin + 1 : end + 1]))
            for begin, end in edges.reshape(-1, 2).tolist()
        ],
        dtype=np.int64,
    )
