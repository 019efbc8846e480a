"""Traces thinned for display.

A long trace is drawn by the smallest and the largest value of every bin, so that no peak, dropout
or gap disappears. It is read in pieces, so that a day of ECG never stands in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from physio_hqc.session import Stream

N_BINS = 2000
_PIECE = 1_000_000

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Trace:
    """One channel or more, ready to be drawn; NaN breaks the line where samples are missing.

    Attributes
    ----------
    times : ndarray, shape (n,)
        In seconds.
    values : ndarray, shape (n, C)
        In the stream's units.
    gaps : ndarray, shape (g, 2)
        Stretches without samples, in seconds.
    """

    times: Array
    values: Array
    gaps: Array


def stream_trace(stream: Stream, tmin: float, tmax: float, n_bins: int = N_BINS) -> Trace:
    """Thin a stream to at most two values per bin of [tmin, tmax]."""
    gaps = stream_gaps(stream, tmin, tmax)
    # A microsecond more, because the last sample belongs to the trace, rounding or not.
    end = tmax + 1e-6
    start, stop = stream.index_range(tmin, end)
    if stop - start <= 2 * n_bins or not tmax > tmin:
        times, samples = stream.read(tmin, end)
        values = _columns(samples)
        if stream.sfreq:
            times, values = _broken(times, values, gaps)
        return Trace(times, values, gaps)
    per_piece = max(1, int(_PIECE / ((stop - start) / n_bins)))
    edges = np.linspace(tmin, end, n_bins + 1)
    pieces = []
    for first in range(0, n_bins, per_piece):
        inner = edges[first : first + per_piece + 1]
        times, samples = stream.read(inner[0], inner[-1])
        pieces.append(_extremes(times, _columns(samples), inner))
    centers = (edges[:-1] + edges[1:]) / 2
    return Trace(np.repeat(centers, 2), np.concatenate(pieces), gaps)


def array_trace(times: Array, values: Array, n_bins: int = N_BINS) -> Trace:
    """Thin an array with times (n,) in seconds and values (n,) or (n, C)."""
    columns = _columns(np.asarray(values, dtype=np.float64))
    none = np.empty((0, 2))
    if len(times) <= 2 * n_bins:
        return Trace(np.asarray(times, dtype=np.float64), columns, none)
    edges = np.linspace(times[0], np.nextafter(times[-1], np.inf), n_bins + 1)
    centers = (edges[:-1] + edges[1:]) / 2
    return Trace(np.repeat(centers, 2), _extremes(times, columns, edges), none)


def broken_at_pauses(times: Array, values: Array, pause_s: float) -> tuple[Array, Array]:
    """Put a NaN into every pause longer than `pause_s`, so that no line is drawn across it."""
    where = np.flatnonzero(np.diff(times) > pause_s) + 1
    middles = (times[where - 1] + times[where]) / 2
    return np.insert(times, where, middles), np.insert(values, where, np.nan)


def _columns(values: Array) -> Array:
    """Give samples of one channel their column."""
    return values[:, None] if values.ndim == 1 else values


def _extremes(times: Array, values: Array, edges: Array) -> Array:
    """Smallest and largest value per bin, one after the other; NaN for a bin without any."""
    n_bins = len(edges) - 1
    result = np.full((n_bins, 2, values.shape[1]), np.nan)
    bounds = np.searchsorted(times, edges)
    # A sample on an edge may lie a rounding error beside it: it must not fall between two pieces.
    bounds[0], bounds[-1] = 0, len(times)
    filled = np.flatnonzero(np.diff(bounds))
    if len(filled):
        result[filled, 0] = np.fmin.reduceat(values, bounds[filled], axis=0)
        result[filled, 1] = np.fmax.reduceat(values, bounds[filled], axis=0)
    thin: Array = result.reshape(2 * n_bins, values.shape[1])
    return thin


def _broken(times: Array, values: Array, gaps: Array) -> tuple[Array, Array]:
    """Put one NaN into every gap, so that no line is drawn across it."""
    if not len(gaps):
        return times, values
    middles = gaps.mean(axis=1)
    where = np.searchsorted(times, middles)
    return np.insert(times, where, middles), np.insert(values, where, np.nan, axis=0)


def stream_gaps(stream: Stream, tmin: float = -np.inf, tmax: float = np.inf) -> Array:
    """Stretches (g, 2) in seconds between the gap-free segments of a regular stream."""
    if not stream.sfreq or not stream.n_samples:
        return np.empty((0, 2))
    rows = stream.segments
    gaps = np.column_stack([rows["t_end"].to_numpy()[:-1], rows["t_start"].to_numpy()[1:]])
    # A break shorter than two samples is a new segment of the clock, not missing signal.
    wide = gaps[:, 1] - gaps[:, 0] > 2 / stream.sfreq
    chosen: Array = gaps[wide & (gaps[:, 1] > tmin) & (gaps[:, 0] < tmax)]
    return chosen


def finite_range(values: Array) -> tuple[float, float] | None:
    """Smallest and largest finite value; None if there is none."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else None


def display_range(values: Array) -> tuple[float, float, bool] | None:
    """Limits for an axis, and whether rare extremes lie outside them.

    A single spike of a loose electrode must not flatten the whole trace: if the full range is
    more than six times that of the central 99 percent, the latter is shown, widened by half.
    """
    full = finite_range(values)
    if full is None:
        return None
    low, high = np.nanpercentile(np.where(np.isfinite(values), values, np.nan), [0.5, 99.5])
    clipped = full[1] - full[0] > 6 * (high - low) > 0
    if not clipped:
        low, high = full
    margin = (high - low) * (0.5 if clipped else 0.06) or max(abs(high), 1.0) * 0.05
    return float(low - margin), float(high + margin), bool(clipped)
