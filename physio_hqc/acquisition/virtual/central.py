"""A bleak backend whose radio is on a virtual air.

It behaves as bleak's own backends do where programs can tell: what connecting to a silent device
does (time out), that callbacks and services are gone after a disconnection, which of notification
and indication is chosen (notification where both exist), and which errors are raised.
"""

from __future__ import annotations

import asyncio
import struct
import uuid
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, ClassVar, TypeVar

from bleak import BleakScanner
from bleak.args import SizedBuffer
from bleak.assigned_numbers import gatt_char_props_to_strs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import (
    AdvertisementData,
    AdvertisementDataCallback,
    BaseBleakScanner,
)
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakDeviceNotFoundError, BleakError, BleakGATTProtocolError
from bumble import att, core, hci
from bumble.device import Advertisement, Connection
from bumble.gatt_client import Client as GattClient

from physio_hqc.acquisition.source import BleBackend
from physio_hqc.acquisition.virtual.air import Radio, VirtualAir

_T = TypeVar("_T")
_MTU = 517  # what a host offers: the longest attribute and its header

_UUID_BYTES = {0x02: 2, 0x03: 2, 0x04: 4, 0x05: 4, 0x06: 16, 0x07: 16}
_SHORT_NAME, _NAME, _TX_POWER, _SERVICE_DATA, _MAKER_DATA = 0x08, 0x09, 0x0A, 0x16, 0xFF


def uuid_text(little_endian: bytes) -> str:
    """Write a UUID as bleak does: 128 bit, lower case.

    Examples
    --------
    >>> uuid_text(bytes.fromhex("0D18"))
    '0000180d-0000-1000-8000-00805f9b34fb'
    """
    word = little_endian[::-1]
    if len(word) < 16:
        return f"{word.hex():0>8}-0000-1000-8000-00805f9b34fb"
    return str(uuid.UUID(bytes=word))


def _seen(advertisement: Advertisement, rssi: int) -> AdvertisementData:
    """Turn an advertisement into bleak's form; the scan response repeats what came before."""
    name: str | None = None
    tx_power: int | None = None
    services: dict[str, None] = {}
    service_data: dict[str, bytes] = {}
    maker_data: dict[int, bytes] = {}
    for kind, data in advertisement.data.ad_structures:
        if kind in _UUID_BYTES:
            size = _UUID_BYTES[kind]
            for at in range(0, len(data) - size + 1, size):
                services[uuid_text(data[at : at + size])] = None
        elif kind == _NAME or (kind == _SHORT_NAME and name is None):
            name = data.decode(errors="replace")
        elif kind == _TX_POWER and data:
            (tx_power,) = struct.unpack_from("<b", data)
        elif kind == _SERVICE_DATA:
            service_data[uuid_text(data[:2])] = data[2:]
        elif kind == _MAKER_DATA and len(data) >= 2:
            maker_data[int.from_bytes(data[:2], "little")] = data[2:]
    return AdvertisementData(
        local_name=name,
        manufacturer_data=maker_data,
        service_data=service_data,
        service_uuids=list(services),
        tx_power=tx_power,
        rssi=rssi,
        platform_data=(advertisement,),
    )


class BumbleBleakScanner(BaseBleakScanner):
    """Scanner on a virtual air; use the subclass that ``air.backend.scanner`` is."""

    air: ClassVar[VirtualAir]

    def __init__(
        self,
        detection_callback: AdvertisementDataCallback | None,
        service_uuids: list[str] | None,
        scanning_mode: str = "active",  # noqa: ARG002  # bleak's interface
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        super().__init__(detection_callback, service_uuids)

    async def start(self) -> None:
        """Start scanning."""
        self.seen_devices = {}
        await self.air.listen(self._heard)

    async def stop(self) -> None:
        """Stop scanning."""
        await self.air.ignore(self._heard)

    def _heard(self, advertisement: Advertisement) -> None:
        """Take in one advertisement."""
        address = advertisement.address.to_string(with_type_qualifier=False)
        data = _seen(advertisement, self.air.rssi(address, advertisement.rssi))
        if not self.is_allowed_uuid(data.service_uuids):
            return
        details = {"source": "virtual", "address": advertisement.address}
        device = self.create_or_update_device(address, address, data.local_name, details, data)
        self.call_detection_callbacks(device, data)


class BumbleBleakClient(BaseBleakClient):
    """Client on a virtual air; use the subclass that ``air.backend.client`` is."""

    air: ClassVar[VirtualAir]

    def __init__(
        self,
        address_or_ble_device: BLEDevice | str,
        services: set[str] | None = None,
        *,
        disconnected_callback: Callable[[], None] | None,
        timeout: float,
        **kwargs: Any,  # noqa: ARG002  # what other backends take
    ) -> None:
        super().__init__(
            address_or_ble_device, disconnected_callback=disconnected_callback, timeout=timeout
        )
        self._device = (
            address_or_ble_device if isinstance(address_or_ble_device, BLEDevice) else None
        )
        self._wanted = services
        self._radio: Radio | None = None
        self._connection: Connection | None = None
        self._gone: asyncio.Future[None] | None = None
        self._callbacks: dict[int, Callable[[bytes], None]] = {}

    @property
    def name(self) -> str:
        """Name of the device as advertised; its address with dashes where it has none."""
        known = None if self._device is None else self._device.name
        return known or self.address.replace(":", "-")

    @property
    def mtu_size(self) -> int:
        """Negotiated MTU in bytes."""
        return int(self._connected().att_mtu)

    @property
    def is_connected(self) -> bool:
        """Whether the link is up."""
        return self._connection is not None

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        """Connect, agree on the MTU and find the services."""
        if self._radio is not None:
            raise BleakError("Client is already connected")
        timeout = float(kwargs.get("timeout", self._timeout))
        if self._device is None:
            self._device = await BleakScanner.find_device_by_address(
                self.address, timeout=timeout, backend=self.air.backend.scanner
            )
        if self._device is None:
            raise BleakDeviceNotFoundError(
                self.address, f"Device with address {self.address} was not found"
            )
        try:
            async with asyncio.timeout(timeout):
                await self._open(hci.Address(self.address))
                if pair:
                    await self.pair()
                self.services = await self._discover()
        except BaseException:
            await self.disconnect()
            raise

    async def _open(self, address: hci.Address) -> None:
        """Bring the link up."""
        radio = self._radio = await self.air.central()
        connecting = self.air.spawn(radio.device.connect(address, timeout=None))
        connecting.add_done_callback(_look_at)
        try:
            connection = await asyncio.shield(connecting)
        except core.BaseBumbleError as error:
            raise BleakError(f"failed to connect: {error}") from error
        except asyncio.CancelledError:
            # A command to the controller must not be cut off; waiting for the device may.
            async with radio.device.host.command_semaphore:
                connecting.cancel()
            raise
        self._gone = asyncio.get_running_loop().create_future()
        self._connection = connection
        connection.on(connection.EVENT_DISCONNECTION, self._disconnected)
        await self._call(connection.gatt_client.request_mtu(_MTU))

    def _disconnected(self, _reason: int) -> None:
        """Forget the connection and tell whoever wants to know."""
        self._connection, radio = None, self._radio
        self._radio = None
        self.services = None
        self._callbacks.clear()
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
        if radio is not None:
            self.air.spawn(self.air.release(radio))
        if self._disconnected_callback is not None:
            self._disconnected_callback()

    async def disconnect(self) -> None:
        """Take the link down; nothing to do where there is none."""
        connection, gone, radio = self._connection, self._gone, self._radio
        if connection is not None and gone is not None:
            # The reason of a host that ends a connection itself, as every backend gives it.
            self.air.spawn(self._hang_up(connection))
            await asyncio.shield(gone)
        elif radio is not None:
            self._radio = None
            await self.air.release(radio)

    async def _hang_up(self, connection: Connection) -> None:
        """Ask the controller to end a connection, which the other side may just have done too."""
        with suppress(core.BaseBumbleError):
            await connection.disconnect(hci.HCI_REMOTE_USER_TERMINATED_CONNECTION_ERROR)

    async def pair(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Pair; the keys are forgotten with the connection.

        Raises
        ------
        BleakError
            If the device refuses.
        """
        await self._call(self._connected().pair())

    async def unpair(self) -> None:
        """Disconnect: no keys are kept."""
        await self.disconnect()

    def _connected(self) -> Connection:
        """Return the connection, or say that there is none."""
        if self._connection is None:
            raise BleakError("Not connected")
        return self._connection

    async def _call(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do something over the link; fail as bleak does when the link goes or the device objects.

        The work is not cancelled with the caller: an answer that is under way would be taken for
        that of the next request.
        """
        gone = self._gone
        if self._connection is None or gone is None:
            work.close()
            raise BleakError("Not connected")
        task = self.air.spawn(work)
        task.add_done_callback(_look_at)
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done() or task.cancelled():
            task.cancel()
            raise BleakError("disconnected")
        try:
            result: _T = task.result()
        except att.ATT_Error as error:
            raise BleakGATTProtocolError(int(error.error_code)) from error
        except (core.BaseBumbleError, TimeoutError) as error:
            raise BleakError(str(error) or type(error).__name__) from error
        return result

    def _gatt(self) -> GattClient:
        return self._connected().gatt_client

    async def _discover(self) -> BleakGATTServiceCollection:
        """Ask for all services, characteristics and descriptors."""
        try:
            return await self._call(self._table())
        except BleakError as error:
            raise BleakError(f"failed to discover services, {error}") from error

    async def _table(self) -> BleakGATTServiceCollection:
        gatt = self._gatt()
        table = BleakGATTServiceCollection()
        for service in await gatt.discover_services():
            text = uuid_text(service.uuid.to_bytes())
            if self._wanted is not None and text not in self._wanted:
                continue
            shown = BleakGATTService(service, service.handle, text)
            table.add_service(shown)
            for characteristic in await gatt.discover_characteristics((), service):
                entry = BleakGATTCharacteristic(
                    characteristic,
                    characteristic.handle,
                    uuid_text(characteristic.uuid.to_bytes()),
                    list(gatt_char_props_to_strs(int(characteristic.properties))),
                    lambda: self.mtu_size - 3,
                    shown,
                )
                table.add_characteristic(entry)
                for descriptor in await gatt.discover_descriptors(characteristic):
                    kind = uuid_text(descriptor.type.to_bytes())
                    table.add_descriptor(
                        BleakGATTDescriptor(descriptor, descriptor.handle, kind, entry)
                    )
                characteristic.descriptors_discovered = True
        return table

    async def read_gatt_char(
        self,
        characteristic: BleakGATTCharacteristic,
        *,
        use_cached: bool = False,  # noqa: ARG002  # every read asks the device
        **kwargs: Any,  # noqa: ARG002
    ) -> bytearray:
        """Read a characteristic."""
        return bytearray(await self._call(self._gatt().read_value(characteristic.handle)))

    async def read_gatt_descriptor(
        self,
        descriptor: BleakGATTDescriptor,
        *,
        use_cached: bool = False,  # noqa: ARG002  # every read asks the device
        **kwargs: Any,  # noqa: ARG002
    ) -> bytearray:
        """Read a descriptor."""
        return bytearray(await self._call(self._gatt().read_value(descriptor.handle)))

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
    ) -> None:
        """Write a characteristic."""
        value = bytes(data)
        if not response and len(value) > self.mtu_size - 3:
            raise BleakError(f"{len(value)} bytes do not fit; at most {self.mtu_size - 3} do")
        await self._call(self._gatt().write_value(characteristic.handle, value, response))

    async def write_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, data: SizedBuffer
    ) -> None:
        """Write a descriptor."""
        await self._call(self._gatt().write_value(descriptor.handle, bytes(data), True))

    async def start_notify(
        self,
        characteristic: BleakGATTCharacteristic,
        callback: NotifyCallback,
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Subscribe: to notifications where the characteristic has them, else to indications."""
        self._connected()
        if characteristic.handle in self._callbacks:
            raise BleakError("Characteristic notifications already started")
        if not {"notify", "indicate"} & set(characteristic.properties):
            raise BleakError(f"{characteristic.uuid} neither notifies nor indicates")

        def arrived(value: bytes) -> None:
            callback(bytearray(value))

        # Before the write: the first value may come with its answer.
        self._callbacks[characteristic.handle] = arrived
        try:
            await self._call(characteristic.obj.subscribe(arrived))
        except BaseException:
            self._callbacks.pop(characteristic.handle, None)
            raise

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        """Unsubscribe; a characteristic that was not subscribed to is left alone."""
        self._connected()
        arrived = self._callbacks.pop(characteristic.handle, None)
        if arrived is not None:
            await self._call(characteristic.obj.unsubscribe(arrived))


def _look_at(task: asyncio.Task[Any]) -> None:
    """Take the outcome of work nobody waits for any more, so that it is not reported as lost."""
    if not task.cancelled():
        task.exception()


def bound_backend(air: VirtualAir) -> BleBackend:
    """Make backend classes that use one air."""
    return BleBackend(
        client=type("VirtualBleakClient", (BumbleBleakClient,), {"air": air}),
        scanner=type("VirtualBleakScanner", (BumbleBleakScanner,), {"air": air}),
    )
