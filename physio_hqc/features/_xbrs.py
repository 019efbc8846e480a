"""Baroreflex sensitivity by cross-correlation (xBRS), for all windows at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import stdtrit

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

# Westerhof et al. (2004): one value a second, 10 s at a time, RR up to 5 s after SBP.
WINDOW_S = 10
DELAYS_S = (0, 1, 2, 3, 4, 5)
P_MAX = 0.01

# Pairs farther apart than this are not joined: a lost beat is bridged, a pause is not.
_BRIDGE_S = 3.0
_FEWEST_KNOTS = 4


@dataclass(frozen=True)
class Estimates:
    """One estimate per second at which SBP and RR are correlated well enough.

    Attributes
    ----------
    start_s, delay_s : ndarray, shape (e,)
        When the 10 s of SBP begin, ascending, and by how much those of RR follow.
    xbrs, r : ndarray, shape (e,)
        SD(RR) / SD(SBP) in ms/mmHg, and the correlation.
    tested_s : ndarray, shape (q,)
        When the 10 s begin that could be tested at one delay at least.
    """

    start_s: FloatArray
    delay_s: FloatArray
    xbrs: FloatArray
    r: FloatArray
    tested_s: FloatArray


def critical_r(n: int = WINDOW_S, p: float = P_MAX) -> float:
    """Return the correlation of ``n`` pairs whose two-sided probability is ``p``.

    Examples
    --------
    >>> round(critical_r(10, 0.01), 4)
    0.7646
    """
    t = float(stdtrit(n - 2, 1 - p / 2))
    return t / float(np.sqrt(n - 2 + t * t))


def estimates_of(times: FloatArray, sbp: FloatArray, rr: FloatArray) -> Estimates:
    """Compute xBRS along a whole series.

    Parameters
    ----------
    times : ndarray, shape (n,)
        When each RR interval begins, in s, ascending.
    sbp, rr : ndarray, shape (n,)
        Systolic pressure in mmHg and interval in ms of that beat; NaN where missing.
    """
    grid, pressure, interval = _every_second(times, sbp, rr)
    last = grid.size - WINDOW_S
    if last < 0:
        nothing = np.empty(0)
        return Estimates(nothing, nothing, nothing, nothing, nothing)
    x, y = _pieces(pressure), _pieces(interval)
    r = np.full((len(DELAYS_S), last + 1), np.nan)
    for row, delay in enumerate(DELAYS_S):
        n = last + 1 - delay
        if n > 0:
            r[row, :n] = _correlation(x[:n], y[delay : delay + n])
    tested = np.isfinite(r).any(axis=0)
    best = np.where(np.isfinite(r), r, -np.inf).argmax(axis=0)
    highest = r[best, np.arange(last + 1)]
    with np.errstate(invalid="ignore"):
        at = np.flatnonzero(highest >= critical_r())
    delay_s = np.asarray(DELAYS_S)[best[at]]
    ratio = y[at + delay_s].std(axis=1) / x[at].std(axis=1)
    return Estimates(
        grid[at], delay_s.astype(np.float64), ratio, highest[at], grid[: last + 1][tested]
    )


def summarize(found: Estimates, bounds: FloatArray) -> dict[str, FloatArray]:
    """Return per window geometric mean, number, share of the tested seconds, mean delay and r.

    An estimate belongs to a window that holds its SBP and its RR entirely.
    """
    sums = np.zeros((len(bounds), 4))
    per_estimate = np.column_stack(
        (np.ones(found.xbrs.size), np.log(found.xbrs), found.delay_s, found.r)
    )
    for delay in DELAYS_S:
        use = found.delay_s == delay
        total = np.vstack((np.zeros(4), np.cumsum(per_estimate[use], axis=0)))
        edges = _between(found.start_s[use], bounds, WINDOW_S + delay)
        sums += total[edges[:, 1]] - total[edges[:, 0]]
    n = sums[:, 0]
    means = np.full((len(bounds), 3), np.nan)
    np.divide(sums[:, 1:], n[:, None], out=means, where=n[:, None] > 0)
    edges = _between(found.tested_s, bounds, WINDOW_S)
    tested = (edges[:, 1] - edges[:, 0]).astype(np.float64)
    share = np.divide(n, tested, out=np.full(len(bounds), np.nan), where=tested > 0)
    return {
        "xbrs": np.exp(means[:, 0]),
        "n": n,
        "share": np.minimum(share, 1.0),
        "delay": means[:, 1],
        "r": means[:, 2],
        "tested": tested,
    }


def _between(starts: FloatArray, bounds: FloatArray, length: float) -> IntArray:
    """Return (m, 2) first and one past last of the pieces of ``length`` s in each window."""
    first = np.searchsorted(starts, bounds[:, 0], side="left")
    # Samples stand at whole seconds: ten of them span nine seconds and a bit.
    last = np.searchsorted(starts + length - 1, bounds[:, 1], side="left")
    return np.column_stack((first, np.maximum(last, first)))


def _every_second(
    times: FloatArray, sbp: FloatArray, rr: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return whole seconds and cubic splines of SBP and RR there, NaN where pairs are apart."""
    known = np.isfinite(sbp) & np.isfinite(rr)
    at, values = times[known], np.column_stack((sbp[known], rr[known]))
    if at.size < _FEWEST_KNOTS:
        return np.empty(0), np.empty(0), np.empty(0)
    grid = np.arange(np.ceil(at[0]), np.floor(at[-1]) + 1)
    out = np.full((grid.size, 2), np.nan)
    cuts = np.flatnonzero(np.diff(at) > _BRIDGE_S) + 1
    for start, stop in zip(
        np.concatenate(([0], cuts)).tolist(), np.append(cuts, at.size).tolist(), strict=True
    ):
        if stop - start < _FEWEST_KNOTS:
            continue
        inside = slice(*np.searchsorted(grid, [at[start], np.nextafter(at[stop - 1], np.inf)]))
        out[inside] = CubicSpline(at[start:stop], values[start:stop])(grid[inside])
    return grid, out[:, 0], out[:, 1]


def _pieces(values: FloatArray) -> FloatArray:
    """Return every stretch of 10 values, as a view."""
    view: FloatArray = np.lib.stride_tricks.sliding_window_view(values, WINDOW_S)
    return view


def _correlation(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the correlation of each row; NaN where one does not vary or a value is missing."""
    dx = x - x.mean(axis=1, keepdims=True)
    dy = y - y.mean(axis=1, keepdims=True)
    sxx, syy = (dx * dx).sum(axis=1), (dy * dy).sum(axis=1)
    r = np.full(len(x), np.nan)
    with np.errstate(invalid="ignore"):
        varies = (sxx > 1e-12) & (syy > 1e-12)
    np.divide((dx * dy).sum(axis=1), np.sqrt(sxx * syy), out=r, where=varies)
    return r
