"""The virtual Polar H10: bytes on the wire, order of operations, habits."""

from __future__ import annotations

import asyncio
import struct
import time

import numpy as np
import pytest
from bleak import BleakClient
from bleak.exc import BleakGATTProtocolError

from physio_hqc.acquisition.virtual import Faults, VirtualAir, VirtualPolarH10
from physio_hqc.acquisition.virtual.signals import SteadyHeart

CONTROL = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
DATA = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"
START_ECG = "02 00 00 01 82 00 01 01 0E 00"
START_ACC = "02 02 02 01 08 00 00 01 C8 00 01 01 10 00"


async def ask(client, replies, command: str) -> str:
    """Write a command and return the indication that answers it."""
    count = len(replies.values)
    await client.write_gatt_char(CONTROL, bytes.fromhex(command), response=True)
    return (await replies.wait(count + 1))[count].hex(" ").upper()


def ecg_of(frame: bytes) -> tuple[int, list[int]]:
    """Decode an ECG frame the slow way."""
    assert frame[0] == 0
    assert frame[9] == 0
    stamp = int.from_bytes(frame[1:9], "little")
    content = frame[10:]
    return stamp, [
        int.from_bytes(content[i : i + 3], "little", signed=True) for i in range(0, len(content), 3)
    ]


def acc_of(frame: bytes) -> tuple[int, list[tuple[int, ...]]]:
    """Decode an acceleration frame the slow way."""
    assert frame[0] == 2
    assert frame[9] == 1
    return int.from_bytes(frame[1:9], "little"), list(struct.iter_unpack("<3h", frame[10:]))


def test_feature_mask_and_settings_have_the_published_bytes(connected, heard):
    async def main():
        async with connected(VirtualPolarH10()) as (_, client):
            features = await client.read_gatt_char(CONTROL)
            assert bytes(features) == bytes.fromhex("0F05") + bytes(15)
            replies = heard()
            await client.start_notify(CONTROL, replies)
            assert await ask(client, replies, "01 00") == ("F0 01 00 00 00 00 01 82 00 01 01 0E 00")
            assert await ask(client, replies, "01 02") == (
                "F0 01 02 00 00 00 04 19 00 32 00 64 00 C8 00 01 01 10 00 02 03 02 00 04 00 08 00"
            )

    asyncio.run(main())


WRONG = {
    "09 00": "F0 09 00 01",
    "05": "F0 05 00 01",
    "02": "F0 02 00 04",
    "01 04": "F0 01 04 02",
    "01 05": "F0 01 05 03",
    "02 01": "F0 02 01 03",
    "02 00": "F0 02 00 05",
    "02 00 00 01 82": "F0 02 00 04",
    "02 00 00 01 C8 00 01 01 0E 00": "F0 02 00 08",
    "02 00 00 01 82 00 01 01 10 00": "F0 02 00 07",
    "02 02 02 01 10 00 00 01 C8 00 01 01 10 00": "F0 02 02 09",
    "03 00": "F0 03 00 06",
}


def test_wrong_commands_are_answered_with_their_status(connected, heard):
    async def main():
        strap = VirtualPolarH10()
        async with connected(strap) as (_, client):
            replies = heard()
            await client.start_notify(CONTROL, replies)
            assert {command: await ask(client, replies, command) for command in WRONG} == WRONG
            assert not strap.is_streaming("ecg")
            assert [data.hex(" ").upper() for _, _, data in strap.writes] == list(WRONG)

    asyncio.run(main())


def test_start_and_stop(connected, heard):
    async def main():
        strap = VirtualPolarH10()
        async with connected(strap) as (_, client):
            replies = heard()
            await client.start_notify(CONTROL, replies)
            assert await ask(client, replies, START_ECG) == "F0 02 00 00 00"
            assert await ask(client, replies, START_ECG) == "F0 02 00 06"
            assert await ask(client, replies, START_ACC) == "F0 02 02 00 00 01"
            assert strap.is_streaming("ecg")
            assert strap.is_streaming("acc")
            assert await ask(client, replies, "03 02") == "F0 03 02 00 00"
            assert await ask(client, replies, "03 00") == "F0 03 00 00 00"
            assert not strap.is_streaming("ecg")
            assert await ask(client, replies, START_ECG) == "F0 02 00 00 00"

    asyncio.run(main())


def test_answers_come_only_to_who_enabled_indications(connected):
    async def main():
        strap = VirtualPolarH10()
        async with connected(strap) as (_, client):
            await client.write_gatt_char(CONTROL, bytes.fromhex("01 00"), response=True)
            await asyncio.sleep(0.05)
            # Reading the value never gives an answer.
            assert (await client.read_gatt_char(CONTROL))[0] == 0x0F
            with pytest.raises(BleakGATTProtocolError) as refused:
                await client.write_gatt_char(CONTROL, b"", response=True)
            assert refused.value.code == 0x0D

    asyncio.run(main())


def test_too_small_an_mtu_is_refused(connected, heard):
    async def main():
        async with connected(VirtualPolarH10(mtu=185)) as (_, client):
            replies = heard()
            await client.start_notify(CONTROL, replies)
            assert await ask(client, replies, START_ECG) == "F0 02 00 0A"

    asyncio.run(main())


def test_ecg_frames(connected, heard):
    async def main():
        strap = VirtualPolarH10(sfreq=1302.73)  # ten times as fast, to save time
        async with connected(strap) as (_, client):
            replies, frames = heard(), heard()
            await client.start_notify(CONTROL, replies)
            await client.start_notify(DATA, frames)
            await ask(client, replies, START_ECG)
            await frames.wait(25)
            await ask(client, replies, "03 00")
        log = strap.sent["ecg"]
        assert [len(frame) for frame in frames.values] == [229] * len(log)
        assert len(log) >= 25
        stamps, samples = zip(*(ecg_of(frame) for frame in frames.values), strict=True)
        assert np.array_equal(np.concatenate(samples), log.samples(delivered=True))
        assert np.array_equal(np.array(stamps) / 1e9, [p.t_device for p in log])
        # Of the last sample: the first frame is stamped one frame after the start, in 2019.
        assert 599616000.0 < stamps[0] / 1e9 < 599616005.0
        assert np.diff(stamps) == pytest.approx(560.361e6 / 10, abs=1e3)
        assert np.abs(log.samples()).max() > 500
        # Frames come at their times: each is made when its last sample is taken.
        late = np.array([p.t_sent - p.t_host for p in log])
        assert late.min() >= 0
        assert np.median(late) < 0.01

    asyncio.run(main())


def test_frames_follow_the_clock_and_do_not_drift_by_sleeping(connected, heard):
    async def main():
        strap = VirtualPolarH10()
        async with connected(strap) as (_, client):
            replies, frames = heard(), heard()
            await client.start_notify(CONTROL, replies)
            await client.start_notify(DATA, frames)
            await ask(client, replies, START_ECG)
            await frames.wait(4)
        stamps = [ecg_of(frame)[0] for frame in frames.values]
        # The published pair of stamps is 560.361 ms apart.
        assert np.diff(stamps) == pytest.approx(703179873286 - 702619511941, abs=2e3)
        host = [p.t_host for p in strap.sent["ecg"]]
        assert np.diff(host) == pytest.approx(73 / 130.273, abs=1e-6)

    asyncio.run(main())


def test_acceleration_frames(connected, heard):
    async def main():
        strap = VirtualPolarH10()
        async with connected(strap) as (_, client):
            replies, frames = heard(), heard()
            await client.start_notify(CONTROL, replies)
            await client.start_notify(DATA, frames)
            await ask(client, replies, START_ACC)
            await frames.wait(4)
            await ask(client, replies, "03 02")
        log = strap.sent["acc"]
        assert [len(frame) for frame in frames.values] == [226] * len(log)
        stamps, samples = zip(*(acc_of(frame) for frame in frames.values), strict=True)
        assert np.array_equal(np.concatenate(samples), log.samples(delivered=True))
        assert np.diff(stamps) / 1e9 == pytest.approx(36 / (200 * 130.273 / 130), abs=1e-6)
        gravity = np.linalg.norm(np.concatenate(samples), axis=1)
        assert 950 < gravity.min() < gravity.max() < 1050

    asyncio.run(main())


def test_heart_rate_runs_beside_and_intervals_add_up(connected, heard):
    async def main():
        strap = VirtualPolarH10(packet_s=0.1, beats=SteadyHeart(180.0, swing_s=0.01))
        async with connected(strap) as (_, client):
            beats = heard()
            await client.start_notify("2a37", beats)
            await beats.wait(14)
        ticks = []
        for value in beats.values:
            flags, hr = value[0], value[1]
            assert flags in (0x00, 0x10)  # the H10 says nothing of contact
            assert 170 < hr < 190
            ticks += [t for (t,) in struct.iter_unpack("<H", value[2:])]
        assert ticks == strap.sent["rr"].samples(delivered=True).tolist()
        assert len(ticks) >= 3
        assert np.mean(ticks) / 1024 == pytest.approx(1 / 3, abs=0.02)

    asyncio.run(main())


@pytest.mark.parametrize(("contact", "flags"), [(True, 0x16), (False, 0x14), (None, 0x10)])
def test_contact_has_three_states(connected, heard, contact, flags):
    async def main():
        async with connected(VirtualPolarH10(contact=contact, packet_s=0.05)) as (_, client):
            beats = heard()
            await client.start_notify("2a37", beats)
            values = await beats.wait(4)
        assert {value[0] | 0x10 for value in values} == {flags}

    asyncio.run(main())


def test_first_frame_can_be_late_although_beats_come(connected, heard):
    async def main():
        strap = VirtualPolarH10(sfreq=1302.73, first_ecg_delay_s=1.0, packet_s=0.2)
        async with connected(strap) as (_, client):
            replies, frames, beats = heard(), heard(), heard()
            for uuid, tap in ((CONTROL, replies), (DATA, frames), ("2a37", beats)):
                await client.start_notify(uuid, tap)
            began = time.monotonic()
            assert await ask(client, replies, START_ECG) == "F0 02 00 00 00"
            await frames.wait(1)
            assert 1.0 < frames.times[0] - began < 3.0
            assert len(beats.values) >= 4

    asyncio.run(main())


def test_strap_that_streams_already(connected, heard):
    async def main():
        strap = VirtualPolarH10(sfreq=1302.73, already_streaming=("ecg",))
        async with connected(strap) as (_, client):
            replies, frames = heard(), heard()
            await client.start_notify(CONTROL, replies)
            assert await ask(client, replies, START_ECG) == "F0 02 00 06"
            await client.start_notify(DATA, frames)
            await frames.wait(2)
            assert await ask(client, replies, "03 00") == "F0 03 00 00 00"
            count = len(frames.values)
            await asyncio.sleep(0.2)
            assert len(frames.values) == count

    asyncio.run(main())


def test_what_is_sent_while_the_link_is_down_is_what_is_missing(heard):
    async def main():
        strap = VirtualPolarH10(sfreq=1302.73)
        frames = heard()
        async with VirtualAir() as air:
            await air.add(strap)
            client = BleakClient(strap.address, backend=air.backend.client)
            for turn in range(4):
                await client.connect()
                replies = heard()
                await client.start_notify(CONTROL, replies)
                expected = "F0 02 00 00 00" if turn == 0 else "F0 02 00 06"
                assert await ask(client, replies, START_ECG) == expected
                await client.start_notify(DATA, frames)
                await frames.wait(len(frames.values) + 3)
                await strap.drop(unnoticed_s=0.15 if turn % 2 else 0.0)
                await asyncio.sleep(0.1)
                await strap.come_back()
            await client.connect()
            replies = heard()
            await client.start_notify(CONTROL, replies)
            await ask(client, replies, "03 00")
            await client.disconnect()
        log = strap.sent["ecg"]
        assert frames.values == [p.data for p in log.packets(delivered=True)]
        missing = log.packets(delivered=False)
        assert len(missing) > 0
        assert len(missing) + len(frames.values) == len(log) == log.n_made
        assert [p.index for p in log] == list(range(len(log)))
        # Each missing one was made while the strap was away, unnoticed or not, or was not
        # subscribed to again yet.
        assert len(strap.drops) == 4
        assert all(np.isfinite(drop).all() for drop in strap.drops)
        away = [t for drop in strap.drops for t in drop]
        assert all(away[0] < packet.t_host for packet in missing)

    asyncio.run(main())


def test_random_losses_are_all_recovered_from(heard):
    async def main():
        strap = VirtualPolarH10(
            sfreq=1302.73,
            already_streaming=("ecg",),
            drop_every_s=0.25,
            drop_for_s=(0.02, 0.1),
            advertising_interval_s=0.02,
            faults=Faults(seed=5),
        )
        frames = heard()
        async with VirtualAir() as air:
            await air.add(strap)
            async with asyncio.timeout(30):
                while sum(np.isfinite(back) for _, back in strap.drops) < 6:
                    lost = asyncio.Event()
                    async with BleakClient(
                        strap.address,
                        disconnected_callback=lambda _, lost=lost: lost.set(),
                        backend=air.backend.client,
                    ) as client:
                        await client.start_notify(DATA, frames)
                        await lost.wait()
        assert frames.values == [p.data for p in strap.sent["ecg"].packets(delivered=True)]

    asyncio.run(main())
