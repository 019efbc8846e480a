"""The bleak backend: what any program that uses bleak relies on."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest
from bleak import BleakClient, BleakScanner
from bleak.exc import (
    BleakCharacteristicNotFoundError,
    BleakDeviceNotFoundError,
    BleakError,
    BleakGATTProtocolError,
)
from bleak_retry_connector import establish_connection
from bumble.hci import Address
from bumble.link import LocalLink

from physio_hqc.acquisition.virtual import (
    VirtualAir,
    VirtualCuff,
    VirtualEdaBand,
    VirtualHeartRate,
    VirtualPeripheral,
    VirtualPolarH10,
)
from physio_hqc.errors import RecordingError

HEART_RATE = "0000180d-0000-1000-8000-00805f9b34fb"
BLOOD_PRESSURE = "00001810-0000-1000-8000-00805f9b34fb"
UART = "6e400001-b5a3-f393-e0a9-e50e24dcca9e"
PMD_CONTROL = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"


def test_scan_tells_names_services_and_strength():
    async def main():
        async with VirtualAir() as air:
            strap = VirtualPolarH10("1234ABCD", rssi=-71)
            for peripheral in (strap, VirtualCuff("Cuff 9"), VirtualEdaBand("07")):
                await air.add(peripheral)
            found = await BleakScanner.discover(0.4, return_adv=True, backend=air.backend.scanner)
        seen = {device.name: (device.address, data) for device, data in found.values()}
        assert set(seen) == {"Polar H10 1234ABCD", "Cuff 9", "EDA Band 07"}
        address, data = seen["Polar H10 1234ABCD"]
        assert address == strap.address
        assert (data.local_name, data.rssi) == ("Polar H10 1234ABCD", -71)
        assert data.service_uuids == [HEART_RATE, "0000feee-0000-1000-8000-00805f9b34fb"]
        assert seen["Cuff 9"][1].service_uuids == [BLOOD_PRESSURE]
        assert seen["EDA Band 07"][1].service_uuids == [UART]

    asyncio.run(main())


def test_scanner_filters_by_service_and_clears_what_it_saw():
    async def main():
        async with VirtualAir() as air:
            strap = VirtualHeartRate()
            await air.add(strap)
            await air.add(VirtualCuff())
            scanner = BleakScanner(service_uuids=[HEART_RATE], backend=air.backend.scanner)
            async with scanner:
                await asyncio.sleep(0.35)
            assert [d.name for d in scanner.discovered_devices] == ["Virtual HR"]
            await strap.drop()
            async with scanner:
                await asyncio.sleep(0.3)
            assert scanner.discovered_devices == []

    asyncio.run(main())


def test_two_scanners_at_once():
    async def main():
        async with VirtualAir() as air:
            await air.add(VirtualHeartRate("A"))
            await air.add(VirtualHeartRate("B"))
            found = await asyncio.gather(
                BleakScanner.find_device_by_name("A", backend=air.backend.scanner),
                BleakScanner.find_device_by_name("B", backend=air.backend.scanner),
            )
        assert [device.name for device in found] == ["A", "B"]

    asyncio.run(main())


def test_connected_peripheral_does_not_advertise(connected):
    async def main():
        async with connected(VirtualHeartRate()) as (air, client):
            assert client.is_connected
            assert await BleakScanner.discover(0.3, backend=air.backend.scanner) == []
            await client.disconnect()
            assert len(await BleakScanner.discover(0.3, backend=air.backend.scanner)) == 1

    asyncio.run(main())


def test_services_properties_and_name(connected):
    async def main():
        async with connected(VirtualPolarH10("55667788")) as (_, client):
            assert client.name == "Polar H10 55667788"
            control = client.services.get_characteristic(PMD_CONTROL)
            assert set(control.properties) == {"read", "write", "indicate"}
            assert control.service_uuid == "fb005c80-02e7-f387-1cad-8acd2d8df0c8"
            data = client.services.get_characteristic("fb005c82-02e7-f387-1cad-8acd2d8df0c8")
            assert data.properties == ["notify"]
            assert [d.uuid[4:8] for d in data.descriptors] == ["2902"]
            texts = [
                bytes(await client.read_gatt_char(uuid)).decode()
                for uuid in ("2a29", "2a24", "2a25", "2a26", "2a27", "2a28")
            ]
        expected = ["Polar Electro Oy", "H10", "55667788", "5.0.0", "00760690.03", "3.2.0"]
        assert texts == expected

    asyncio.run(main())


def test_services_can_be_limited(connected):
    async def main():
        async with connected(VirtualHeartRate(), services=["180f"]) as (_, client):
            assert [s.uuid[4:8] for s in client.services] == ["180f"]

    asyncio.run(main())


@pytest.mark.parametrize(("offered", "agreed"), [(23, 23), (185, 185), (232, 232), (600, 517)])
def test_mtu_is_agreed_on(connected, offered, agreed):
    async def main():
        async with connected(VirtualHeartRate(mtu=offered)) as (_, client):
            assert client.mtu_size == agreed
            entry = client.services.get_characteristic("2a39")
            assert entry.max_write_without_response_size == agreed - 3

    asyncio.run(main())


def test_long_values_are_read_whole_over_a_small_mtu(connected):
    async def main():
        strap = VirtualHeartRate(mtu=23, serial="0123456789" * 5)
        async with connected(strap) as (_, client):
            assert bytes(await client.read_gatt_char("2a25")).decode() == "0123456789" * 5

    asyncio.run(main())


def test_errors_are_bleaks(connected):
    async def main():
        async with connected(VirtualHeartRate()) as (_, client):
            with pytest.raises(BleakCharacteristicNotFoundError):
                await client.read_gatt_char("2a4d")
            with pytest.raises(BleakGATTProtocolError) as refused:
                await client.write_gatt_char("2a39", b"\x05", response=True)
            assert refused.value.code == 0x80
            with pytest.raises(BleakGATTProtocolError) as refused:
                await client.read_gatt_char("2a37")
            assert refused.value.code == 0x02
            with pytest.raises(BleakError, match="neither"):
                await client.start_notify("2a38", lambda *_: None)
            with pytest.raises(BleakError, match="do not fit"):
                await client.write_gatt_char("2a39", bytes(500), response=False)
            await client.start_notify("2a37", lambda *_: None)
            with pytest.raises(BleakError, match="already"):
                await client.start_notify("2a37", lambda *_: None)
            with pytest.raises(BleakError, match="already connected"):
                await client.connect()
        with pytest.raises(BleakError):
            await client.read_gatt_char("2a19")
        with pytest.raises(BleakError, match="Not connected"):
            await client.start_notify("2a37", lambda *_: None)
        await client.disconnect()

    asyncio.run(main())


def test_notifications_and_indications_are_chosen_by_the_properties(connected):
    async def main():
        cuff = VirtualCuff()
        async with connected(cuff) as (_, client):
            bits = []
            for uuid in ("2a35", "2a36"):
                entry = client.services.get_characteristic(uuid)
                await client.start_notify(uuid, lambda *_: None)
                bits.append(bytes(await client.read_gatt_descriptor(entry.descriptors[0].handle)))
                await client.stop_notify(uuid)
                bits.append(bytes(await client.read_gatt_descriptor(entry.descriptors[0].handle)))
        assert bits == [b"\x02\x00", b"\x00\x00", b"\x01\x00", b"\x00\x00"]

    asyncio.run(main())


def test_nothing_comes_after_stop_notify(connected, heard):
    async def main():
        band = VirtualEdaBand(already_streaming=True, sfreq=400.0)
        async with connected(band) as (_, client):
            tx = heard()
            await client.start_notify("6e400003-b5a3-f393-e0a9-e50e24dcca9e", tx)
            await tx.wait(5)
            await client.stop_notify("6e400003-b5a3-f393-e0a9-e50e24dcca9e")
            count, made = len(tx.values), len(band.sent["eda"])
            await asyncio.sleep(0.15)
            assert len(tx.values) == count
            assert len(band.sent["eda"]) > made
            assert tx.values == [p.data for p in band.sent["eda"].packets(delivered=True)]

    asyncio.run(main())


def test_loss_of_the_link_is_told_and_a_new_connection_works():
    async def main():
        async with VirtualAir() as air:
            strap = VirtualHeartRate()
            await air.add(strap)
            lost = asyncio.Event()
            device = await BleakScanner.find_device_by_name(
                "Virtual HR", backend=air.backend.scanner
            )
            client = await establish_connection(
                BleakClient,
                device,
                "strap",
                disconnected_callback=lambda _: lost.set(),
                backend=air.backend.client,
            )
            await strap.drop()
            async with asyncio.timeout(2):
                await lost.wait()
            assert not client.is_connected
            with pytest.raises(BleakError):
                _ = client.services
            await strap.come_back()
            await client.connect()
            assert (await client.read_gatt_char("2a38")) == b"\x01"
            lost.clear()
            await client.disconnect()
            assert lost.is_set()

    asyncio.run(main())


def test_request_under_way_fails_when_the_link_goes():
    async def main():
        async with VirtualAir() as air:
            strap = VirtualHeartRate()
            await air.add(strap)
            async with BleakClient(strap.address, backend=air.backend.client) as client:
                reading = asyncio.create_task(client.read_gatt_char("2a19"))
                await asyncio.sleep(0)
                await strap.drop()
                with pytest.raises(BleakError, match="disconnected"):
                    await reading

    asyncio.run(main())


def test_cancelled_request_does_not_spoil_the_next(connected):
    async def main():
        async with connected(VirtualHeartRate(battery=61, serial="S7")) as (_, client):
            for _ in range(5):
                reading = asyncio.create_task(client.read_gatt_char("2a25"))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                reading.cancel()
                assert (await client.read_gatt_char("2a19")) == bytes([61])

    asyncio.run(main())


def test_device_that_is_not_there():
    async def main():
        async with VirtualAir() as air:
            strap = VirtualHeartRate()
            await air.add(strap)
            device = await BleakScanner.find_device_by_address(
                strap.address, backend=air.backend.scanner
            )
            await strap.drop()
            with pytest.raises(BleakDeviceNotFoundError):
                await BleakClient(strap.address, timeout=0.3, backend=air.backend.client).connect()
            client = BleakClient(device, timeout=0.3, backend=air.backend.client)
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                await client.connect()
            assert 0.25 < time.monotonic() - began < 3.0
            # One that waits is connected as soon as the device is back.
            waiting = asyncio.create_task(client.connect(timeout=5))
            await asyncio.sleep(0.2)
            await strap.come_back()
            await waiting
            assert client.is_connected
            await client.disconnect()

    asyncio.run(main())


def test_cancelled_connections_leave_nothing_behind():
    async def main():
        async with VirtualAir() as air:
            strap = VirtualHeartRate(advertising_interval_s=0.02)
            await air.add(strap)
            client = BleakClient(strap.address, backend=air.backend.client)
            for turns in range(0, 60, 3):
                connecting = asyncio.create_task(client.connect())
                for _ in range(turns):
                    await asyncio.sleep(0)
                connecting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await connecting
                assert not client.is_connected
            await client.connect()
            await client.disconnect()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_failing_discoveries_are_retried_by_the_connector():
    async def main():
        async with VirtualAir() as air:
            strap = VirtualHeartRate(failed_discoveries=2)
            await air.add(strap)
            device = await BleakScanner.find_device_by_address(
                strap.address, backend=air.backend.scanner
            )
            with pytest.raises(BleakError, match="failed to discover services"):
                await BleakClient(device, backend=air.backend.client).connect()
            client = await establish_connection(
                BleakClient, device, "strap", backend=air.backend.client
            )
            assert strap.failed_discoveries == 0
            assert (await client.read_gatt_char("2a19")) == bytes([80])
            await client.disconnect()

    asyncio.run(main())


def test_pairing(connected):
    async def main():
        async with connected(VirtualPolarH10(pairing="required")) as (_, client):
            with pytest.raises(BleakGATTProtocolError) as refused:
                await client.write_gatt_char(PMD_CONTROL, b"\x01\x00", response=True)
            assert refused.value.code == 0x05
            await client.pair()
            await client.write_gatt_char(PMD_CONTROL, b"\x01\x00", response=True)
        async with connected(VirtualPolarH10(pairing="rejected")) as (_, client):
            with pytest.raises(BleakError):
                await client.pair()
            with pytest.raises(BleakGATTProtocolError):
                await client.read_gatt_char(PMD_CONTROL)
            assert (await client.read_gatt_char("2a19")) == bytes([80])

    asyncio.run(main())


def test_several_clients_at_once(heard):
    async def main():
        async with VirtualAir() as air:
            bands = [
                VirtualEdaBand(f"{i:02d}", already_streaming=True, sfreq=160.0) for i in range(5)
            ]
            for band in bands:
                await air.add(band)
            clients = [BleakClient(band.address, backend=air.backend.client) for band in bands]
            await asyncio.gather(*(client.connect() for client in clients))
            taps = [heard() for _ in bands]
            for client, tap in zip(clients, taps, strict=True):
                await client.start_notify("6e400003-b5a3-f393-e0a9-e50e24dcca9e", tap)
            await asyncio.gather(*(tap.wait(10) for tap in taps))
            await bands[2].drop()
            assert [client.is_connected for client in clients] == [True, True, False, True, True]
            await asyncio.gather(*(client.disconnect() for client in clients))
            for band, tap in zip(bands, taps, strict=True):
                assert tap.values == [p.data for p in band.sent["eda"].packets(delivered=True)]

    asyncio.run(main())


def test_a_device_takes_one_client_only(connected):
    async def main():
        strap = VirtualHeartRate()
        async with connected(strap) as (air, client):
            with pytest.raises(BleakDeviceNotFoundError):
                await BleakClient(strap.address, timeout=0.3, backend=air.backend.client).connect()
            assert client.is_connected

    asyncio.run(main())


def test_a_host_may_change_its_address_while_it_is_connected(connected):
    async def main():
        async with connected(VirtualHeartRate(battery=33)) as (air, client):
            (central,) = (c for c in air.link.controllers if c.name == "central")
            central.random_address = Address("C0:00:00:11:22:33")
            async with asyncio.timeout(2):
                assert (await client.read_gatt_char("2a19")) == bytes([33])

    asyncio.run(main())


def test_battery_changes_are_notified(connected, heard):
    async def main():
        strap = VirtualHeartRate(battery=55)
        async with connected(strap) as (_, client):
            level = heard()
            await client.start_notify("2a19", level)
            await strap.set_battery(14)
            assert await level.wait(1) == [bytes([14])]
            assert (await client.read_gatt_char("2a19")) == bytes([14])

    asyncio.run(main())


def test_peripheral_is_removed_from_the_air(connected):
    async def main():
        strap = VirtualHeartRate()
        async with connected(strap) as (air, client):
            await air.remove(strap)
            await asyncio.sleep(0.05)
            assert not client.is_connected
            assert air.peripherals == ()

    asyncio.run(main())


def test_air_over_a_link_that_exists(heard):
    async def main():
        band = VirtualEdaBand(already_streaming=True, sfreq=160.0)
        async with VirtualAir(LocalLink()) as air:
            await air.add(band)
            async with BleakClient(band.address, backend=air.backend.client) as client:
                tap = heard()
                await client.start_notify("6e400003-b5a3-f393-e0a9-e50e24dcca9e", tap)
                await tap.wait(5)
        # Nothing is acknowledged on such a link: what was handed over counts.
        handed = [p.data for p in band.sent["eda"].packets(delivered=True)]
        assert tap.values == handed[: len(tap.values)]
        assert len(tap.values) >= 5

    asyncio.run(main())


def test_two_of_one_address_are_refused():
    async def main():
        async with VirtualAir() as air:
            first = VirtualHeartRate()
            await air.add(first)
            with pytest.raises(RecordingError, match="address"):
                await air.add(VirtualHeartRate("other", address=first.address))
            with pytest.raises(RecordingError, match="fit"):
                VirtualHeartRate("x" * 40)

    asyncio.run(main())


def test_what_goes_wrong_inside_a_peripheral_is_raised_by_the_air():
    class Broken(VirtualPeripheral):
        def began(self, t: float) -> None:
            async def fail() -> None:
                raise ArithmeticError("broken inside")

            self.timetable.at(t, fail)

    async def main():
        async with VirtualAir() as air:
            await air.add(Broken("Broken"))
            await asyncio.sleep(0.05)

    with pytest.raises(ArithmeticError, match="broken inside"):
        asyncio.run(main())


def test_without_bumble_the_command_to_install_it_is_told():
    code = (
        "import sys; sys.modules['bumble'] = None\n"
        "from physio_hqc.errors import RecordingError\n"
        "try:\n    import physio_hqc.acquisition.virtual\n"
        "except RecordingError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'physio-hqc[virtual]'" in done.stdout
