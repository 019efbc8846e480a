"""Blood Pressure Measurement (0x2A35) and Intermediate Cuff Pressure (0x2A36)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from physio_hqc.acquisition.decoders.results import (
    CuffReading,
    Floats,
    MalformedError,
    Reading,
    Result,
    Trouble,
)
from physio_hqc.acquisition.decoders.sfloat import decode_sfloat

KPA_PER_MMHG: Final = 0.133322387415

_KPA, _STAMP, _PULSE, _USER, _STATUS = 1, 2, 4, 8, 16
_KNOWN_FLAGS: Final = 0x1F
_UNKNOWN_USER: Final = 255
_PULSE_RANGE: Final = ("in range", "above", "below", "reserved")
_VALUES: Final = ("SBP", "DBP", "MAP", "HR")

# Status bit and feature bit are the same for all but the pulse range and the position.
_SIGNS: Final = (
    ("movement", 0, 0, "the body moved"),
    ("loose", 1, 1, "the cuff was too loose"),
    ("irregular_pulse", 2, 2, "the pulse was irregular"),
    ("position", 5, 4, "the position was improper"),
)
_RANGE_FEATURE: Final = 3

# Beyond these a reading of an adult is a fault of the cuff, not a finding.
_PLAUSIBLE: Final = {"SBP": (50, 280), "DBP": (20, 200), "MAP": (30, 240), "HR": (25, 250)}


@dataclass(frozen=True, eq=False)
class BloodPressure:
    """One Blood Pressure Measurement as sent.

    Attributes
    ----------
    pressures : ndarray, shape (3,)
        Systolic, diastolic and mean pressure in `unit`.
    pulse : float
        Pulse rate per minute; NaN if absent.
    unit : str
        ``"mmHg"`` or ``"kPa"``.
    stamp : tuple of int or None
        Year, month, day, hour, minute, second; 0 in the first three means unknown.
    user : int or None
        None if absent or unknown.
    status : int or None
        Status word; None if absent.
    missing : dict
        Why a value is NaN, by its name (SBP, DBP, MAP, HR).
    trailing : int
        Bytes behind the announced fields.
    """

    pressures: Floats
    pulse: float
    unit: str
    stamp: tuple[int, ...] | None
    user: int | None
    status: int | None
    missing: dict[str, str]
    trailing: int = 0

    @property
    def pressures_mmhg(self) -> Floats:
        """Pressures in mmHg, shape (3,)."""
        return self.pressures / KPA_PER_MMHG if self.unit == "kPa" else self.pressures


def decode_blood_pressure(data: bytes) -> BloodPressure:
    """Decode a Blood Pressure Measurement or an Intermediate Cuff Pressure.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    BloodPressure

    Raises
    ------
    MalformedError
        If a field that the flags announce is cut off.

    References
    ----------
    Bluetooth SIG, Blood Pressure Service; GATT Specification Supplement.

    Examples
    --------
    >>> reading = decode_blood_pressure(bytes.fromhex("04 80 00 4F 00 FF 07 48 00"))
    >>> reading.pressures.tolist(), reading.pulse, reading.missing
    ([128.0, 79.0, nan], 72.0, {'MAP': 'not a number'})
    """
    if not data:
        raise MalformedError("blood pressure: an empty packet")
    flags = data[0]
    sizes = ((_STAMP, 7), (_PULSE, 2), (_USER, 1), (_STATUS, 2))
    needed = 7 + sum(size for bit, size in sizes if flags & bit)
    if len(data) < needed:
        raise MalformedError(f"blood pressure: {len(data)} bytes, {needed} announced")
    at = 7
    parts: dict[int, bytes] = {}
    for bit, size in sizes:
        if flags & bit:
            parts[bit] = data[at : at + size]
            at += size
    words = np.frombuffer(data[1:7] + parts.get(_PULSE, b""), dtype="<u2")
    values, kinds = decode_sfloat(words)
    missing = {name: kind for name, kind in zip(_VALUES, kinds, strict=False) if kind}
    if _PULSE not in parts:
        missing["HR"] = "not sent"
    user = parts.get(_USER, b"\xff")[0]
    return BloodPressure(
        pressures=values[:3],
        pulse=float(values[3]) if _PULSE in parts else float("nan"),
        unit="kPa" if flags & _KPA else "mmHg",
        stamp=read_date_time(parts[_STAMP]) if _STAMP in parts else None,
        user=None if user == _UNKNOWN_USER else user,
        status=int.from_bytes(parts[_STATUS], "little") if _STATUS in parts else None,
        missing=missing,
        trailing=0 if flags & ~_KNOWN_FLAGS else len(data) - needed,
    )


def read_date_time(data: bytes) -> tuple[int, ...]:
    """Year, month, day, hour, minute and second of a 7-byte date-time."""
    return (int.from_bytes(data[:2], "little"), *data[2:7])


def as_datetime(stamp: tuple[int, ...]) -> datetime | None:
    """Naive date-time of a stamp; None if a part of its date is unknown.

    Raises
    ------
    MalformedError
        If there is no such date or time.
    """
    if 0 in stamp[:3]:
        return None
    year, month, day, hour, minute, second = stamp
    try:
        return datetime(year, month, day, hour, minute, second)
    except ValueError:
        text = f"{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"
        raise MalformedError(f"the device's time {text} does not exist") from None


def decode_status(status: int | None, features: int | None = None) -> dict[str, bool | str | None]:
    """Name the bits of a measurement status.

    Parameters
    ----------
    status : int or None
        Status word; None gives an empty dict.
    features : int, optional
        Blood Pressure Feature (0x2A49). A bit that the cuff cannot set becomes None.

    Returns
    -------
    dict

    Examples
    --------
    >>> decode_status(0x0006, features=0x0004)["irregular_pulse"]
    True
    >>> decode_status(0x0006, features=0x0004)["loose"] is None
    True
    """
    if status is None:
        return {}
    able = 0xFFFF if features is None else features
    named: dict[str, bool | str | None] = {
        name: bool(status >> bit & 1) if able >> feature & 1 else None
        for name, bit, feature, _ in _SIGNS
    }
    pulse = _PULSE_RANGE[status >> 3 & 3]
    named["pulse_range"] = pulse if able >> _RANGE_FEATURE & 1 else None
    return named


class BloodPressureDecoder:
    """Cuff readings in mmHg, with everything that speaks against them.

    Parameters
    ----------
    stream : str
        Stream of the readings.

    Attributes
    ----------
    features : int or None
        What the cuff says it can detect (0x2A49); None if it was not read, and all status bits
        are then taken as they are.
    """

    def __init__(self, stream: str = "cuff") -> None:
        self._stream = stream
        self.features: int | None = None

    def feed(self, data: bytes, t_received: float) -> list[Result]:  # noqa: ARG002  (protocol)
        """Decode one indication; never raises."""
        try:
            sent = decode_blood_pressure(bytes(data))
        except MalformedError as error:
            return [Trouble("malformed", str(error))]
        values = np.append(sent.pressures_mmhg, sent.pulse)
        status = decode_status(sent.status, self.features)
        problems = [*_implausible(values), *_complaints(status)]
        problems += [f"{name} missing: {why}" for name, why in sent.missing.items() if name != "HR"]
        time = None
        if sent.stamp is not None:
            try:
                time = as_datetime(sent.stamp)
            except MalformedError as error:
                problems.append(str(error))
        found: list[Result] = [
            CuffReading(
                self._stream, values, status, time, sent.user, sent.unit, sent.missing,
                tuple(problems),
            )
        ]  # fmt: skip
        if sent.trailing:
            found.append(Trouble("trailing", f"blood pressure: {sent.trailing} bytes too many"))
        return found

    def reset(self) -> None:
        """Nothing is remembered from one reading to the next."""


class CuffPressureDecoder:
    """Pressure in the cuff while it measures: a sign of life, never a result.

    Parameters
    ----------
    stream : str
        Stream of the pressure, in mmHg.
    dtype : str
        Stored number type.
    """

    def __init__(self, stream: str = "cuff_pressure", dtype: str = "float64") -> None:
        self._stream, self._dtype = stream, np.dtype(dtype)

    def feed(self, data: bytes, t_received: float) -> list[Result]:
        """Decode one notification; never raises."""
        try:
            sent = decode_blood_pressure(bytes(data))
        except MalformedError as error:
            return [Trouble("malformed", str(error).replace("blood", "cuff", 1))]
        pressure = sent.pressures_mmhg[:1]
        if "SBP" in sent.missing:
            return [Trouble("malformed", f"cuff pressure: {sent.missing['SBP']}")]
        return [Reading(self._stream, pressure.astype(self._dtype), np.array([t_received]))]

    def reset(self) -> None:
        """Nothing is remembered."""


def _implausible(values: Floats) -> list[str]:
    """Values that no adult has."""
    found = []
    for name, value in zip(_VALUES, values.tolist(), strict=True):
        low, high = _PLAUSIBLE[name]
        if value < low or value > high:
            found.append(f"{name} of {value:.4g} is implausible")
    sbp, dbp, mean = values[:3].tolist()
    if sbp <= dbp:
        found.append(f"SBP of {sbp:.4g} is not above DBP of {dbp:.4g}")
    elif mean < dbp or mean > sbp:
        found.append(f"MAP of {mean:.4g} is not between DBP and SBP")
    return found


def _complaints(status: dict[str, bool | str | None]) -> list[str]:
    """What the cuff itself complains of."""
    found = [text for name, _, _, text in _SIGNS if status.get(name)]
    pulse = status.get("pulse_range")
    if pulse in ("above", "below"):
        found.append(f"the pulse was {pulse} the cuff's range")
    return found
