"""One connection of a source: its start, its watch and its end."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from physio_hqc.acquisition.ble.air import LINK_ERRORS, Sighting, reason_of
from physio_hqc.acquisition.ble.cuff import Anchor
from physio_hqc.acquisition.ble.delivery import Delivery
from physio_hqc.acquisition.ble.fit import same_serial
from physio_hqc.acquisition.ble.link import CUFF_FEATURES, Link, MissingError, PairingError
from physio_hqc.acquisition.ble.replies import acc_factor, reply_trouble, stopped_by_itself
from physio_hqc.acquisition.ble.search import Search
from physio_hqc.acquisition.ble.timing import Silence
from physio_hqc.acquisition.profiles import Characteristic, StreamSpec, Write
from physio_hqc.acquisition.source import Sink
from physio_hqc.errors import RecordingError

if TYPE_CHECKING:
    from physio_hqc.acquisition.ble.source import BleSource

_CUFF = "standard:blood_pressure"
_CUFF_PRESSURE = "standard:cuff_pressure"
_STOP_REPLY_S = 1.0


class WrongDeviceError(Exception):
    """The device has another serial number than the one that is wanted."""


class DeliveryError(Exception):
    """What arrived could not be delivered; its cause says why."""


class Connection:
    """One connection.

    Parameters
    ----------
    source : BleSource
    sink : Sink
    delivery : Delivery
    silence : Silence
    link : Link
        Connected.
    found : Sighting
        What it was connected to.
    dropped : asyncio.Event
        Set when the link is gone.
    search : Search
        Told when this is the right device.
    """

    def __init__(
        self,
        source: BleSource,
        sink: Sink,
        delivery: Delivery,
        silence: Silence,
        link: Link,
        found: Sighting,
        dropped: asyncio.Event,
        search: Search,
    ) -> None:
        self.found = found
        self.label = found.name or found.address
        self.started = False
        self._profile = source.profile
        self._serial = source.options.serial
        self._timing = source.timing
        self._specs = source.specs
        self._streams = {spec.name for spec in source.specs}
        self._sink = sink
        self._delivery = delivery
        self._silence = silence
        self._link = link
        self._dropped = dropped
        self._search = search
        self._began = False
        self._read_serial = ""
        self._stopped_itself = asyncio.Event()
        self._stopped: set[str] = set()
        self._stops = 0
        self._restart_at = -math.inf
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def serve(self) -> str:
        """Start the device and listen; returns why it ended."""
        await self._introduce()
        entries = self._entries()
        self._check_whole(entries)
        mtu = self._check_mtu(entries)
        self._search.keep(self.found, self._read_serial)
        self._delivery.reconnected()
        for entry in entries:
            if self._link.find(entry) is not None:
                await self._link.subscribe(entry, self._arrived)
        self._delivery.listening()
        await self._link.follow_battery(lambda level: self._delivery.facts(battery=level))
        # What an earlier program started and never stopped is stopped too.
        await self._stop({spec.name for spec in self._profile.streams})
        await self._start(self._streams)
        self.started = self._search.been_connected = True
        self._sink.state("connected", f"{self.label}, MTU {mtu}" if mtu else self.label)
        return await self._watch()

    async def leave(self) -> None:
        """Stop the device, ask for its battery once more, and disconnect."""
        self._failure.cancel()
        try:
            if self._began and self._link.connected:
                await self._stop(self._streams, at_end=True)
                await self._tell_battery()
        except LINK_ERRORS as error:
            self._sink.trouble("stop", f"{self.label}: could not be stopped: {reason_of(error)}")
        finally:
            await self._link.close()

    # -- start -----------------------------------------------------------------------------------

    async def _introduce(self) -> None:
        """Read who the device is, its battery and its clock."""
        known = await self._link.information()
        if self._serial and not self._search.named(self.found):
            serial = known.get("serial", "")
            if not same_serial(self._serial, serial):
                raise WrongDeviceError(
                    f"{self.label} has the serial number {serial or 'unknown'}, not {self._serial}"
                )
        self._read_serial = known.get("serial", "")
        if self._search.is_another(self._read_serial):
            raise WrongDeviceError(
                f"{self.label} has its name and another serial number, {self._read_serial}"
            )
        if self.found.name:
            known["name"] = self.found.name
        self._delivery.facts(**known)
        await self._tell_battery()
        if any(entry.decoder == _CUFF for entry in self._profile.characteristics):
            await self._ask_cuff()

    async def _ask_cuff(self) -> None:
        """Read what a cuff can detect, and compare its clock with ours."""
        features = await self._link.read(CUFF_FEATURES)
        if features is not None and len(features) >= 2:
            self._delivery.cuff_features(int.from_bytes(features[:2], "little"))
        before = self._sink.now()
        clock = await self._link.current_time()
        if clock is not None:
            middle = (before + self._sink.now()) / 2
            self._delivery.cuff_clock(Anchor(clock, middle, "clock"))

    async def _tell_battery(self) -> None:
        """Read the battery."""
        level = await self._link.battery()
        if level is not None:
            self._delivery.facts(battery=level)

    def _entries(self) -> list[Characteristic]:
        """Characteristics to listen to: of the wanted streams, for replies, and cuff pressure."""
        used = {spec.characteristic for spec in self._specs}
        used |= {write.characteristic for write in _writes(self._profile.start, self._streams)}
        return [
            entry
            for entry in self._profile.characteristics
            if {"notify", "indicate"} & set(entry.access)
            and (entry.name in used or entry.decoder == _CUFF_PRESSURE)
        ]

    def _check_whole(self, entries: list[Characteristic]) -> None:
        """Demand that the device has what its profile says.

        Raises
        ------
        RecordingError
            If it is no such device.
        MissingError
            If it was one before: its services were not found this time.
        """
        missing = self._link.missing(entries)
        if not missing:
            return
        text = f"{self.label} ({self.found.address}) has no characteristic {', '.join(missing)}"
        if self._search.settled:
            raise MissingError(text)
        raise RecordingError(
            f"{text} as the profile {self._profile.name} says; 'physio-hqc devices scan' shows"
            " which profile fits"
        )

    def _check_mtu(self, entries: list[Characteristic]) -> int | None:
        """Warn of packets that cannot come whole."""
        mtu = self._link.mtu([entry for entry in entries if entry.decoder])
        if mtu is None:
            return None
        self._delivery.facts(mtu=mtu)
        needed = self._profile.connection.mtu_min
        if needed is not None and mtu < needed:
            self._sink.trouble(
                "mtu",
                f"{self.label}: the link carries packets of {mtu} bytes and {needed} are needed, so"
                " that streams may not start; another Bluetooth adapter may help",
            )
        return mtu

    async def _stop(self, streams: set[str], *, at_end: bool = False) -> None:
        """Stop streams; what the device answers does not matter, be it an error.

        A device may refuse to stop what does not run, and each stream is stopped for itself.
        """
        reply_s = min(self._timing.reply_s, _STOP_REPLY_S)
        for write in _writes(self._profile.stop, streams):
            try:
                # At the end there is not much time; before, the device may be paired meanwhile.
                async with asyncio.timeout(self._timing.stop_s / 3 if at_end else None):
                    await self._link.write(write, reply_s=reply_s)
            except PairingError:
                raise
            except LINK_ERRORS as error:
                if not self._link.connected:
                    raise
                if at_end:
                    what = write.stream or f"command {write.hex}"
                    text = f"{self.label}: {what} could not be stopped: {reason_of(error)}"
                    self._sink.trouble("stop", text)
            await asyncio.sleep(write.wait_s)

    async def _start(self, streams: set[str]) -> None:
        """Start streams, hear what the device says to it, and expect their first packets."""
        self._began = True
        self._stopped -= streams
        refused: set[str] = set()
        for write in _writes(self._profile.start, streams):
            reply = await self._link.write(write, reply_s=self._timing.reply_s)
            factor = acc_factor(self._profile, write, reply)
            if factor is not None:
                self._delivery.factor(factor)
            trouble = reply_trouble(self._profile, write, reply)
            if trouble is not None:
                self._sink.trouble(trouble.kind, f"{self.label}: {trouble.text}")
                refused |= {write.stream} if write.stream and trouble.refused else set()
            await asyncio.sleep(write.wait_s)
        self._expect(streams, refused)

    def _expect(self, streams: set[str], refused: Collection[str] = ()) -> None:
        """Expect the first packets of streams."""
        now = self._sink.now()
        for spec in self._specs:
            if spec.name in streams and (key := self._key(spec)):
                patience = self._profile.connection.start_timeout_s
                if spec.name in refused:
                    patience = min(patience, self._timing.silence_s)
                self._silence.expect(key, now, patience)

    def _key(self, spec: StreamSpec) -> str:
        """What must not fall silent for this stream: itself, or packets that may hold no value."""
        entry = next(e for e in self._profile.characteristics if e.name == spec.characteristic)
        if spec.sfreq > 0:
            return spec.name
        return "" if entry.decoder in (_CUFF, _CUFF_PRESSURE) else entry.name

    # -- while it runs ---------------------------------------------------------------------------

    def _arrived(self, characteristic: str, data: bytes) -> None:
        """Take a notification; its arrival is now, before anything else is done."""
        t_received = self._sink.now()
        try:
            self._delivery.arrived(characteristic, data, t_received)
            stopped = stopped_by_itself(self._profile, characteristic, data)
            if stopped:
                self._sink.trouble("stopped", f"{self.label} stopped measuring by itself")
                self._note_stopped(stopped & self._streams, t_received)
        except Exception as error:  # noqa: BLE001 - raised in `_watch`; here it would be lost
            if not self._failure.done():
                self._failure.set_exception(error)

    async def _watch(self) -> str:
        """Wait for the end of the link, and wake up streams that fell silent."""
        tick = min(1.0, self._timing.silence_s / 4)
        while True:
            wait = self._restart_at - self._sink.now() if self._stopped else tick
            await self._something(min(tick, max(wait, 0.0)))
            if self._failure.done():
                # In a wrapper: a full disk must not pass for a lost link.
                raise DeliveryError from self._failure.exception()
            if self._dropped.is_set() or not self._link.connected:
                return f"{self.label}: the link dropped"
            now = self._sink.now()
            self._delivery.tick(now)
            if self._stopped and now >= self._restart_at:
                await self._again(set(self._stopped))
                continue
            silent = self._silence.of(now)
            if silent and not await self._wake(silent):
                return f"{self.label}: {', '.join(silent)} silent although connected"

    async def _something(self, tick: float) -> None:
        """Wait for the link to drop, a failure, or the device to stop; at most one tick."""
        waits = [
            asyncio.ensure_future(self._dropped.wait()),
            asyncio.ensure_future(self._stopped_itself.wait()),
        ]
        every: list[asyncio.Future[Any]] = [*waits, self._failure]
        try:
            await asyncio.wait(every, timeout=tick, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stopped_itself.clear()
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def _note_stopped(self, streams: set[str], now: float) -> None:
        """Restart at once what stopped by itself; later and later if it does so again and again."""
        if not streams:
            return
        if not self._stopped:
            since = now - self._restart_at
            self._stops = 0 if since > 2 * self._timing.backoff_max_s else self._stops
            wait = self._timing.backoff_s * 2.0 ** (self._stops - 1) if self._stops else 0.0
            self._restart_at = now + min(wait, self._timing.backoff_max_s)
            self._stops += 1
        self._stopped |= streams
        self._stopped_itself.set()

    async def _wake(self, silent: list[str]) -> bool:
        """Start silent streams anew; False where that is of no use and the link has to go."""
        tried = [self._silence.tried(key) for key in silent]
        specs = [spec for spec in self._specs if self._key(spec) in silent]
        streams = {spec.name for spec in specs}
        commands = _writes(self._profile.start, streams)
        others = {self._key(spec) for spec in self._specs} - {*silent, ""}
        told = f"{self.label}: {', '.join(silent)} silent"
        if self._silence.flow(others, self._sink.now()):
            # What flows is worth more than what may come with a new link.
            both = [*commands, *_writes(self._profile.stop, streams)]
            if not commands or any(write.stream is None for write in both):
                self._sink.trouble("silent", told)
                self._expect(streams)
                return True
        elif not commands or max(tried) % 2:
            # The first time commands may help, the second time a new link, and so on.
            return False
        self._sink.trouble("silent", f"{told}, started anew")
        await self._again(streams)
        return True

    async def _again(self, streams: set[str]) -> None:
        """Stop and start streams on the standing link."""
        await self._stop(streams)
        self._delivery.restarted(streams)
        await self._start(streams)


def _writes(writes: tuple[Write, ...], streams: set[str]) -> list[Write]:
    """Writes for these streams, and those for all."""
    return [write for write in writes if write.stream is None or write.stream in streams]
