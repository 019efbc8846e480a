"""A virtual cuff over real GATT: readings at the time when they were taken."""

import asyncio
import math
from datetime import datetime, timedelta

import numpy as np
import pytest

pytest.importorskip("bumble")

from physio_hqc.acquisition.virtual import VirtualAir, VirtualCuff
from physio_hqc.acquisition.virtual.cuff import CuffReading

QUICK = {"measuring_s": 0.3}


def labels(sink):
    """Events, without the ones that stand beside a row and say how its time was found."""
    return [event.label for event in sink.events if event.label != "cuff reading"]


def times_from(sink):
    """How the time of every row was found."""
    beside = [event for event in sink.events if event.label.startswith("cuff reading")]
    return [event.payload["time_from"] for event in beside if "time_from" in event.payload]


def record(running, cuff, act, **options):
    """Run a cuff for as long as `act` does; returns the sink."""

    async def main():
        async with VirtualAir() as air:
            await air.add(cuff)
            async with running("blood_pressure", air.backend, **options) as run:
                await run.until(lambda: run.sink.state_now == "connected")
                await act(run, cuff)
            return run.sink

    return asyncio.run(main())


async def measure_once(run, cuff):
    await cuff.measure()
    await run.until(lambda: "cuff" in run.sink.packets)


@pytest.mark.parametrize("kpa", [False, True])
@pytest.mark.parametrize("offset_s", [0.0, 4000.0, -90000.0])
def test_a_reading_in_mmhg_at_its_time(running, kpa, offset_s):
    cuff = VirtualCuff(kpa=kpa, clock_offset_s=offset_s, **QUICK)
    sink = record(running, cuff, measure_once)
    sent = cuff.sent["cuff"][0]
    assert np.allclose(sink.values("cuff"), sent.samples, atol=0.01)
    assert sink.packets["cuff"][0].values.shape == (1, 4)
    taken = sent.t_host - sink.clock.origin_ns / 1e9
    # The stamp has whole seconds.
    assert -1.05 < sink.times("cuff")[0] - taken < 0.05
    assert sink.known["cuff_clock_offset_s"] == pytest.approx(offset_s, abs=0.2)
    assert not sink.troubles
    assert not labels(sink)
    assert times_from(sink) == ["clock"]


def test_pressure_in_the_cuff_says_only_that_it_measures(running):
    cuff = VirtualCuff(**QUICK)
    sink = record(running, cuff, measure_once)
    told = [facts["measuring"] for facts in sink.told if "measuring" in facts]
    assert told == [True, False]
    assert set(sink.packets) == {"cuff"}


def test_stored_readings_of_before_are_events_and_not_data(running):
    yesterday = datetime.now() - timedelta(days=1)
    stored = [CuffReading(150, 95, 110, 80, yesterday + timedelta(minutes=m)) for m in range(3)]
    cuff = VirtualCuff(stored=stored, **QUICK)
    sink = record(running, cuff, measure_once)
    assert len(sink.packets["cuff"]) == 1
    assert sink.values("cuff")[0, 0] == 124
    assert labels(sink) == ["stored cuff reading from before the session"] * 3
    payload = sink.events[0].payload
    assert (payload["SBP"], payload["DBP"], payload["MAP"], payload["HR"]) == (150, 95, 110, 80)
    assert payload["cuff_time"] == yesterday.replace(microsecond=0).isoformat()
    assert payload["session_time_s"] == pytest.approx(-86400, abs=5)


def test_a_reading_taken_while_the_link_was_down_has_its_own_time(running):
    async def act(run, cuff):
        await cuff.drop()
        await run.until(lambda: run.sink.state_now == "lost")
        await cuff.measure()
        await asyncio.sleep(2.0)
        await cuff.come_back()
        await run.until(lambda: "cuff" in run.sink.packets)

    cuff = VirtualCuff(clock_offset_s=3600.0, **QUICK)
    sink = record(running, cuff, act)
    taken = cuff.sent["cuff"][0].t_host - sink.clock.origin_ns / 1e9
    assert sink.packets["cuff"][0].t_received > taken + 2.0
    assert -1.05 < sink.times("cuff")[0] - taken < 0.1


def test_a_cuff_without_a_clock_to_read_is_compared_by_its_live_reading(running):
    before = datetime.now() + timedelta(hours=5, minutes=-30)
    cuff = VirtualCuff(
        stored=[CuffReading(150, 95, 110, 80, before)],
        clock_offset_s=5 * 3600,
        current_time=False,
        **QUICK,
    )
    sink = record(running, cuff, measure_once)
    assert len(sink.packets["cuff"]) == 1
    taken = cuff.sent["cuff"][-1].t_host - sink.clock.origin_ns / 1e9
    assert abs(sink.times("cuff")[0] - taken) < 1.1
    assert labels(sink) == [
        "cuff reading, time not known yet",
        "stored cuff reading from before the session",
    ]
    assert sink.events[1].payload["session_time_s"] == pytest.approx(-1800, abs=3)
    assert times_from(sink) == ["live"]


def test_a_likely_stamp_is_taken_as_right(running):
    async def act(run, cuff):
        await run.until(lambda: "cuff" in run.sink.packets)

    stamp = datetime.now() + timedelta(seconds=2)
    cuff = VirtualCuff(stored=[CuffReading(131, 85, 99, 70, stamp)], current_time=False, **QUICK)
    sink = record(running, cuff, act)
    assert sink.values("cuff")[0, 0] == 131
    assert sink.troubles == {"cuff_clock": 1}


def test_an_impossible_stamp_leaves_an_event_and_no_data(running):
    async def act(run, cuff):
        await run.until(lambda: bool(run.sink.events))

    stamp = datetime.now() + timedelta(hours=1)
    cuff = VirtualCuff(stored=[CuffReading(131, 85, 99, 70, stamp)], current_time=False, **QUICK)
    sink = record(running, cuff, act)
    assert "cuff" not in sink.packets
    assert sink.troubles == {"cuff_clock": 1}
    assert [event.payload["SBP"] for event in sink.events] == [131]


def test_a_cuff_that_connects_for_each_reading_with_a_clock_an_hour_ahead(running):
    async def act(run, cuff):
        await run.until(lambda: len(run.sink.events) == 2)
        await cuff.drop()
        await run.until(lambda: run.sink.state_now == "lost")
        await asyncio.sleep(1.0)
        await cuff.measure(CuffReading(140, 90, 105, 75))
        await cuff.come_back()
        await run.until(lambda: len(run.sink.packets.get("cuff", [])) == 2)

    ahead = datetime.now() + timedelta(hours=1)
    stored = [
        CuffReading(150, 95, 110, 80, ahead - timedelta(minutes=30)),
        CuffReading(130, 85, 99, 70, ahead),
    ]
    cuff = VirtualCuff(stored=stored, clock_offset_s=3600.0, current_time=False, **QUICK)
    sink = record(running, cuff, act)
    assert sink.values("cuff")[:, 0].tolist() == [130, 140]
    assert (np.diff(sink.times("cuff")) > 0).all()
    assert labels(sink)[2:] == [
        "cuff reading, time not known yet",
        "stored cuff reading from before the session",
    ]
    assert times_from(sink) == ["live", "live"]


def test_readings_of_the_other_user_are_dropped(running):
    async def act(run, cuff):
        await cuff.measure(user=2)
        await cuff.measure(user=1)
        await cuff.measure(user=None, reading=CuffReading(120, 70, user=None))
        await run.until(lambda: len(run.sink.packets.get("cuff", [])) == 2)

    cuff = VirtualCuff(**QUICK)
    sink = record(running, cuff, act, user=1)
    assert sink.values("cuff")[:, 0].tolist() == [124, 120]
    assert sink.troubles == {"other_user": 1}


def test_a_failed_measurement_is_an_event(running):
    async def act(run, cuff):
        await cuff.measure(fails=True, status=1)
        await run.until(lambda: bool(run.sink.events))

    sink = record(running, VirtualCuff(**QUICK), act)
    assert "cuff" not in sink.packets
    assert labels(sink)[0].startswith("cuff measurement failed: ")
    assert "the body moved" in sink.events[0].payload["problems"]


def test_what_speaks_against_a_reading_is_kept_beside_it(running):
    async def act(run, cuff):
        await cuff.measure(status=0b10_0111)
        await run.until(lambda: "cuff" in run.sink.packets)

    sink = record(running, VirtualCuff(**QUICK), act)
    assert sink.values("cuff").shape == (1, 4)
    problems = " ".join(sink.events[0].payload["problems"])
    for word in ("moved", "loose", "irregular", "position"):
        assert word in problems
    assert sink.events[0].onset == sink.times("cuff")[0]


def test_missing_mean_pressure_stays_missing(running):
    async def act(run, cuff):
        await cuff.measure(CuffReading(128, 79))
        await run.until(lambda: "cuff" in run.sink.packets)

    sink = record(running, VirtualCuff(**QUICK), act)
    sbp, dbp, mean, hr = sink.values("cuff")[0]
    assert (sbp, dbp) == (128, 79)
    assert math.isnan(mean)
    assert math.isnan(hr)


def test_what_is_sent_again_after_a_reconnect_is_not_recorded_twice(running):
    async def act(run, cuff):
        await cuff.measure()
        await run.until(lambda: "cuff" in run.sink.packets)
        packet = cuff.sent["cuff"][0]
        await cuff.drop()
        await run.until(lambda: run.sink.state_now == "lost")
        await cuff.come_back()
        await run.until(lambda: run.sink.state_now == "connected")
        await cuff.indicate(cuff._reading, packet.data)
        await cuff.measure(CuffReading(140, 90))
        await run.until(lambda: len(run.sink.packets["cuff"]) == 2)

    sink = record(running, VirtualCuff(**QUICK), act)
    assert sink.values("cuff")[:, 0].tolist() == [124, 140]
