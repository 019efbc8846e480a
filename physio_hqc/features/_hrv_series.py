"""Beat intervals laid out for many windows at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from physio_hqc.features._windows import as_windows
from physio_hqc.signals.beats import Beats, plain_beats

# Beat times carry rounding noise of 1e-10 s or less; comparisons at a limit allow for it.
TIE_MS = 1e-6
_TIE_S = 1e-9
_NOTHING = 1e-100
_BATCH_VALUES = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The intervals of a recording, and what part of them lies in each of m windows.

    Attributes
    ----------
    start_s, end_s, rr_ms : ndarray, shape (n,)
        Beats at either side of each interval (s), and its length (ms); gaps are left out.
    joined : ndarray of bool, shape (n,)
        Whether the interval before ends where this one starts.
    first, stop : ndarray of int, shape (m,)
        Intervals first to stop - 1 lie wholly inside each window.
    length_s : ndarray, shape (m,)
        Length of each window.
    usable_s : ndarray, shape (m,)
        Seconds of each window that intervals cover, those cut by its edges included in part.
    gap_s : ndarray, shape (m,)
        Seconds without intervals between the first and the last interval of each window.
    corrected_share : ndarray, shape (m,)
        Share of the beats of each window that correction inserted, moved or cleared around.
    """

    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    rr_ms: NDArray[np.float64]
    joined: NDArray[np.bool_]
    first: NDArray[np.int64]
    stop: NDArray[np.int64]
    length_s: NDArray[np.float64]
    usable_s: NDArray[np.float64]
    gap_s: NDArray[np.float64]
    corrected_share: NDArray[np.float64]

    @property
    def n(self) -> NDArray[np.int64]:
        """Number of intervals in each window."""
        return self.stop - self.first

    @property
    def gap_share(self) -> NDArray[np.float64]:
        """Share of the time from first to last interval of each window that is a gap."""
        last = np.maximum(self.stop - 1, 0)
        some = self.n > 0
        share = np.zeros(self.n.size)
        span = self.end_s[last[some]] - self.start_s[self.first[some]]
        share[some] = self.gap_s[some] / span
        return share


class Batch(NamedTuple):
    """Windows of similar length as one table: row = window, column = place in the window."""

    rows: NDArray[np.int64]
    at: NDArray[np.int64]
    inside: NDArray[np.bool_]


def lay_out(beats: Beats | ArrayLike, windows: ArrayLike | None, max_rr_s: float) -> Series:
    """Return the intervals of ``beats`` and their place in ``windows`` (default: all)."""
    given = beats if isinstance(beats, Beats) else plain_beats(beats, max_rr_s=max_rr_s)
    times = given.times_s
    span = (float(times[0]), float(times[-1])) if times.size else (0.0, 0.0)
    bounds = as_windows(windows, span)
    ends_at = np.flatnonzero(np.isfinite(given.rr_s))
    start, end = times[ends_at - 1], times[ends_at]
    first = np.searchsorted(start, bounds[:, 0] - _TIE_S, side="left")
    stop = np.maximum(np.searchsorted(end, bounds[:, 1] + _TIE_S, side="right"), first)
    # Halves, for the difference of two times as far apart as numbers go.
    length = np.minimum(bounds[:, 1] / 2 - bounds[:, 0] / 2, np.finfo(float).max / 2) * 2
    return Series(
        start_s=start,
        end_s=end,
        rr_ms=given.rr_s[ends_at] * 1000.0,
        joined=np.diff(ends_at, prepend=-2) == 1,
        first=first,
        stop=stop,
        length_s=length,
        usable_s=_covered(start, end, bounds),
        gap_s=_inner_gaps(start, end, first, stop),
        corrected_share=_corrected_share(given, bounds),
    )


def batches(first: NDArray[np.int64], stop: NDArray[np.int64]) -> Iterator[Batch]:
    """Group non-empty windows of similar length so that tables stay small and little padded."""
    length = stop - first
    order = np.argsort(length, kind="stable")
    order = order[length[order] > 0]
    begin = 0
    while begin < order.size:
        sizes = length[order[begin:]]
        fits = np.searchsorted(sizes * np.arange(1, sizes.size + 1), _BATCH_VALUES, side="right")
        rows = order[begin : begin + max(1, int(fits))]
        place = np.arange(length[rows[-1]])
        inside = place < length[rows][:, None]
        index = np.where(inside, first[rows][:, None] + place, first[rows][:, None])
        yield Batch(rows, index, inside)
        begin += rows.size


def ratio(over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide; NaN where the divisor is not above 0, or so little that the ratio has no number."""
    result = np.full(np.broadcast(over, under).shape, np.nan)
    np.divide(over, under, out=result, where=under > _NOTHING)
    return result


def log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the natural logarithm; NaN where ``x`` is not above 0."""
    result = np.full(x.shape, np.nan)
    np.log(x, out=result, where=x > 0)
    return result


def _covered(
    start: NDArray[np.float64], end: NDArray[np.float64], bounds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the seconds of each window that intervals cover."""
    if start.size == 0:
        return np.zeros(bounds.shape[0])
    done = np.cumsum(end - start)
    knots = np.column_stack([start, end]).ravel()
    covered = np.column_stack([done - (end - start), done]).ravel()
    at = np.interp(bounds, knots, covered)
    seconds: NDArray[np.float64] = at[:, 1] - at[:, 0]
    return seconds


def _inner_gaps(
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    first: NDArray[np.int64],
    stop: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the seconds between first and last interval of each window that none covers."""
    gaps = np.zeros(first.size)
    pauses = np.concatenate([[0.0], np.cumsum(start[1:] - end[:-1])]) if start.size else gaps
    some = stop > first
    gaps[some] = pauses[stop[some] - 1] - pauses[first[some]]
    return np.maximum(gaps, 0.0)


def _corrected_share(beats: Beats, bounds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of beats in each window that are not as detected."""
    edge = np.searchsorted(beats.times_s, bounds, side="left")
    so_far = np.concatenate([[0], np.cumsum(beats.kind != "normal")])
    corrected = so_far[edge[:, 1]] - so_far[edge[:, 0]]
    total = edge[:, 1] - edge[:, 0]
    share: NDArray[np.float64] = corrected / np.maximum(total, 1)
    return share
