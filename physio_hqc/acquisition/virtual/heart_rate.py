"""Virtual heart-rate strap: the Heart Rate service with beat intervals."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from bumble import att
from bumble.core import UUID
from bumble.device import Connection
from bumble.gatt import Service
from numpy.typing import NDArray

from physio_hqc.acquisition.virtual.peripheral import VirtualPeripheral
from physio_hqc.acquisition.virtual.signals import Beats, SteadyHeart
from physio_hqc.acquisition.virtual.stream import Made

_CHEST = b"\x01"
_TICKS = 1024  # per second
_RESET_ENERGY = b"\x01"
_NOT_SUPPORTED = 0x80
_WORN_S = 10.0
_AVERAGED = 5  # beats of which the heart rate is the mean


def heart_rate_measurement(
    hr: int,
    rr_ticks: Sequence[int] | NDArray[Any] = (),
    *,
    contact: bool | None = None,
    energy_kj: int | None = None,
) -> bytes:
    """Encode a Heart Rate Measurement.

    Parameters
    ----------
    hr : int
        1/min; two bytes from 256 on.
    rr_ticks : sequence of int
        Intervals in 1/1024 s, oldest first; no RR field where there is none.
    contact : bool, optional
        None where the device does not know.
    energy_kj : int, optional

    Examples
    --------
    >>> heart_rate_measurement(75, [821, 835]).hex(" ")
    '10 4b 35 03 43 03'
    >>> heart_rate_measurement(72, [834, 847], contact=True).hex(" ")
    '16 48 42 03 4f 03'
    """
    flags = {None: 0, False: 0x04, True: 0x06}[contact]
    flags |= (0x01 if hr > 255 else 0) | (0x10 if len(rr_ticks) else 0)
    flags |= 0 if energy_kj is None else 0x08
    data = struct.pack("<BH" if hr > 255 else "<BB", flags, hr)
    if energy_kj is not None:
        data += struct.pack("<H", energy_kj)
    return data + struct.pack(f"<{len(rr_ticks)}H", *(int(ticks) for ticks in rr_ticks))


class VirtualHeartRate(VirtualPeripheral):
    """A strap with the Heart Rate service: a packet a second, the intervals that ended in it.

    Parameters
    ----------
    name : str
    beats : callable, optional
        Where beats come from; an even heart by default.
    contact : bool, optional
        What it tells of the skin; None for nothing.
    packet_s : float
        Time between packets.
    **kwargs
        See :class:`VirtualPeripheral`.

    Notes
    -----
    ``sent["rr"]``: `samples` are ticks of 1/1024 s, ``extra["hr"]`` the heart rate.
    """

    model = "Heart-rate strap"
    advertised: tuple[str, ...] = ("180D",)

    def __init__(
        self,
        name: str = "Virtual HR",
        *,
        beats: Beats | None = None,
        contact: bool | None = True,
        packet_s: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        self.contact = contact
        self._beats: Beats = SteadyHeart() if beats is None else beats
        self._packet_s = packet_s
        self._asked_until = float("nan")
        self._last_beat: float | None = None
        self._last_tick = 0
        self._recent: deque[int] = deque(maxlen=_AVERAGED)
        self._measurement = self.notifying("2A37")

    def services(self) -> list[Service]:
        """Heart Rate service."""
        self._measurement = self.notifying("2A37")
        location = self.readable("2A38", _CHEST)
        control = self.writable("2A39", self._reset_energy)
        return [Service(UUID("180D"), [self._measurement, location, control])]

    def began(self, t: float) -> None:
        """Send from now on, as a strap that has been worn for a while."""
        self._asked_until = t - _WORN_S
        self._packet(-1, t, 0)
        self.stream(
            "rr", self._packet_s, lambda: self._measurement, self._packet, stamped=False
        ).start(t)

    def _packet(self, _index: int, t: float, _stamp: int) -> Made:
        """Make a packet of the beats since the last one."""
        ticks = []
        for beat in self._beats(self._asked_until, t):
            # The difference of rounded times: intervals add up to the time that passed.
            tick = round((self.clock.nanoseconds(beat) - self.clock_origin_ns) * _TICKS / 1e9)
            if self._last_beat is not None:
                ticks.append(min(max(tick - self._last_tick, 0), 65535))
            self._last_beat, self._last_tick = float(beat), tick
        self._asked_until = t
        self._recent.extend(ticks)
        mean = float(np.mean(self._recent)) if self._recent else 0.0
        hr = round(60 * _TICKS / mean) if mean else 0
        data = heart_rate_measurement(hr, ticks, contact=self.contact)
        return np.array(ticks, dtype=np.uint16), data, {"hr": hr}

    @property
    def clock_origin_ns(self) -> int:
        """Reading of the device's clock when it was switched on, ns."""
        return self.clock.nanoseconds(self.clock.origin)

    def _reset_energy(self, _connection: Connection, value: bytes) -> None:
        self.writes.append((self.clock.origin, "heart_rate_control", bytes(value)))
        if value != _RESET_ENERGY:
            raise att.ATT_Error(error_code=att.ErrorCode(_NOT_SUPPORTED))
