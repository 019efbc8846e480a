"""R peaks of an ECG that arrives in pieces: beats found, and placed between samples."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from physio_hqc.signals._checks import repeats, true_runs, vertex
from physio_hqc.signals._qrs import find_complexes, thin

FloatArray = NDArray[np.float64]

_CORE_S, _CONTEXT_S = 3600.0, 30.0
_MIN_RUN_S, _FLAT_S = 2.0, 3.0
BRIDGE_S = 0.04
# The sum of the squares of an ordinary ECG lies well inside this range.
_TAME = (1e-100, 1e100)

_PLACING_HZ = 500.0
_SEARCH_S, _WIDE_S, _SMOOTHING_S, _MARGIN_S = 0.06, 0.14, 0.008, 0.032
_TURN_RATIO, _ODD_RATIO = 1.25, 3.0
_PEAK_S = 0.02
_REFRACTORY_S = 0.2


class Skipped(NamedTuple):
    """A stretch of samples that was not searched, and why."""

    start: int
    stop: int
    reason: str


class PeakFinder:
    """Finds the R peaks of one ECG in blocks of an hour, so that memory does not grow.

    Parameters
    ----------
    sfreq : float
        Sampling rate in Hz.
    """

    def __init__(self, sfreq: float) -> None:
        self._sfreq = sfreq
        self._sign = 0.0
        self._places: list[FloatArray] = []
        self._heights: list[FloatArray] = []
        self._skipped: list[Skipped] = []

    @property
    def core(self) -> int:
        """Samples of a block, without context."""
        return int(_CORE_S * self._sfreq)

    @property
    def context(self) -> int:
        """Samples that a block needs on either side."""
        return int(_CONTEXT_S * self._sfreq)

    def block(self, x: FloatArray, first: int, low: int, high: float) -> None:
        """Find the peaks of ``x``, whose first sample is ``first``, in [low, high)."""
        if not x.size:
            return
        x, known, skipped = _usable(x, self._sfreq)
        for start, stop, reason in skipped:
            self._skip(max(start + first, low), min(stop + first, high), reason)
        if not x.size:
            return
        middle = find_complexes(x, self._sfreq, known)
        place, height = self._placed(x, middle)
        inside = (middle + first >= low) & (middle + first < high)
        inside &= (place >= 0) & (place <= x.size - 1)
        if known is not None:
            inside &= self._seen(place, known)
        self._places.append(place[inside] + first)
        self._heights.append(height[inside])

    def peaks(self) -> FloatArray:
        """Return the places of all peaks found, in samples, ascending."""
        if not self._places:
            return np.empty(0)
        place, height = np.concatenate(self._places), np.concatenate(self._heights)
        return _one_per_refractory(place, height, _REFRACTORY_S * self._sfreq)

    def skipped(self) -> list[Skipped]:
        """Return the stretches that were not searched, ascending."""
        return sorted(self._skipped)

    def _skip(self, start: int, stop: float, reason: str) -> None:
        """Note a stretch, as one with the stretch before it that it continues."""
        if stop <= start:
            return
        for n, before in enumerate(self._skipped):
            if before.stop == start and before.reason == reason:
                self._skipped[n] = before._replace(stop=int(stop))
                return
        self._skipped.append(Skipped(start, int(stop), reason))

    def _seen(self, place: FloatArray, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Tell which peaks have measured samples on either side: not the slope left by a hole."""
        reach = _PEAK_S * self._sfreq
        around = np.rint(place[:, None] + np.array([-reach, 0.0, reach])).astype(np.int64)
        seen: NDArray[np.bool_] = known[np.clip(around, 0, known.size - 1)].all(axis=1)
        return seen

    def _placed(self, x: FloatArray, middle: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return place and height of the R wave of each complex.

        The wave is the largest deflection of the sense that is usual in the recording, so that
        places do not hop between waves; of the other sense in beats where that is three times
        as large: those come from elsewhere in the heart.
        """
        if not middle.size:
            return middle, middle
        step = max(1, int(self._sfreq // _PLACING_HZ))
        rate = self._sfreq / step
        x, middle = thin(x, step), (middle - (step - 1) / 2) / step
        course, start = _smooth_courses(x, middle, rate, _SEARCH_S)
        level = 0.5 * (course[:, 0] + course[:, -1])
        up, down = course.max(axis=1) - level, level - course.min(axis=1)
        self._turn(float(np.median(up)), float(np.median(down)))
        usual, other = (up, down) if self._sign > 0 else (down, up)
        sign = np.where(other > _ODD_RATIO * usual, -self._sign, self._sign)
        course *= sign[:, None]
        top = course.argmax(axis=1)
        place = start + top + _vertex(course, top)
        slope = np.flatnonzero((top == 0) | (top == course.shape[1] - 1))
        place[slope] = _in_wide_complex(x, middle[slope], rate)
        return place * step + (step - 1) / 2, np.maximum(usual, other)

    def _turn(self, up: float, down: float) -> None:
        """Keep the sense of the R wave unless the other one has become clearly larger."""
        ratio = 1.0 if self._sign == 0 else _TURN_RATIO
        if self._sign >= 0 and down > ratio * up:
            self._sign = -1.0
        elif self._sign <= 0 and up >= ratio * down:
            self._sign = 1.0


class _Usable(NamedTuple):
    """Samples of a block without holes.

    Attributes
    ----------
    x : (n,) finite; bridged where nothing was measured. Empty where nothing was.
    known : (n,) which samples were measured; None: all.
    skipped : start, stop, reason of what was not.
    """

    x: FloatArray
    known: NDArray[np.bool_] | None
    skipped: list[Skipped]


def _usable(x: FloatArray, sfreq: float) -> _Usable:
    """Take out what is no ECG, and bridge it.

    No ECG are samples that are missing, a line that stays constant for 3 s, and what stands
    alone between them for less than 2 s. Holes shorter than 0.04 s are no holes.
    """
    # One pass tells that all is well: a sample that is missing, infinite or huge spoils the sum.
    with np.errstate(over="ignore", invalid="ignore"):
        power = float(x @ x)
    whole = _TAME[0] < power < _TAME[1]
    flat = _flat_runs(x, sfreq)
    if whole and not len(flat) and x.size >= _MIN_RUN_S * sfreq:
        return _Usable(x, None, [])
    if not whole:
        x = np.where(np.isfinite(x), x, np.nan)
        x = x / (np.fmax.reduce(np.abs(x), initial=0.0) or 1.0)
    known, skipped = _measured(np.isfinite(x), flat, sfreq)
    at = np.flatnonzero(known & np.isfinite(x))
    if not at.size:
        return _Usable(x[:0], None, skipped)
    return _Usable(np.interp(np.arange(x.size), at, x[at]), known, skipped)


def _flat_runs(x: FloatArray, sfreq: float) -> NDArray[np.int64]:
    """Return (r, 2) start and stop of stretches that stay constant for 3 s."""
    # Such a line is flat in samples an eighth of a second apart too: only then compare all.
    probe = x[:: max(1, int(sfreq / 8))]
    if not len(true_runs(repeats(probe), int(8 * (_FLAT_S - 1)))):
        return np.empty((0, 2), dtype=np.int64)
    runs = true_runs(repeats(x), int(_FLAT_S * sfreq))
    runs[:, 0] -= 1
    return runs


def _measured(
    present: NDArray[np.bool_], flat: NDArray[np.int64], sfreq: float
) -> tuple[NDArray[np.bool_], list[Skipped]]:
    """Tell which samples hold an ECG, and which stretches are skipped for what reason."""
    known = present.copy()
    skipped = []
    for start, stop in true_runs(~present).tolist():
        inner = start > 0 and stop < present.size
        if inner and stop - start < BRIDGE_S * sfreq:
            known[start:stop] = True
        else:
            skipped.append(Skipped(start, stop, "missing"))
    for start, stop in flat.tolist():
        known[start:stop] = False
        skipped.append(Skipped(start, stop, "flat for 3 s"))
    for start, stop in true_runs(known).tolist():
        if stop - start < _MIN_RUN_S * sfreq:
            known[start:stop] = False
            skipped.append(Skipped(start, stop, "under 2 s of signal"))
    return known, skipped


@lru_cache(maxsize=16)
def _smoother(rate: float, search_s: float) -> FloatArray:
    """Matrix that turns samples around a beat into their smooth course, inner part only."""
    search, margin = max(1, round(search_s * rate)), max(1, round(_MARGIN_S * rate))
    out = np.arange(-search, search + 1) / rate
    samples = np.arange(-search - margin, search + margin + 1) / rate
    weight = np.exp(-0.5 * ((samples[:, None] - out) / _SMOOTHING_S) ** 2)
    weight[np.abs(samples[:, None] - out) > (margin + 0.5) / rate] = 0.0
    matrix: FloatArray = weight / weight.sum(axis=0)
    return matrix


def _smooth_courses(
    x: FloatArray, middle: FloatArray, rate: float, search_s: float
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return the smooth signal around each middle as rows, and the place each row begins."""
    matrix = _smoother(rate, search_s)
    n_samples, n_out = matrix.shape
    center = np.rint(middle).astype(np.int64)
    around = np.clip(center[:, None] + np.arange(n_samples) - n_samples // 2, 0, max(0, x.size - 1))
    rows = x[around]
    rows -= rows[:, :1].copy()
    return rows @ matrix, center - n_out // 2


def _in_wide_complex(x: FloatArray, middle: FloatArray, rate: float) -> FloatArray:
    """Return the largest deflection around the middle of complexes that are all slope there.

    Where there is none - the signal only rises or falls - it is the middle itself.
    """
    course, start = _smooth_courses(x, middle, rate, _WIDE_S)
    level = 0.5 * (course[:, :1] + course[:, -1:])
    place, largest = middle.copy(), np.zeros(middle.size)
    for sign in (1.0, -1.0):
        rows = sign * (course - level)
        top = rows.argmax(axis=1)
        height = rows[np.arange(middle.size), top]
        better = (top > 0) & (top < rows.shape[1] - 1) & (height > largest)
        place = np.where(better, start + top + _vertex(rows, top), place)
        largest = np.where(better, height, largest)
    return place


def _vertex(rows: FloatArray, top: NDArray[np.int64]) -> FloatArray:
    """Return the offset of the vertex of a parabola through the top and its neighbors."""
    line = np.arange(len(rows))
    before = rows[line, np.maximum(top - 1, 0)]
    here = rows[line, top]
    after = rows[line, np.minimum(top + 1, rows.shape[1] - 1)]
    inner = (top > 0) & (top < rows.shape[1] - 1)
    return np.where(inner, np.clip(vertex(before, here, after), -0.5, 0.5), 0.0)


def _one_per_refractory(place: FloatArray, height: FloatArray, refractory: float) -> FloatArray:
    """Keep the higher of two peaks that are closer than the heart can beat."""
    order = np.argsort(place, kind="stable")
    place, height = place[order], height[order]
    while (close := np.flatnonzero(np.diff(place) < refractory)).size:
        # Every round drops the lower of each close pair, so that it ends after few rounds.
        lower = np.where(height[close] < height[close + 1], close, close + 1)
        place, height = np.delete(place, lower), np.delete(height, lower)
    return place
