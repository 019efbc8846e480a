"""Virtual cuff: the Blood Pressure service, with readings it stored while nobody listened."""

from __future__ import annotations

import asyncio
import math
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from bumble.core import UUID
from bumble.gatt import Characteristic, Service

from physio_hqc.acquisition.virtual.peripheral import VirtualPeripheral
from physio_hqc.acquisition.virtual.sent import SentPacket

MMHG_IN_KPA = 0.133322387415
_NAN = 0x07FF
_FEATURES = 0b0001_1111  # movement, fit, irregular pulse, pulse-rate range, position
_UNKNOWN_USER = 255
_KPA, _TIME, _PULSE, _USER, _STATUS = 0x01, 0x02, 0x04, 0x08, 0x10
_PUMPED_MMHG = 60.0  # above the systolic pressure
_PUMPING_SHARE = 0.3  # of a measurement
_PRESSURE_EVERY_S = 0.5


@dataclass(frozen=True)
class CuffReading:
    """One reading, before it is encoded.

    Attributes
    ----------
    sbp, dbp, map, hr : float
        mmHg and 1/min; NaN where not measured.
    when : datetime, optional
        By the cuff's own clock; its time at the moment of the reading by default.
    user : int, optional
        Which of the cuff's users was measured.
    status : int
        Bits of the measurement status: 0 moved, 1 loose, 2 irregular pulse, 5 improper position.
    """

    sbp: float
    dbp: float
    map: float = math.nan
    hr: float = math.nan
    when: datetime | None = None
    user: int | None = None
    status: int = 0


def sfloat(value: float, exponent: int = 0) -> int:
    """Encode a number as SFLOAT with a given power of ten; NaN has a word of its own.

    Examples
    --------
    >>> [hex(sfloat(138)), hex(sfloat(18.9, -1)), hex(sfloat(float("nan")))]
    ['0x8a', '0xf0bd', '0x7ff']
    """
    if math.isnan(value):
        return _NAN
    mantissa = round(value / 10.0**exponent)
    return (exponent & 0xF) << 12 | mantissa & 0xFFF


def date_time(when: datetime) -> bytes:
    """Encode a date and time in 7 bytes."""
    return struct.pack(
        "<HBBBBB", when.year, when.month, when.day, when.hour, when.minute, when.second
    )


def blood_pressure_measurement(
    reading: CuffReading, *, kpa: bool = False, timed: bool = True, users: bool = True
) -> bytes:
    """Encode a Blood Pressure Measurement.

    Examples
    --------
    >>> when = datetime(2026, 3, 14, 15, 9, 26)
    >>> blood_pressure_measurement(CuffReading(128, 79, 96, 72, when, 1)).hex(" ")
    '1e 80 00 4f 00 60 00 ea 07 03 0e 0f 09 1a 48 00 01 00 00'
    """
    flags = _PULSE | _STATUS | (_KPA if kpa else 0) | (_USER if users else 0)
    flags |= _TIME if timed and reading.when is not None else 0
    pressures = (reading.sbp, reading.dbp, reading.map)
    words = [sfloat(p * MMHG_IN_KPA, -1) if kpa else sfloat(p) for p in pressures]
    data = struct.pack("<B3H", flags, *words)
    if flags & _TIME and reading.when is not None:
        data += date_time(reading.when)
    data += struct.pack("<H", sfloat(reading.hr))
    if users:
        data += struct.pack("<B", _UNKNOWN_USER if reading.user is None else reading.user)
    return data + struct.pack("<H", reading.status)


class VirtualCuff(VirtualPeripheral):
    """A cuff. What it measures while nobody listens it stores, and delivers when somebody does.

    A reading stays stored until its indication was confirmed: after a link that was lost in
    between it comes again.

    Parameters
    ----------
    name : str
    pressure : callable, optional
        ``pressure(t_host)`` gives SBP, DBP, MAP (mmHg) and heart rate (1/min).
    measuring_s : float
        How long a measurement takes.
    kpa : bool
        Report in kPa.
    timed, users : bool
        Whether readings carry the cuff's time and the user's number.
    user : int, optional
        Who is measured unless told otherwise.
    clock_offset_s : float
        How much the cuff's clock is ahead of local time.
    stored : sequence of CuffReading
        Readings from before.
    current_time : bool
        Whether it has the Current Time service.
    **kwargs
        See :class:`VirtualPeripheral`.

    Notes
    -----
    ``sent["cuff"]``: `samples` are SBP, DBP, MAP in mmHg and HR in 1/min as the packet says them,
    shape (1, 4); ``extra["reading"]`` is the :class:`CuffReading`, ``extra["stored"]`` whether it
    is from before. ``sent["cuff_pressure"]``: momentary pressure in mmHg.
    """

    model = "Cuff"
    advertised = ("1810",)

    def __init__(
        self,
        name: str = "Virtual Cuff",
        *,
        pressure: Callable[[float], Sequence[float]] | None = None,
        measuring_s: float = 25.0,
        kpa: bool = False,
        timed: bool = True,
        users: bool = True,
        user: int | None = 1,
        clock_offset_s: float = 0.0,
        stored: Sequence[CuffReading] = (),
        current_time: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        self.user = user
        self.clock_offset_s = clock_offset_s
        self.measuring = False
        self._pressure = pressure or (lambda _t: (124.0, 78.0, 93.0, 66.0))
        self._measuring_s = measuring_s
        self._kpa, self._timed, self._users = kpa, timed, users
        self._has_time = current_time
        self._stored = tuple(stored)
        self._waiting: list[SentPacket] = []
        self._wake = asyncio.Event()
        self._listened = asyncio.Event()
        self._arm = asyncio.Lock()
        self._reading = self.indicating("2A35")
        self._momentary = self.notifying("2A36")

    def now(self) -> datetime:
        """Time by the cuff's clock."""
        return datetime.now() + timedelta(seconds=self.clock_offset_s)

    @property
    def n_stored(self) -> int:
        """How many readings wait to be delivered."""
        return len(self._waiting)

    def services(self) -> list[Service]:
        """Blood Pressure, and Current Time if it has that."""
        self._reading = self.indicating("2A35")
        self._momentary = self.notifying("2A36")
        feature = self.readable("2A49", struct.pack("<H", _FEATURES))
        pressure: list[Characteristic[bytes]] = [self._reading, self._momentary, feature]
        services = [Service(UUID("1810"), pressure)]
        if self._has_time:
            services.append(Service(UUID("1805"), [self.readable("2A2B", self._current_time)]))
        return services

    def began(self, t: float) -> None:
        """Have the stored readings ready."""
        self.log("cuff")
        self.log("cuff_pressure")
        for reading in self._stored:
            self._store(reading, t, stored=True)
        self._spawn(self._deliver_stored())

    def subscriptions_changed(self) -> None:
        """Deliver what is stored as soon as somebody listens."""
        self._wake.set()
        if self.subscribed(self._reading, 2):
            self._listened.set()

    async def wait_listened(self) -> None:
        """Wait until somebody has asked for readings for the first time."""
        await self._listened.wait()

    async def measure(
        self,
        reading: CuffReading | None = None,
        *,
        user: int | None = None,
        status: int = 0,
        fails: bool = False,
    ) -> SentPacket:
        """Pump up, measure, and have a reading; one measurement after the other.

        Parameters
        ----------
        reading : CuffReading, optional
            What to find; what the body has at the moment by default.
        user : int, optional
            Who is measured.
        status : int
            Measurement status.
        fails : bool
            Find nothing: all values NaN.

        Returns
        -------
        SentPacket
            Its entry in ``sent["cuff"]``.
        """
        async with self._arm:
            expected = await self._pumped()
        if fails:
            expected[:] = math.nan
        if reading is None:
            who = self.user if user is None else user
            sbp, dbp, mean, hr = (float(value) for value in expected)
            reading = CuffReading(sbp, dbp, mean, hr, user=who, status=status)
        return self._store(reading, time.monotonic(), stored=False)

    async def _pumped(self) -> np.ndarray[Any, Any]:
        """Measure, and return what there was to find."""
        began = time.monotonic()
        self.measuring = True
        try:
            expected = np.array(self._pressure(began + self._measuring_s / 2), dtype=float)
            await self._pump(began, float(expected[0]))
        finally:
            self.measuring = False
        return expected

    async def _pump(self, began: float, sbp: float) -> None:
        """Inflate quickly, let the air out slowly, and tell the pressure meanwhile."""
        top = sbp + _PUMPED_MMHG
        steps = max(1, round(self._measuring_s / _PRESSURE_EVERY_S))
        for step in range(1, steps + 1):
            share = step / steps
            await asyncio.sleep(began + share * self._measuring_s - time.monotonic())
            rising = share / _PUMPING_SHARE
            falling = (1 - share) / (1 - _PUMPING_SHARE)
            await self._tell_pressure(round(top * min(rising, falling)))

    async def _tell_pressure(self, mmhg: int) -> None:
        """Notify the momentary pressure; the two unused fields are 0."""
        words = (sfloat(mmhg * MMHG_IN_KPA, -1) if self._kpa else sfloat(mmhg), 0, 0)
        data = struct.pack("<B3H", _KPA if self._kpa else 0, *words)
        log = self.log("cuff_pressure")
        t = time.monotonic()
        packet = SentPacket(log.n_made, np.array([float(mmhg)]), t, math.nan, data)
        log.add(packet)
        await self.notify(self._momentary, data, packet)

    def _store(self, reading: CuffReading, t: float, *, stored: bool) -> SentPacket:
        """Keep a reading until it is delivered."""
        if reading.when is None:
            reading = replace(reading, when=self.now().replace(microsecond=0))
        data = blood_pressure_measurement(
            reading, kpa=self._kpa, timed=self._timed, users=self._users
        )
        log = self.log("cuff")
        extra = {"reading": reading, "stored": stored}
        packet = SentPacket(log.n_made, self._as_said(reading), t, math.nan, data, extra=extra)
        log.add(packet)
        self._waiting.append(packet)
        self._wake.set()
        return packet

    def _as_said(self, reading: CuffReading) -> np.ndarray[Any, Any]:
        """Return the values after the rounding of the packet, mmHg and 1/min."""
        pressures = np.array([reading.sbp, reading.dbp, reading.map], dtype=float)
        if self._kpa:
            pressures = np.round(pressures * MMHG_IN_KPA, 1) / MMHG_IN_KPA
        else:
            pressures = np.round(pressures)
        return np.append(pressures, np.round(reading.hr)).reshape(1, 4)

    async def _deliver_stored(self) -> None:
        """Deliver readings in their order, each until it is confirmed."""
        while True:
            self._wake.clear()
            while self._waiting and await self._delivered(self._waiting[0]):
                self._waiting.pop(0)
            await self._wake.wait()

    async def _delivered(self, packet: SentPacket) -> bool:
        return await self.indicate(self._reading, packet.data, packet)

    def _current_time(self) -> bytes:
        now = self.now()
        return date_time(now) + bytes([now.isoweekday(), now.microsecond * 256 // 1_000_000, 0])
