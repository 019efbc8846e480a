"""What all virtual peripherals have in common: advertising, connections, subscriptions, logs."""

from __future__ import annotations

import asyncio
import random
import struct
import time
import uuid as uuids
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal

from bumble import att, core, hci
from bumble.core import UUID
from bumble.device import Connection
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.link import LocalLink
from bumble.pairing import PairingConfig, PairingDelegate

from physio_hqc.acquisition.virtual.air import AirLink, Radio
from physio_hqc.acquisition.virtual.faults import DeviceClock, Faults
from physio_hqc.acquisition.virtual.sent import SentLog, SentPacket
from physio_hqc.acquisition.virtual.stream import Made, PacketStream, Timetable
from physio_hqc.errors import RecordingError

Pairing = Literal["none", "required", "rejected"]
Properties = Characteristic.Properties

_ADVERTISING_BYTES = 31
_ATT_CHANNEL = 4
_NOTIFICATION, _INDICATION = 0x1B, 0x1D
_NOT_AUTHENTICATED = 0x05
_BATTERY, _BATTERY_LEVEL = "180F", "2A19"
_INFORMATION = "180A"
_MANUFACTURER, _MODEL, _SERIAL = "2A29", "2A24", "2A25"
_HARDWARE, _FIRMWARE, _SOFTWARE = "2A27", "2A26", "2A28"


def as_uuid(text: str) -> UUID:
    """Bumble's UUID of four hex digits, or of 128 bit with hyphens."""
    return UUID(text)


def advertising_data(name: str, services: Sequence[str]) -> bytes:
    """Build the 31 bytes of an advertisement; what does not fit is left out.

    The flags go first, then the service with 128 bit, as the name is what people look for.

    Examples
    --------
    >>> advertising_data("HR 7", ["180D"]).hex(" ")
    '02 01 06 05 09 48 52 20 37 03 03 0d 18'
    """
    flags = struct.pack("<BBB", 2, 0x01, 0x06)  # generally discoverable, LE only
    title = struct.pack("<BB", 1 + len(name.encode()), 0x09) + name.encode()
    short = b"".join(bytes.fromhex(s)[::-1] for s in services if len(s) == 4)
    long = [uuids.UUID(s).bytes[::-1] for s in services if len(s) > 4]
    listed = struct.pack("<BB", 1 + len(short), 0x03) + short if short else b""
    for one in long:
        listed += struct.pack("<BB", 17, 0x07) + one
    for candidate in (flags + title + listed, title + listed, flags + title):
        if len(candidate) <= _ADVERTISING_BYTES:
            return candidate
    raise RecordingError(f"the name {name!r} does not fit into an advertisement")


def _refuse(_connection: Connection) -> bytes:
    """Refuse to be read: bumble's server does not look at permissions itself."""
    raise att.ATT_Error(error_code=att.ErrorCode.READ_NOT_PERMITTED)


_NO_ACCESS = Characteristic.Permissions(0)
_UNREADABLE: CharacteristicValue[bytes] = CharacteristicValue(read=_refuse)


class VirtualPeripheral:
    """A peripheral on a virtual air; one connection at a time, nothing is bonded.

    Parameters
    ----------
    name : str
        Advertised name, at most 26 bytes.
    serial : str
        Serial number as the Device Information service tells it.
    battery : int
        Percent.
    address : str, optional
        Random static address; a new one by default.
    rssi : int
        Signal strength in dBm.
    mtu : int
        Largest ATT MTU it agrees to.
    advertising_interval_s : float, optional
        0.05 s by default: each connection waits for an advertisement.
    failed_discoveries : int
        How many connections it drops when it is asked for its services.
    pairing : {"none", "required", "rejected"}
        Whether protected characteristics demand an encrypted link, and whether it consents.
    drop_every_s : float, optional
        Mean time between losses of the link, drawn evenly from half to one and a half times that.
    drop_for_s : tuple of float
        Shortest and longest time it then is away.
    faults : Faults, optional
    log_limit : int, optional
        How many packets of each stream the logs keep.

    Attributes
    ----------
    sent : dict of str to SentLog
        What each stream sent.
    drops : list of tuple of float
        Host times at which it vanished and came back; NaN while it is away.
    """

    model = "Virtual peripheral"
    maker = "physio_hqc"
    advertised: tuple[str, ...] = ()
    clock_start_s = 0.0
    usual_interval_s = 0.05

    def __init__(
        self,
        name: str,
        *,
        serial: str = "",
        battery: int = 80,
        address: str | None = None,
        rssi: int = -55,
        mtu: int = 247,
        advertising_interval_s: float | None = None,
        failed_discoveries: int = 0,
        pairing: Pairing = "none",
        drop_every_s: float | None = None,
        drop_for_s: tuple[float, float] = (0.2, 1.0),
        faults: Faults | None = None,
        log_limit: int | None = None,
    ) -> None:
        self.name = name
        self.serial = serial
        self.battery = battery
        self.rssi = rssi
        self.faults = faults or Faults()
        self.failed_discoveries = failed_discoveries
        self.pairing = pairing
        self.sent: dict[str, SentLog] = {}
        self.drops: list[tuple[float, float]] = []
        self.clock = DeviceClock(self.clock_start_s, self.faults)
        self.writes: list[tuple[float, str, bytes]] = []
        """What clients wrote: host time, characteristic, value."""
        self._address = (
            hci.Address.generate_static_address() if address is None else hci.Address(address)
        )
        self._advertisement = advertising_data(name, self.advertised)
        self._mtu = mtu
        self._interval_ms = (advertising_interval_s or self.usual_interval_s) * 1e3
        self._drop_every = drop_every_s
        self._drop_for = drop_for_s
        self._limit = log_limit
        self._dice = random.Random(f"{self.faults.seed}:{self._address}")
        self._radio: Radio | None = None
        self._connection: Connection | None = None
        self._in_range = True
        self._silent = False
        self._outstanding: deque[SentPacket | None] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._commands: set[asyncio.Task[None]] = set()
        self._advertising = asyncio.Lock()
        self._link_changed = asyncio.Event()
        self._level: Characteristic[bytes] | None = None

    @property
    def address(self) -> str:
        """Bluetooth address."""
        return str(self._address.to_string(False))

    @property
    def connected(self) -> bool:
        """Whether a client is connected."""
        return self._connection is not None

    @property
    def mtu(self) -> int:
        """MTU of the connection."""
        return 23 if self._connection is None else int(self._connection.att_mtu)

    # --- switching on and off ---------------------------------------------------------------

    def services(self) -> list[Service]:
        """Make the GATT services beside battery and device information."""
        return []

    def began(self, t: float) -> None:
        """Start what runs from the moment it is switched on."""

    async def switch_on(self, link: LocalLink) -> None:
        """Put it on a link and start advertising."""
        if self._radio is not None:
            raise RecordingError(f"{self.name} is already on an air")
        self.timetable = Timetable()
        radio = self._radio = await Radio.switched_on(link, self.name, self._address)
        device = radio.device
        device.advertising_data = self._advertisement
        device.gatt_server.max_mtu = self._mtu
        device.pairing_config_factory = self._pairing_config
        device.add_services([*self.services(), *self._common_services()])
        device.on("connection", self._on_connection)
        device.on("characteristic_subscription", lambda *_: self.subscriptions_changed())
        if isinstance(link, AirLink):
            link.watch(radio.controller, self._on_taken)
        self._watch_discovery(radio)
        now = time.monotonic()
        self.clock.switch_on(now)
        self.began(now)
        self._spawn(self.timetable.run())
        if self._drop_every is not None:
            self._spawn(self._drop_now_and_then(self._drop_every))
        await self._advertise()

    async def switch_off(self) -> None:
        """Take it off its link; raises what went wrong inside while it ran."""
        radio, self._radio = self._radio, None
        if radio is None:
            return
        if self._connection is not None:
            await self._end_connection(radio)
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        while self._commands:
            await asyncio.wait(self._commands)
        await radio.switch_off()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task that ends when it is switched off; one that failed is kept to tell."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for work that must not be cut off in the middle of a command to the radio."""
        task = asyncio.create_task(work)
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)
        await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            self._tasks.discard(task)

    # --- the link ---------------------------------------------------------------------------

    async def drop(self, *, unnoticed_s: float = 0.0) -> None:
        """Vanish, as a strap does that is out of range.

        Parameters
        ----------
        unnoticed_s : float
            How long the other side does not notice: what is sent meanwhile is lost.
        """
        if not self._in_range:
            return
        self._in_range = False
        self.drops.append((time.monotonic(), float("nan")))
        await self._advertise()
        radio = self._radio
        if radio is None or self._connection is None:
            return
        if unnoticed_s > 0:
            self._silent = True
            await asyncio.sleep(unnoticed_s)
        await self._end_connection(radio)
        self._silent = False

    async def come_back(self) -> None:
        """Be there again, and advertise."""
        if self._in_range:
            return
        self._in_range = True
        self.drops[-1] = (self.drops[-1][0], time.monotonic())
        await self._advertise()

    async def wait_connected(self, connected: bool = True) -> None:
        """Wait until a client is connected, or until none is."""
        while self.connected != connected:
            self._link_changed.clear()
            await self._link_changed.wait()

    async def _end_connection(self, radio: Radio) -> None:
        """Take the link down the way a supervision timeout looks."""
        await self._finish(self._end_connection_of(radio))

    async def _end_connection_of(self, radio: Radio) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            await radio.device.disconnect(connection, hci.HCI_CONNECTION_TIMEOUT_ERROR)
        except core.BaseBumbleError:
            await self.wait_connected(False)

    async def _drop_now_and_then(self, every_s: float) -> None:
        """Lose the link at random times."""
        while True:
            await self.wait_connected()
            await asyncio.sleep(every_s * self._dice.uniform(0.5, 1.5))
            await self.drop()
            await asyncio.sleep(self._dice.uniform(*self._drop_for))
            await self.come_back()

    async def _advertise(self) -> None:
        """Advertise if it is in range and free, else do not."""
        await self._finish(self._advertise_on(self._radio))

    async def _advertise_on(self, radio: Radio | None) -> None:
        async with self._advertising:
            if radio is None or radio is not self._radio:
                return
            device = radio.device
            wanted = self._in_range and self._connection is None
            if wanted == (device.legacy_advertiser is not None):
                return
            if wanted:
                await device.start_advertising(
                    advertising_interval_min=self._interval_ms,
                    advertising_interval_max=self._interval_ms,
                )
            else:
                await device.stop_advertising()

    def _on_connection(self, connection: Connection) -> None:
        self._connection = connection
        connection.on(connection.EVENT_DISCONNECTION, self._on_disconnection)
        self._link_changed.set()

    def _on_disconnection(self, _reason: int) -> None:
        self._connection = None
        self._outstanding.clear()
        self._link_changed.set()
        if self._radio is not None:
            self._spawn(self._advertise())

    def subscriptions_changed(self) -> None:
        """Do what has to be done when the client subscribes or unsubscribes."""

    def _watch_discovery(self, radio: Radio) -> None:
        """Drop the link instead of answering, as long as discoveries are to fail."""
        server = radio.device.gatt_server
        answer = server.on_att_read_by_group_type_request

        def asked(bearer: Any, request: Any) -> None:
            if self.failed_discoveries <= 0:
                answer(bearer, request)
                return
            self.failed_discoveries -= 1
            self._spawn(self._end_connection(radio))

        server.on_att_read_by_group_type_request = asked

    def _pairing_config(self, _connection: Connection) -> PairingConfig:
        return PairingConfig(bonding=False, delegate=_Consent(self.pairing != "rejected"))

    def check_paired(self, connection: Connection) -> None:
        """Refuse with ATT error 5 what needs pairing on a link that is not paired."""
        if self.pairing != "none" and not connection.encryption:
            raise att.ATT_Error(error_code=att.ErrorCode(_NOT_AUTHENTICATED))

    # --- characteristics --------------------------------------------------------------------

    def readable(self, uuid: str, value: bytes | Callable[[], bytes]) -> Characteristic[bytes]:
        """Make a characteristic that can be read."""
        return Characteristic(
            as_uuid(uuid),
            Properties.READ,
            Characteristic.READABLE,
            value if isinstance(value, bytes) else CharacteristicValue(read=lambda _: value()),
        )

    def writable(
        self,
        uuid: str,
        write: Callable[[Connection, bytes], None],
        properties: Characteristic.Properties = Properties.WRITE,
    ) -> Characteristic[bytes]:
        """Make a characteristic that can be written."""
        return Characteristic(
            as_uuid(uuid), properties, Characteristic.WRITEABLE, CharacteristicValue(write=write)
        )

    def notifying(self, uuid: str) -> Characteristic[bytes]:
        """Make a characteristic that only notifies."""
        return Characteristic(as_uuid(uuid), Properties.NOTIFY, _NO_ACCESS, _UNREADABLE)

    def indicating(self, uuid: str) -> Characteristic[bytes]:
        """Make a characteristic that only indicates."""
        return Characteristic(as_uuid(uuid), Properties.INDICATE, _NO_ACCESS, _UNREADABLE)

    def _common_services(self) -> list[Service]:
        """Battery and Device Information."""
        self._level = Characteristic(
            as_uuid(_BATTERY_LEVEL),
            Properties.READ | Properties.NOTIFY,
            Characteristic.READABLE,
            CharacteristicValue(read=lambda _: bytes([self.battery])),
        )
        told = {
            _MANUFACTURER: self.maker,
            _MODEL: self.model,
            _SERIAL: self.serial,
            **self.versions(),
        }
        facts = [self.readable(key, text.encode()) for key, text in told.items() if text]
        return [
            Service(as_uuid(_BATTERY), [self._level]),
            Service(as_uuid(_INFORMATION), facts),
        ]

    def versions(self) -> dict[str, str]:
        """Hardware, firmware and software versions by their characteristics."""
        return {_FIRMWARE: "1.0.0"}

    async def set_battery(self, percent: int) -> None:
        """Change the battery level; subscribers are told."""
        self.battery = percent
        if self._level is not None:
            await self.notify(self._level, bytes([percent]))

    # --- sending ----------------------------------------------------------------------------

    def log(self, stream: str) -> SentLog:
        """Log of a stream, made when it is first asked for."""
        return self.sent.setdefault(stream, SentLog(self._limit))

    def stream(
        self,
        name: str,
        period_s: float,
        characteristic: Callable[[], Characteristic[bytes]],
        make: Callable[[int, float, int], Made],
        *,
        stamped: bool = True,
        tick_ns: int = 1,
    ) -> PacketStream:
        """Make a stream of notifications."""

        async def send(packet: SentPacket) -> None:
            await self.notify(characteristic(), packet.data, packet)

        return PacketStream(
            name,
            period_s,
            make,
            send,
            timetable=self.timetable,
            clock=self.clock,
            faults=self.faults,
            log=self.log(name),
            stamped=stamped,
            tick_ns=tick_ns,
        )

    def subscribed(self, characteristic: Characteristic[bytes], bit: int) -> bool:
        """Whether the client asked for notifications (bit 1) or indications (bit 2)."""
        if self._radio is None or self._connection is None:
            return False
        table = self._radio.device.gatt_server.subscribers.get(self._connection, {})
        value = table.get(characteristic.handle, b"\0\0")
        return bool(value[0] & bit)

    async def notify(
        self, characteristic: Characteristic[bytes], data: bytes, packet: SentPacket | None = None
    ) -> None:
        """Send a notification if the client subscribed; otherwise it is lost."""
        radio, connection = self._radio, self._connection
        if radio is None or connection is None or self._silent:
            return
        if not self.subscribed(characteristic, 1):
            return
        self._hand_over(radio, packet)
        await radio.device.notify_subscriber(connection, characteristic, data)

    async def indicate(
        self, characteristic: Characteristic[bytes], data: bytes, packet: SentPacket | None = None
    ) -> bool:
        """Send an indication; return whether it was confirmed."""
        radio, connection = self._radio, self._connection
        if radio is None or connection is None or self._silent:
            return False
        if not self.subscribed(characteristic, 2):
            return False
        self._hand_over(radio, packet)
        sending = radio.device.indicate_subscriber(connection, characteristic, data)
        try:
            await connection.cancel_on_disconnection(sending)
        except TimeoutError:
            return False
        except asyncio.CancelledError:
            # The link was lost, unless it is this task that is to end.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return False
        return True

    def _hand_over(self, radio: Radio, packet: SentPacket | None) -> None:
        """Note that a packet goes to the link now."""
        if packet is not None:
            packet.t_sent = time.monotonic()
            packet.n_handed += 1
        if isinstance(radio.link, AirLink):
            self._outstanding.append(packet)
        elif packet is not None:
            packet.n_delivered += 1

    def _on_taken(self, data: bytes, taken: bool) -> None:
        """Note whether the other side took a packet."""
        channel, code = struct.unpack_from("<HB", data, 2)
        if channel != _ATT_CHANNEL or code not in (_NOTIFICATION, _INDICATION):
            return
        packet = self._outstanding.popleft() if self._outstanding else None
        if packet is not None and taken:
            packet.n_delivered += 1


class _Consent(PairingDelegate):
    """Says yes or no to pairing, without asking anybody."""

    def __init__(self, consents: bool) -> None:
        super().__init__()
        self._consents = consents

    async def accept(self) -> bool:
        """Accept or refuse a pairing request."""
        return self._consents
