"""A virtual Polar H10 over real GATT: what was sent is what arrives, whatever happens."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("bumble")

from physio_hqc.acquisition import SourceOptions, load_device_profile
from physio_hqc.acquisition.ble import BleSource
from physio_hqc.acquisition.virtual import Faults, VirtualAir, VirtualHeartRate, VirtualPolarH10
from physio_hqc.acquisition.virtual.signals import SteadyHeart
from physio_hqc.errors import ConfigError
from physio_hqc.session import BlockFlag

STOP = [bytes.fromhex("03 00"), bytes.fromhex("03 02")]
START_ECG = bytes.fromhex("02 00 00 01 82 00 01 01 0E 00")
ALL = ("ecg", "acc", "rr", "hr")
# Ten times the real rate: a frame every 56 ms.
QUICK = {"sfreq": 1302.73, "packet_s": 0.1, "beats": SteadyHeart(rate=220.0, swing_s=0.01)}


def commands(strap):
    return [command for _, _, command in strap.writes]


def assert_all_that_was_delivered(sink, strap, streams):
    """Sample for sample, stamp for stamp; nothing twice, nothing missing."""
    for name in streams:
        sent = strap.sent[name].packets(delivered=True)
        got = sink.packets[name]
        assert np.array_equal(sink.values(name), np.concatenate([p.samples for p in sent])), name
        if name != "rr":
            stamps = [packet.t_device for packet in got]
            assert stamps == pytest.approx([packet.t_device for packet in sent], abs=1e-6)
            assert (np.diff(stamps) > 0).all()


class TestStreaming:
    def test_every_sample_arrives_as_it_was_sent(self, running):
        async def main():
            async with VirtualAir() as air:
                strap = VirtualPolarH10("1A2B3C4D", battery=77, **QUICK)
                await air.add(strap)
                async with running("polar_h10", air.backend, streams=ALL) as run:
                    await run.until(lambda: len(run.sink.packets.get("ecg", [])) >= 10)
                assert_all_that_was_delivered(run.sink, strap, ["ecg", "acc", "rr"])
                return run.sink, strap

        sink, strap = asyncio.run(main())
        assert not sink.troubles
        assert [state for _, state, _ in sink.states] == ["searching", "connecting", "connected"]
        assert sink.packets["ecg"][0].values.dtype == np.int32
        assert sink.packets["acc"][0].values.shape == (36, 3)
        assert not any(packet.flags for packet in sink.packets["ecg"])
        known = sink.known
        assert (known["serial"], known["battery"], known["mtu"]) == ("1A2B3C4D", 77, 232)
        assert (known["software"], known["model"]) == ("3.2.0", "H10")
        assert known["address"] == strap.address

    def test_stops_before_the_start_and_at_the_end(self, running):
        async def main():
            async with VirtualAir() as air:
                strap = VirtualPolarH10(**QUICK)
                await air.add(strap)
                async with running("polar_h10", air.backend) as run:
                    await run.until(lambda: "ecg" in run.sink.packets)
                    before = commands(strap)
                assert not strap.is_streaming("ecg")
                assert not strap.connected
                return before, commands(strap)

        before, after = asyncio.run(main())
        assert before == [*STOP, START_ECG]
        assert after == [*STOP, START_ECG, STOP[0]]

    def test_arrival_is_when_it_arrived(self, running):
        async def main():
            async with VirtualAir() as air:
                strap = VirtualPolarH10(**QUICK)
                await air.add(strap)
                async with running("polar_h10", air.backend) as run:
                    await run.until(lambda: len(run.sink.packets.get("ecg", [])) >= 5)
                origin = run.sink.clock.origin_ns / 1e9
                sent = strap.sent["ecg"].packets(delivered=True)
                return [p.t_received for p in run.sink.packets["ecg"]], [
                    p.t_sent - origin for p in sent
                ]

        received, sent = asyncio.run(main())
        delays = np.array(received) - np.array(sent)
        assert (delays >= 0).all()
        # The median: one packet may have waited for a busy machine.
        assert np.median(delays) < 0.05

    def test_frames_twice_at_one_stamp_and_swapped_ones_are_passed_on(self, running):
        async def main():
            async with VirtualAir() as air:
                faults = Faults(duplicates=0.2, reorders=0.2, same_stamps=0.2, seed=3)
                strap = VirtualPolarH10(faults=faults, **QUICK)
                await air.add(strap)
                async with running("polar_h10", air.backend) as run:
                    await run.until(lambda: len(run.sink.packets.get("ecg", [])) >= 20)
                return run.sink, strap

        sink, strap = asyncio.run(main())
        got = {packet.values.tobytes() for packet in sink.packets["ecg"]}
        sent = strap.sent["ecg"].packets(delivered=True)
        assert got == {np.asarray(p.samples, dtype=np.int32).tobytes() for p in sent}
        assert sink.troubles

    def test_first_ecg_may_be_late(self, running, fast):
        async def main():
            async with VirtualAir() as air:
                strap = VirtualPolarH10(first_ecg_delay_s=1.5, **QUICK)
                await air.add(strap)
                timing = replace(fast, silence_s=0.4)
                async with running("polar_h10", air.backend, timing=timing) as run:
                    await run.until(lambda: "ecg" in run.sink.packets)
                    return run.sink, commands(strap)

        sink, written = asyncio.run(main())
        assert sink.packets["rr"][0].t_received < sink.packets["ecg"][0].t_received - 1.0
        assert written.count(START_ECG) == 1
        assert not sink.troubles

    def test_already_in_state_is_told_and_listened_to(self, running):
        profile = load_device_profile("polar_h10").model_copy(update={"stop": ()})

        async def main():
            async with VirtualAir() as air:
                strap = VirtualPolarH10(already_streaming=("ecg",), **QUICK)
                await air.add(strap)
                async with running(profile, air.backend) as run:
                    await run.until(lambda: len(run.sink.packets.get("ecg", [])) >= 3)
                    return run.sink

        sink = asyncio.run(main())
        assert sink.troubles == {"already_in_state": 1}
        assert sink.state_now == "connected"

    def test_what_an_earlier_program_left_on_is_stopped_first(self, running):
        async def main():
            async with VirtualAir() as air:
                strap = VirtualPolarH10(already_streaming=("ecg", "acc"), **QUICK)
                await air.add(strap)
                async with running("polar_h10", air.backend) as run:
                    await run.until(lambda: len(run.sink.packets.get("ecg", [])) >= 3)
                    return run.sink, strap.is_streaming("acc")

        sink, acc = asyncio.run(main())
        assert not sink.troubles
        assert not acc
        assert "acc" not in sink.packets

    def test_small_mtu_is_told_and_the_rest_flows(self, running):
        async def main():
            async with VirtualAir() as air:
                await air.add(VirtualPolarH10(mtu=100, **QUICK))
                async with running("polar_h10", air.backend) as run:
                    await run.until(lambda: len(run.sink.packets.get("rr", [])) >= 2)
                    return run.sink

        sink = asyncio.run(main())
        texts = dict(sink.trouble_texts)
        assert "232 are needed" in texts["mtu"]
        assert "invalid MTU (10)" in texts["start"]
        assert "ecg" not in sink.packets

    def test_malformed_packets_are_counted(self, running):
        async def main():
            async with VirtualAir() as air:
                strap = VirtualPolarH10(**QUICK)
                await air.add(strap)
                async with running("polar_h10", air.backend) as run:
                    await run.until(lambda: len(run.sink.packets.get("ecg", [])) >= 2)
                    for junk in (b"", b"\x00", b"\x00" * 12, b"\xff" * 30):
                        await strap.notify(strap._data, junk)
                    n = len(run.sink.packets["ecg"])
                    await run.until(lambda: len(run.sink.packets["ecg"]) >= n + 3)
                assert_all_that_was_delivered(run.sink, strap, ["ecg"])
                return run.sink

        assert sum(asyncio.run(main()).troubles.values()) == 4

    def test_an_error_of_the_sink_is_not_lost_in_the_event_loop(self, fast):
        class FullError(OSError):
            pass

        async def main():
            from physio_hqc.acquisition._collect import Collector

            class Broken(Collector):
                def readings(self, *_args, **_kwargs):
                    raise FullError

            async with VirtualAir() as air:
                strap = VirtualPolarH10(**QUICK)
                await air.add(strap)
                source = BleSource(
                    load_device_profile("polar_h10"),
                    options=SourceOptions(backend=air.backend),
                    timing=fast,
                )
                with pytest.raises(FullError):
                    await asyncio.wait_for(source.run(Broken()), 10)
                assert not strap.is_streaming("ecg")
                assert not strap.connected

        asyncio.run(main())

    def test_facts_are_told_once_and_again_when_they_change(self, running):
        async def main():
            async with VirtualAir() as air:
                strap = VirtualHeartRate("HR 7", contact=True, packet_s=0.05)
                await air.add(strap)
                async with running("heart_rate", air.backend) as run:
                    await run.until(lambda: len(run.sink.packets.get("hr", [])) >= 5)
                    strap.contact = False
                    await run.until(lambda: run.sink.known.get("contact") is False)
                return run.sink

        told = [facts["contact"] for facts in asyncio.run(main()).told if "contact" in facts]
        assert told == [True, False]

    def test_battery_is_read_again_at_the_end(self, running):
        async def main():
            async with VirtualAir() as air:
                strap = VirtualHeartRate("HR 7", battery=64, packet_s=0.05)
                await air.add(strap)
                async with running("heart_rate", air.backend) as run:
                    await run.until(lambda: "hr" in run.sink.packets)
                    strap.battery = 61
                return run.sink

        told = [f["battery"] for f in asyncio.run(main()).told if "battery" in f]
        assert told == [64, 61]


class TestReconnecting:
    def test_a_strap_that_vanishes_and_comes_back(self, running):
        async def main():
            async with VirtualAir() as air:
                strap = VirtualPolarH10(**QUICK)
                await air.add(strap)
                async with running("polar_h10", air.backend, streams=ALL) as run:
                    for round_ in range(1, 4):
                        seen = {name: len(run.sink.packets.get(name, [])) for name in ALL}
                        await run.until(
                            lambda seen=seen: all(
                                len(run.sink.packets.get(name, [])) >= n + 3
                                for name, n in seen.items()
                            )
                        )
                        if round_ == 3:
                            break
                        await strap.drop(unnoticed_s=0.1)
                        await run.until(lambda: run.sink.state_now in ("lost", "searching"))
                        await asyncio.sleep(0.1)
                        await strap.come_back()
                        await run.until(lambda: run.sink.state_now == "connected")
                assert_all_that_was_delivered(run.sink, strap, ["ecg", "acc", "rr"])
                return run.sink

        sink = asyncio.run(main())
        for name in ("ecg", "acc", "rr"):
            flags = [packet.flags & BlockFlag.RECONNECT for packet in sink.packets[name]]
            assert sum(map(bool, flags)) == 2, name
            assert not flags[0]
        states = [state for _, state, _ in sink.states]
        assert states.count("lost") == 2
        assert states.count("connected") == 3
        assert not sink.troubles

    def test_many_random_drops_lose_nothing_that_arrived(self, running):
        async def main():
            async with VirtualAir() as air:
                strap = VirtualPolarH10(
                    drop_every_s=0.4, drop_for_s=(0.02, 0.1), faults=Faults(seed=5), **QUICK
                )
                await air.add(strap)
                async with running("polar_h10", air.backend, streams=ALL) as run:
                    await run.until(lambda: len(strap.drops) >= 8, 20.0)
                assert_all_that_was_delivered(run.sink, strap, ["ecg", "acc", "rr"])

        asyncio.run(main())

    def test_connections_that_fail_are_tried_again(self, running):
        async def main():
            async with VirtualAir() as air:
                await air.add(VirtualPolarH10(failed_discoveries=3, **QUICK))
                async with running("polar_h10", air.backend) as run:
                    await run.until(lambda: "ecg" in run.sink.packets, 20.0)
                    return run.sink

        sink = asyncio.run(main())
        assert sink.troubles["connect"] >= 1
        assert sink.state_now == "connected"

    def test_a_silent_link_is_started_anew(self, running, fast):
        quiet = load_device_profile("polar_h10")
        connection = quiet.connection.model_copy(update={"start_timeout_s": 0.3})
        profile = quiet.model_copy(update={"connection": connection})

        async def main():
            async with VirtualAir() as air:
                strap = VirtualPolarH10(**QUICK)
                await air.add(strap)
                timing = replace(fast, silence_s=0.3, reply_s=0.2)
                async with running(profile, air.backend, timing=timing) as run:
                    await run.until(lambda: len(run.sink.packets.get("ecg", [])) >= 3)
                    # Stopped behind our back: the link stands and beat intervals flow.
                    strap._end(0)
                    n = len(run.sink.packets["ecg"])
                    await run.until(lambda: len(run.sink.packets["ecg"]) >= n + 3)
                    return run.sink, n

        sink, n = asyncio.run(main())
        assert sink.troubles == {"silent": 1}
        assert sink.packets["ecg"][n].flags & BlockFlag.RECONNECT
        assert [state for _, state, _ in sink.states].count("connected") == 1

    def test_a_device_that_says_it_stopped_is_started_at_once(self, running):
        async def main():
            async with VirtualAir() as air:
                strap = VirtualPolarH10(**QUICK)
                await air.add(strap)
                async with running("polar_h10", air.backend) as run:
                    await run.until(lambda: len(run.sink.packets.get("ecg", [])) >= 3)
                    strap._end(0)
                    await strap.indicate(strap._control, bytes.fromhex("01 00"))
                    n = len(run.sink.packets["ecg"])
                    await run.until(lambda: len(run.sink.packets["ecg"]) >= n + 3, 1.5)
                    return run.sink

        assert asyncio.run(main()).troubles == {"stopped": 1}

    def test_a_strap_that_asks_to_be_paired(self, running):
        async def main():
            async with VirtualAir() as air:
                await air.add(VirtualPolarH10(pairing="required", **QUICK))
                async with running("polar_h10", air.backend) as run:
                    await run.until(lambda: "ecg" in run.sink.packets)
                    return run.sink

        assert asyncio.run(main()).troubles == {"pairing": 1}

    def test_a_strap_that_refuses_to_be_paired(self, running):
        async def main():
            async with VirtualAir() as air:
                await air.add(VirtualPolarH10(pairing="rejected", **QUICK))
                async with running("polar_h10", air.backend) as run:
                    await run.until(lambda: run.sink.troubles["connect"] >= 2)
                    return run.sink

        sink = asyncio.run(main())
        assert any("pair it once" in text for _, text in sink.trouble_texts)


class TestEnding:
    @pytest.mark.parametrize("moment", ["searching", "connecting"])
    def test_can_be_cancelled_at_any_time(self, running, moment):
        async def main():
            async with VirtualAir() as air:
                strap = VirtualPolarH10(**QUICK)
                if moment == "connecting":
                    await air.add(strap)
                async with running("polar_h10", air.backend) as run:
                    await run.until(lambda: run.sink.state_now == moment)
                assert run.task.cancelled()
                assert not strap.connected

        asyncio.run(main())

    def test_cancelled_while_it_connects_leaves_no_link(self, running):
        async def main():
            async with VirtualAir() as air:
                strap = VirtualPolarH10(**QUICK)
                await air.add(strap)
                for step in range(12):
                    async with running("polar_h10", air.backend, serial=strap.serial) as run:
                        await run.until(lambda run=run: run.sink.state_now == "connecting")
                        await asyncio.sleep(0.003 * step)
                    assert not strap.connected
                    assert not strap.is_streaming("ecg")

        asyncio.run(main())

    def test_a_second_cancellation_does_not_leave_it_streaming(self, running):
        async def main():
            async with VirtualAir() as air:
                strap = VirtualPolarH10(**QUICK)
                await air.add(strap)
                async with running("polar_h10", air.backend) as run:
                    await run.until(lambda: "ecg" in run.sink.packets)
                    run.task.cancel()
                    await asyncio.sleep(0)
                    run.task.cancel()
                    await asyncio.gather(run.task, return_exceptions=True)
                    assert not strap.is_streaming("ecg")

        asyncio.run(main())

    def test_an_unknown_stream_is_refused_by_name(self):
        with pytest.raises(ConfigError, match=r"no stream 'eeg'; .*ecg"):
            BleSource(load_device_profile("polar_h10"), options=SourceOptions(streams=("eeg",)))
