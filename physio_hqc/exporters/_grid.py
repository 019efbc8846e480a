"""One even grid for a stream whose segments have their own starts and measured rates.

File formats of other tools know one rate per signal. Every sample takes the nearest point of the
grid, each point at most one sample, so that none is lost or computed anew; the grid runs at least
as fast as the fastest segment. Where a device's clock is slower than the grid a point stays free
now and then: it repeats the sample before it (a filler). Gaps stay gaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physio_hqc.errors import OutputError
from physio_hqc.exporters.content import StreamContent
from physio_hqc.importers._places import Stretch, sample_places

__all__ = ["Grid", "Stretch", "on_grid", "sample_places", "stretches_of"]

_EXACT = 1e-9


@dataclass(frozen=True)
class Grid:
    """Where the samples of a stream stand.

    Attributes
    ----------
    sfreq : float
        Rate of the grid in Hz.
    start_s : float
        Time of grid point 0, in s since the session's start.
    n : int
        Points from the first to the last sample.
    places : ndarray, shape (N,)
        Grid point of each sample, ascending.
    source : ndarray, shape (n,)
        Sample that each point shows; -1 in a gap. A filler shows the sample before it.
    n_fillers : int
    gaps : ndarray, shape (g, 2)
        First point of each gap, and the one after its last.
    """

    sfreq: float
    start_s: float
    n: int
    places: NDArray[np.int64]
    source: NDArray[np.int64]
    n_fillers: int
    gaps: NDArray[np.int64]

    def spread(self, samples: NDArray[Any], missing: Any = np.nan) -> NDArray[Any]:
        """Lay samples, shape (N,) or (N, C), out on the grid; `missing` stands in the gaps."""
        if not len(samples):
            return np.full((self.n, *samples.shape[1:]), missing, dtype=samples.dtype)
        if self.n == len(samples):
            return samples
        laid = samples[np.maximum(self.source, 0)]
        laid[self.source < 0] = missing
        return laid


def stretches_of(stream: StreamContent) -> list[Stretch]:
    """Time base of a regular stream, as :func:`sample_places` takes it."""
    rows = stream.segments
    return [
        Stretch(int(stop - start), float(t_start), float(sfreq))
        for start, stop, t_start, sfreq in zip(
            rows["start"], rows["stop"], rows["t_start"], rows["sfreq"], strict=True
        )
    ]


def grid_rate(stream: StreamContent) -> float:
    """Lowest rate of a grid that has a point for every sample; the nominal one where it will do."""
    rates = [stretch.sfreq for stretch in stretches_of(stream) if stretch.n > 1]
    fastest = max(rates, default=stream.sfreq)
    return max(stream.sfreq, fastest) if fastest > stream.sfreq * (1 + _EXACT) else stream.sfreq


def on_grid(
    stream: StreamContent, sfreq: float | None = None, *, start_s: float | None = None
) -> Grid:
    """Place every sample of a regular stream on one even grid.

    Parameters
    ----------
    stream : StreamContent
    sfreq : float, optional
        Rate of the grid in Hz; the nominal rate by default, or the fastest segment's where that
        is higher.
    start_s : float, optional
        Time of grid point 0, not after the first sample; by default that of the first sample.

    Returns
    -------
    Grid
        For exact times in one segment the grid is the samples themselves. From the time base
        alone (:func:`stretches_of`), `sfreq` and `start_s`, :func:`sample_places` finds every
        sample again.

    Raises
    ------
    OutputError
        If the stream is irregular, the grid is slower than the stream, or almost only gap.
    """
    if not stream.sfreq:
        raise OutputError(f"stream {stream.name!r} is irregular and has no place on a grid")
    stretches = stretches_of(stream)
    rate = grid_rate(stream) if sfreq is None else float(sfreq)
    if rate < grid_rate(stream) * (1 - _EXACT) and any(
        rate < s.sfreq * (1 - _EXACT) for s in stretches if s.n > 1
    ):
        raise OutputError(f"stream {stream.name!r}: a grid of {rate:g} Hz is slower than it")
    if start_s is None:
        start_s = next((s.t_start for s in stretches if s.n), 0.0)
    span = max((s.t_start + s.n / s.sfreq for s in stretches), default=0.0) - start_s
    if span * rate > 50 * stream.n_samples + 10_000_000:
        raise OutputError(f"stream {stream.name!r} is almost only gap: cut the session first")
    places = sample_places(stretches, rate, start_s)
    if places.size and places[0] < 0:
        raise OutputError(f"stream {stream.name!r} begins before the grid does")
    return _grid(rate, start_s, stretches, places)


def _grid(rate: float, start_s: float, stretches: list[Stretch], places: NDArray[np.int64]) -> Grid:
    n = int(places[-1]) + 1 if places.size else 0
    holes = np.diff(places, prepend=-1) - 1  # free points before each sample
    gap_before = np.zeros(places.size, dtype=bool)
    first, end_s = 0, start_s
    for stretch in (s for s in stretches if s.n):
        gap_before[first] = (stretch.t_start - end_s) * rate >= 0.5
        first, end_s = first + stretch.n, stretch.t_start + stretch.n / stretch.sfreq
    if places.size and places[0] > 0:
        gap_before[0] = True
    gap_before &= holes > 0
    source = np.repeat(np.arange(places.size), np.diff(places, append=n))
    source = np.concatenate([np.full(n - source.size, -1, dtype=np.int64), source])
    stops = places[gap_before]
    gaps = np.column_stack([stops - holes[gap_before], stops])
    for a, b in gaps.tolist():
        source[a:b] = -1
    return Grid(
        sfreq=rate,
        start_s=start_s,
        n=n,
        places=places,
        source=source,
        n_fillers=int(holes.sum() - holes[gap_before].sum()),
        gaps=gaps,
    )
