"""PLX Continuous Measurement (0x2A5F): oxygen saturation and pulse rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from physio_hqc.acquisition.decoders.results import MalformedError
from physio_hqc.acquisition.decoders.sfloat import decode_sfloat

_FAST, _SLOW, _STATUS, _SENSOR, _AMPLITUDE = 1, 2, 4, 8, 16
_SIZES: Final = {_FAST: 4, _SLOW: 4, _STATUS: 2, _SENSOR: 3, _AMPLITUDE: 2}


@dataclass(frozen=True)
class PulseOximeter:
    """One continuous measurement; NaN where the device gave no value.

    Attributes
    ----------
    spo2, pulse : float
        Percent, and 1/min.
    fast, slow : tuple of float or None
        Saturation and pulse of quicker and slower averaging.
    status, sensor : int or None
        Words of the measurement's and the sensor's status.
    amplitude : float
        Pulse amplitude index in percent.
    """

    spo2: float
    pulse: float
    fast: tuple[float, float] | None = None
    slow: tuple[float, float] | None = None
    status: int | None = None
    sensor: int | None = None
    amplitude: float = float("nan")


def decode_pulse_oximeter(data: bytes) -> PulseOximeter:
    """Decode a PLX Continuous Measurement.

    Raises
    ------
    MalformedError
        If a field that the flags announce is cut off.

    Examples
    --------
    >>> packet = decode_pulse_oximeter(bytes.fromhex("01 62 00 48 00 61 00 4B 00"))
    >>> packet.spo2, packet.pulse, packet.fast
    (98.0, 72.0, (97.0, 75.0))
    """
    if not data:
        raise MalformedError("pulse oximeter: an empty packet")
    needed = 5 + sum(size for bit, size in _SIZES.items() if data[0] & bit)
    if len(data) < needed:
        raise MalformedError(f"pulse oximeter: {len(data)} bytes, {needed} announced")
    at = 5
    parts: dict[int, bytes] = {}
    for bit, size in _SIZES.items():
        if data[0] & bit:
            parts[bit] = data[at : at + size]
            at += size
    spo2, pulse = _numbers(data[1:5])
    return PulseOximeter(
        spo2,
        pulse,
        fast=_pair(parts.get(_FAST)),
        slow=_pair(parts.get(_SLOW)),
        status=int.from_bytes(parts[_STATUS], "little") if _STATUS in parts else None,
        sensor=int.from_bytes(parts[_SENSOR], "little") if _SENSOR in parts else None,
        amplitude=_numbers(parts[_AMPLITUDE])[0] if _AMPLITUDE in parts else float("nan"),
    )


def _numbers(data: bytes) -> list[float]:
    values: list[float] = decode_sfloat(np.frombuffer(data, dtype="<u2"))[0].tolist()
    return values


def _pair(data: bytes | None) -> tuple[float, float] | None:
    if data is None:
        return None
    first, second = _numbers(data)
    return first, second
