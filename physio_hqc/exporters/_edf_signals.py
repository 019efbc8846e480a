"""Streams as EDF signals: grids, 16-bit numbers, header fields of eight characters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from physio_hqc.exporters.content import StreamContent

LOWEST: Final = -32768
HIGHEST: Final = 32767
_STEPS: Final = HIGHEST - LOWEST
_FIELD: Final = 8
_SMALLEST: Final = 1e-4
_ASCII_UNITS: Final = {"µ": "u", "μ": "u", "°C": "degC", "°": "deg", "²": "^2", "Ω": "Ohm"}


@dataclass(frozen=True)
class Digital:
    """One channel as 16-bit numbers.

    Attributes
    ----------
    values : ndarray of int16, shape (N,)
        Before it is laid on a grid.
    low, high : float
        Physical values of -32768 and 32767 as the header states them, in `units`.
    units : str
    gain, shift : float
        stored = digital * gain + shift.
    is_exact : bool
        Whether the stored values come back to the bit.
    resolution : float
        Step between two numbers in the stream's own unit.
    n_unusable : int
        Values that are no finite numbers.
    """

    values: NDArray[np.int16]
    low: float
    high: float
    units: str
    gain: float
    shift: float
    is_exact: bool
    resolution: float
    n_unusable: int


def digital_channels(stream: StreamContent) -> list[Digital]:
    """Bring every channel of a regular stream to 16 bits."""
    stored = stream.stored.reshape(stream.n_samples, len(stream.channels))
    scales = np.broadcast_to(np.asarray(stream.scale, dtype=np.float64), len(stream.channels))
    offsets = np.broadcast_to(np.asarray(stream.offset, dtype=np.float64), len(stream.channels))
    units = _units_of(stream)
    return [
        _whole(column, float(scale), float(offset), unit)
        if _is_whole(column)
        else _quantised(column, float(scale), float(offset), unit)
        for column, scale, offset, unit in zip(stored.T, scales, offsets, units, strict=True)
    ]


def _units_of(stream: StreamContent) -> list[str]:
    parts = stream.units.split(",")
    n = len(stream.channels)
    return [part.strip() for part in parts] if len(parts) == n and n > 1 else [stream.units] * n


def _is_whole(column: NDArray[Any]) -> bool:
    return column.dtype.kind in "iu" and int(column.max()) - int(column.min()) <= HIGHEST - LOWEST


def _whole(column: NDArray[Any], scale: float, offset: float, units: str) -> Digital:
    """Integers that 16 bits hold, moved where they must be."""
    low, high = int(column.min()), int(column.max())
    base = 0 if low >= LOWEST and high <= HIGHEST else low - LOWEST
    # Modulo 2**64 the difference is right for every integer type, unsigned ones too.
    wide = (column.astype(np.uint64) - np.uint64(base % 2**64)).astype(np.int64)
    physical = ((LOWEST + base) * scale + offset, (HIGHEST + base) * scale + offset)
    low_text, high_text, power = _header_range(*physical)
    return Digital(
        values=wide.astype(np.int16),
        low=low_text,
        high=high_text,
        units=_dimension(units, power),
        gain=1.0,
        shift=float(base),
        is_exact=True,
        resolution=abs(scale),
        n_unusable=0,
    )


def _quantised(column: NDArray[Any], scale: float, offset: float, units: str) -> Digital:
    """Numbers of any kind on 65,534 steps between the smallest and the largest."""
    with np.errstate(all="ignore"):
        physical = column.astype(np.float64) * scale + offset
    usable = np.isfinite(physical)
    known = physical[usable]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    if low == high:
        # A constant keeps its value: zero on a step of 1, others within a millionth.
        low, high = (low - abs(low) / 1e3, high + abs(high) / 1e3) if low else (-32768.0, 32767.0)
    # One step below the smallest value stands what is missing.
    low, high, power = _header_range(low - (high / 65000 - low / 65000), high)
    factor = 10.0**power
    # Divided before they are subtracted: the widest range of all floats must not overflow.
    gain = (high / _STEPS - low / _STEPS) * factor
    values = np.full(column.size, LOWEST, dtype=np.int16)
    steps = np.rint(known / gain - low * factor / gain) + LOWEST
    values[usable] = np.clip(steps, LOWEST + 1, HIGHEST).astype(np.int16)
    divisor = scale if scale else 1.0
    return Digital(
        values=values,
        low=low,
        high=high,
        units=_dimension(units, power),
        gain=gain / divisor,
        shift=(low * factor - LOWEST * gain - offset) / divisor,
        is_exact=False,
        resolution=abs(gain),
        n_unusable=int(column.size - known.size),
    )


def _header_range(low: float, high: float) -> tuple[float, float, int]:
    """Round a range outwards to what eight characters hold, in units of a power of ten."""
    largest = max(abs(low), abs(high))
    power = 0
    if largest and not 0.01 <= largest < 1e6:
        power = 3 * math.floor(math.log10(largest) / 3)
    inverted = low > high
    a, b = (high, low) if inverted else (low, high)
    a, b = a / 10.0**power, b / 10.0**power
    first, last = _eight(a, up=False), _eight(b, up=True)
    if first == last:
        last = _eight(first + max(abs(first) * 1e-4, 1e-3 if largest else 1.0), up=True)
    return (last, first, power) if inverted else (first, last, power)


def _eight(value: float, *, up: bool) -> float:
    """Nearest number of eight characters that is not below (above) `value`."""
    if 0 < abs(value) < _SMALLEST:  # would be written with an exponent
        return (_SMALLEST if up else 0.0) if value > 0 else (0.0 if up else -_SMALLEST)
    digits = _FIELD - 1 - len(str(int(abs(value)))) - (value < 0)
    scale = 10.0 ** max(digits, 0)
    near = round(value * scale) / scale
    if abs(near - value) <= 1e-12 * abs(value):
        return near
    return (math.ceil if up else math.floor)(value * scale) / scale


def _dimension(units: str, power: int) -> str:
    """Unit in eight ASCII characters, with its power of ten."""
    for sign, plain in _ASCII_UNITS.items():
        units = units.replace(sign, plain)
    units = "".join(c if " " <= c <= "~" else "?" for c in units)
    return (f"1e{power}{units}" if power else units)[:_FIELD].strip()
