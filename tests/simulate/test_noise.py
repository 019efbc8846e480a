"""Disturbances have the size and place they are said to have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from physio_hqc.errors import SignalError
from physio_hqc.simulate import Noise
from physio_hqc.simulate.noise import (
    draw_artifacts,
    ecg_noise,
    eda_noise,
    hold,
    kept_stretches,
    pressure_noise,
)

QUIET = {"white_mv": 0.0, "mains_mv": 0.0, "wander_mv": 0.0, "muscle_mv": 0.0}


@pytest.mark.parametrize("sfreq", [130.0, 250.0, 1000.0])
@pytest.mark.parametrize(
    ("name", "sd"),
    [("white_mv", 0.1), ("mains_mv", 0.1 / np.sqrt(2)), ("wander_mv", 0.1), ("muscle_mv", 0.1)],
)
def test_each_part_has_its_size(sfreq: float, name: str, sd: float) -> None:
    noise = Noise(**{**QUIET, name: 0.1})
    found = ecg_noise(int(600 * sfreq), sfreq, noise, np.random.default_rng(1))
    assert found.std() == pytest.approx(sd, rel=0.1)


def test_parts_lie_in_their_bands() -> None:
    rng = np.random.default_rng(2)
    for name, low, high in (("mains_mv", 59, 61), ("wander_mv", 0.04, 0.6), ("muscle_mv", 15, 180)):
        noise = Noise(**{**QUIET, name: 0.1, "mains_hz": 60.0})
        freqs, power = signal.welch(ecg_noise(300_000, 500.0, noise, rng), 500.0, nperseg=16384)
        inside = (freqs >= low) & (freqs <= high)
        assert power[inside].sum() / power.sum() > 0.9


def test_disturbances_stay_in_their_stretches() -> None:
    rng = np.random.default_rng(3)
    noise = Noise(**QUIET, pressure_mmhg=0.0, eda_us=0.0)
    stretch = np.array([[2.0, 5.0]])
    times = np.arange(2500) / 250.0
    outside = (times < 2.0) | (times >= 5.0)
    for found in (
        ecg_noise(2500, 250.0, noise, rng, motion=stretch),
        ecg_noise(2500, 250.0, noise, rng, pops=stretch),
        pressure_noise(2500, 250.0, noise, rng, motion=stretch),
        eda_noise(2500, 250.0, noise, rng, motion=stretch),
    ):
        assert (found[outside] == 0).all()
        assert np.abs(found[~outside]).max() > 0.1


def test_muscles_are_tense_in_speech() -> None:
    noise = Noise(**{**QUIET, "muscle_mv": 0.1})
    speech = np.array([[100.0, 200.0]])
    found = ecg_noise(75_000, 250.0, noise, np.random.default_rng(4), speech=speech)
    assert found[25_000:50_000].std() / found[:25_000].std() == pytest.approx(3.0, rel=0.1)


def test_calibration_holds_the_value() -> None:
    held = hold(np.arange(10.0), 1.0, np.array([[3.0, 6.0]]))
    np.testing.assert_array_equal(held, [0, 1, 2, 3, 3, 3, 6, 7, 8, 9])


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 1000),
    sfreq=st.sampled_from([4.0, 32.0, 130.0, 1000.0]),
    rate=st.floats(0, 20),
    length=st.floats(0.2, 20),
)
def test_kept_stretches_leave_exactly_the_gaps_out(
    seed: int, sfreq: float, rate: float, length: float
) -> None:
    noise = Noise(dropouts_per_min=rate, dropout_s=length)
    found = draw_artifacts(noise, 60.0, ("ecg",), np.random.default_rng(seed))
    gaps = np.column_stack([found.onset_s, found.offset_s])
    assert (gaps[1:, 0] >= gaps[:-1, 1]).all()
    n = int(60 * sfreq)
    times = np.arange(n) / sfreq
    lost = ((times[:, None] >= gaps[:, 0]) & (times[:, None] < gaps[:, 1])).any(axis=1)
    kept = np.zeros(n, dtype=bool)
    for first, last in kept_stretches(n, sfreq, gaps):
        kept[first:last] = True
    np.testing.assert_array_equal(kept, ~lost)


def test_movements_are_common_dropouts_are_not() -> None:
    noise = Noise(motion_per_min=2.0, dropouts_per_min=2.0)
    found = draw_artifacts(noise, 600.0, ("ecg", "bp", "eda"), np.random.default_rng(5))
    onsets = {
        (stream, kind): found.onset_s[(found.stream == stream) & (found.kind == kind)].tolist()
        for stream in ("ecg", "bp", "eda")
        for kind in ("motion", "dropout")
    }
    assert len(onsets["ecg", "motion"]) > 5
    assert onsets["ecg", "motion"] == onsets["bp", "motion"] == onsets["eda", "motion"]
    assert onsets["ecg", "dropout"] != onsets["bp", "dropout"]
    assert (np.diff(found.onset_s) >= 0).all()


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_impossible_noise_is_refused(value: float) -> None:
    with pytest.raises(SignalError, match="motion_per_min"):
        Noise(motion_per_min=value)
