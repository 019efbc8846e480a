"""The most likely sequence of beats among candidates, by dynamic programming."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# Candidates lie at least 0.2 s apart, in practice 0.3 to 0.4: eight reach back about 3 s. What is
# farther away is reached through a pause, which costs the same however long it is.
_BACK = 8
_PAUSE = 3.5
_FORBIDDEN = 1e9
_IMPOSSIBLE = -1e18
_NONE = -1
# Pieces are followed side by side; the margins are long enough for paths to have met.
_PIECE_S, _MARGIN_S = 15.0, 6.0

_SHORTEST_S = 0.2
# Intervals relative to the usual one. From 0.75 to 1.09 of it they cost nothing; one of two costs
# about as much as a weak beat in its middle is worth.
_EARLY, _EARLY_COST = 0.75, 4.4
_LATE, _LATE_COST = 1.09, 1.07
_MISSED, _MISSED_COST = 1.8, 0.55
# The lower of two candidates this close is a T wave or a P wave, not a beat.
_T_WAVE_S, _T_WAVE_RAMP_S, _T_WAVE_COST = 0.33, 0.15, 1.9
_T_WAVE_RATIO, _T_WAVE_RATIO_RAMP = 1.4, 0.4


class PathCosts(NamedTuple):
    """What the cost of going from one candidate to another depends on, each (n,).

    Attributes
    ----------
    times : s.
    height : any unit.
    usual_rr : usual interval in s.
    stretch : number of the stretch without gaps; between two stretches nothing costs anything.
    """

    times: FloatArray
    height: FloatArray
    usual_rr: FloatArray
    stretch: NDArray[np.int64]


def best_path(times: FloatArray, evidence: FloatArray, costs: PathCosts) -> NDArray[np.int64]:
    """Return the candidates whose evidence less the costs between them is largest.

    The path is found by the recursion of Viterbi (1967), in pieces of 15 s that are followed in
    step, each with 6 s more at either end.

    Parameters
    ----------
    times : ndarray, shape (n,)
        Ascending, in s.
    evidence : ndarray, shape (n,)
        For being a beat; may be negative.
    costs : PathCosts

    Returns
    -------
    ndarray, shape (k,)
        Indices, ascending.
    """
    start = times[0]
    n_pieces = int((times[-1] - start) // _PIECE_S) + 1
    edges = start + np.arange(n_pieces) * _PIECE_S
    first = np.searchsorted(times, edges - _MARGIN_S)
    stop = np.searchsorted(times, edges + _PIECE_S + _MARGIN_S)
    index = first[:, None] + np.arange(int((stop - first).max()))
    present = index < stop[:, None]
    index = np.minimum(index, times.size - 1)
    gain = np.where(present, evidence[index], -_FORBIDDEN).T.copy()
    step = np.ascontiguousarray(_costs(costs)[index].transpose(1, 2, 0))
    on_path = _follow(gain, step).T & present
    inside = (times[index] >= edges[:, None]) & (times[index] < edges[:, None] + _PIECE_S)
    chosen: NDArray[np.int64] = np.sort(index[on_path & inside])
    return chosen


def _costs(given: PathCosts) -> FloatArray:
    """Return the cost of coming from each of the candidates before: (n, back), farthest first."""
    times, height, usual_rr, stretch = given
    n = times.size
    table = np.full((n, _BACK), _FORBIDDEN)
    for back in range(1, min(_BACK, n - 1) + 1):
        apart = times[back:] - times[:-back]
        relative = 2 * apart / (usual_rr[back:] + usual_rr[:-back])
        cost = _EARLY_COST * np.maximum(_EARLY - relative, 0)
        cost += _LATE_COST * np.clip(relative - _LATE, 0, _MISSED - _LATE)
        cost += _MISSED_COST * np.maximum(relative - _MISSED, 0)
        lower = np.minimum(height[back:], height[:-back])
        ratio = lower / np.maximum(height[back:], height[:-back])
        near = np.clip((_T_WAVE_S - apart) / _T_WAVE_RAMP_S, 0, 1)
        cost += _T_WAVE_COST * near * np.clip((_T_WAVE_RATIO - ratio) / _T_WAVE_RATIO_RAMP, 0, 1)
        cost[stretch[back:] != stretch[:-back]] = 0.0
        cost[apart < _SHORTEST_S] = _FORBIDDEN
        table[back:, _BACK - back] = cost
    return table


def _follow(gain: FloatArray, step: FloatArray) -> NDArray[np.bool_]:
    """Tell which candidates lie on the best path of each piece.

    ``gain`` is (length, pieces), ``step`` (length, back, pieces).
    """
    length, n_pieces = gain.shape
    pieces = np.arange(n_pieces)
    best = np.full((length + _BACK, n_pieces), _IMPOSSIBLE)
    came_from = np.empty((length, n_pieces), dtype=np.int64)
    # Best path so far that ends anywhere, from which a pause leads on; no path is worth 0, and
    # to begin one costs nothing.
    any_end = np.zeros((length + 1, n_pieces))
    any_last = np.full((length + 1, n_pieces), _NONE)
    for k in range(length):
        before = best[k : k + _BACK] - step[k]
        nearest = before.argmax(axis=0)
        linked = before[nearest, pieces]
        far = max(0, k - _BACK)
        paused = np.maximum(any_end[far] - _PAUSE, 0.0)
        rejoined = np.where(any_end[far] > _PAUSE, any_last[far], _NONE)
        came_from[k] = np.where(paused > linked, rejoined, nearest + (k - _BACK))
        total = gain[k] + np.maximum(linked, paused)
        best[k + _BACK] = total
        better = total > any_end[k]
        any_end[k + 1] = np.where(better, total, any_end[k])
        any_last[k + 1] = np.where(better, k, any_last[k])
    on_path = np.zeros((length, n_pieces), dtype=bool)
    now = any_last[length].copy()
    for k in range(length - 1, -1, -1):
        here = now == k
        on_path[k] = here
        now = np.where(here, came_from[k], now)
    return on_path
