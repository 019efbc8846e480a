"""The virtual participant and what wearables measure of it."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import numpy as np
import pytest
from bleak import BleakClient, BleakScanner

from physio_hqc.acquisition.profiles import load_device_profile
from physio_hqc.acquisition.virtual import (
    REHEARSED,
    VirtualAir,
    VirtualParticipant,
    rehearsal,
    virtual_peripheral_for,
)
from physio_hqc.errors import ConfigError
from physio_hqc.signals import detect_r_peaks

DATA = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"


@pytest.fixture(scope="module")
def person() -> VirtualParticipant:
    made = VirtualParticipant(seed=11, time_scale=0.1)
    made.begin(5000.0)
    return made


def test_protocol_is_followed_from_its_second_zero(person):
    truth = person.truth
    beats = person.beats(5000.0, 5000.0 + truth.duration_s - 5)
    own = truth.beat_times_s + 5000.0
    own = own[own <= beats[-1] + 1e-9]
    assert np.isin(np.round(own, 9), np.round(beats, 9))[1:].all()
    # One beat of rest may still come after second 0, or the first one be left out.
    assert abs(len(beats) - len(own)) <= 1
    times = np.array([5010.0, 5100.0, 5150.0])
    assert person.position(times) == pytest.approx(times - 5000.0)
    expected = np.interp(times - 5000.0, truth.grid_s, truth.tonic_us)
    assert np.all(person.eda(times) > expected - 0.02)


def test_beats_asked_for_in_pieces_are_the_same_beats(person):
    edges = np.concatenate([[4900.0], np.sort(np.random.default_rng(1).uniform(4900, 5300, 300))])
    pieces = [person.beats(a, b) for a, b in pairwise(edges)]
    whole = person.beats(edges[0], edges[-1])
    assert np.array_equal(np.concatenate(pieces), whole)
    intervals = np.diff(whole)
    usual = np.median(intervals)
    assert intervals.min() > 0.55 * usual
    assert intervals.max() < 1.75 * usual


def test_whenever_it_begins_no_interval_is_odd(person):
    truth = person.truth
    for begin in 6000.0 + np.arange(0, 3, 0.07):
        person = VirtualParticipant(truth=truth)
        person.begin(begin)
        beats = person.beats(begin - 10, begin + 10)
        around = np.diff(beats) / np.nanmedian(truth.rr_s[:10])
        assert 0.5 < around.min() < around.max() < 1.8
        sfreq = 130.273
        times = begin - 10 + np.arange(int(20 * sfreq)) / sfreq
        peaks = begin - 10 + detect_r_peaks(person.ecg(times) / 1e3, sfreq) / sfreq
        inner = peaks[(peaks > begin - 8) & (peaks < begin + 8)]
        assert np.abs(inner[:, None] - beats[None, :]).min(axis=1).max() < 0.03
        assert abs(len(inner) - ((beats > begin - 8) & (beats < begin + 8)).sum()) <= 1


def test_rest_and_last_phase_come_round(person):
    truth = person.truth
    before = person.position(np.arange(4000.0, 5000.0, 0.5))
    first = truth.phases[0]
    assert first.onset <= before.min() < before.max() <= first.offset
    after = person.position(5000.0 + truth.duration_s + np.arange(0.0, 500.0, 0.5))
    last = truth.phases[-1]
    assert last.onset <= after.min() < after.max() <= last.offset


def test_ecg_has_its_peaks_at_the_beats(person):
    sfreq = 130.273
    times = 4950.0 + np.arange(int(200 * sfreq)) / sfreq  # rest, second 0, protocol
    ecg = person.ecg(times)
    assert np.all(np.isfinite(ecg))
    found = 4950.0 + detect_r_peaks(ecg / 1e3, sfreq) / sfreq
    true = person.beats(4951.0, 5149.0)
    nearest = np.abs(found[:, None] - true[None, :]).min(axis=0)
    assert np.mean(nearest < 0.015) > 0.99


def test_cuff_reads_what_is_true(person):
    truth = person.truth
    speech = truth.phase("speech")
    middle = 5000.0 + (speech.onset + speech.offset) / 2
    readings = np.array([person.pressure(middle) for _ in range(20)])
    assert readings[:, 0].mean() == pytest.approx(speech.sbp, abs=3)
    assert readings[:, 1].mean() == pytest.approx(speech.dbp, abs=3)
    assert readings[:, 3].mean() == pytest.approx(speech.hr, abs=5)
    assert np.all(readings[:, 0] > readings[:, 2])
    assert np.all(readings[:, 2] > readings[:, 1])


def test_chest_stands_upright_and_skin_is_warm(person):
    times = 5000.0 + np.arange(0, 30, 0.05)
    gravity = np.linalg.norm(person.acceleration(times), axis=1)
    assert 970 < gravity.min() < gravity.max() < 1030
    assert np.all(np.abs(person.temperature(times) - 33) < 2)


def test_same_seed_same_person():
    first, second = (VirtualParticipant(seed=4, time_scale=0.05) for _ in range(2))
    for person in (first, second):
        person.begin(100.0)
    times = 100.0 + np.arange(2, 30, 0.1)
    assert np.array_equal(first.ecg(times), second.ecg(times))
    assert first.pressure(150.0) == second.pressure(150.0)


def test_begin_is_awaited():
    async def main():
        person = VirtualParticipant(time_scale=0.05)
        waiting = asyncio.create_task(person.wait_begun())
        await asyncio.sleep(0)
        assert not person.begun
        assert not waiting.done()
        assert np.all(np.isfinite(person.ecg(time.monotonic() + np.arange(50) / 130)))
        person.begin()
        await waiting
        assert person.t_begin == pytest.approx(time.monotonic(), abs=0.1)

    asyncio.run(main())


def test_unknown_profile():
    async def main():
        person = VirtualParticipant(time_scale=0.05)
        with pytest.raises(ConfigError, match="polar_h10"):
            virtual_peripheral_for("polar_h9", person)

    asyncio.run(main())


def test_rehearsal_devices_are_recognized_by_their_profiles():
    async def main():
        person = VirtualParticipant(time_scale=0.05)
        async with VirtualAir() as air:
            worn = await rehearsal(air, person, (*REHEARSED, "polar_h10", "heart_rate"))
            assert list(worn) == [*REHEARSED, "polar_h10_2", "heart_rate"]
            found = await BleakScanner.discover(0.4, return_adv=True, backend=air.backend.scanner)
            seen = {data.local_name: set(data.service_uuids) for _, data in found.values()}
        assert len(seen) == 5
        for name, peripheral in worn.items():
            profile = load_device_profile(name.removesuffix("_2"))
            shown = profile.advertised
            named = any(peripheral.name.startswith(p.rstrip("*")) for p in shown.names)
            assert named or set(shown.services) & seen[peripheral.name]

    asyncio.run(main())


def test_serial_numbers_can_be_chosen():
    async def main():
        person = VirtualParticipant(time_scale=0.05)
        async with VirtualAir() as air:
            chosen = ("polar_h10=1234ABCD", "blood_pressure=77", "nordic_uart_eda=09")
            worn = await rehearsal(air, person, chosen)
            assert {name: p.serial for name, p in worn.items()} == {
                "polar_h10": "1234ABCD",
                "blood_pressure": "77",
                "nordic_uart_eda": "09",
            }
            assert [p.name for p in worn.values()] == [
                "Polar H10 1234ABCD",
                "Virtual Cuff 77",
                "EDA Band 09",
            ]

    asyncio.run(main())


def test_profiles_find_their_characteristics_on_the_virtual_devices():
    async def main():
        person = VirtualParticipant(time_scale=0.05)
        async with VirtualAir() as air:
            worn = await rehearsal(air, person)
            for name, peripheral in worn.items():
                async with BleakClient(peripheral.address, backend=air.backend.client) as client:
                    for entry in load_device_profile(name).characteristics:
                        shown = client.services.get_characteristic(entry.uuid)
                        assert shown.service_uuid == entry.service
                        assert set(entry.access) <= set(shown.properties)

    asyncio.run(main())


def test_cuff_of_a_rehearsal_measures_by_itself(heard):
    async def main():
        person = VirtualParticipant(seed=2, time_scale=0.05)
        async with VirtualAir() as air:
            cuff = virtual_peripheral_for(
                "blood_pressure", person, first_after_s=0.1, measuring_s=0.2
            )
            await air.add(cuff)
            async with BleakClient(cuff.address, backend=air.backend.client) as client:
                readings = heard()
                await client.start_notify("2a35", readings)
                await readings.wait(1)
                # As if the protocol had begun a while ago: the next reading is due in 0.3 s.
                due = float(person.truth.cuff_times_s[1])
                person.begin(time.monotonic() + 0.3 - due)
                await readings.wait(2)
        log = cuff.sent["cuff"]
        assert len(log) == 2
        assert log[1].t_host == pytest.approx(person.t_begin + due + 0.2, abs=0.5)
        assert log[1].samples[0, 0] == pytest.approx(person.truth.phases[0].sbp, abs=12)

    asyncio.run(main())


def test_strap_measures_the_participant(heard):
    async def main():
        person = VirtualParticipant(seed=6, time_scale=0.05)
        async with VirtualAir() as air:
            strap = virtual_peripheral_for("polar_h10", person, already_streaming=("ecg",))
            await air.add(strap)
            async with BleakClient(strap.address, backend=air.backend.client) as client:
                frames, beats = heard(), heard()
                await client.start_notify(DATA, frames)
                await client.start_notify("2a37", beats)
                await frames.wait(3)
                await beats.wait(2)
        packet = strap.sent["ecg"][1]
        times = packet.t_host + np.arange(-72, 1) / 130.273
        assert packet.samples == pytest.approx(person.ecg(times), abs=0.51)
        hr = 60 / np.median(np.diff(person.beats(packet.t_host - 20, packet.t_host)))
        assert strap.sent["rr"][-1].extra["hr"] == pytest.approx(hr, abs=12)

    asyncio.run(main())
