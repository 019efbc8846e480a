"""The air: an in-memory radio link, what is on it, and the Bluetooth backend that listens to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from bumble import hci
from bumble.controller import Controller
from bumble.core import PhysicalTransport
from bumble.device import Advertisement, Device
from bumble.host import Host
from bumble.link import LocalLink
from bumble.ll import ControlPdu
from bumble.transport.common import AsyncPipeSink

from physio_hqc.acquisition.source import BleBackend
from physio_hqc.errors import RecordingError

if TYPE_CHECKING:
    from physio_hqc.acquisition.virtual.peripheral import VirtualPeripheral

_T = TypeVar("_T")

_LAST_WORK_S = 1.0
_ACL_BYTES = 251  # the longest link-layer packet: fewer pieces to pass on
# Extended advertising changes nothing here and doubles the number of reports. Kernels expect the
# "enhanced" connection event of controllers that have it or LL privacy; this one never sends that.
_LEFT_OUT = hci.LeFeatureMask.LL_PRIVACY | hci.LeFeatureMask.LE_EXTENDED_ADVERTISING

# Without a handler of their own, libraries' warnings would end up on the experimenter's screen.
logging.getLogger("bumble").addHandler(logging.NullHandler())

Sent = Callable[[bytes, bool], None]


class AirLink(LocalLink):
    """A link on which the sender learns whether the other side took its packet.

    That is what the acknowledgement of a real link layer tells.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # bumble's has no annotations
        self._watchers: dict[Controller, Sent] = {}

    def watch(self, controller: Controller, sent: Sent) -> None:
        """Call `sent` with every packet of a controller and whether it was taken."""
        self._watchers[controller] = sent

    def remove_controller(self, controller: Controller) -> None:
        """Take a controller off the link."""
        self.controllers.discard(controller)
        self._watchers.pop(controller, None)

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: hci.Address,
        transport: PhysicalTransport,
        data: bytes,
    ) -> None:
        """Carry a packet to the other side, at the next turn of the loop."""
        receiver = self.find_le_controller(destination_address)
        # Not the sender's address of the moment: a kernel takes another one while it scans.
        connection = sender_controller.le_connections.get(destination_address)
        source = sender_controller.random_address if connection is None else connection.self_address
        asyncio.get_running_loop().call_soon(
            self._arrive, sender_controller, receiver, source, transport, data
        )

    def _arrive(
        self,
        sender: Controller,
        receiver: Controller | None,
        source: hci.Address,
        transport: PhysicalTransport,
        data: bytes,
    ) -> None:
        """Hand a packet over if the connection is still there."""
        taken = receiver is not None and source in receiver.le_connections
        if receiver is not None and taken:
            receiver.on_link_acl_data(source, transport, data)
        watcher = self._watchers.get(sender)
        if watcher is not None:
            watcher(data, taken)

    def send_ll_control_pdu(
        self, sender_address: hci.Address, receiver_address: hci.Address, packet: ControlPdu
    ) -> None:
        """Carry a control packet; one to a radio that is gone is lost, as in the air."""
        if self.find_le_controller(receiver_address) is not None:
            super().send_ll_control_pdu(sender_address, receiver_address, packet)


@dataclass(frozen=True)
class Radio:
    """A controller on the link and the host that drives it."""

    link: LocalLink
    controller: Controller
    device: Device

    @classmethod
    async def switched_on(
        cls, link: LocalLink, name: str, address: hci.Address | None = None
    ) -> Radio:
        """Put a radio on the link."""
        controller = Controller(name, link=link)
        controller.le_features &= ~_LEFT_OUT
        controller.le_acl_data_packet_length = _ACL_BYTES
        device = Device(
            name=name,
            address=address or hci.Address.generate_static_address(),
            host=Host(controller, AsyncPipeSink(controller)),
        )
        radio = cls(link, controller, device)
        await device.power_on()
        return radio

    async def switch_off(self) -> None:
        """Take the radio off the link."""
        self.controller.le_legacy_advertiser.stop()
        await self.device.power_off()
        if self.controller in self.link.controllers:
            self.link.remove_controller(self.controller)


class VirtualAir:
    """An async context manager in which virtual peripherals and Bluetooth clients meet.

    Parameters
    ----------
    link : LocalLink, optional
        A link to join instead of making one. Only on an :class:`AirLink` do the peripherals'
        logs know what the other side took; on another, what was handed over counts.

    Attributes
    ----------
    backend : BleBackend
        Bleak backend classes bound to this air, for ``BleakClient(..., backend=...)`` and
        ``BleakScanner(..., backend=...)``.

    Examples
    --------
    >>> import asyncio
    >>> from bleak import BleakClient, BleakScanner
    >>> from physio_hqc.acquisition.virtual import VirtualAir, VirtualHeartRate
    >>> async def main() -> int:
    ...     async with VirtualAir() as air:
    ...         await air.add(VirtualHeartRate("HR 7", battery=64))
    ...         found = await BleakScanner.find_device_by_name("HR 7", backend=air.backend.scanner)
    ...         async with BleakClient(found, backend=air.backend.client) as client:
    ...             return (await client.read_gatt_char("2a19"))[0]
    >>> asyncio.run(main())
    64
    """

    def __init__(self, link: LocalLink | None = None) -> None:
        from physio_hqc.acquisition.virtual.central import bound_backend

        self.link = AirLink() if link is None else link
        self.backend: BleBackend = bound_backend(self)
        self._peripherals: list[VirtualPeripheral] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._scanner: Radio | None = None
        self._listeners: list[Callable[[Advertisement], None]] = []
        self._scan_lock = asyncio.Lock()
        self._centrals: set[Radio] = set()

    @property
    def peripherals(self) -> tuple[VirtualPeripheral, ...]:
        """The peripherals that were added and not removed."""
        return tuple(self._peripherals)

    async def add(self, peripheral: VirtualPeripheral) -> None:
        """Switch a peripheral on.

        Raises
        ------
        RecordingError
            If another peripheral has its address.
        """
        if any(other.address == peripheral.address for other in self._peripherals):
            raise RecordingError(f"two virtual peripherals have the address {peripheral.address}")
        await peripheral.switch_on(self.link)
        self._peripherals.append(peripheral)

    async def remove(self, peripheral: VirtualPeripheral) -> None:
        """Switch a peripheral off for good."""
        self._peripherals.remove(peripheral)
        await peripheral.switch_off()

    async def plug_into(self, transport: Any) -> None:
        """Put the adapter of a real Bluetooth stack on the link.

        Parameters
        ----------
        transport : bumble.transport.Transport
            Such as ``await open_transport("vhci")``, through which the kernel reaches it.
        """
        adapter = Controller(
            "adapter", host_source=transport.source, host_sink=transport.sink, link=self.link
        )
        adapter.le_features &= ~_LEFT_OUT

    async def __aenter__(self) -> VirtualAir:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        troubles: list[BaseException] = []
        for peripheral in self._peripherals:
            try:
                await peripheral.switch_off()
            except Exception as trouble:  # noqa: BLE001  # all are switched off, then it is raised
                troubles.append(trouble)
        self._peripherals.clear()
        for radio in (*self._centrals, *([self._scanner] if self._scanner else [])):
            await radio.switch_off()
        self._centrals.clear()
        self._scanner = None
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_LAST_WORK_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if troubles and error is None:
            raise troubles[0]

    def spawn(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Start a task that ends before the air does."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Wait for work that must not be cut off in the middle of a command to the radio."""
        return await asyncio.shield(self.spawn(work))

    async def central(self) -> Radio:
        """Put a radio for one client on the link."""
        return await self.finish(self._central())

    async def _central(self) -> Radio:
        radio = await Radio.switched_on(self.link, "central")
        self._centrals.add(radio)
        return radio

    async def release(self, radio: Radio) -> None:
        """Take the radio of a client off the link."""
        if radio in self._centrals:
            self._centrals.discard(radio)
            await radio.switch_off()

    async def listen(self, listener: Callable[[Advertisement], None]) -> None:
        """Start handing advertisements to a listener."""
        await self.finish(self._listen(listener))

    async def _listen(self, listener: Callable[[Advertisement], None]) -> None:
        async with self._scan_lock:
            self._listeners.append(listener)
            if self._scanner is None:
                self._scanner = await Radio.switched_on(self.link, "scanner")
                self._scanner.device.on("advertisement", self._advertised)
            if len(self._listeners) == 1:
                await self._scanner.device.start_scanning()

    async def ignore(self, listener: Callable[[Advertisement], None]) -> None:
        """Stop handing advertisements to a listener."""
        await self.finish(self._ignore(listener))

    async def _ignore(self, listener: Callable[[Advertisement], None]) -> None:
        async with self._scan_lock:
            if listener not in self._listeners:
                return
            self._listeners.remove(listener)
            if not self._listeners and self._scanner is not None:
                await self._scanner.device.stop_scanning()

    def rssi(self, address: str, otherwise: int) -> int:
        """Signal strength of a peripheral in dBm; the link itself has none."""
        for peripheral in self._peripherals:
            if peripheral.address == address:
                return peripheral.rssi
        return otherwise

    def _advertised(self, advertisement: Advertisement) -> None:
        """Pass an advertisement on."""
        for listener in tuple(self._listeners):
            listener(advertisement)
