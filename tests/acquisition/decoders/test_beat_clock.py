"""The beat clock: sums of intervals within a run, a new run after a gap, stalls told from gaps."""

import numpy as np
import pytest

from physio_hqc.acquisition.decoders import HeartRateDecoder, Reading, Trouble
from physio_hqc.session import BlockFlag


def packet(*ticks, hr=60):
    return bytes([0x10, hr]) + np.array(ticks, dtype="<u2").tobytes()


def packets_of(beats, end, every=1.0):
    """What a strap sends once a second: the intervals of the beats since the packet before."""
    beats = np.round(beats * 1024) / 1024
    edges = np.arange(every, end, every)
    sent = []
    for edge in edges:
        ends = np.flatnonzero((beats > edge - every) & (beats <= edge))
        ends = ends[ends > 0]
        sent.append((edge, [round((beats[i] - beats[i - 1]) * 1024) for i in ends]))
    return beats, sent


def play(decoder, sent):
    """Beat times, intervals and flags of all packets."""
    times, ticks, flags = [], [], []
    for t, rr in sent:
        for found in decoder.feed(packet(*rr), t):
            if isinstance(found, Reading) and found.stream == "rr":
                times += found.times_s.tolist()
                ticks += found.values.tolist()
                flags.append(found.flags)
    return np.array(times), np.array(ticks), flags


def beats_of(n=120, seed=0, rr=0.85):
    rng = np.random.default_rng(seed)
    return np.cumsum(rr * (1 + 0.07 * rng.standard_normal(n)))


@pytest.mark.parametrize(("rr", "every"), [(0.85, 1.0), (0.35, 1.0), (1.7, 1.0), (0.85, 5.0)])
def test_times_are_the_sum_of_the_intervals_whatever_the_radio_does(rr, every):
    beats, sent = packets_of(beats_of(600, rr=rr), 200.0, every)
    rng = np.random.default_rng(1)
    late = np.sort([t + rng.uniform(0, 0.2) for t, _ in sent])
    times, ticks, flags = play(
        HeartRateDecoder(), [(t, rr) for t, (_, rr) in zip(late, sent, strict=True)]
    )
    assert np.diff(times) * 1024 == pytest.approx(ticks[1:])
    assert set(flags) == {0}
    error = times - beats[1 : len(times) + 1]
    # One unknown delay of the whole run: at most a packet and its jitter.
    assert np.ptp(error) < 1e-9
    assert 0 <= error[0] < every + 0.2


def test_a_gap_begins_a_new_run():
    _, sent = packets_of(beats_of(), 90.0)
    kept = [(t, rr if not 30 < t < 36 else []) for t, rr in sent]  # contact lost, packets go on
    times, ticks, flags = play(HeartRateDecoder(), kept)
    steps = np.diff(times) - ticks[1:] / 1024
    assert np.count_nonzero(np.abs(steps) > 1e-6) == 1
    assert steps.max() == pytest.approx(5, abs=1.5)
    assert flags.count(int(BlockFlag.GAP_BEFORE)) == 1


def test_packets_that_were_held_up_together_are_no_gap():
    _, sent = packets_of(beats_of(), 90.0)
    held = [(35.0 + 0.01 * (t - 30) if 30 <= t <= 35 else t, rr) for t, rr in sent]
    times, ticks, flags = play(HeartRateDecoder(), held)
    assert np.diff(times) * 1024 == pytest.approx(ticks[1:])
    assert set(flags) == {0}


@pytest.mark.parametrize("silent", [5, 20])
def test_packets_that_never_come_are_a_gap(silent):
    _, sent = packets_of(beats_of(), 90.0)
    kept = [(t, rr) for t, rr in sent if not 30 < t < 30 + silent]
    times, _, flags = play(HeartRateDecoder(), kept)
    assert flags.count(int(BlockFlag.GAP_BEFORE)) == 1
    assert (np.diff(times) > 0).all()
    last_packet = max(t for t, rr in kept if rr)
    assert times[-1] == pytest.approx(last_packet, abs=1.2)


def test_absurd_intervals_are_stored_and_told_and_do_not_carry_the_clock_away():
    decoder = HeartRateDecoder()
    decoder.feed(packet(1024), 10.0)
    found = decoder.feed(packet(65535, 1024), 11.0)
    (rr,) = [entry for entry in found if isinstance(entry, Reading) and entry.stream == "rr"]
    assert rr.values.tolist() == [65535, 1024]
    assert (rr.times_s <= 11.0).all()
    assert (rr.times_s >= 10.0).all()
    assert [entry.kind for entry in found if isinstance(entry, Trouble)] == ["implausible"]
    (zero,) = [
        e for e in decoder.feed(packet(0), 12.0) if isinstance(e, Reading) and e.stream == "rr"
    ]
    assert zero.values.tolist() == [0]


def test_reset_begins_a_new_run_without_a_flag():
    decoder = HeartRateDecoder()
    decoder.feed(packet(1024), 10.0)
    decoder.reset()
    times, _, flags = play(decoder, [(50.0, [900])])
    assert times.tolist() == [50.0]
    assert flags == [0]
