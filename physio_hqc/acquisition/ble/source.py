"""A Bluetooth wearable as a live source: found, connected, kept, and found again."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

from physio_hqc.acquisition.ble.air import LINK_ERRORS, Air, Sighting, reason_of
from physio_hqc.acquisition.ble.connection import Connection, DeliveryError, WrongDeviceError
from physio_hqc.acquisition.ble.delivery import Delivery
from physio_hqc.acquisition.ble.link import Link, connect
from physio_hqc.acquisition.ble.search import Search
from physio_hqc.acquisition.ble.timing import BleTiming, Silence
from physio_hqc.acquisition.ble.waiting import shielded
from physio_hqc.acquisition.profiles import DeviceProfile, StreamSpec
from physio_hqc.acquisition.source import Sink, Source, SourceOptions, StreamInfo
from physio_hqc.config import nearest
from physio_hqc.errors import ConfigError, RecordingError

_AT_REST = ("standard:blood_pressure", "standard:cuff_pressure")
_MOST_DOUBLINGS = 10
_SLOW_EVERY = 5


class BleSource(Source):
    """A wearable with a profile.

    Parameters
    ----------
    profile : DeviceProfile
    options : SourceOptions, optional
    timing : BleTiming, optional

    Raises
    ------
    ConfigError
        If a stream is asked for that the profile does not have.

    Examples
    --------
    >>> from physio_hqc.acquisition import load_device_profile
    >>> BleSource(load_device_profile("polar_h10")).name
    'polar_h10'
    """

    def __init__(
        self,
        profile: DeviceProfile,
        *,
        options: SourceOptions | None = None,
        timing: BleTiming | None = None,
    ) -> None:
        self.profile = profile
        self.options = options or SourceOptions()
        self.timing = timing or BleTiming()
        serial = self.options.serial
        self.name = f"{profile.name} {serial}" if serial else profile.name
        self.specs = _chosen(profile, self.options.streams)

    async def streams(self) -> tuple[StreamInfo, ...]:
        """List the streams of the profile that are recorded."""
        return tuple(self._info(spec) for spec in self.specs)

    async def run(self, sink: Sink) -> None:
        """Find the device, keep it delivering until cancelled, and leave it stopped.

        Raises
        ------
        RecordingError
            If there is no Bluetooth, or several devices fit and nothing says which is meant, or
            the one that was found has not what its profile says.
        """
        await _Run(self, sink).forever()

    def _info(self, spec: StreamSpec) -> StreamInfo:
        """A stream as the recorder wants to know it."""
        profile = self.profile
        entry = next(e for e in profile.characteristics if e.name == spec.characteristic)
        return StreamInfo(
            name=spec.name,
            modality=spec.modality,
            units=spec.units,
            sfreq=spec.sfreq,
            dtype=spec.dtype,
            channels=spec.channels,
            scale=spec.scale,
            offset=spec.offset,
            device={"profile": profile.name, "title": profile.title, "maker": profile.maker},
            awaited=entry.decoder not in _AT_REST,
        )


class _Run:
    """One run of a source: what it remembers from connection to connection."""

    def __init__(self, source: BleSource, sink: Sink) -> None:
        profile, options = source.profile, source.options
        self._source = source
        self._timing = source.timing
        self._backend = options.backend
        self._sink = sink
        self._air = Air.of(options.backend)
        self._search = Search(profile, options.serial, self._air, sink, source.timing)
        self._silence = Silence(source.timing.silence_s)
        streams = {spec.name for spec in source.specs}
        self._delivery = Delivery(profile, streams, options.user, sink, self._silence.heard)
        self._failures = 0
        self._too_short = 0

    async def forever(self) -> None:
        """Search, connect, listen; again whenever the link is gone."""
        try:
            while True:
                await self._once()
        finally:
            self._search.close()
            self._delivery.finish()

    async def _once(self) -> None:
        """One search and one connection, to its end."""
        recorded = self._search.been_connected
        with self._air.turns.missing(self) if recorded else nullcontext():
            connection = await self._linked()
        if connection is not None:
            await self._visit(connection)

    async def _linked(self) -> Connection | None:
        """Search and connect; None where that failed, after a pause."""
        try:
            found = await self._search.find()
        except RecordingError as error:
            if not self._search.settled:
                raise
            # The adapter was pulled out in the middle of a session; it may be plugged in again.
            await self._pause("bluetooth", str(error))
            return None
        label = found.name or found.address
        if found.held and await self._taken_down(found, label):
            return None
        self._sink.state("connecting", label)
        dropped = asyncio.Event()
        try:
            link = await self._connect(found, label, dropped)
        except LINK_ERRORS as error:
            self._search.away(f"{label}: cannot connect")
            await self._pause("connect", f"{label}: {reason_of(error)}")
            return None
        return Connection(
            self._source,
            self._sink,
            self._delivery,
            self._silence,
            link,
            found,
            dropped,
            self._search,
        )

    async def _taken_down(self, found: Sighting, label: str) -> bool:
        """End a link that was left behind; False where that is not possible."""
        self._sink.trouble(
            "stale_link", f"{label} was still linked to a program that has ended; linked anew"
        )
        try:
            await self._air.take_down(found, self)
        except LINK_ERRORS:
            return False
        return True

    async def _connect(self, found: Sighting, label: str, dropped: asyncio.Event) -> Link:
        """Try once to connect, with the adapter alone; others may be waiting for it."""
        link: Link | None = None
        short_s, long_s = self._patience()
        try:
            async with (
                self._air.connecting(self) as turn,
                turn.limited(short_s, long_s) as limit_s,
            ):
                client = await connect(found.device, label, self._backend, dropped.set, limit_s)
                if client.is_connected:
                    # A try before it may have come to an end of its own.
                    dropped.clear()
                link = Link(client, found.device, self._source.profile, self._paired, dropped)
                self._too_short = 0
        except LINK_ERRORS as error:
            if link is not None:
                await shielded(link.close(), self._timing.stop_s)
            if isinstance(error, TimeoutError) or isinstance(error.__cause__, TimeoutError):
                self._too_short += 1
                raise TimeoutError("it did not answer in time") from error
            raise
        except asyncio.CancelledError:
            # Cancelled while the scanner came back: nobody else knows of this link.
            if link is not None:
                await shielded(link.close(), self._timing.stop_s)
            raise
        return link

    def _patience(self) -> tuple[float, float]:
        """How long to try to connect, with and without another device that waits.

        A device that is slow and not dead gets the long time even so, now and then.
        """
        timing, tries = self._timing, self._too_short
        long_s = min(timing.connect_s * 2.0 ** min(tries, _MOST_DOUBLINGS), timing.connect_max_s)
        turn_for_slow = tries % _SLOW_EVERY == _SLOW_EVERY - 1
        return (long_s if turn_for_slow else timing.connect_s), long_s

    async def _visit(self, connection: Connection) -> None:
        """Use a link until it ends, and leave the device stopped whatever happens."""
        problem = ""
        try:
            problem = await connection.serve()
        except WrongDeviceError as error:
            self._search.refuse(connection.found)
            problem = str(error)
        except DeliveryError as error:
            raise error.__cause__ or error from None
        except LINK_ERRORS as error:
            problem = f"{connection.label}: {reason_of(error)}"
        finally:
            self._silence.forget()
            self._delivery.gone()
            await shielded(connection.leave(), self._timing.stop_s)
        self._search.away(problem)
        if self._delivery.delivered:
            self._failures = 0
        if not connection.started:
            await self._pause("connect", problem)

    async def _pause(self, kind: str, text: str) -> None:
        """Report a failure and wait before the next attempt, longer each time."""
        self._sink.trouble(kind, text)
        wait = self._timing.backoff_s * 2.0**self._failures
        self._failures = min(self._failures + 1, _MOST_DOUBLINGS)
        await asyncio.sleep(min(wait, self._timing.backoff_max_s))

    def _paired(self, text: str) -> None:
        """Report that the device wanted to be paired."""
        self._sink.trouble("pairing", text)


def _chosen(profile: DeviceProfile, names: tuple[str, ...]) -> tuple[StreamSpec, ...]:
    """Streams to record: those asked for, or the profile's default ones."""
    if not names:
        return tuple(spec for spec in profile.streams if spec.default)
    known = [spec.name for spec in profile.streams]
    for name in names:
        if name not in known:
            raise ConfigError(f"{profile.name} has no stream {name!r}; {nearest(name, known)}")
    return tuple(spec for spec in profile.streams if spec.name in names)
