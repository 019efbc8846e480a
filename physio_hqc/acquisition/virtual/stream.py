"""Packets at their times: a stream of a virtual peripheral, and the timetable it follows."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

from numpy.typing import NDArray

from physio_hqc.acquisition.virtual.faults import Delivery, DeviceClock, Faults
from physio_hqc.acquisition.virtual.sent import SentLog, SentPacket

Action = Callable[[], Awaitable[None]]
Made = tuple[NDArray[Any], bytes, dict[str, Any]]
"""Samples, value of the characteristic, and what else the packet says."""


class Timetable:
    """Does things at moments of the monotonic clock: being late once delays nothing else."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Action]] = []
        self._order = itertools.count()
        self._changed = asyncio.Event()

    def at(self, t: float, action: Action) -> None:
        """Plan an action; actions of one moment keep the order in which they were planned."""
        heapq.heappush(self._heap, (t, next(self._order), action))
        if self._heap[0][0] == t:
            self._changed.set()

    async def run(self) -> None:
        """Work through the timetable until cancelled."""
        while True:
            self._changed.clear()
            wait = self._heap[0][0] - time.monotonic() if self._heap else None
            if wait is not None and wait <= 0:
                await heapq.heappop(self._heap)[2]()
                continue
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue


class PacketStream:
    """A stream that makes a packet every so often, whoever listens.

    Parameters
    ----------
    name : str
    period_s : float
        Time between packets by the device's clock.
    make : callable
        ``make(index, t_host, stamp_ns)`` gives the packet whose last sample is taken at host time
        `t_host`.
    send : callable
        Hands a packet over.
    timetable, clock, faults, log
        Those of the peripheral.
    stamped : bool
        Whether packets carry the device's time.
    tick_ns : int
        Resolution of that time.
    """

    def __init__(
        self,
        name: str,
        period_s: float,
        make: Callable[[int, float, int], Made],
        send: Callable[[SentPacket], Awaitable[None]],
        *,
        timetable: Timetable,
        clock: DeviceClock,
        faults: Faults,
        log: SentLog,
        stamped: bool = True,
        tick_ns: int = 1,
    ) -> None:
        self.name = name
        self.period_s = period_s
        self.log = log
        self._make = make
        self._send = send
        self._timetable = timetable
        self._clock = clock
        self._faults = faults
        self._stamped = stamped
        self._tick_ns = tick_ns
        self._run = 0  # counts starts: what an earlier one planned is void
        self.on = False
        self._index = 0
        self._begin = math.nan
        self._count = 0
        self._stamp = 0
        self._held: SentPacket | None = None
        self._delivery = Delivery(faults, 0.0)

    def start(self, t: float) -> None:
        """Take the first sample just after host time `t`."""
        self.on = True
        self._run += 1
        self._begin, self._count = t, 0
        self._held = None
        self._delivery = Delivery(self._faults, t, f"{self.name}{self._run}")
        self._plan()

    def stop(self) -> None:
        """Make no more packets; what was made is still delivered."""
        self.on = False
        self._run += 1
        self._held = None

    def _plan(self) -> None:
        """Plan the next packet, counted from the start so that nothing adds up."""
        self._count += 1
        t = self._begin + self._clock.host_span(self._count * self.period_s)
        run = self._run

        async def due() -> None:
            if run == self._run:
                self._produce(t)
                self._plan()

        self._timetable.at(t, due)

    def _produce(self, t: float) -> None:
        """Make a packet and plan its delivery."""
        stamp = self._clock.nanoseconds(t)
        if self._count > 1 and self._delivery.happens(self._faults.same_stamps):
            stamp = self._stamp
        elif self._delivery.happens(self._faults.stamp_jumps):
            stamp += round(self._delivery.jump() * 1e9)
        self._stamp = stamp = stamp - stamp % self._tick_ns
        samples, data, extra = self._make(self._index, t, stamp)
        t_device = stamp / 1e9 if self._stamped else math.nan
        packet = SentPacket(self._index, samples, t, t_device, data, extra=extra)
        self._index += 1
        self.log.add(packet)
        copies = 2 if self._delivery.happens(self._faults.duplicates) else 1
        at = self._delivery.due(t)
        if self._held is None and self._delivery.happens(self._faults.reorders):
            self._held = packet
            return
        for _ in range(copies):
            self._deliver(packet, at)
        if self._held is not None:
            self._deliver(self._held, at)
            self._held = None

    def _deliver(self, packet: SentPacket, at: float) -> None:
        async def due() -> None:
            await self._send(packet)

        self._timetable.at(at, due)
