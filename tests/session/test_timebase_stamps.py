"""Sample times whatever the stamps do: wrong, repeated, set anew, lost; truth is simulated."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.session import BLOCK_DTYPE, BlockFlag, reconstruct
from physio_hqc.session.timebase import TimeBase

RATE = 130.27
NOMINAL = 130.0
PER_FRAME = 73
FRAME_S = PER_FRAME / RATE
START_S = 5.0
CLOCK_S = 599616000.0
SIZES = (73, 20, 50, 73, 1, 33, 73, 72, 5)
AT = 267


def sent(
    n_frames: int = 535,
    *,
    seed: int = 0,
    jitter_s: float = 0.2,
    ppm: float = 0.0,
    sizes: tuple[int, ...] = (PER_FRAME,),
) -> np.ndarray:
    """Frames of a strap as they arrive; `first_sample` counts the samples that were taken."""
    rng = np.random.default_rng(seed)
    size = np.resize(sizes, n_frames)
    last = np.cumsum(size) - 1
    true = START_S + last / RATE
    blocks = np.zeros(n_frames, dtype=BLOCK_DTYPE)
    blocks["n_samples"] = size
    blocks["first_sample"] = last - size + 1
    blocks["t_device"] = CLOCK_S + (true - START_S) * (1 + ppm * 1e-6)
    blocks["t_received"] = np.maximum.accumulate(true + rng.uniform(0, jitter_s, n_frames))
    return blocks


def judged(taken: np.ndarray) -> tuple[TimeBase, np.ndarray]:
    """Time base of the frames that arrived, and the error of every sample in ms."""
    stored = taken.copy()
    n = taken["n_samples"]
    stored["first_sample"] = np.cumsum(n) - n
    base = reconstruct(stored, NOMINAL)
    number = np.repeat(taken["first_sample"] - stored["first_sample"], n) + np.arange(n.sum())
    truth = START_S + number / RATE
    order = np.arange(n.sum())
    if base.pieces is not None:
        order = np.concatenate([np.arange(a, b) for a, b in base.pieces])
    assert sorted(order.tolist()) == list(range(n.sum()))
    times = base.times(0, base.n_samples)
    assert np.all(np.diff(times) > 0)
    return base, (times - truth[order]) * 1e3


def p95(error: np.ndarray) -> float:
    return float(np.quantile(np.abs(error), 0.95))


@pytest.mark.parametrize("at", [0, 1, AT, 533, 534])
@pytest.mark.parametrize(
    "wrong_s", [0.3, FRAME_S, 0.9, 2 * FRAME_S, 1.5, 850.0, 1.8e10, -0.3, -FRAME_S, -1.5, -6e8]
)
def test_one_wrong_stamp_moves_nothing(at: int, wrong_s: float) -> None:
    frames = sent()
    frames["t_device"][at] += wrong_s
    base, error = judged(frames)
    assert p95(error) < 2.0
    assert base.n_resets == 0
    if at == AT:
        assert np.abs(error).max() < 2.0
        assert len(base.segments) == 1


@pytest.mark.parametrize("wrong_s", [-0.8, 0.8, -FRAME_S, 5.0])
def test_three_wrong_stamps_in_every_25_frames(wrong_s: float) -> None:
    frames = sent()
    frames["t_device"][np.arange(535) % 25 // 3 == 4] += wrong_s
    base, error = judged(frames)
    assert np.abs(error).max() < 3.0
    assert base.n_resets == 0
    assert len(base.segments) == 1


@pytest.mark.parametrize("from_next", [True, False])
def test_different_frames_at_one_stamp_are_all_presented(from_next: bool) -> None:
    frames = sent()
    k = np.arange(4, 530, 10)
    frames["t_device"][k] = frames["t_device"][k + (1 if from_next else -1)]
    base, error = judged(frames)
    assert np.abs(error).max() < 3.0
    assert base.n_duplicates == 0
    assert len(base.segments) == 1


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), reach=st.sampled_from([0.5, 1.5, 100.0]))
def test_five_percent_of_the_stamps_jump(seed: int, reach: float) -> None:
    rng = np.random.default_rng([seed, 1])
    frames = sent(seed=seed, jitter_s=0.1)
    wrong = rng.random(535) < 0.05
    frames["t_device"][wrong] += rng.uniform(-reach, reach, wrong.sum())
    base, error = judged(frames)
    assert p95(error) < 5.0
    assert base.n_resets == 0
    # Now and then a wrong stamp is that of a packet lost elsewhere.
    assert base.n_reordered <= 1


@pytest.mark.parametrize("flag", [0, BlockFlag.RECONNECT, BlockFlag.CLOCK_RESET])
@pytest.mark.parametrize("lost", [(), (AT + 1,), (AT + 1, AT + 2, AT + 4)])
@pytest.mark.parametrize("back_s", [3.0, 1000.0])
def test_restart_with_the_next_frames_lost(flag: int, lost: tuple[int, ...], back_s: float) -> None:
    frames = sent(jitter_s=0.1)
    frames["t_device"][AT:] -= back_s
    frames["flags"][AT] = flag
    base, error = judged(np.delete(frames, lost))
    assert base.n_resets == 1
    assert p95(error) < 5.0
    assert base.pieces is None
    assert base.segments["start"][1] == AT * PER_FRAME


@pytest.mark.parametrize("set_s", [-3.0, -0.4, -0.2, 0.2, 0.4, 30.0])
def test_clock_set_for_good(set_s: float) -> None:
    frames = sent(jitter_s=0.1)
    frames["t_device"][AT:] += set_s
    base, error = judged(frames)
    assert base.n_resets == 1
    assert p95(error) < 5.0


@pytest.mark.parametrize("flag", [0, BlockFlag.RECONNECT])
@pytest.mark.parametrize("away_s", [20.0, 150.0, 600.0])
@pytest.mark.parametrize("moved", [0.03, 0.7, 1.0, 1.5])
def test_clock_during_an_outage(flag: int, away_s: float, moved: float) -> None:
    frames = sent(1600, jitter_s=0.1)
    away = int(away_s / FRAME_S)
    frames["t_device"][100 + away :] -= away_s * (1 - moved)
    frames["flags"][100 + away] = flag
    base, error = judged(np.delete(frames, np.s_[100 : 100 + away]))
    assert base.n_resets == (moved != 1.0)
    assert p95(error) < 5.0
    assert len(base.segments) == 2


@pytest.mark.parametrize("k", range(9))
def test_one_lost_frame_of_any_size_is_a_gap(k: int) -> None:
    frames = sent(900, jitter_s=0.05, sizes=SIZES)
    base, error = judged(np.delete(frames, 450 + k))
    # A single sample is less than stamps in whole milliseconds may scatter at 1000 Hz.
    assert p95(error) < (2.0 if SIZES[k] > 1 else 1e3 / RATE)
    assert len(base.segments) == (2 if SIZES[k] > 1 else 1)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scatter_ms=st.sampled_from([0.0, 0.5, 3.0]))
def test_lost_frames_among_varying_sizes(seed: int, scatter_ms: float) -> None:
    rng = np.random.default_rng([seed, 1])
    frames = sent(900, seed=seed, jitter_s=0.03, sizes=SIZES)
    frames["t_device"] += rng.normal(0, scatter_ms * 1e-3, 900)
    # A lost frame of one sample is within the scatter that stamps may have.
    frames = frames[(rng.random(900) > 0.03) | (frames["n_samples"] == 1)]
    base, error = judged(frames)
    assert p95(error) < (5.0 if scatter_ms < 1 else 10.0)
    assert base.n_resets == 0


def test_late_frames_are_put_back_however_late() -> None:
    frames = sent(jitter_s=0.05)
    order = np.arange(535)
    for place, later in [(40, 1), (90, 2), (150, 7), (260, 40)]:
        order = np.insert(np.delete(order, place), place + later, place)
    late = frames[order]
    late["t_received"] = np.maximum.accumulate(late["t_received"])
    base, error = judged(late)
    assert base.n_reordered == 4
    assert np.abs(error).max() < 2.0
    assert len(base.segments) == 1


@pytest.mark.parametrize(("per_s", "since_s"), [(0.05, 60.0), (0.02, 60.0), (0.1 / 60, 0.0)])
def test_a_growing_delay_is_no_drift(per_s: float, since_s: float) -> None:
    errors = []
    for seed in range(20):
        frames = sent(400, seed=seed, jitter_s=0.05)
        true = frames["t_device"] - CLOCK_S
        frames["t_received"] += np.clip((true - since_s) * per_s, 0, 4)
        base, error = judged(frames)
        assert abs(base.drift_ppm) < 120.0
        errors.append(p95(error))
    # A minute with fast packets cannot tell a slope to less than some 30 ppm.
    assert np.median(errors) < 5.0
    assert max(errors) < 25.0


def test_epochs_share_the_slope_of_their_crystal() -> None:
    errors = []
    for seed in range(40):
        frames = sent(750, seed=seed, ppm=-80.0 if seed % 2 else 80.0)
        frames["t_device"][300:] -= 5000.0
        base, error = judged(frames)
        assert base.n_resets == 1
        one, other = base.segments["period"]
        assert one == pytest.approx(other, rel=1e-8)
        errors.append(p95(error))
    assert np.mean(np.array(errors) > 5.0) <= 0.15


def test_rows_that_name_the_same_samples_are_presented_once() -> None:
    frames = sent()
    twice = np.insert(frames, 100, frames[100])
    base = reconstruct(twice, NOMINAL)
    assert base.n_duplicates == 1
    assert base.n_samples == 535 * PER_FRAME
    assert len(base.segments) == 1


Numbers = st.floats(allow_nan=True, allow_infinity=True)


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_any_stamps_lose_no_sample(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 60))
    frames = sent(n, jitter_s=0.1, sizes=tuple(data.draw(st.lists(st.integers(1, 90), min_size=1))))
    small = st.sampled_from([0.0, FRAME_S, -FRAME_S, 1.0, -1000.0, np.nan, 1e300])
    shift = st.lists(st.one_of(small, Numbers), min_size=n, max_size=n)
    with np.errstate(over="ignore", invalid="ignore"):
        frames["t_device"] += np.array(data.draw(shift))
    frames["flags"] = data.draw(
        st.lists(st.sampled_from([0, 0, 0, 1, 2, 4, 7]), min_size=n, max_size=n)
    )
    base, _ = judged(frames)
    assert base.n_samples == frames["n_samples"].sum()
    assert len(base.segments) <= 2 * n
    assert np.isfinite(base.times(0, base.n_samples)).all()


def shuffled(seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, 1])
    frames = sent(1000, seed=seed, jitter_s=0.05)
    frames["t_device"] = np.nan
    held = rng.random(1000) < 0.05
    frames["t_received"][held] += rng.choice([0.7, 1.7, 3.0], held.sum())
    return frames[np.argsort(frames["t_received"], kind="stable")]


def stalled(seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, 1])
    frames = sent(1000, seed=seed, jitter_s=0.05)
    frames["t_device"] = np.nan
    for at in rng.integers(50, 950, 8):
        end = frames["t_received"][at] + rng.uniform(1.0, 6.0)
        frames["t_received"][at:] = np.maximum(frames["t_received"][at:], end)
    return frames


@pytest.mark.parametrize("travel", [shuffled, stalled])
@pytest.mark.parametrize("seed", range(5))
def test_without_a_device_clock_no_silence_is_a_loss_by_itself(
    travel: Callable[[int], np.ndarray], seed: int
) -> None:
    frames = travel(seed)
    # What is in which frame cannot be seen without stamps: the frames are taken in order.
    frames["first_sample"] = np.arange(1000) * PER_FRAME
    base, error = judged(frames)
    assert p95(error) < 10.0
    assert len(base.segments) <= 3


def test_a_delay_that_stays_for_a_minute_and_goes_is_no_loss() -> None:
    frames = sent(1600, jitter_s=0.1)
    frames["t_device"] = np.nan
    taken = START_S + frames["first_sample"] / RATE
    for at, delay in [(100, 3.0), (300, 5.0), (500, 2.0)]:
        frames["t_received"][(taken > at) & (taken < at + 60)] += delay
    frames["t_received"] = np.maximum.accumulate(frames["t_received"])
    base, error = judged(frames)
    assert len(base.segments) == 1
    assert p95(error) < 5.0


@pytest.mark.parametrize("seed", range(6))
def test_a_program_that_stamps_what_it_sends_has_no_clock_restarts(seed: int) -> None:
    """Every 20 ms or later it sends what is due, in whole samples, now and then in two parts."""
    rng = np.random.default_rng(seed)
    wakes = np.cumsum(0.02 + rng.exponential(0.0002, 3000) + 0.02 * (rng.random(3000) < 0.02))
    rows, sent_so_far = [], 0
    for wake in wakes.tolist():
        due = math.floor(wake * 250) - sent_so_far
        parts = [due - 1, 1] if due > 1 and rng.random() < 0.2 else [due]
        for n in parts:
            if n:
                rows.append((sent_so_far, n, wake + 0.01 + rng.exponential(0.005), wake, 0))
                sent_so_far += n
    base = reconstruct(np.array(rows, dtype=BLOCK_DTYPE), 250.0)
    assert base.n_resets == 0
    assert base.n_samples == sent_so_far
    times = base.times(0, sent_so_far)
    assert np.all(np.diff(times) > 0)
    error = times - np.arange(sent_so_far) / 250
    assert np.abs(error - np.median(error)).max() < 0.012
