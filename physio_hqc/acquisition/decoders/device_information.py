"""Battery level, device information and current time: characteristics that are read, not fed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from physio_hqc.acquisition.decoders.blood_pressure import as_datetime, read_date_time
from physio_hqc.acquisition.decoders.results import MalformedError

_REASONS: Final = ("manual", "reference", "time zone", "daylight saving")
_WEEKDAYS: Final = (
    None, "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
)  # fmt: skip


def decode_battery(data: bytes) -> int:
    r"""Decode a Battery Level (0x2A19).

    Parameters
    ----------
    data : bytes

    Returns
    -------
    int
        Percent.

    Raises
    ------
    MalformedError
        If it is not one byte of at most 100.

    Examples
    --------
    >>> decode_battery(b"\x64")
    100
    """
    if len(data) != 1 or data[0] > 100:
        raise MalformedError(f"battery level: '{data[:8].hex(' ')}' is no percentage")
    return data[0]


def decode_text(data: bytes) -> str:
    r"""Decode a text of the Device Information service (0x2A24 to 0x2A29).

    Padding of NUL and blanks is taken off, what is not UTF-8 is replaced.

    Examples
    --------
    >>> decode_text(b"Polar Electro Oy\x00\x00")
    'Polar Electro Oy'
    """
    text = bytes(data).decode("utf-8", errors="replace").strip("\x00 \t\r\n")
    return "".join(letter if letter.isprintable() else " " for letter in text)


@dataclass(frozen=True)
class PnpId:
    """Who made a device, by number (0x2A50)."""

    source: str
    vendor: int
    product: int
    version: int


def decode_pnp_id(data: bytes) -> PnpId:
    """Decode a PnP ID.

    Raises
    ------
    MalformedError
        If it does not have 7 bytes.

    Examples
    --------
    >>> decode_pnp_id(bytes.fromhex("01 6B 00 0A 00 02 01"))
    PnpId(source='Bluetooth SIG', vendor=107, product=10, version=258)
    """
    if len(data) != 7:
        raise MalformedError(f"PnP ID: {len(data)} bytes, 7 expected")
    source = {1: "Bluetooth SIG", 2: "USB"}.get(data[0], f"unknown {data[0]}")
    vendor, product, version = (int.from_bytes(data[i : i + 2], "little") for i in (1, 3, 5))
    return PnpId(source, vendor, product, version)


@dataclass(frozen=True)
class CurrentTime:
    """What a device believes the time is (0x2A2B).

    Attributes
    ----------
    time : datetime or None
        Local time without a zone; None if the device does not know the date.
    weekday : str or None
    reasons : tuple of str
        Why the clock was last set.
    """

    time: datetime | None
    weekday: str | None
    reasons: tuple[str, ...]


def decode_current_time(data: bytes) -> CurrentTime:
    """Decode a Current Time.

    Raises
    ------
    MalformedError
        If it does not have 10 bytes or names a date that does not exist.

    Examples
    --------
    >>> decode_current_time(bytes.fromhex("EA 07 03 0E 0F 09 1A 06 80 01")).time.isoformat()
    '2026-03-14T15:09:26.500000'
    """
    if len(data) != 10:
        raise MalformedError(f"current time: {len(data)} bytes, 10 expected")
    time = as_datetime(read_date_time(data))
    if time is not None:
        time += timedelta(seconds=data[8] / 256)
    weekday = _WEEKDAYS[data[7]] if data[7] < len(_WEEKDAYS) else None
    reasons = tuple(name for bit, name in enumerate(_REASONS) if data[9] >> bit & 1)
    return CurrentTime(time, weekday, reasons)
