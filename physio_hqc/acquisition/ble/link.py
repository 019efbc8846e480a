"""One connection to one device: what it says of itself, subscriptions, writes and their replies."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bleak.exc import BleakDBusError, BleakError, BleakGATTProtocolError
from bleak_retry_connector import BleakClientWithServiceCache, establish_connection

from physio_hqc.acquisition.ble.air import BLEAK_ERRORS, LINK_ERRORS, reason_of
from physio_hqc.acquisition.decoders import (
    MalformedError,
    decode_battery,
    decode_current_time,
    decode_text,
)
from physio_hqc.acquisition.profiles import Characteristic, DeviceProfile, Write
from physio_hqc.acquisition.source import BleBackend

T = TypeVar("T")
Arrived = Callable[[str, bytes], None]

_BASE = "0000{}-0000-1000-8000-00805f9b34fb"
BATTERY = _BASE.format("2a19")
CURRENT_TIME = _BASE.format("2a2b")
CUFF_FEATURES = _BASE.format("2a49")
INFORMATION = {
    "manufacturer": _BASE.format("2a29"),
    "model": _BASE.format("2a24"),
    "serial": _BASE.format("2a25"),
    "hardware": _BASE.format("2a27"),
    "firmware": _BASE.format("2a26"),
    "software": _BASE.format("2a28"),
}
# ATT errors that pairing heals: authentication, authorization, key size, encryption.
_UNPAIRED_CODES = {0x05, 0x08, 0x0C, 0x0F}
_UNPAIRED_TEXT = re.compile(
    r"insufficient (authentication|encryption|authorization)|not paired", re.I
)
_OPERATION_S = 10.0


class MissingError(BleakError):
    """The device has not what its profile says."""


class PairingError(BleakError):
    """The device asks to be paired and cannot be."""


class _Client(BleakClientWithServiceCache):
    """A client that gives up connecting in the time that it was made with."""

    def __init__(self, *args: Any, limit_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limit_s = limit_s

    async def connect(self, **kwargs: Any) -> None:
        """Connect; the retry connector's own time is made for one device alone."""
        await super().connect(**kwargs | {"timeout": self._limit_s})


async def connect(
    device: BLEDevice,
    name: str,
    backend: BleBackend | None,
    dropped: Callable[[], None],
    limit_s: float,
) -> BleakClient:
    """Try once to connect, through the retry connector; `dropped` is called at the link's end.

    Raises
    ------
    BleakError, TimeoutError, OSError, EOFError
        If there is no link after `limit_s`.
    """
    chosen: dict[str, Any] = {} if backend is None else {"backend": backend.client}
    # Services are read anew each time: BlueZ's copy carries the MTU of the link before.
    try:
        return await establish_connection(
            _Client,
            device,
            name,
            disconnected_callback=lambda _: dropped(),
            max_attempts=1,
            use_services_cache=False,
            limit_s=limit_s,
            **chosen,
        )
    except LINK_ERRORS:
        raise
    except BLEAK_ERRORS as error:
        raise BleakError(f"cannot connect ({reason_of(error)})") from error


def needs_pairing(error: BaseException) -> bool:
    """Whether the device refused because it is not paired."""
    if isinstance(error, BleakGATTProtocolError):
        return int(error.code) in _UNPAIRED_CODES
    if isinstance(error, BleakDBusError) and error.dbus_error.endswith(
        ("NotPermitted", "NotAuthorized")
    ):
        return True
    return _UNPAIRED_TEXT.search(str(error)) is not None


class Link:
    """A connected device, spoken to in the words of its profile.

    Parameters
    ----------
    client : BleakClient
        Connected.
    device : BLEDevice
        As it was found.
    profile : DeviceProfile
    paired : callable
        Called with a sentence when the device had to be paired.
    dropped : asyncio.Event
        Set when the link is gone.
    """

    def __init__(
        self,
        client: BleakClient,
        device: BLEDevice,
        profile: DeviceProfile,
        paired: Callable[[str], None],
        dropped: asyncio.Event,
    ) -> None:
        self._client = client
        self._dropped = dropped
        self._device = device
        self._profile = profile
        self._paired = paired
        self._asked_to_pair = False
        self._listeners: list[tuple[str, asyncio.Queue[bytes]]] = []

    @property
    def connected(self) -> bool:
        """Whether the link still stands."""
        return self._client.is_connected

    def find(self, entry: Characteristic) -> BleakGATTCharacteristic | None:
        """Find a characteristic of the profile on the device, in its own service."""
        service = self._client.services.get_service(entry.service)
        return None if service is None else service.get_characteristic(entry.uuid)

    def missing(self, entries: list[Characteristic]) -> list[str]:
        """Names of characteristics that the device lacks although its profile needs them."""
        return [e.name for e in entries if not e.optional and self.find(e) is None]

    def mtu(self, entries: list[Characteristic]) -> int | None:
        """MTU of the link as far as the platform tells; None where it does not.

        `BleakClient.mtu_size` is a constant on BlueZ; the longest write without a response is not.
        """
        found = [char for char in map(self.find, entries) if char is not None]
        sizes = [char.max_write_without_response_size for char in found]
        return max(sizes) + 3 if sizes else None

    async def information(self) -> dict[str, str]:
        """Read the Device Information service, as far as there is one."""
        known: dict[str, str] = {"address": self._device.address}
        for key, uuid in INFORMATION.items():
            data = await self.read(uuid)
            text = "" if data is None else decode_text(data)
            if text:
                known[key] = text
        return known

    async def battery(self) -> int | None:
        """Read the battery level in percent."""
        data = await self.read(BATTERY)
        return await self._battery_of_bluez() if data is None else _level(data)

    async def current_time(self) -> dt.datetime | None:
        """Read the device's own clock (local time, no zone)."""
        data = await self.read(CURRENT_TIME)
        try:
            return None if data is None else decode_current_time(data).time
        except MalformedError:
            return None

    async def read(self, uuid: str) -> bytes | None:
        """Read a characteristic; None where there is none, or it may not be read."""
        char = self._client.services.get_characteristic(uuid)
        if char is None or "read" not in char.properties:
            return None
        try:
            return bytes(await _limited(self._client.read_gatt_char(char)))
        except LINK_ERRORS:
            if not self.connected:
                raise
            return None

    async def follow_battery(self, changed: Callable[[int], None]) -> None:
        """Be told of the battery level, where the device offers it."""
        char = self._client.services.get_characteristic(BATTERY)
        if char is None or "notify" not in char.properties:
            return

        def told(_: BleakGATTCharacteristic, data: bytearray) -> None:
            level = _level(bytes(data))
            if level is not None:
                changed(level)

        try:
            await _limited(self._client.start_notify(char, told))
        except LINK_ERRORS:
            if not self.connected:
                raise

    async def subscribe(self, entry: Characteristic, arrived: Arrived) -> None:
        """Receive what a characteristic notifies or indicates.

        Raises
        ------
        MissingError
            If the device has no such characteristic.
        """
        char = self.find(entry)
        if char is None:
            raise MissingError(f"no characteristic '{entry.name}'")

        def told(_: BleakGATTCharacteristic, data: bytearray) -> None:
            packet = bytes(data)
            arrived(entry.name, packet)
            for name, queue in self._listeners:
                if name in ("", entry.name):
                    queue.put_nowait(packet)

        await self._or_pair(lambda: self._client.start_notify(char, told))

    async def write(self, write: Write, *, reply_s: float) -> bytes | None:
        """Write a command of the profile and return the reply to it; None where none came.

        A reply is recognized by the bytes of the expected one that do not say how it went: all but
        the last.
        """
        entry = next(e for e in self._profile.characteristics if e.name == write.characteristic)
        char = self.find(entry)
        if char is None:
            raise MissingError(f"no characteristic '{entry.name}'")
        told = {"notify", "indicate"} & set(entry.access)
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        # A characteristic that is only written to has its replies come another way.
        self._listeners.append((entry.name if told else "", queue))
        try:
            confirmed = "write" in char.properties
            await self._or_pair(
                lambda: self._client.write_gatt_char(char, write.data, response=confirmed)
            )
            return await self._reply(queue, write, reply_s) if write.reply else None
        finally:
            self._listeners = [each for each in self._listeners if each[1] is not queue]

    async def close(self) -> None:
        """Disconnect; a link that is already gone is as good."""
        try:
            await _limited(self._client.disconnect())
        except LINK_ERRORS:
            return

    async def _or_pair(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Do something; where the device wants to be paired first, and may be, pair and repeat."""
        try:
            return await _limited(operation())
        except LINK_ERRORS as error:
            may = self._profile.connection.pairing != "never"
            if not may or self._asked_to_pair or not needs_pairing(error):
                raise
        self._asked_to_pair = True
        try:
            await asyncio.wait_for(self._client.pair(), 30.0)
        except BLEAK_ERRORS as error:
            raise PairingError(
                f"the device asks to be paired and pairing failed ({error});"
                " pair it once in the system's Bluetooth settings"
            ) from error
        self._paired("the device asked to be paired; it is now")
        return await _limited(operation())

    async def _reply(
        self, queue: asyncio.Queue[bytes], write: Write, limit_s: float
    ) -> bytes | None:
        """Wait for the reply to a command, or for the link to drop."""
        replied = asyncio.ensure_future(_reply(queue, write))
        dropped = asyncio.ensure_future(self._dropped.wait())
        try:
            await asyncio.wait(
                {replied, dropped}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED
            )
            if replied.done():
                return replied.result()
            if dropped.done():
                raise BleakError("the link dropped")
            return None
        finally:
            replied.cancel()
            dropped.cancel()
            await asyncio.gather(replied, dropped, return_exceptions=True)

    async def _battery_of_bluez(self) -> int | None:
        """Ask BlueZ for the level: its daemon keeps the Battery service for itself."""
        details = self._device.details
        if not (isinstance(details, dict) and "path" in details):
            return None
        from bleak.backends.bluezdbus.manager import get_global_bluez_manager

        try:
            manager = await get_global_bluez_manager()
            # Bleak has no public way to it.
            level = manager._get_device_property(
                details["path"], "org.bluez.Battery1", "Percentage"
            )
        except BLEAK_ERRORS:
            return None
        return _level(bytes([level]))


def _level(data: bytes) -> int | None:
    """Battery level; None for a value that is none."""
    try:
        return decode_battery(data)
    except MalformedError:
        return None


async def _reply(queue: asyncio.Queue[bytes], write: Write) -> bytes:
    """Wait for the reply to a command; other indications in between are not it."""
    begins = bytes.fromhex(write.reply or "")[:-1]
    while True:
        packet = await queue.get()
        if packet.startswith(begins):
            return packet


async def _limited(operation: Awaitable[T]) -> T:
    """Wait for an operation, but not for ever: a bus can stall."""
    try:
        async with asyncio.timeout(_OPERATION_S):
            return await operation
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Nobody cancelled us: the backend gave up its pending call because the link dropped.
        raise BleakError("the link dropped") from error
    except LINK_ERRORS:
        raise
    except BLEAK_ERRORS as error:
        raise BleakError(f"the link dropped ({reason_of(error)})") from error
