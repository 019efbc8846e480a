"""Which of the devices in the air is the one that a source wants."""

from __future__ import annotations

import asyncio
import math

from physio_hqc.acquisition.ble.air import Air, Queue, Sighting
from physio_hqc.acquisition.ble.fit import Wanted, fit, identity, serial_in_name
from physio_hqc.acquisition.ble.timing import BleTiming
from physio_hqc.acquisition.ble.waiting import next_of
from physio_hqc.acquisition.profiles import DeviceProfile
from physio_hqc.acquisition.source import Sink
from physio_hqc.errors import RecordingError

_REFUSED_S = 60.0
_HELD_EVERY_S = 5.0


class Search:
    """Finds the device of one source, and finds it again.

    Parameters
    ----------
    profile : DeviceProfile
    serial : str
        As in :class:`~physio_hqc.acquisition.SourceOptions`.
    air : Air
    sink : Sink
    timing : BleTiming
    """

    def __init__(
        self, profile: DeviceProfile, serial: str, air: Air, sink: Sink, timing: BleTiming
    ) -> None:
        self._profile = profile
        self._serial = serial
        self._wanted = Wanted(profile, serial)
        self._air = air
        self._sink = sink
        self._timing = timing
        self._known = ""
        self._name = ""
        self._chosen = ""
        self._read_serial = ""
        self.been_connected = False
        """Whether the device was once connected and started."""
        self._taken = ""
        self._refused: dict[str, float] = {}

    @property
    def settled(self) -> bool:
        """Whether the device has been found once."""
        return bool(self._known)

    def is_another(self, serial: str) -> bool:
        """Whether a serial number that was read is not the one of the device that we had."""
        return bool(serial and self._read_serial) and serial != self._read_serial

    def keep(self, seen: Sighting, serial: str) -> None:
        """Remember the device for reconnects, with the serial number that was read from it."""
        self._known = seen.address
        self._read_serial = serial or self._read_serial
        self._name = seen.name or self._name

    def away(self, text: str) -> None:
        """Tell that there is no link: lost is only what there has been."""
        self._sink.state("lost" if self.been_connected else "searching", text)

    def refuse(self, seen: Sighting) -> None:
        """Pass over a device whose serial number turned out to be another one."""
        self._refused[seen.address] = self._sink.now()
        self._chosen = ""
        self._air.claims.release(self)

    def close(self) -> None:
        """Leave the device to others."""
        self._air.claims.release(self)

    def named(self, seen: Sighting) -> bool:
        """Whether the wanted serial number can be seen without connecting."""
        return identity(self._serial, seen.name, seen.address) == "it"

    async def find(self) -> Sighting:
        """Wait until the device is seen.

        Raises
        ------
        RecordingError
            If there is no Bluetooth, or several devices fit and nothing says which is meant.
        """
        title = self._profile.title + (f" {self._serial}" if self._serial else "")
        if not self.been_connected:
            self._sink.state("searching", title)
        self._air.seekers.append(self._wanted)
        try:
            async with self._air.listen() as queue:
                lookout = asyncio.create_task(self._look_for_held(queue))
                try:
                    chosen = await self._choose(queue)
                    self._chosen = chosen.address
                    return chosen
                finally:
                    lookout.cancel()
                    await asyncio.gather(lookout, return_exceptions=True)
        finally:
            self._air.seekers.remove(self._wanted)

    async def _look_for_held(self, queue: Queue) -> None:
        """Look for devices that do not advertise because the system holds a link to them."""
        entries = self._profile.characteristics
        services = tuple(dict.fromkeys(entry.service for entry in entries))
        while True:
            for held in await self._air.held(services):
                queue.put_nowait(held)
            await asyncio.sleep(_HELD_EVERY_S)

    async def _choose(self, queue: Queue) -> Sighting:
        """Take the device that is named, or the only one that fits after a look around."""
        loop = asyncio.get_running_loop()
        seen: dict[str, Sighting] = {}
        hint_at = loop.time() + self._timing.hint_s
        decide_at = math.inf
        heard_at = loop.time()
        while True:
            until = min(hint_at, decide_at, heard_at + self._timing.deaf_s)
            event = await next_of(queue, until - loop.time())
            if isinstance(event, Exception):
                raise event
            if event is not None:
                event = event.after(seen.get(event.address))
                if self._may_be(event):
                    if self._sure(event) and self._air.claims.take(event.address, self):
                        return event
                    seen[event.address] = event
                    decide_at = min(decide_at, loop.time() + self._timing.settle_s)
            if loop.time() >= decide_at:
                chosen = self._decide(list(seen.values()))
                if chosen is not None and self._air.claims.take(chosen.address, self):
                    return chosen
                seen.clear()
                decide_at = math.inf
            if loop.time() >= hint_at:
                self.away(self._hint())
                hint_at = math.inf
            if event is not None:
                heard_at = loop.time()
            elif loop.time() > heard_at + self._timing.deaf_s:
                await self._air.refresh()
                heard_at = loop.time()

    def _may_be(self, seen: Sighting) -> bool:
        """Whether this may be our device, and nobody has it."""
        if not self._fits(seen):
            return False
        if self._air.claims.taken(seen.address, self):
            self._taken = seen.name or seen.address
            return False
        return True

    def _fits(self, seen: Sighting) -> bool:
        """Whether this may be our device."""
        if self._known and self._is_known(seen):
            return True
        refused_at = self._refused.get(seen.address, -math.inf)
        if self._sink.now() - refused_at < _REFUSED_S:
            return False
        ours = fit(self._profile, seen.name, seen.services)
        if self._known:
            return self._has_its_name(seen) and ours > 0 and not self._others_device(seen, ours)
        if self._serial:
            # A device named by its address may be known to the system by nothing else.
            return self.named(seen) if not ours else self._wanted.fit(seen.name, seen.services) > 0
        return ours > 0 and not self._others_device(seen, ours)

    def _is_known(self, seen: Sighting) -> bool:
        """Whether this is the device that we had."""
        return seen.address == self._known or self._exactly(seen)

    def _has_its_name(self, seen: Sighting) -> bool:
        """Whether it has the name of the one that we had: a hidden address changes, no name."""
        return bool(seen.name) and seen.name == self._name

    def _exactly(self, seen: Sighting) -> bool:
        """Whether the wanted serial number is the last word of the name, or the address."""
        if not self._serial:
            return False
        shown = serial_in_name(seen.name).lower() == self._serial.lower()
        return shown or identity(self._serial, "", seen.address) == "it"

    def _sure(self, seen: Sighting) -> bool:
        """Whether this is our device beyond doubt."""
        if not self._known:
            # One that was chosen and could not be connected is not chosen all over again.
            return self._exactly(seen) or seen.address == self._chosen
        # A name without a serial number may be another device's too: that one is looked at last.
        return self._is_known(seen) or bool(serial_in_name(seen.name))

    def _others_device(self, seen: Sighting, ours: int) -> bool:
        """Whether another source that is searching has a better claim to this device."""
        return any(
            other.names(seen.name, seen.address)
            or (other.profile != self._profile and other.fit(seen.name, seen.services) > ours)
            for other in self._air.seekers
            if other is not self._wanted
        )

    def _decide(self, seen: list[Sighting]) -> Sighting | None:
        """Choose after the look around.

        Raises
        ------
        RecordingError
            If several devices fit and nothing says which is meant.
        """
        left = sorted(filter(self._may_be, seen), key=lambda each: (each.name, each.address))
        if self._serial:
            # Without a match in the names, one after the other is asked for its serial number.
            left = [each for each in left if self.named(each)] or left[:1]
        if len(left) < 2:
            return left[0] if left else None
        if self._known:
            # Two have its name and neither its address: ours may yet show itself.
            return None
        names = ", ".join(f"{each.name or 'no name'} ({each.address})" for each in left)
        example = serial_in_name(left[0].name) or left[0].address
        raise RecordingError(
            f"{len(left)} devices fit {self._profile.name}: {names}; say which with its serial"
            f" number or address, for example {self._profile.name}={example}"
        )

    def _hint(self) -> str:
        """What to check when nothing is found."""
        if self._taken:
            return f"{self._taken} is used by another source or program on this computer"
        who = f" with the serial number {self._serial}" if self._serial else ""
        return (
            f"not in the air yet: {self._profile.title}{who}; is it worn, charged, near, and not"
            " connected to a phone?"
        )
