"""Argument checks and small array helpers that every module of this room shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from physio_hqc.errors import SignalError

# Beyond it the difference of two numbers may overflow; nothing that was measured comes near.
_LARGEST = 1e300


def as_signal(x: ArrayLike, name: str = "signal") -> NDArray[np.float64]:
    """Return a 1-D float64 copy of ``x``; samples that are infinite or all but count as missing.

    Lists, Series, integer, masked and read-only arrays are accepted. An empty input gives an
    empty array. Anything that is not a single row of numbers raises `SignalError`.
    """
    values = _as_floats(x, name)
    if values.ndim != 1:
        raise SignalError(
            f"{name} has {values.ndim} dimensions {values.shape}: pass one channel as a 1-D array"
        )
    values[np.abs(values) > _LARGEST] = np.nan
    return values


def as_signal_view(x: ArrayLike, name: str = "signal") -> NDArray[np.float64]:
    """Return ``x`` as `as_signal` does, without a copy where it is a float64 row already.

    Infinite samples stay; the caller does not write to the result.
    """
    # A masked array is an ndarray as well, whose mask would be lost.
    if type(x) is np.ndarray and x.dtype == np.float64 and x.ndim == 1:
        return x
    return as_signal(x, name)


def check_sfreq(sfreq: float) -> float:
    """Return the sampling rate as a float; raise `SignalError` unless it is finite and > 0 Hz."""
    try:
        rate = float(sfreq)
    except (TypeError, ValueError) as error:
        raise SignalError(f"sfreq is {sfreq!r}: pass the sampling rate in Hz") from error
    if not (np.isfinite(rate) and rate > 0):
        raise SignalError(f"sfreq is {rate:g}: pass a sampling rate above 0 Hz")
    return rate


def finite_runs(x: NDArray[np.float64], min_len: int = 1) -> NDArray[np.int64]:
    """Return (r, 2) start and stop (exclusive) of the stretches without NaN in ``x``.

    Stretches shorter than ``min_len`` samples are left out.
    """
    return true_runs(np.isfinite(x), min_len)


def true_runs(mask: NDArray[np.bool_], min_len: int = 1) -> NDArray[np.int64]:
    """Return (r, 2) start and stop (exclusive) of the stretches where ``mask`` holds."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    runs = edges.reshape(-1, 2).astype(np.int64)
    return runs[runs[:, 1] - runs[:, 0] >= min_len]


def repeats(x: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which samples have the same value as the sample before."""
    same = np.zeros(x.size, dtype=bool)
    same[1:] = x[1:] == x[:-1]
    return same


def vertex(
    before: NDArray[np.float64], here: NDArray[np.float64], after: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how many samples after ``here`` the parabola through the three has its maximum.

    0 where it has none.
    """
    bend = 2 * here - before - after
    offset = np.zeros(bend.shape)
    return np.divide(0.5 * (after - before), bend, out=offset, where=bend > 0)


def as_times(times_s: ArrayLike | None, n: int, sfreq: float) -> NDArray[np.float64]:
    """Return the time of each of ``n`` samples in s: ``times_s`` checked, or index / sfreq."""
    if times_s is None:
        return np.arange(n) / check_sfreq(sfreq)
    times = as_signal(times_s, "times_s")
    if times.size != n:
        raise SignalError(f"times_s has {times.size} values for {n} samples: pass one per sample")
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise SignalError("times_s must be finite and strictly ascending")
    return times


def as_window_array(
    windows: ArrayLike | None, span: tuple[float, float], name: str = "windows"
) -> NDArray[np.float64]:
    """Return windows as (m, 2) onset and offset in s; None gives one window, ``span``."""
    if windows is None:
        return np.array([span], dtype=np.float64)
    array = _as_floats(windows, name)
    if array.size == 0:
        return np.empty((0, 2))
    if array.ndim != 2 or array.shape[1] != 2:
        raise SignalError(f"{name} has shape {array.shape}: pass (m, 2), onset and offset in s")
    if not np.isfinite(array).all():
        raise SignalError(f"{name} holds a value that is not finite: close open windows first")
    if (array[:, 1] < array[:, 0]).any():
        row = int(np.argmax(array[:, 1] < array[:, 0]))
        raise SignalError(
            f"{name} row {row} ends before it starts ({array[row, 0]:g} to {array[row, 1]:g} s)"
        )
    return array


def _as_floats(x: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return a float64 copy of any real-numbered array-like; raise `SignalError` otherwise."""
    try:
        raw = x if isinstance(x, np.ma.MaskedArray) else np.asarray(x)
        if raw.dtype.kind in "cSUMmV":
            raise TypeError(f"values of type {raw.dtype}")
        if isinstance(raw, np.ma.MaskedArray):
            return np.asarray(np.ma.filled(raw.astype(np.float64), np.nan))
        return np.array(raw, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SignalError(f"{name} is not an array of real numbers ({error})") from error
