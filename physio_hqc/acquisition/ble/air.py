"""One Bluetooth adapter shared by all sources of a process: who is in the air, who has whom.

A platform scans once at a time and connects badly while it scans, so that every source that looks
for its device listens to one common scanner, which rests while a connection is being made.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from bleak import BleakAdapter, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakDBusError,
    BleakError,
)
from bleak_retry_connector import close_stale_connections

from physio_hqc.acquisition.ble.claims import Claims
from physio_hqc.acquisition.ble.fit import Wanted
from physio_hqc.acquisition.ble.turns import Turn, Turns
from physio_hqc.acquisition.source import BleBackend
from physio_hqc.errors import RecordingError

#: What an operation over a link raises when the link or the adapter fails.
LINK_ERRORS: tuple[type[Exception], ...] = (BleakError, TimeoutError, OSError, EOFError)

#: What bleak itself can raise besides: it asserts that its bus is there and looks into services
#: that are gone when a link drops in the middle of a call; and platforms differ in what they can.
BLEAK_ERRORS: tuple[type[Exception], ...] = (
    *LINK_ERRORS,
    AssertionError,
    AttributeError,
    KeyError,
    NotImplementedError,
)

_REASONS = {
    BleakBluetoothNotAvailableReason.NO_BLUETOOTH: (
        "this computer has no Bluetooth adapter; plug one in"
    ),
    BleakBluetoothNotAvailableReason.NO_BLE_CENTRAL_ROLE: (
        "the Bluetooth adapter knows no Low Energy; plug in another one"
    ),
    BleakBluetoothNotAvailableReason.POWERED_OFF: "Bluetooth is switched off; switch it on",
    BleakBluetoothNotAvailableReason.DENIED_BY_USER: (
        "this program may not use Bluetooth; allow it in the system's privacy settings"
    ),
    BleakBluetoothNotAvailableReason.DENIED_BY_SYSTEM: (
        "the system does not let this user use Bluetooth; ask its administrator"
        " (on Linux: the group 'bluetooth')"
    ),
    BleakBluetoothNotAvailableReason.DENIED_BY_UNKNOWN: (
        "this program may not use Bluetooth; allow it in the system's privacy settings"
    ),
}
_REHEARSE = "; --virtual rehearses without Bluetooth"


def reason_of(error: BaseException) -> str:
    """What an error says, in one line, whatever it is."""
    text = " ".join(str(part) for part in error.args if isinstance(part, str)) or str(error)
    return " ".join(text.split()) or type(error).__name__


def no_bluetooth(error: Exception) -> RecordingError:
    """Say in one line why there is no Bluetooth and what to do.

    Examples
    --------
    >>> str(no_bluetooth(BleakError("No Bluetooth adapters found.")))
    'no Bluetooth: this computer has no Bluetooth adapter; plug one in; --virtual rehearses ...'
    """
    return RecordingError(f"no Bluetooth: {_why(error)}{_REHEARSE}")


def _why(error: Exception) -> str:
    """The reason behind an error of the scanner."""
    text = reason_of(error)
    if isinstance(error, BleakBluetoothNotAvailableError) and error.reason in _REASONS:
        return _REASONS[error.reason]
    if "adapter" in text.lower() and "found" in text.lower():
        return _REASONS[BleakBluetoothNotAvailableReason.NO_BLUETOOTH]
    if isinstance(error, BleakDBusError) and "NotReady" in error.dbus_error:
        return _REASONS[BleakBluetoothNotAvailableReason.POWERED_OFF]
    if isinstance(error, PermissionError) or "AccessDenied" in text:
        return _REASONS[BleakBluetoothNotAvailableReason.DENIED_BY_SYSTEM]
    linux = sys.platform.startswith("linux")
    if linux and isinstance(error, FileNotFoundError | ConnectionError):
        return "the system's D-Bus is not running; install and start bluez (bluetoothd)"
    if linux and ("ServiceUnknown" in text or "NameHasNoOwner" in text):
        return "bluetoothd is not running; start it (systemctl start bluetooth)"
    return text


@dataclass(frozen=True)
class Sighting:
    """One advertisement, or a device that the system still holds a link to."""

    device: BLEDevice
    address: str
    name: str
    services: tuple[str, ...]
    rssi: int | None = None
    held: bool = False
    """The system holds a link to it."""

    def after(self, before: Sighting | None) -> Sighting:
        """Return this with what was seen before it: name and services can come apart."""
        if before is None:
            return self
        known = [rssi for rssi in (self.rssi, before.rssi) if rssi is not None]
        return replace(
            self,
            name=self.name or before.name,
            services=tuple(dict.fromkeys((*before.services, *self.services))),
            rssi=max(known) if known else None,
        )


def printable(name: str) -> str:
    r"""Take out of a name whatever could move the cursor of a terminal: anyone may advertise it.

    Examples
    --------
    >>> printable("Polar\x1b[2J H10")
    'Polar[2J H10'
    """
    return "".join(letter for letter in name if letter.isprintable())[:64]


def sighting(device: BLEDevice, advertisement: AdvertisementData) -> Sighting:
    """What an advertisement says."""
    return Sighting(
        device=device,
        address=device.address,
        name=printable(advertisement.local_name or device.name or ""),
        services=tuple(uuid.lower() for uuid in advertisement.service_uuids),
        rssi=advertisement.rssi,
    )


Queue = asyncio.Queue[Sighting | Exception]


class Air:
    """The adapter of one event loop: a common scanner, one connection at a time, claims.

    Attributes
    ----------
    seekers : list of Wanted
        What the sources of this process that have no device yet look for.
    claims : Claims
        Who has which device.
    turns : Turns
        Who may connect.
    """

    def __init__(self, backend: BleBackend | None) -> None:
        self.seekers: list[Wanted] = []
        self._backend = backend
        self._queues: list[Queue] = []
        self._scanner: BleakScanner | None = None
        self._switching = asyncio.Lock()
        self.turns = Turns()
        self._paused = False
        self.claims = Claims(shared=backend is None)

    @classmethod
    def of(cls, backend: BleBackend | None) -> Air:
        """Return the one air of the running event loop and this backend."""
        airs = _AIRS.setdefault(asyncio.get_running_loop(), {})
        key = None if backend is None else (backend.client, backend.scanner)
        if key not in airs:
            airs[key] = cls(backend)
        return airs[key]

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[Queue]:
        """Receive what is seen; an exception in the queue says that scanning failed.

        Raises
        ------
        RecordingError
            If there is no Bluetooth.
        """
        queue: Queue = asyncio.Queue()
        self._queues.append(queue)
        try:
            await self._switch()
            yield queue
        finally:
            self._queues.remove(queue)
            await self._switch()

    @asynccontextmanager
    async def connecting(self, owner: object) -> AsyncIterator[Turn]:
        """Have the adapter alone, with the scanner at rest."""
        async with self.turns.turn(owner) as turn:
            self._paused = True
            try:
                await self._switch()
                yield turn
            finally:
                self._paused = False
                try:
                    await self._switch()
                except RecordingError as error:
                    for queue in self._queues:
                        queue.put_nowait(error)

    async def refresh(self) -> None:
        """Start the scan anew: one whose adapter or daemon was restarted is silent for ever.

        Raises
        ------
        RecordingError
            If there is no Bluetooth any more.
        """
        async with self._switching:
            scanner, self._scanner = self._scanner, None
            await _stopped(scanner)
        await self._switch()

    async def held(self, services: tuple[str, ...]) -> list[Sighting]:
        """List devices that the system is linked to already and that so do not advertise.

        A program that was killed leaves such links behind.
        """
        if self._backend is not None or not services:
            return []
        try:
            adapter = await BleakAdapter.get()
            devices = await adapter.get_connected_devices(list(services))
        except BLEAK_ERRORS:
            return []
        return [
            Sighting(d, d.address, printable(d.name or ""), services, held=True) for d in devices
        ]

    async def take_down(self, seen: Sighting, owner: object) -> None:
        """End the link that a program left behind: what was asked over it last may never end."""
        async with self.connecting(owner):
            await close_stale_connections(seen.device)

    async def _switch(self) -> None:
        """Start or stop the scanner, as it is wanted now."""
        async with self._switching:
            wanted = bool(self._queues) and not self._paused
            if wanted and self._scanner is None:
                self._scanner = await self._start()
            elif not wanted and self._scanner is not None:
                scanner, self._scanner = self._scanner, None
                await _stopped(scanner)

    async def _start(self) -> BleakScanner:
        """Start scanning; a scan that just ended may keep the adapter busy for a moment."""
        for pause in (0.2, 0.5, 1.0, None):
            scanner = self._new_scanner()
            try:
                await scanner.start()
            except BLEAK_ERRORS as error:
                if pause is None or "InProgress" not in reason_of(error):
                    raise no_bluetooth(error) from error
                await asyncio.sleep(pause)
            else:
                return scanner
        raise AssertionError("unreachable")

    def _new_scanner(self) -> BleakScanner:
        """A scanner of this backend; finding the platform's own can fail already."""
        try:
            if self._backend is None:
                return BleakScanner(self._seen)
            return BleakScanner(self._seen, backend=self._backend.scanner)
        except BLEAK_ERRORS as error:
            raise no_bluetooth(error) from error

    def _seen(self, device: BLEDevice, advertisement: AdvertisementData) -> None:
        """Pass an advertisement on to all who listen."""
        seen = sighting(device, advertisement)
        for queue in self._queues:
            queue.put_nowait(seen)


async def _stopped(scanner: BleakScanner | None) -> None:
    """Stop a scanner, if there is one."""
    if scanner is None:
        return
    try:
        await scanner.stop()
    except BLEAK_ERRORS:
        # The adapter is gone, and the scan with it; the next start will say so.
        return


_AIRS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[object, Air]] = (
    weakref.WeakKeyDictionary()
)
