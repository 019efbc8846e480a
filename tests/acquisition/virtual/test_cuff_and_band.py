"""The virtual cuff, heart-rate strap and EDA band: bytes on the wire and habits."""

from __future__ import annotations

import asyncio
import struct
import time
from datetime import datetime

import numpy as np
import pytest
from bleak import BleakClient

from physio_hqc.acquisition.virtual import CuffReading, VirtualAir, VirtualCuff, VirtualEdaBand
from physio_hqc.acquisition.virtual.cuff import blood_pressure_measurement, sfloat
from physio_hqc.acquisition.virtual.heart_rate import heart_rate_measurement

WHEN = datetime(2026, 3, 14, 15, 9, 26)
NAN = float("nan")
RX = "6e400002-b5a3-f393-e0a9-e50e24dcca9e"
TX = "6e400003-b5a3-f393-e0a9-e50e24dcca9e"


@pytest.mark.parametrize(
    ("hr", "ticks", "options", "expected"),
    [
        (85, [], {}, "00 55"),
        (255, [], {"contact": False}, "04 FF"),
        (85, [33], {"contact": True, "energy_kj": 50}, "1E 55 32 00 21 00"),
        (
            257,
            [1, 258, 65535],
            {"contact": True, "energy_kj": 306},
            "1F 01 01 32 01 01 00 02 01 FF FF",
        ),
        (60, [1024], {}, "10 3C 00 04"),
        (72, [834, 847], {"contact": True}, "16 48 42 03 4F 03"),
        (180, [341, 341, 341], {}, "10 B4 55 01 55 01 55 01"),
    ],
)
def test_heart_rate_bytes(hr, ticks, options, expected):
    assert heart_rate_measurement(hr, ticks, **options).hex(" ").upper() == expected


@pytest.mark.parametrize(
    ("value", "exponent", "word"),
    [(138, 0, "8A00"), (18.9, -1, "BDF0"), (15.9, -1, "9FF0"), (120, 0, "7800"), (NAN, 0, "FF07")],
)
def test_sfloat_words(value, exponent, word):
    assert struct.pack("<H", sfloat(value, exponent)).hex().upper() == word


def test_reading_bytes():
    reading = CuffReading(128, 79, 96, 72, WHEN, 1)
    expected = "1E 80 00 4F 00 60 00 EA 07 03 0E 0F 09 1A 48 00 01 00 00"
    assert blood_pressure_measurement(reading).hex(" ").upper() == expected
    in_kpa = CuffReading(120.01, 78.76, 92.26, 72, WHEN, None, 0b100)
    expected = "1F A0 F0 69 F0 7B F0 EA 07 03 0E 0F 09 1A 48 00 FF 04 00"
    assert blood_pressure_measurement(in_kpa, kpa=True).hex(" ").upper() == expected
    failed = blood_pressure_measurement(CuffReading(NAN, NAN), timed=False, users=False)
    assert failed.hex(" ").upper() == "14 FF 07 FF 07 FF 07 FF 07 00 00"


def pressure_of(data: bytes) -> list[float]:
    """First three numbers of a reading, read the slow way."""
    values = []
    for word in struct.unpack_from("<3H", data, 1):
        mantissa, exponent = word & 0xFFF, word >> 12
        mantissa -= 4096 if mantissa > 2047 else 0
        exponent -= 16 if exponent > 7 else 0
        values.append(mantissa * 10.0**exponent)
    return values


def test_measurement_pumps_and_is_indicated(connected, heard):
    async def main():
        cuff = VirtualCuff(measuring_s=1.0, pressure=lambda _: (131.2, 84.4, 99.9, 71.0))
        async with connected(cuff) as (_, client):
            readings, pumping = heard(), heard()
            await client.start_notify("2a35", readings)
            await client.start_notify("2a36", pumping)
            began = time.monotonic()
            measuring = asyncio.create_task(cuff.measure())
            await pumping.wait(1)
            assert cuff.measuring
            packet = await measuring
            assert 1.0 <= time.monotonic() - began < 3.0
            (data,) = await readings.wait(1)
            assert (await client.read_gatt_char("2a49")) == b"\x1f\x00"
        assert data == packet.data
        assert data[0] == 0x1E
        assert pressure_of(data) == [131.0, 84.0, 100.0]
        assert packet.samples.tolist() == [[131.0, 84.0, 100.0, 71.0]]
        assert packet.delivered
        assert not cuff.measuring
        assert cuff.n_stored == 0
        assert [pressure_of(value)[0] for value in pumping.values] == [
            p.samples[0] for p in cuff.sent["cuff_pressure"]
        ]

    asyncio.run(main())


def test_kpa(connected, heard):
    async def main():
        cuff = VirtualCuff(measuring_s=0.1, kpa=True, user=None)
        async with connected(cuff) as (_, client):
            readings = heard()
            await client.start_notify("2a35", readings)
            packet = await cuff.measure(CuffReading(120.0, 80.0, 93.0, 66.0))
            (data,) = await readings.wait(1)
        assert data[0] & 0x01
        assert pressure_of(data) == pytest.approx([16.0, 10.7, 12.4])
        assert packet.samples[0, :3] == pytest.approx(np.array([16.0, 10.7, 12.4]) * 7.50062, 1e-5)
        assert data[16] == 255

    asyncio.run(main())


def test_stored_readings_come_when_somebody_listens_in_their_order(connected, heard):
    async def main():
        stored = [CuffReading(110 + i, 70, 80, 60, WHEN, user=i) for i in range(3)]
        cuff = VirtualCuff(measuring_s=0.1, stored=stored)
        async with connected(cuff) as (_, client):
            await cuff.measure(user=7)
            assert cuff.n_stored == 4
            readings = heard()
            await client.start_notify("2a35", readings)
            values = await readings.wait(4)
            await asyncio.sleep(0.05)
            assert cuff.n_stored == 0
        assert [value[16] for value in values] == [0, 1, 2, 7]
        assert [p.extra["stored"] for p in cuff.sent["cuff"]] == [True, True, True, False]
        assert values[0][7:14] == bytes.fromhex("EA07030E0F091A")

    asyncio.run(main())


def test_reading_taken_while_away_is_delivered_on_return(heard):
    async def main():
        cuff = VirtualCuff(measuring_s=0.1)
        readings = heard()
        async with VirtualAir() as air:
            await air.add(cuff)
            for _ in range(2):
                async with BleakClient(cuff.address, backend=air.backend.client) as client:
                    await client.start_notify("2a35", readings)
                    await asyncio.sleep(0.05)
                    await cuff.drop()
                await cuff.measure()
                await cuff.come_back()
            async with BleakClient(cuff.address, backend=air.backend.client) as client:
                await client.start_notify("2a35", readings)
                await readings.wait(2)
        assert readings.values == [p.data for p in cuff.sent["cuff"]]

    asyncio.run(main())


def test_failed_measurement(connected, heard):
    async def main():
        cuff = VirtualCuff(measuring_s=0.1)
        async with connected(cuff) as (_, client):
            readings = heard()
            await client.start_notify("2a35", readings)
            packet = await cuff.measure(fails=True, status=0b1)
            (data,) = await readings.wait(1)
        assert data[1:7] == bytes.fromhex("FF07FF07FF07")
        assert data[-2:] == b"\x01\x00"
        assert np.isnan(packet.samples).all()

    asyncio.run(main())


def test_clock_of_the_cuff(connected):
    async def main():
        async with connected(VirtualCuff(clock_offset_s=3600.0)) as (_, client):
            data = bytes(await client.read_gatt_char("2a2b"))
        assert len(data) == 10
        year, month, day, hour, minute, second, weekday = struct.unpack_from("<HBBBBBB", data)
        when = datetime(year, month, day, hour, minute, second)
        assert (when - datetime.now()).total_seconds() == pytest.approx(3600, abs=2)
        assert when.isoweekday() == weekday
        async with connected(VirtualCuff(current_time=False)) as (_, client):
            assert client.services.get_characteristic("2a2b") is None

    asyncio.run(main())


def test_band_starts_and_stops(connected, heard):
    async def main():
        band = VirtualEdaBand("42", sfreq=80.0)
        async with connected(band) as (_, client):
            assert client.mtu_size == 23
            packets = heard()
            await client.start_notify(TX, packets)
            await asyncio.sleep(0.12)
            assert packets.values == []
            await client.write_gatt_char(RX, b"\x01", response=True)
            await packets.wait(5)
            assert band.is_streaming
            await client.write_gatt_char(RX, b"\x00", response=False)
            await asyncio.sleep(0.1)
            assert not band.is_streaming
            count = len(packets.values)
            await asyncio.sleep(0.12)
            assert len(packets.values) == count
        rows = [struct.unpack("<BIh4H", value) for value in packets.values]
        assert [row[0] for row in rows] == list(range(count))
        assert np.diff([row[1] for row in rows]) == pytest.approx(50, abs=1)
        assert np.concatenate([row[3:] for row in rows]).tolist() == (
            band.sent["eda"].samples().tolist()
        )
        assert [row[2] for row in rows] == [p.extra["temp"] for p in band.sent["eda"]]
        assert all(2000 < value < 8000 for row in rows for value in row[3:])
        assert all(3000 < row[2] < 3500 for row in rows)

    asyncio.run(main())
