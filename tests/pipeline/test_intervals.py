import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.pipeline.intervals import beats_from_intervals


def beat_times(n=400, seed=1):
    rng = np.random.default_rng(seed)
    rr = 0.85 + 0.05 * np.sin(np.arange(n - 1) / 3) + 0.02 * rng.standard_normal(n - 1)
    return 3.0 + np.concatenate([[0.0], np.cumsum(np.round(rr, 3))])


def test_exact_intervals_give_every_beat_and_no_gap():
    beats = beat_times()
    found, gaps = beats_from_intervals(beats[1:], np.diff(beats))
    np.testing.assert_allclose(found, beats, atol=1e-9)
    assert gaps.shape == (0, 2)


def test_nothing_gives_nothing():
    found, gaps = beats_from_intervals(np.empty(0), np.empty(0))
    assert found.shape == (0,)
    assert gaps.shape == (0, 2)


def test_lost_intervals_are_gaps_between_true_beats():
    beats = beat_times()
    kept = np.ones(399, dtype=bool)
    kept[100:105] = kept[200] = kept[203] = False
    found, gaps = beats_from_intervals(beats[1:][kept], np.diff(beats)[kept])
    expected = np.delete(beats, np.arange(101, 105))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(gaps, [beats[[100, 105]], beats[[200, 201]], beats[[203, 204]]])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.floats(0.0, 0.3))
def test_late_arrivals_are_no_gaps_and_do_not_reach_the_intervals(seed, longest_delay):
    """A radio sensor tells of the beats of the last second, late."""
    beats = beat_times(seed=seed)
    rng = np.random.default_rng(seed)
    arrival = np.maximum.accumulate(np.ceil(beats[1:]) + rng.uniform(0, longest_delay, 399))
    found, gaps = beats_from_intervals(arrival, np.diff(beats))
    assert gaps.shape == (0, 2)
    np.testing.assert_allclose(np.diff(found), np.diff(beats), atol=1e-9)


@pytest.mark.parametrize("lost", [1, 3, 20])
def test_lost_packets_among_late_arrivals_are_found(lost):
    beats = beat_times()
    arrival = np.ceil(beats[1:])
    kept = np.ones(399, dtype=bool)
    kept[150 : 150 + lost] = False
    found, gaps = beats_from_intervals(arrival[kept], np.diff(beats)[kept])
    assert len(gaps) == 1
    assert abs(gaps[0, 0] - beats[150]) < 4.0
    # Before and after, beats are where they were, up to the delay of the fastest packet.
    nearest = np.abs(found[:, None] - beats).min(axis=1)
    assert nearest[:140].max() < 0.25
    assert nearest[160:].max() < 0.25
    assert (np.diff(found) > 0).all()
