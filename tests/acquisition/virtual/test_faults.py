"""What can be wrong with clocks and delivery, seen from the wire and from the logs."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.acquisition.virtual import DeviceClock, Faults, VirtualEdaBand
from physio_hqc.acquisition.virtual.faults import Delivery

TX = "6e400003-b5a3-f393-e0a9-e50e24dcca9e"


def stamp_ms(packet: bytes) -> int:
    return int.from_bytes(packet[1:5], "little")


async def record(connected, heard, n: int, **faults: object):
    """Take n packets of a fast band; return what was heard and the band's log."""
    band = VirtualEdaBand(already_streaming=True, sfreq=400.0, faults=Faults(**faults))
    async with connected(band) as (_, client):
        tap = heard()
        await client.start_notify(TX, tap)
        await tap.wait(n)
    return tap, band.sent["eda"]


def handed(log) -> list[bytes]:
    """Packets that were handed over, as often as they were, in the order in which they were."""
    packets = sorted((p for p in log if p.n_handed), key=lambda p: (p.t_sent, p.index))
    return [p.data for p in packets for _ in range(p.n_handed)]


def test_without_faults_every_packet_comes_once_in_order(connected, heard):
    tap, log = asyncio.run(record(connected, heard, 60))
    assert tap.values == [p.data for p in log.packets(delivered=True)]
    assert {p.n_delivered for p in log.packets(delivered=True)} == {1}
    counters = [value[0] for value in tap.values]
    assert np.all(np.diff(counters) % 256 == 1)


@pytest.mark.parametrize("ppm", [-20000.0, 20000.0])
def test_drift_is_in_the_stamps_and_in_the_pace(connected, heard, ppm):
    _, log = asyncio.run(record(connected, heard, 60, drift_ppm=ppm))
    device, host = log[-1].t_device - log[0].t_device, log[-1].t_host - log[0].t_host
    assert device / host == pytest.approx(1 + ppm * 1e-6, abs=3e-3)
    # 4 samples at 400 Hz by its own clock.
    assert device / (len(log) - 1) == pytest.approx(0.01, abs=5e-5)


def test_jitter_delays_but_keeps_the_order(connected, heard):
    tap, log = asyncio.run(record(connected, heard, 80, latency_s=0.02, jitter_s=0.05))
    assert tap.values == [p.data for p in log.packets(delivered=True)]
    late = np.array([p.t_sent - p.t_host for p in log.packets(delivered=True)])
    assert late.min() > 0.02
    assert late.max() < 0.5
    assert late.max() - late.min() > 0.02


def test_bursts_let_packets_go_together(connected, heard):
    tap, log = asyncio.run(record(connected, heard, 80, burst_s=0.1))
    assert tap.values == [p.data for p in log.packets(delivered=True)]
    pauses = np.diff(tap.times)
    assert (pauses > 0.05).sum() >= 6
    assert (pauses < 0.01).mean() > 0.8


def test_duplicates_are_sent_twice_and_made_once(connected, heard):
    tap, log = asyncio.run(record(connected, heard, 100, duplicates=0.3, seed=2))
    twice = [p for p in log if p.n_delivered == 2]
    assert 10 < len(twice) < 50
    assert len(set(tap.values)) == len(tap.values) - len(twice)
    repeats = [a == b for a, b in zip(tap.values, tap.values[1:], strict=False)]
    assert sum(repeats) == len(twice)


def test_reordered_packets_all_come(connected, heard):
    tap, log = asyncio.run(record(connected, heard, 100, reorders=0.2, seed=3))
    assert sorted(tap.values, key=stamp_ms) == [p.data for p in log.packets(delivered=True)]
    backwards = np.diff([stamp_ms(value) for value in tap.values]) < 0
    assert 5 < backwards.sum() < 40


def test_same_stamps_and_jumps(connected, heard):
    tap, log = asyncio.run(record(connected, heard, 100, same_stamps=0.2, seed=4))
    steps = np.diff([stamp_ms(value) for value in tap.values])
    assert 5 < (steps == 0).sum() < 40
    assert [stamp_ms(p.data) for p in log] == [round(p.t_device * 1e3) for p in log]
    tap, _ = asyncio.run(record(connected, heard, 100, stamp_jumps=0.1, seed=4))
    steps = np.diff([stamp_ms(value) for value in tap.values])
    assert (steps < 0).sum() >= 3
    assert np.abs(steps).max() > 200


def test_clock_restarts(connected, heard):
    _, log = asyncio.run(record(connected, heard, 60, clock_start_s=50.0, clock_restarts_s=(0.3,)))
    stamps = np.array([p.t_device for p in log])
    (at,) = np.flatnonzero(np.diff(stamps) < 0)
    assert stamps[at] == pytest.approx(50.3, abs=0.011)
    assert stamps[at + 1] == pytest.approx(50.0, abs=0.011)


def test_lag_grows(connected, heard):
    _, log = asyncio.run(record(connected, heard, 60, lag_growth=0.5, lag_max_s=0.2))
    packets = log.packets(delivered=True)
    late = np.array([p.t_sent - p.t_host for p in packets])
    since = np.array([p.t_host for p in packets]) - (log[0].t_host - 0.01)
    over = late - np.minimum(0.5 * since, 0.2)
    assert over.min() >= -1e-6
    assert np.median(over) < 0.02
    assert late[-1] >= 0.2 - 1e-6


@settings(deadline=None, max_examples=50)
@given(
    ppm=st.floats(-500, 500),
    start=st.floats(0, 1e9),
    spans=st.lists(st.floats(0, 1e5), min_size=1, max_size=20),
)
def test_clock_is_linear_to_the_nanosecond(ppm, start, spans):
    clock = DeviceClock(start, Faults(drift_ppm=ppm))
    clock.switch_on(0.0)
    for span in spans:
        expected = start * 1e9 + span * (1 + ppm * 1e-6) * 1e9
        assert abs(clock.nanoseconds(span) - expected) <= max(2.0, expected * 1e-15)
        assert clock.host_span(span) * (1 + ppm * 1e-6) == pytest.approx(span)


@settings(deadline=None, max_examples=50)
@given(
    latency=st.floats(0, 1),
    jitter=st.floats(0, 1),
    burst=st.floats(0.01, 2),
    growth=st.floats(0, 0.5),
    gaps=st.lists(st.floats(0, 2), max_size=50),
)
def test_delivery_never_overtakes_and_never_comes_early(latency, jitter, burst, growth, gaps):
    faults = Faults(latency_s=latency, jitter_s=jitter, burst_s=burst, lag_growth=growth)
    delivery = Delivery(faults, 10.0)
    made = 10.0 + np.cumsum([0.0, *gaps])
    due = np.array([delivery.due(t) for t in made])
    assert np.all(np.diff(due) >= 0)
    assert np.all(due >= made + latency - 1e-9)
