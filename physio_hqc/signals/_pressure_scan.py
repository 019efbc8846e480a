"""Pressure beats from a signal that comes in pieces: memory does not grow with its length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from physio_hqc.signals._checks import as_signal, check_sfreq, finite_runs, true_runs
from physio_hqc.signals._pressure_beats import (
    REACH_S,
    beats_of_run,
    beside,
    flat_stretches,
    take_out_spikes,
)
from physio_hqc.signals._pressure_verdict import Limits, empty_beats, judge

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

# No blood pressure is beyond; fill values of files are.
_ABSURD = 1e6
_ENOUGH_HZ = 125.0
_CORE_S = 600.0
_PIECE = 1 << 18
_MIN_RUN_S = 1.0
_EXTREMES, _HIGHEST = 6, 500


class PressureScan:
    """Find the beats of a pressure signal fed piece by piece; the pieces do not matter.

    Parameters
    ----------
    sfreq : float
        Sampling rate in Hz.
    sbp_limits, dbp_limits, pp_min
        As for `physio_hqc.signals.detect_pressure_beats`.
    search : bool
        Whether beats are wanted; without, only `present_s` and `flat_s` are found.

    Raises
    ------
    SignalError
        If ``sfreq`` is not above 0 Hz.

    Notes
    -----
    Rates from 250 Hz are averaged over 2 and more samples down to 125 Hz and more, which holds
    all of a pressure pulse. The signal is searched in blocks of ten minutes that stand at fixed
    places and see 30 s beyond both ends; no decision looks further. Only beats, their verdict
    and the edges of gaps and flat stretches are kept.

    Examples
    --------
    >>> import numpy as np
    >>> phase = np.arange(0, 10, 0.01) % 1.0
    >>> scan = PressureScan(100)
    >>> for piece in np.split(80 + 40 * np.exp(-(((phase - 0.3) / 0.1) ** 2)), 4):
    ...     scan.feed(piece)
    >>> len(scan.finish())
    10
    """

    def __init__(
        self,
        sfreq: float,
        *,
        sbp_limits: Limits = (50.0, 280.0),
        dbp_limits: Limits = (20.0, 180.0),
        pp_min: float = 15.0,
        search: bool = True,
    ) -> None:
        self._sfreq = check_sfreq(sfreq)
        self._limits = (sbp_limits, dbp_limits, pp_min)
        self._factor = max(int(self._sfreq // _ENOUGH_HZ), 1)
        self._rate = self._sfreq / self._factor
        self._core = max(int(_CORE_S * self._rate), 1000)
        self._margin = max(int(REACH_S * self._rate), 100)
        self._raw: list[FloatArray] = []
        self._wanted = search
        self._first = self._n = self._done = 0
        self._tables: list[pd.DataFrame] = []
        self._present: list[IntArray] = []
        self._flat: list[IntArray] = []
        self._highest, self._lowest = _PiledUp(), _PiledUp()

    def feed(self, samples: ArrayLike) -> None:
        """Take the next samples, shape (n,), in mmHg; NaN where missing.

        Raises
        ------
        SignalError
            If ``samples`` is not one row of numbers.
        """
        rows = _rows_of(samples)
        for start in range(0, max(len(rows), 1), _PIECE):
            values = as_signal(rows[start : start + _PIECE], "pressure")
            values[np.abs(values) > _ABSURD] = np.nan
            self._raw.append(values)
            self._n += values.size
            while self._n >= (self._done + self._core + self._margin) * self._factor:
                self._search()

    def finish(self) -> pd.DataFrame:
        """Return the beats of everything fed, as `detect_pressure_beats` does."""
        while self._done * self._factor < self._n:
            self._search()
        if not self._tables:
            return empty_beats()
        beats = pd.concat(self._tables, ignore_index=True)
        limits = (-self._lowest.value, self._highest.value)
        return judge(beats, limits, self._rate, *self._limits)

    @property
    def n_samples(self) -> int:
        """How many samples were fed."""
        return self._n

    @property
    def present_s(self) -> FloatArray:
        """Stretches without missing samples, shape (r, 2), in s; complete after `finish`."""
        return _joined(self._present) / self._rate

    @property
    def flat_s(self) -> FloatArray:
        """Stretches in which pressure does not move, shape (q, 2), in s."""
        return _joined(self._flat) / self._rate

    def _search(self) -> None:
        """Search the next block, and forget what no later block looks at."""
        core = (self._done, self._done + self._core)
        first = max(core[0] - self._margin, 0)
        raw = np.concatenate(self._raw)
        take = raw[
            first * self._factor - self._first : (core[1] + self._margin) * self._factor
            - self._first
        ].copy()
        self._search_block(take, first, core)
        self._done = core[1]
        keep = max(core[1] - self._margin, 0) * self._factor
        self._raw = [raw[max(keep - self._first, 0) :].copy()]
        self._first = min(keep, self._first + raw.size)

    def _search_block(self, raw: FloatArray, first: int, core: tuple[int, int]) -> None:
        """Find the beats of one block whose upstroke lies in its core."""
        spikes = take_out_spikes(raw, self._sfreq)
        x, repaired = _averaged(raw, self._factor), _averaged(spikes, self._factor) > 0
        own = slice(core[0] - first, core[1] - first)
        known = finite_runs(x, 1)
        flat = flat_stretches(x, self._rate)
        for runs, kept in ((known, self._present), (true_runs(flat), self._flat)):
            clipped = np.clip(runs + first, core[0], core[1])
            kept.append(clipped[clipped[:, 1] > clipped[:, 0]])
        if not self._wanted:
            return
        self._highest.add(x[own])
        self._lowest.add(-x[own])
        flat = beside(flat, self._rate)
        shortest = max(int(np.ceil(_MIN_RUN_S * self._rate)), 8)
        for start, stop in known[known[:, 1] - known[:, 0] >= shortest].tolist():
            part = slice(start, stop)
            table = beats_of_run(x[part], flat[part], repaired[part], self._rate)
            if table is None:
                continue
            at = table["at"].to_numpy() + first + start
            mine = table[(at >= core[0]) & (at < core[1])]
            if len(mine):
                self._tables.append(self._timed(mine, first + start))

    def _timed(self, table: pd.DataFrame, start: int) -> pd.DataFrame:
        """Turn positions within a stretch that begins at ``start`` into times in s."""
        # A sample that is the mean over several lies in their middle.
        middle = (self._factor - 1) / 2 / self._sfreq
        times = {
            f"{name}_s": (table[name].to_numpy() + start) / self._rate + middle
            for name in ("foot", "systole")
        }
        return table.assign(**times)


def _rows_of(samples: ArrayLike) -> NDArray[Any]:
    """Return one row of samples; a plain array is not copied, a day may come in one piece."""
    # A masked array is an ndarray as well, whose mask would be lost.
    if isinstance(samples, np.ndarray) and not isinstance(samples, np.ma.MaskedArray):
        plain = samples.ndim == 1 and samples.dtype.kind in "biuf" and samples.dtype.isnative
        return samples if plain else as_signal(samples, "pressure")
    return as_signal(samples, "pressure")


class _PiledUp:
    """The limit of the converter: the most extreme value, if samples pile up there."""

    def __init__(self) -> None:
        self._counts: dict[float, int] = {}

    def add(self, x: FloatArray) -> None:
        """Count the samples at the highest values of ``x``."""
        known = x[np.isfinite(x)]
        if known.size > _HIGHEST:
            # Only the highest of a block can be among the highest of all.
            cut = np.partition(known, known.size - _HIGHEST)[known.size - _HIGHEST]
            highest = known[known >= cut]
        else:
            highest = known
        values, counts = np.unique(highest, return_counts=True)
        if values.size < _EXTREMES:
            values, counts = np.unique(known, return_counts=True)
        for value, count in zip(
            values[-_EXTREMES:].tolist(), counts[-_EXTREMES:].tolist(), strict=True
        ):
            self._counts[value] = self._counts.get(value, 0) + count
        kept = sorted(self._counts, reverse=True)[:_EXTREMES]
        self._counts = {value: self._counts[value] for value in kept}

    @property
    def value(self) -> float:
        """The limit, or infinity where the signal reaches none."""
        values = list(self._counts)
        if len(values) < _EXTREMES:
            return np.inf
        at, beside_1, beside_2 = (self._counts[value] for value in values[:3])
        # A limit holds many more samples than the values beside it; a smooth peak does not.
        return values[0] if at >= max(2.5 * (beside_1 + beside_2), 6) else np.inf


def _averaged(x: NDArray[np.float64] | BoolArray, factor: int) -> FloatArray:
    """Return means over ``factor`` samples each; what is left over at the end is dropped."""
    n = x.size // factor
    if factor == 1:
        return x.astype(np.float64)
    means: FloatArray = x[: n * factor].reshape(n, factor).mean(axis=1)
    return means


def _joined(runs: list[IntArray]) -> FloatArray:
    """Return stretches in order, those that touch as one."""
    if not runs:
        return np.empty((0, 2))
    rows = np.concatenate(runs)
    if len(rows) == 0:
        return np.empty((0, 2))
    apart = rows[1:, 0] > rows[:-1, 1]
    first = rows[np.concatenate(([True], apart)), 0]
    last = rows[np.concatenate((apart, [True])), 1]
    return np.column_stack((first, last)).astype(np.float64)
