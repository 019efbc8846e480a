"""Devices that misbehave: the rest of what they say, and the other devices, go on."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("bumble")

from bumble import att

from physio_hqc.acquisition import load_device_profile
from physio_hqc.acquisition.ble.turns import Turns
from physio_hqc.acquisition.virtual import VirtualAir, VirtualHeartRate, VirtualPolarH10
from physio_hqc.acquisition.virtual.signals import SteadyHeart

STARTS = bytes.fromhex("02 00 00 01 82 00 01 01 0E 00")
QUICK = {"sfreq": 1302.73, "packet_s": 0.1, "beats": SteadyHeart(rate=220.0, swing_s=0.01)}


class Strap(VirtualPolarH10):
    """A strap with faults of its own."""

    refuses_stop_when_idle = False
    refuses_all_stops = False
    drops_at_start = 0
    refuses_start = 0
    stops_by_itself = False
    muted = False

    @property
    def starts(self):
        return sum(command == STARTS for _, _, command in self.writes)

    def _command(self, connection, value):
        command = bytes(value)
        idle = not self.is_streaming("ecg")
        if command[0] == 3 and (self.refuses_all_stops or (self.refuses_stop_when_idle and idle)):
            self.writes.append((0.0, "control", command))
            raise att.ATT_Error(error_code=att.ErrorCode(0x80))
        if command[0] == 2 and self.drops_at_start:
            self.drops_at_start -= 1
            self.writes.append((0.0, "control", command))
            self._spawn(self._vanish())
            return
        super()._command(connection, value)
        if command[0] == 2 and self.stops_by_itself:
            self._spawn(self._say_stopped())

    async def _vanish(self):
        await self.drop()
        await self.come_back()

    async def _say_stopped(self):
        await asyncio.sleep(0.02)
        await self.indicate(self._control, bytes.fromhex("01 00"))

    def _answer(self, command):
        if command[0] == 2 and self.refuses_start:
            return bytes([0xF0, 2, command[1], self.refuses_start])
        return super()._answer(command)

    async def notify(self, characteristic, *args, **kwargs):
        if self.muted and characteristic is self._measurement:
            return False
        return await super().notify(characteristic, *args, **kwargs)


def hang(strap, hangs=True):
    """Have a strap take connections and answer no request for the MTU."""
    server = strap._radio.device.gatt_server
    if hangs:
        server.on_att_exchange_mtu_request = lambda _bearer, _request: None
    else:
        del server.on_att_exchange_mtu_request


class TestStops:
    def test_a_device_that_refuses_to_stop_what_does_not_run_is_started(self, running):
        async def main():
            async with VirtualAir() as air:
                strap = Strap(**QUICK)
                strap.refuses_stop_when_idle = True
                await air.add(strap)
                async with running("polar_h10", air.backend) as run:
                    await run.until(lambda: "ecg" in run.sink.packets)
                return run.sink, strap

        sink, strap = asyncio.run(main())
        assert not sink.troubles
        assert not strap.is_streaming("ecg")

    def test_an_error_at_the_end_does_not_keep_the_next_from_being_stopped(self, running):
        async def main():
            async with VirtualAir() as air:
                strap = Strap(**QUICK)
                await air.add(strap)
                async with running("polar_h10", air.backend, streams=("ecg", "acc")) as run:
                    await run.until(lambda: "ecg" in run.sink.packets)
                    strap.refuses_all_stops = True
                return run.sink, [command for _, _, command in strap.writes]

        sink, written = asyncio.run(main())
        assert written[-2:] == [bytes.fromhex("03 00"), bytes.fromhex("03 02")]
        assert sink.troubles == {"stop": 2}


class TestSilence:
    def test_silent_beats_do_not_cost_the_ecg(self, running, fast):
        async def main():
            async with VirtualAir() as air:
                strap = Strap(**QUICK)
                await air.add(strap)
                timing = replace(fast, silence_s=0.4)
                async with running("polar_h10", air.backend, timing=timing) as run:
                    await run.until(lambda: {"ecg", "rr"} <= set(run.sink.packets))
                    strap.muted = True
                    await run.until(lambda: run.sink.troubles["silent"] >= 1)
                    await asyncio.sleep(1.0)
                    n, m = len(run.sink.packets["ecg"]), len(run.sink.packets["rr"])
                    strap.muted = False
                    await run.until(lambda: len(run.sink.packets["rr"]) > m)
                    assert len(run.sink.packets["ecg"]) > n - 1
                return run.sink, strap

        sink, strap = asyncio.run(main())
        assert [state for _, state, _ in sink.states].count("connected") == 1
        assert strap.starts == 1
        sent = strap.sent["ecg"].packets(delivered=True)
        assert np.array_equal(sink.values("ecg"), np.concatenate([p.samples for p in sent]))

    def test_a_refused_ecg_does_not_cost_the_beats(self, running, fast):
        async def main():
            async with VirtualAir() as air:
                strap = Strap(**QUICK)
                strap.refuses_start = 8
                await air.add(strap)
                timing = replace(fast, silence_s=0.2)
                async with running("polar_h10", air.backend, timing=timing) as run:
                    await run.until(lambda: strap.starts >= 3)
                    return run.sink

        sink = asyncio.run(main())
        assert [state for _, state, _ in sink.states].count("connected") == 1
        assert sink.troubles["silent"] >= 2
        assert "rr" in sink.packets

    def test_all_silent_still_gets_a_new_link(self, running, fast):
        async def main():
            async with VirtualAir() as air:
                band = VirtualHeartRate("Band", packet_s=0.05)
                await air.add(band)
                timing = replace(fast, silence_s=0.3)
                async with running("heart_rate", air.backend, timing=timing) as run:
                    await run.until(lambda: "hr" in run.sink.packets)
                    band._packet_s = 60.0

                    async def nothing(*_args, **_kwargs):
                        return False

                    band.notify = nothing
                    await run.until(
                        lambda: [s for _, s, _ in run.sink.states].count("connected") == 2
                    )

        asyncio.run(main())


class TestStoppingByItself:
    def test_again_and_again_is_no_hot_loop(self, running, fast):
        async def main():
            async with VirtualAir() as air:
                strap = Strap(**QUICK)
                strap.stops_by_itself = True
                await air.add(strap)
                timing = replace(fast, backoff_s=0.2, backoff_max_s=15.0)
                async with running("polar_h10", air.backend, timing=timing) as run:
                    await run.until(lambda: run.sink.troubles["stopped"] >= 1)
                    await asyncio.sleep(2.5)
                    return strap.starts

        # At once, then after 0.2, 0.4, 0.8 and 1.6 s.
        assert 3 <= asyncio.run(main()) <= 6

    def test_only_what_stopped_is_started(self, running):
        async def main():
            async with VirtualAir() as air:
                strap = Strap(**QUICK)
                await air.add(strap)
                async with running("polar_h10", air.backend, streams=("ecg", "acc")) as run:
                    await run.until(lambda: {"ecg", "acc"} <= set(run.sink.packets))
                    n = len(strap.writes)
                    strap._end(0)
                    await strap.indicate(strap._control, bytes.fromhex("01 00"))
                    m = len(run.sink.packets["ecg"])
                    await run.until(lambda: len(run.sink.packets["ecg"]) > m + 2)
                    return [command for _, _, command in strap.writes[n:]]

        assert asyncio.run(main()) == [bytes.fromhex("03 00"), STARTS]


def test_a_drop_while_a_reply_is_awaited_is_noticed_at_once(running, fast):
    async def main():
        async with VirtualAir() as air:
            strap = Strap(**QUICK)
            strap.drops_at_start = 2
            await air.add(strap)
            timing = replace(fast, reply_s=30.0)
            async with running("polar_h10", air.backend, timing=timing) as run:
                await run.until(lambda: "ecg" in run.sink.packets)
                return run.sink

    assert "start" not in asyncio.run(main()).troubles


class TestAdapter:
    def test_a_device_that_hangs_does_not_keep_another_away(self, running, fast):
        async def main():
            async with VirtualAir() as air:
                one, two = Strap("1A2B3C4D", **QUICK), Strap("5E6F7A8B", **QUICK)
                await air.add(one)
                await air.add(two)
                timing = replace(fast, connect_s=1.0, connect_max_s=30.0)
                loop = asyncio.get_running_loop()
                async with (
                    running("polar_h10", air.backend, serial="1A2B3C4D", timing=timing) as good,
                    running("polar_h10", air.backend, serial="5E6F7A8B", timing=timing) as bad,
                ):
                    for run in (good, bad):
                        await run.until(lambda run=run: "ecg" in run.sink.packets)
                    hang(two)
                    await two.drop()
                    await two.come_back()
                    await bad.until(lambda: bad.sink.state_now == "connecting")
                    await one.drop()
                    await one.come_back()
                    since = loop.time()
                    await good.until(lambda: good.sink.state_now == "lost")
                    await good.until(lambda: good.sink.state_now == "connected", 20.0)
                    took = loop.time() - since
                    hang(two, hangs=False)
                    await bad.until(lambda: bad.sink.state_now == "connected", 20.0)
                return took

        assert asyncio.run(main()) < 5.0

    def test_recorded_devices_come_first(self):
        async def main():
            turns, order = Turns(), []

            async def use(name):
                async with turns.turn(name):
                    order.append(name)
                    await asyncio.sleep(0.01)

            with turns.missing("recorded"):
                tasks = [asyncio.create_task(use(name)) for name in ("a", "b", "recorded", "c")]
                await asyncio.sleep(0)
                tasks[1].cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            return order

        assert asyncio.run(main()) == ["a", "recorded", "c"]

    def test_an_attempt_becomes_short_when_a_recorded_device_waits(self):
        async def main():
            turns, loop = Turns(), asyncio.get_running_loop()

            async def connect():
                async with turns.turn("slow") as turn, turn.limited(0.1, 60.0):
                    await asyncio.sleep(60.0)

            began = loop.time()
            slow = asyncio.create_task(connect())
            await asyncio.sleep(0.3)
            with turns.missing("recorded"), pytest.raises(TimeoutError):
                await slow
            return loop.time() - began

        assert asyncio.run(main()) < 5.0


def test_a_device_that_could_not_be_connected_is_not_looked_for_all_over_again(running, fast):
    async def main():
        async with VirtualAir() as air:
            await air.add(Strap(failed_discoveries=3, **QUICK))
            timing = replace(fast, settle_s=2.0)
            async with running("polar_h10", air.backend, timing=timing) as run:
                await run.until(lambda: "ecg" in run.sink.packets)
                return run.sink

    states = asyncio.run(main()).states
    tries = [t for t, state, _ in states if state == "connecting"]
    assert len(tries) >= 4
    assert max(np.diff(tries)) < 1.5


class TestNewAddress:
    def strap(self, name, address=None, serial="B7"):
        return VirtualHeartRate(name, serial=serial, packet_s=0.05, address=address)

    async def switch(self, air, run, before, *after):
        await run.until(lambda: "hr" in run.sink.packets)
        await before.drop()
        await run.until(lambda: run.sink.state_now == "lost")
        for each in after:
            await air.add(each)

    @pytest.mark.parametrize("name", ["Strap 12AB34", "Strap"])
    def test_the_same_name_is_the_same_device(self, running, name):
        async def main():
            async with VirtualAir() as air:
                before, after = self.strap(name), self.strap(name)
                await air.add(before)
                async with running("heart_rate", air.backend) as run:
                    await self.switch(air, run, before, after)
                    await run.until(lambda: run.sink.state_now == "connected")
                    assert after.connected

        asyncio.run(main())

    @pytest.mark.parametrize(("name", "serial"), [("Other", "B7"), ("Strap", "C8")])
    def test_another_name_or_serial_number_is_not(self, running, name, serial):
        async def main():
            async with VirtualAir() as air:
                before, other = self.strap("Strap"), self.strap(name, serial=serial)
                await air.add(before)
                async with running("heart_rate", air.backend) as run:
                    await self.switch(air, run, before, other)
                    await asyncio.sleep(1.0)
                    assert run.sink.state_now in ("lost", "connecting")
                    assert "connected" not in [state for _, state, _ in run.sink.states[3:]]
                    await before.come_back()
                    await run.until(lambda: run.sink.state_now == "connected")
                    assert before.connected

        asyncio.run(main())

    def test_of_two_with_its_name_neither_is_taken(self, running):
        async def main():
            async with VirtualAir() as air:
                before, *others = (self.strap("Strap") for _ in range(3))
                await air.add(before)
                async with running("heart_rate", air.backend) as run:
                    await self.switch(air, run, before, *others)
                    await asyncio.sleep(1.0)
                    assert not any(each.connected for each in others)
                    await before.come_back()
                    await run.until(lambda: run.sink.state_now == "connected")
                    assert before.connected

        asyncio.run(main())


def test_lost_is_only_what_was_connected(running):
    profile = load_device_profile("polar_h10")

    async def main():
        async with VirtualAir() as air:
            strap = Strap(pairing="rejected", **QUICK)
            await air.add(strap)
            async with running(profile, air.backend) as run:
                await run.until(lambda: run.sink.troubles["connect"] >= 2)
                return [state for _, state, _ in run.sink.states]

    assert "lost" not in asyncio.run(main())
