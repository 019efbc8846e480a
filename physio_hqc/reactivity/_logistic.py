"""Least-squares fits of the recovery logistic to many courses at once.

The curve is L + A g(t), g(t) = 2 / (1 + exp(k t)). For a given speed k it is linear in level and
amount, so that only k has to be searched (variable projection: Golub & Pereyra 1973,
doi:10.1137/0710036): first a grid over all speeds, so that no local minimum is taken for the
global one, then a golden-section search around its best point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# Half times from 55 min down to 5.5 s: what a recovery phase can show lies far inside.
SPEED_MIN, SPEED_MAX = 0.02, 12.0
N_PARAMETERS = 3

_GRID = np.geomspace(SPEED_MIN, SPEED_MAX, 81)
_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
# The bracket is 1.17 wide in the ratio of speeds; 45 steps leave less than 1e-10 of it.
_STEPS = 45
_AT_BOUND = 1.001
# A spread of this share of the level is rounding.
_ROUNDING = 1e-12
_CHUNK_CELLS = 4_000_000


@dataclass(frozen=True, slots=True)
class LogisticFits:
    """Fits of m courses; every array is (m,). NaN where fewer than three points were given."""

    amount: FloatArray
    level: FloatArray
    speed: FloatArray
    amount_se: FloatArray
    level_se: FloatArray
    speed_se: FloatArray
    r2: FloatArray
    rmse: FloatArray
    n: NDArray[np.int64]
    at_bound: NDArray[np.bool_]


def fit_logistic(times: FloatArray, values: FloatArray, lengths: FloatArray) -> LogisticFits:
    """Fit every row of (m, p) times (min), values and piece lengths (min, 0 for a reading)."""
    m, p = values.shape
    rows = max(1, _CHUNK_CELLS // max(1, p * len(_GRID)))
    parts = [
        _fit_rows(times[i : i + rows], values[i : i + rows], lengths[i : i + rows])
        for i in range(0, max(m, 1), rows)
    ]
    return LogisticFits(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in LogisticFits.__dataclass_fields__
        }
    )


def course_of(
    times: FloatArray, lengths: FloatArray, speed: FloatArray | float
) -> tuple[FloatArray, FloatArray]:
    """Share g of the amount that is left at each time, and its derivative by the speed.

    The value of a piece is a mean over it, hence g is averaged over the piece.
    """
    k = np.asarray(speed, dtype=np.float64)
    kt = np.minimum(k * times, 700.0)
    rise = np.exp(kt)
    g = 2.0 / (1.0 + rise)
    slope = -0.5 * times * rise * g * g
    pieces = lengths > 0
    if not pieces.any():
        return g, slope
    width = np.where(pieces, lengths, 1.0)
    start, end = times - width / 2, times + width / 2
    mean = 2.0 / (k * width) * (np.logaddexp(0.0, -k * start) - np.logaddexp(0.0, -k * end))
    edges = end * _share(k * end) - start * _share(k * start)
    mean_slope = -mean / k + edges / (k * width)
    return np.where(pieces, mean, g), np.where(pieces, mean_slope, slope)


def _share(kt: FloatArray) -> FloatArray:
    """2 / (1 + exp(kt)) without overflow."""
    shares: FloatArray = 2.0 / (1.0 + np.exp(np.clip(kt, -700.0, 700.0)))
    return shares


def _fit_rows(times: FloatArray, values: FloatArray, lengths: FloatArray) -> LogisticFits:
    """Fit all rows of one block."""
    there = np.isfinite(values) & np.isfinite(times)
    n = there.sum(axis=1)
    enough = n >= N_PARAMETERS
    weight = np.where(there, 1.0 / np.maximum(n, 1)[:, None], 0.0)
    t = np.where(there, times, 0.0)
    d = np.where(there, np.nan_to_num(lengths), 0.0)
    center = (weight * np.where(there, values, 0.0)).sum(axis=1)
    y = np.where(there, values - center[:, None], 0.0)
    speed = _best_speed(t, d, y, weight)
    amount, offset, residuals = _project(t, d, y, weight, speed)
    residuals = np.where(there, residuals, 0.0)
    sse = (residuals**2).sum(axis=1)
    total = (y**2).sum(axis=1)
    errors = _standard_errors(t, d, there, amount, speed, sse, n)
    nan = np.where(enough, 0.0, np.nan)
    varied = total > n * (_ROUNDING * center) ** 2
    r2 = np.where(varied, 1.0 - sse / np.where(varied, total, 1.0), np.nan)
    at_bound = (speed <= SPEED_MIN * _AT_BOUND) | (speed >= SPEED_MAX / _AT_BOUND)
    return LogisticFits(
        amount=amount + nan,
        level=center + offset + nan,
        speed=speed + nan,
        amount_se=errors[0] + nan,
        level_se=errors[1] + nan,
        speed_se=errors[2] + nan,
        r2=r2 + nan,
        rmse=np.sqrt(sse / np.maximum(n, 1)) + nan,
        n=n.astype(np.int64),
        at_bound=at_bound & enough,
    )


def _project(
    t: FloatArray, d: FloatArray, y: FloatArray, weight: FloatArray, speed: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Best amount and level offset for one given speed per row, and what they leave over."""
    g, _ = course_of(t, d, speed[..., None])
    mean = (weight * g).sum(axis=-1)
    spread = g - mean[..., None]
    power = (weight * spread**2).sum(axis=-1)
    amount = (weight * spread * y).sum(axis=-1) / np.where(power > 0, power, np.inf)
    return amount, -amount * mean, y - amount[..., None] * spread


def _best_speed(t: FloatArray, d: FloatArray, y: FloatArray, weight: FloatArray) -> FloatArray:
    """Speed of least squares of every row."""
    _, _, left = _project(
        t[:, None],
        d[:, None],
        y[:, None],
        weight[:, None],
        np.broadcast_to(_GRID, (len(t), len(_GRID))),
    )
    best = np.argmin((weight[:, None] * left**2).sum(axis=-1), axis=1)
    low = np.log(_GRID[np.maximum(best - 1, 0)])
    high = np.log(_GRID[np.minimum(best + 1, len(_GRID) - 1)])

    def cost(log_speed: FloatArray) -> FloatArray:
        _, _, rest = _project(t, d, y, weight, np.exp(log_speed))
        costs: FloatArray = (weight * rest**2).sum(axis=-1)
        return costs

    speed: FloatArray = np.exp(_golden(cost, low, high))
    return speed


def _golden(
    cost: Callable[[FloatArray], FloatArray], low: FloatArray, high: FloatArray
) -> FloatArray:
    """Minimum of every row between its bounds by golden sections."""
    inner, outer = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_inner, at_outer = cost(inner), cost(outer)
    for _ in range(_STEPS):
        left = at_inner <= at_outer
        low, high = np.where(left, low, inner), np.where(left, outer, high)
        fresh = np.where(left, high - _GOLDEN * (high - low), low + _GOLDEN * (high - low))
        at_fresh = cost(fresh)
        inner, outer = np.where(left, fresh, outer), np.where(left, inner, fresh)
        at_inner, at_outer = np.where(left, at_fresh, at_outer), np.where(left, at_inner, at_fresh)
    best: FloatArray = np.where(at_inner <= at_outer, inner, outer)
    return best


def _standard_errors(
    t: FloatArray,
    d: FloatArray,
    there: NDArray[np.bool_],
    amount: FloatArray,
    speed: FloatArray,
    sse: FloatArray,
    n: NDArray[np.int64],
) -> FloatArray:
    """Standard errors (3, m) of amount, level and speed; infinite where not identified."""
    g, slope = course_of(t, d, speed[:, None])
    columns = np.stack([g, np.ones_like(g), amount[:, None] * slope], axis=-1) * there[..., None]
    scale = np.sqrt((columns**2).sum(axis=1))
    usable = (scale > 0).all(axis=1)
    unit = columns / np.where(scale > 0, scale, 1.0)[:, None]
    normal = np.einsum("mpi,mpj->mij", unit, unit)
    usable &= np.linalg.cond(normal) < 1e12
    normal[~usable] = np.eye(N_PARAMETERS)
    diagonal = np.diagonal(np.linalg.inv(normal), axis1=1, axis2=2)
    freedom = n - N_PARAMETERS
    variance = np.where(freedom > 0, sse / np.maximum(freedom, 1), np.inf)
    errors = np.sqrt(diagonal * variance[:, None]) / np.where(scale > 0, scale, 1.0)
    infinite: FloatArray = np.where(usable[:, None], errors, np.inf).T
    return infinite
