"""Argument checks and small array helpers that every module of this room shares."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from numbers import Real
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from physio_hqc.errors import SignalError

# Beyond it the difference of two numbers may overflow; nothing that was measured comes near.
_LARGEST = 1e300


def as_signal(x: ArrayLike, name: str = "signal") -> NDArray[np.float64]:
    """Return a 1-D float64 copy of ``x``; samples that are infinite or all but count as missing.

    Lists, Series, integer, masked and read-only arrays are accepted. An empty input gives an
    empty array. Anything that is not a single row of numbers raises `SignalError`.
    """
    values = as_numbers(x, name)
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
    array = as_numbers(_placed(windows), name)
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


def _placed(windows: object) -> object:
    """Return onset and offset of windows that come as a table which names them."""
    if not isinstance(windows, pd.DataFrame):
        return windows
    for onset, offset in (("onset", "offset"), ("onset_s", "offset_s")):
        if onset in windows.columns and offset in windows.columns:
            return windows[[onset, offset]]
    if "onset" in windows.columns and "duration" in windows.columns:
        return windows[["onset"]].assign(offset=windows["onset"] + windows["duration"])
    return windows


def as_table(
    table: object,
    needed: Sequence[str],
    name: str,
    *,
    source: str,
    optional: Sequence[str] = (),
    flags: Sequence[str] = ("valid",),
) -> pd.DataFrame:
    """Return the needed columns of a table, and the optional ones it has, with plain types.

    Numbers come as float64 (NaN where missing), columns named in ``flags`` as bool (a missing one
    is False), rows are numbered from 0. Raises `SignalError` unless ``table`` is a DataFrame that
    has the needed columns; ``source`` says what to pass.
    """
    if not isinstance(table, pd.DataFrame):
        raise SignalError(f"{name} is a {type(table).__name__}: pass a DataFrame, {source}")
    missing = [column for column in needed if column not in table.columns]
    if missing:
        raise SignalError(f"{name} lacks the columns {missing}: pass {source}")
    present = [*needed, *(column for column in optional if column in table.columns)]
    columns: dict[str, NDArray[np.generic]] = {}
    for column in present:
        values = as_signal(table[column], f"{name}, column {column}")
        columns[column] = values == 1 if column in flags else values
    return pd.DataFrame(columns, index=pd.RangeIndex(len(table)))


def as_numbers(x: object, name: str) -> NDArray[np.float64]:
    """Return a float64 copy of any real-numbered array-like; raise `SignalError` otherwise."""
    try:
        raw = x if isinstance(x, np.ma.MaskedArray) else _as_plain(x)
        if raw.dtype.kind in "cSUMmV" or type(raw.dtype).__name__ == "StringDType":
            raise TypeError(f"values of type {raw.dtype}")
        if isinstance(raw, np.ma.MaskedArray):
            return np.asarray(np.ma.filled(raw.astype(np.float64), np.nan))
        if raw.dtype == object:
            raw = _without_objects(raw)
        return np.array(raw, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        why = " ".join(str(error).split())
        raise SignalError(f"{name} is not an array of real numbers ({why})") from error


def _as_plain(x: object) -> NDArray[Any]:
    """Return what NumPy makes of ``x``; the nullable types of pandas have NaN where they miss."""
    dtype = getattr(x, "dtype", None)
    if isinstance(dtype, pd.api.extensions.ExtensionDtype):
        if not (pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)):
            raise TypeError(f"values of type {dtype}")
        plain = cast("pd.Series", x).to_numpy(dtype=np.float64, na_value=np.nan)
        return np.asarray(plain)
    if isinstance(x, pd.DataFrame):
        # Mixed or nullable columns would make an array of objects.
        columns = [_as_plain(x.iloc[:, place]) for place in range(x.shape[1])]
        return np.column_stack(columns) if columns else np.empty((len(x), 0))
    return np.asarray(x)


def _without_objects(raw: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return numbers among objects as they are and what is missing as NaN; refuse the rest."""
    flat = raw.ravel()
    missing = np.array([value is None or value is pd.NA for value in flat], dtype=bool)
    for value in flat[~missing]:
        # A text that reads as a number may be an id, a date or a decimal comma gone wrong.
        if not isinstance(value, Real | np.bool_ | Decimal):
            raise TypeError(f"it holds a {type(value).__name__}")
    return np.where(missing, np.nan, flat).reshape(raw.shape)
