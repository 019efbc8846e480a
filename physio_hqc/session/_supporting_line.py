"""The line below all arrivals: delays are never negative, so it is the one without delay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_MAX_BINS: Final = 2000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Below:
    """What one stretch of one clock tells about the slope: its lower hull, seen from its middle."""

    x: Floats
    y: Floats
    spacing: float
    covered: float

    def heights(self, slopes: Floats) -> Floats:
        """Height of the highest line below the hull, per slope, over the middle."""
        return np.asarray((self.y[:, None] - self.x[:, None] * slopes).min(axis=0))


def supporting_line(
    x: Floats, y: Floats, max_slope: float, typical: float | None = None
) -> tuple[float, float]:
    """Slope and intercept of the line from which all points are late by a positive delay.

    Among the lines below the points the closest is an edge of their lower convex hull, but with
    few packets that edge is a matter of luck. With `s` the spacing that the shortest delays have,
    every line below the points has the likelihood exp(height / s), height being that of the line
    over the middle of the points with short delays; the line returned is the mean over all of
    them, weighted with the prior of the slope.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Device time and arrival minus device time, in seconds.
    max_slope : float
        Largest believable slope.
    typical : float, optional
        Standard deviation of the slope's prior, a normal density, smaller where only part of
        the time has packets with short delays; an edge steeper than `max_slope` is then a delay
        that grows. By default `max_slope` / 3, and a steeper edge is cut.

    Returns
    -------
    slope, intercept : float

    Examples
    --------
    >>> x = np.arange(100.0)
    >>> late = np.where(np.arange(100) % 7 == 0, 0.0, 0.2)
    >>> slope, intercept = supporting_line(x, 3.0 + 1e-4 * x + late, 5e-4)
    >>> round(slope, 7), round(intercept, 4)
    (0.0001, 3.0)
    """
    slope, (intercept,) = supporting_lines([(x, y)], max_slope, typical)
    return slope, intercept


def supporting_lines(
    parts: Sequence[tuple[Floats, Floats]], max_slope: float, typical: float | None = None
) -> tuple[float, list[float]]:
    """One slope for all parts and an intercept for each: one crystal, several settings of it.

    Parameters
    ----------
    parts : sequence of (x, y)
        Points of each part as for `supporting_line`.
    max_slope, typical : float
        As for `supporting_line`.

    Returns
    -------
    slope : float
    intercepts : list of float

    Examples
    --------
    >>> x = np.arange(100.0)
    >>> slope, (one, other) = supporting_lines([(x, 1 + 1e-4 * x), (x, 5 + 1e-4 * x)], 5e-4)
    >>> round(slope, 7), round(one, 4), round(other, 4)
    (0.0001, 1.0, 5.0)
    """
    usable = [np.isfinite(x) & np.isfinite(y) for x, y in parts]
    points = [(x[u], y[u]) for (x, y), u in zip(parts, usable, strict=True)]
    long = [(x, y) for x, y in points if x.size > 1 and np.ptp(x) > 0]
    slope = _slope_of(long, max_slope, typical) if long else 0.0
    return slope, [_edge(y - slope * x) if y.size else 0.0 for x, y in points]


def _slope_of(parts: list[tuple[Floats, Floats]], max_slope: float, typical: float | None) -> float:
    """Slope that the parts share."""
    seen = [_below(x, y, max_slope) for x, y in parts]
    if typical is not None:
        # No crystal runs that fast: it is the delay that grows, and tells nothing of the clock.
        seen = [(part, edge) for part, edge in seen if abs(edge) < max_slope]
    if not seen:
        return 0.0
    longest, best = max(seen, key=lambda entry: np.ptp(entry[0].x))
    # Delays that are all alike leave nothing to weigh: the edge of the hull is exact.
    if not longest.spacing:
        return best
    told = [part for part, _ in seen if part.spacing > 0]
    # Beyond the time that fast packets cover the slope is extrapolated: less is believed then.
    spread = max_slope / 3 if typical is None else typical * max(longest.covered, 0.1)
    return _mean_slope(told, best, max_slope, spread)


def _below(x: Floats, y: Floats, max_slope: float) -> tuple[_Below, float]:
    """Lower hull of a part, and the slope of its edge below the middle."""
    origin = float(x.mean())
    low_x, low_y = _lowest_per_bin(x - origin, y)
    hull = _lower_hull(low_x, low_y)
    hx, hy = low_x[hull], low_y[hull]
    best = _edge_slope(hx, hy, 0.0, max_slope)
    # Where the delay has grown no packet tells about the edge: the middle is that of the others.
    above = y - best * (x - origin)
    near = x[above <= np.partition(above, x.size // 3)[x.size // 3]] - origin
    middle, covered = float(near.mean()), min(1.0, float(near.std() / x.std()))
    best = _edge_slope(hx, hy, middle, max_slope)
    spacing = _mean_spacing_at_edge(y - best * (x - origin))
    return _Below(hx - middle, hy, spacing, covered), best


def _edge_slope(hx: Floats, hy: Floats, at: float, max_slope: float) -> float:
    """Slope of the hull's edge below `at`."""
    edge = int(np.clip(np.searchsorted(hx, at, side="right") - 1, 0, len(hx) - 2))
    return float(
        np.clip((hy[edge + 1] - hy[edge]) / (hx[edge + 1] - hx[edge]), -max_slope, max_slope)
    )


def _mean_slope(parts: list[_Below], best: float, max_slope: float, spread: float) -> float:
    """Mean of the slopes of all lines below the hulls, by likelihood and prior."""

    def log_density(slopes: Floats) -> Floats:
        told = sum((p.heights(slopes) / p.spacing for p in parts), np.zeros(slopes.size))
        return np.asarray(told - 0.5 * (slopes / spread) ** 2)

    reach = max_slope
    slopes = np.array([best])
    weights = np.ones(1)
    # Long recordings know their slope to a fraction of a ppm: narrow the grid around the mass.
    for _ in range(6):
        low, high = max(best - reach, -max_slope), min(best + reach, max_slope)
        slopes = np.linspace(low, high, 201)
        density = log_density(slopes)
        weights = np.exp(density - density.max())
        best = float(np.average(slopes, weights=weights))
        held = slopes[weights > 1e-6]
        narrower = max(held[-1] - best, best - held[0]) * 1.1
        if held.size > 40 or narrower >= reach:
            break
        reach = max(narrower, 2 * (slopes[1] - slopes[0]))
    return best


def _edge(delays: Floats) -> float:
    """The delay that the fastest possible packet would have."""
    return float(delays.min() - _mean_spacing_at_edge(delays))


def _mean_spacing_at_edge(above: Floats) -> float:
    """How far the lowest of n delays is expected to lie above the true edge.

    The spacings of the lowest order statistics next to an edge are alike, so their mean is the
    expected distance of the first from the edge itself (the correction of a sample minimum).
    """
    n = min(20, above.size // 3)
    if n < 5:
        return 0.0
    lowest = np.sort(np.partition(above, n)[: n + 1])
    # Two points lie on the line by construction and tell nothing. The median over three depths
    # holds where a mass of packets has no delay at all and where the first two were lucky.
    depths = np.array([max(4, n // 4), max(4, n // 2), n])
    return float(np.median((lowest[depths] - lowest[0]) / (depths - 1)))


def _lowest_per_bin(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    if x.size > _MAX_BINS:
        edges = np.linspace(0, x.size, _MAX_BINS + 1).astype(int)
        lowest = np.repeat(np.minimum.reduceat(y, edges[:-1]), np.diff(edges))
        at = np.flatnonzero(y == lowest)
        first = at[np.searchsorted(at, edges[:-1])]
        x, y = x[first], y[first]
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
    distinct = np.append(True, np.diff(x) > 0)
    lowest = np.minimum.reduceat(y, np.flatnonzero(distinct))
    return x[distinct], lowest


def _lower_hull(x: Floats, y: Floats) -> list[int]:
    """Indices of the lower convex hull of points with ascending x (Andrew's monotone chain)."""
    hull: list[int] = []
    for i in range(len(x)):
        while len(hull) >= 2:
            a, b = hull[-2], hull[-1]
            if (y[b] - y[a]) * (x[i] - x[a]) < (y[i] - y[a]) * (x[b] - x[a]):
                break
            hull.pop()
        hull.append(i)
    return hull
