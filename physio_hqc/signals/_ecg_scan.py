"""One pass over an ECG for its quality: what is missing or stuck, and the shape of every beat.

The signal comes in pieces of any length. It is worked on in blocks whose places do not depend on
the pieces, so that the outcome does not either, and memory does not grow with the recording but
for the beats, 290 bytes each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from physio_hqc.signals._checks import finite_runs, true_runs
from physio_hqc.signals._ecg_filter import clean_butterworth
from physio_hqc.signals._qrs import thin
from physio_hqc.signals._spans import joined
from physio_hqc.signals.ecg_breathing import r_wave_heights

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SNIPPET_S = np.arange(-0.25, 0.45, 0.01)
"""Times in s around a beat at which its shape is read."""

_FLAT_S = 1.0
_SATURATED_S = 0.04
_BLOCK = 1 << 18
_SHAPE_HZ = 200.0
_CORE_S, _CONTEXT_S = 300.0, 10.0


@dataclass(frozen=True)
class EcgFacts:
    """What a pass over an ECG found.

    Attributes
    ----------
    n : int
        Samples, missing ones included.
    missing, stuck : ndarray, shape (s, 2)
        Ascending, separate stretches [start, stop) in samples: without values; flat for a second,
        or held at the largest or smallest value of the recording.
    shapes : ndarray, shape (k, 70)
        The cleaned ECG around each beat, of zero mean and unit length; NaN for beats too near a
        missing sample or an end.
    heights : ndarray, shape (k,)
        Of the R waves, as `r_wave_heights` measures them; NaN where it cannot.
    """

    n: int
    missing: IntArray
    stuck: IntArray
    shapes: NDArray[np.float32]
    heights: FloatArray


class EcgScan:
    """Pass over an ECG, piece by piece.

    Parameters
    ----------
    sfreq : float
        Hz, at least 80.
    places : ndarray, shape (k,)
        Beats in samples, fractions included, ascending.
    """

    def __init__(self, sfreq: float, places: FloatArray) -> None:
        self._step = max(1, int(sfreq // _SHAPE_HZ))
        self._block = self._step * (_BLOCK // self._step)
        self._queue: list[FloatArray] = []
        self._n_queued = self._n = 0
        self._missing: list[IntArray] = []
        self._stuck = _StuckFinder(sfreq)
        self._shapes = _ShapeReader(
            sfreq / self._step, (places - (self._step - 1) / 2) / self._step
        )

    def feed(self, samples: ArrayLike) -> None:
        """Take the next samples; NaN or infinite where they are missing."""
        values = np.asarray(samples, dtype=np.float64)
        self._queue.append(values)
        self._n_queued += values.size
        if self._n_queued < self._block:
            # What waits must not change when the caller fills the same array again.
            self._queue[-1] = values.copy()
            return
        waiting = np.concatenate(self._queue) if len(self._queue) > 1 else values
        whole = waiting.size - waiting.size % self._block
        for start in range(0, whole, self._block):
            self._look_at(waiting[start : start + self._block])
        self._queue, self._n_queued = [waiting[whole:].copy()], waiting.size - whole

    def finish(self) -> EcgFacts:
        """End the pass and return what it found."""
        rest = np.concatenate([np.empty(0), *self._queue])
        if rest.size:
            self._look_at(rest)
        self._queue, self._n_queued = [], 0
        return EcgFacts(self._n, joined(self._missing), self._stuck.found(), *self._shapes.finish())

    def _look_at(self, x: FloatArray) -> None:
        """Work on one block."""
        present = np.isfinite(x)
        if not present.all():
            self._missing.append(true_runs(~present) + self._n)
            x = np.where(present, x, np.nan)
        self._stuck.feed(x)
        self._shapes.feed(thin(x, self._step))
        self._n += x.size


class _StuckFinder:
    """Stretches that are flat for a second, or at the extremes of all that was seen."""

    def __init__(self, sfreq: float) -> None:
        self._flat_n = max(2, int(_FLAT_S * sfreq))
        self._limit_n = max(3, int(_SATURATED_S * sfreq))
        self._tail = np.empty(0)
        self._n = 0
        self._flat: list[IntArray] = []
        self._extremes = [_Extreme(), _Extreme()]

    def feed(self, x: FloatArray) -> None:
        """Look at the next block; what reaches into it from the one before is looked at whole."""
        longer = np.concatenate([self._tail, x])
        start = self._n - self._tail.size
        if _may_be_flat(longer, self._flat_n):
            steady = longer[1:] == longer[:-1]
            runs = true_runs(steady, self._flat_n)
            self._flat.append(runs + np.array([start, start + 1]))
        highest, lowest = np.fmax.reduce(longer), -np.fmin.reduce(longer)
        for extreme, value, sign in zip(self._extremes, (highest, lowest), (1, -1), strict=True):
            if extreme.reaches(float(value)):
                extreme.spans.append(true_runs(longer == sign * value, self._limit_n) + start)
        self._tail = longer[-self._flat_n - 1 :].copy()
        self._n += x.size

    def found(self) -> IntArray:
        """All stretches so far."""
        return joined([*self._flat, *(span for one in self._extremes for span in one.spans)])


class _Extreme:
    """The largest value seen so far and the stretches at it."""

    def __init__(self) -> None:
        self.value = -np.inf
        self.spans: list[IntArray] = []

    def reaches(self, value: float) -> bool:
        """Whether a block reaches the extreme; a larger one makes the stretches before void."""
        if value > self.value:
            self.value, self.spans = value, []
        return value == self.value


class _ShapeReader:
    """Shapes of beats from a thinned signal, cleaned in overlapping pieces."""

    def __init__(self, rate: float, places: FloatArray) -> None:
        self._rate, self._places = rate, places
        self._core, self._context = int(_CORE_S * rate), int(_CONTEXT_S * rate)
        self._kept = np.empty(0)
        self._start = self._core_start = 0
        self._shapes = np.full((places.size, SNIPPET_S.size), np.nan, dtype=np.float32)
        self._heights = np.full(places.size, np.nan)

    def feed(self, x: FloatArray) -> None:
        """Take the next thinned samples and read all beats that have their context."""
        self._kept = np.concatenate([self._kept, x])
        while self._end >= self._core_start + self._core + self._context:
            self._read(self._core_start + self._core)

    def finish(self) -> tuple[NDArray[np.float32], FloatArray]:
        """Read the remaining beats and return all shapes and heights."""
        while self._core_start < self._end:
            self._read(min(self._core_start + self._core, self._end))
        return self._shapes, self._heights

    @property
    def _end(self) -> int:
        return self._start + self._kept.size

    def _read(self, core_stop: int) -> None:
        """Read the shapes of the beats up to ``core_stop`` and forget what is no longer needed."""
        first, last = np.searchsorted(self._places, [self._core_start, core_stop]).tolist()
        if last > first:
            piece = self._kept[: core_stop + self._context - self._start]
            places = self._places[first:last] - self._start
            cleaned = _cleaned(piece, self._rate)
            self._shapes[first:last] = beat_shapes(cleaned, places, self._rate)
            self._heights[first:last] = _heights(piece, self._rate, places)
        self._core_start = core_stop
        keep_from = max(core_stop - self._context, self._start)
        self._kept = self._kept[keep_from - self._start :]
        self._start = keep_from


def beat_shapes(cleaned: FloatArray, place: FloatArray, sfreq: float) -> FloatArray:
    """Return the ECG around each beat as rows of zero mean and unit length.

    ``place`` is the beat's position in samples. Beats too near a missing sample or the end of
    the signal are left out as rows of NaN.
    """
    if cleaned.size < 2:
        return np.full((place.size, SNIPPET_S.size), np.nan)
    at = place[:, None] + SNIPPET_S * sfreq
    below = np.clip(np.floor(at).astype(np.int64), 0, cleaned.size - 2)
    share = at - below
    rows = cleaned[below] * (1 - share) + cleaned[below + 1] * share
    rows[(at[:, 0] < 0) | (at[:, -1] > cleaned.size - 1)] = np.nan
    rows -= rows.mean(axis=1, keepdims=True)
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    length[length == 0] = np.nan
    return np.asarray(rows / length[:, None])


def _heights(x: FloatArray, rate: float, places: FloatArray) -> FloatArray:
    """Heights of the R waves, measured on numbers near 1 so that none overflows."""
    largest = float(np.fmax.reduce(np.abs(x)))
    if not largest > 0:
        return np.full(places.size, np.nan)
    with np.errstate(over="ignore"):
        heights = r_wave_heights(x / largest, rate, places) * largest
    return np.where(np.isfinite(heights), heights, np.nan)


def _may_be_flat(x: FloatArray, n: int) -> bool:
    """Whether ``x`` can repeat a value n times: then it does so at places n / 2 apart."""
    sparse = x[:: max(1, n // 2)]
    return bool((sparse[1:] == sparse[:-1]).any())


def _cleaned(x: FloatArray, rate: float) -> FloatArray:
    """Band-pass every stretch without missing samples, scaled to numbers near 1."""
    cleaned = np.full(x.size, np.nan)
    for start, stop in finite_runs(x):
        run = x[start:stop]
        largest = float(np.abs(run).max())
        cleaned[start:stop] = clean_butterworth(run / largest if largest else run, rate)
    return cleaned
