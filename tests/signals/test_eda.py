"""Electrodermal activity: simulated truth, worked example, real recordings, quality."""

import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from physio_hqc.errors import SignalError
from physio_hqc.signals.eda import decompose_eda, detect_scrs, eda_quality

PEAK_S = np.log(2 / 0.7) * 2 * 0.7 / 1.3


def responses(time, onsets, amplitudes):
    """Add up biexponential responses (time constants 0.7 and 2 s)."""
    unit = np.exp(-PEAK_S / 2) - np.exp(-PEAK_S / 0.7)
    total = np.zeros(time.size)
    for onset, amplitude in zip(onsets, amplitudes, strict=True):
        after = np.clip(time - onset, 0, None)
        total += amplitude / unit * (np.exp(-after / 2) - np.exp(-after / 0.7))
    return total


def simulate(sfreq, noise, per_minute, seed, duration=400.0):
    """Return signal, tonic part, onsets and amplitudes of a participant with known responses."""
    rng = np.random.default_rng(seed)
    gaps = 1 + rng.exponential(60 / per_minute - 1, int(duration * per_minute / 20))
    onsets = np.cumsum(gaps)
    onsets = onsets[(onsets > 3) & (onsets < duration - 6)]
    amplitudes = rng.uniform(0.03, 0.6, onsets.size)
    time = np.arange(int(duration * sfreq)) / sfreq
    tonic = 5 + 0.001 * time
    for period, size in ((240, 0.3), (95, 0.15)):
        tonic = tonic + size * np.sin(2 * np.pi * time / period + rng.uniform(0, 6))
    signal = tonic + responses(time, onsets, amplitudes) + noise * rng.standard_normal(time.size)
    return signal, tonic, onsets, amplitudes


def f1_score(found, true, within=1.0):
    """Match each true time to the nearest free found time within a second."""
    free = list(found)
    hits = 0
    for time in true:
        best = min(free, key=lambda x: abs(x - time), default=np.inf)
        if abs(best - time) <= within:
            free.remove(best)
            hits += 1
    return 2 * hits / (len(found) + len(true))


@pytest.fixture(scope="module")
def worked_example():
    time = np.arange(0, 120, 1 / 20)
    return 5 + responses(time, (10, 30, 50, 70, 90), (0.3, 0.05, 0.02, 0.009, 0.6))


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(("criterion", "count"), [(0.01, 4), (0.02, 3), (0.03, 3), (0.05, 2)])
def test_worked_example(worked_example, criterion, count, raw):
    signal = worked_example if raw else decompose_eda(worked_example, 20)[1]
    assert len(detect_scrs(signal, 20, amplitude_min=criterion)) == count


def test_worked_example_measures(worked_example):
    found = detect_scrs(worked_example, 20, amplitude_min=0.005)
    assert not found["overlapped"].any()
    assert found["peak_s"].to_numpy() - PEAK_S == pytest.approx([10, 30, 50, 70, 90], abs=0.1)
    assert found["onset_s"].to_numpy() == pytest.approx([10, 30, 50, 70, 90], abs=0.2)
    assert found["amplitude"].to_numpy() == pytest.approx([0.3, 0.05, 0.02, 0.009, 0.6], rel=0.02)
    # Half of the peak is reached where exp(-t / 2) - exp(-t / 0.7) has fallen to half.
    time = np.linspace(0, 10, 100001)
    shape = np.exp(-time / 2) - np.exp(-time / 0.7)
    half = time[(time > PEAK_S) & (shape < shape.max() / 2)][0] - PEAK_S
    assert found["half_recovery_s"].to_numpy() == pytest.approx([half] * 5, abs=0.1)


@pytest.mark.parametrize("sfreq", [4, 32, 100, 1000])
@pytest.mark.parametrize(("noise", "per_minute"), [(0.002, 3), (0.002, 8), (0.005, 4)])
def test_known_responses_are_found(sfreq, noise, per_minute):
    found_n = true_n = 0
    scores = []
    for seed in range(3):
        signal, _, onsets, _ = simulate(sfreq, noise, per_minute, seed)
        found = detect_scrs(decompose_eda(signal, sfreq)[1], sfreq)
        scores.append(f1_score(found["peak_s"], onsets + PEAK_S))
        found_n += len(found)
        true_n += onsets.size
    assert np.mean(scores) >= 0.95
    assert found_n == pytest.approx(true_n, rel=0.1)


def test_better_than_neurokit2():
    nk = pytest.importorskip("neurokit2")
    ours, theirs = [], []
    for seed in range(3):
        signal, _, onsets, _ = simulate(100, 0.005, 6, seed)
        found = detect_scrs(decompose_eda(signal, 100)[1], 100)
        ours.append(f1_score(found["peak_s"], onsets + PEAK_S))
        phasic = nk.eda_phasic(signal, sampling_rate=100)["EDA_Phasic"]
        peaks = nk.eda_peaks(phasic.to_numpy(), sampling_rate=100)[1]["SCR_Peaks"]
        theirs.append(f1_score(np.asarray(peaks) / 100, onsets + PEAK_S))
    assert np.mean(ours) > np.mean(theirs) + 0.05


def test_response_on_the_decay_of_another():
    time = np.arange(0, 40, 1 / 50)
    signal = responses(time, (10, 14), (0.5, 0.3))
    found = detect_scrs(signal, 50)
    assert len(found) == 2
    second = found.iloc[1]
    part = (time > 13.5) & (time < 16.5)
    trough = signal[part & (time < 14.4)].min()
    assert second["amplitude"] == pytest.approx(signal[part].max() - trough, rel=0.05)
    assert not second["overlapped"]
    # On the steep part of the decay of a large one a small one has no trough of its own.
    signal = responses(time, (10, 13), (0.6, 0.06))
    assert (np.diff(signal[(time > 11.5) & (time < 20)]) < 0).all()
    found = detect_scrs(signal, 50)
    assert found["overlapped"].tolist() == [False, True]
    assert 0.03 < found["amplitude"].iloc[1] <= 0.06  # the pulse before has not ended
    assert found["rise_time_s"].isna().tolist() == [False, True]


def test_criterion_is_absolute():
    time = np.arange(0, 60, 0.05)
    alone = detect_scrs(responses(time, [10], [0.05]), 20)
    beside = detect_scrs(responses(time, [10, 40], [0.05, 8.0]), 20)
    assert len(alone) == 1
    assert len(beside) == 2


@pytest.mark.parametrize("sfreq", [4, 15, 100, 2000])
def test_parts_add_up_and_tonic_is_true(sfreq):
    signal, tonic, _, _ = simulate(sfreq, 0.002, 6, seed=5, duration=200)
    slow, fast = decompose_eda(signal, sfreq)
    assert slow.shape == fast.shape == signal.shape
    assert np.sqrt(np.mean((slow + fast - signal) ** 2)) < 0.004
    assert abs((slow - tonic).mean()) < 0.01
    assert (slow - tonic).std() < 0.015
    # No overshoot below zero after responses.
    assert fast.min() > -0.05


def test_large_response_does_not_lift_the_tonic_part():
    time = np.arange(0, 120, 1 / 8)
    signal = 3 + responses(time, [60], [4.0])
    slow, fast = decompose_eda(signal, 8)
    assert np.abs(slow - 3).max() < 0.02
    assert fast.min() > -0.02
    _, high = decompose_eda(signal, 8, method="highpass")
    assert high.min() < -0.2


def test_tonic_follows_a_steep_change_of_level():
    time = np.arange(0, 300, 1 / 8)
    tonic = 5 + 2 / (1 + np.exp(-(time - 120) / 8))
    slow, _ = decompose_eda(tonic, 8)
    assert np.abs(slow - tonic).max() < 0.05


@pytest.mark.parametrize("method", ["deconvolution", "highpass"])
def test_gaps_stay_gaps(method):
    signal, _, _, _ = simulate(10, 0.002, 6, seed=2, duration=120)
    signal[500:600] = np.nan
    signal[620] = np.nan
    slow, fast = decompose_eda(signal, 10, method=method)
    expected = np.isnan(signal)
    expected[600:620] = True  # 2 s between two gaps cannot be split
    assert np.array_equal(np.isnan(slow), expected)
    assert np.array_equal(np.isnan(fast), expected)
    alone = decompose_eda(signal[:500], 10, method=method)[0]
    assert slow[:500] == pytest.approx(alone, abs=1e-12)


def test_highpass_is_a_butterworth_high_pass():
    signal_module = pytest.importorskip("scipy.signal")
    signal, _, _, _ = simulate(4, 0.002, 6, seed=2, duration=300)
    slow, fast = decompose_eda(signal, 4, method="highpass")
    low = signal_module.butter(2, 0.05, fs=4, output="sos")
    reference = signal_module.sosfiltfilt(low, signal, padlen=80)
    assert slow[100:-100] == pytest.approx(reference[100:-100], abs=1e-4)
    assert slow + fast == pytest.approx(signal)


def test_cvxeda_in_microsiemens():
    pytest.importorskip("cvxopt")
    signal, tonic, _, _ = simulate(4, 0.002, 5, seed=1, duration=120)
    slow, fast = decompose_eda(signal, 4, method="cvxeda")
    assert slow + fast == pytest.approx(signal)
    assert abs((slow - tonic).mean()) < 0.05


def test_cvxeda_without_cvxopt(monkeypatch):
    monkeypatch.setitem(sys.modules, "cvxopt", None)
    with pytest.raises(SignalError, match="cvxopt"):
        decompose_eda(np.linspace(5, 6, 100), 4, method="cvxeda")


def test_real_recording_with_a_large_rise(shared_data: Path):
    path = shared_data / "eda" / "signal_sample_single_hub_EDA_2018_7_5.h5"
    with h5py.File(path) as file:
        raw = next(iter(file.values()))["raw/channel_1"][:, 0]
    signal = raw / 2**16 * 3.0 / 0.12
    slow, fast = decompose_eda(signal, 1000)
    found = detect_scrs(fast, 1000)
    assert np.abs(slow + fast - signal).max() < 0.05
    assert slow.min() > 4.2
    # Quiet until 36 s, a large rise to 50 s, smaller responses after.
    before, rise = found[found["peak_s"] < 35], found[found["peak_s"].between(36, 50)]
    assert rise["amplitude"].sum() > 3 * before["amplitude"].sum() * 14 / 35
    assert found["amplitude"].idxmax() in rise.index
    assert (found["peak_s"] > 52).sum() >= 5


def test_quality_names_what_is_wrong():
    sfreq = 8
    signal = 5 + 0.2 * np.sin(np.arange(300 * sfreq) / 50)
    signal[50 * sfreq : 60 * sfreq] = np.nan
    signal[100 * sfreq : 120 * sfreq] = 0.0
    signal[155 * sfreq] = 12.0
    signal[200 * sfreq : 230 * sfreq] = 5.1
    windows = [[0, 40], [50, 60], [45, 65], [100, 120], [150, 160], [200, 230], [0, 300], [5, 5]]
    table = eda_quality(signal, sfreq, windows)
    assert table["usable_share"].iloc[[0, 1, 3, 5]].tolist() == pytest.approx([1, 0, 0, 0], abs=0.1)
    assert table["usable_share"].iloc[2] == pytest.approx(0.5)
    assert table["usable_share"].iloc[4] == pytest.approx(0, abs=0.02)  # 5 s around, too
    assert table["reason"].iloc[0] == ""
    assert table["reason"].iloc[1] == "100 % missing"
    assert "outside 0.05 to 60 µS" in table["reason"].iloc[3]
    assert "faster than 10 µS/s" in table["reason"].iloc[4]
    assert "flat" in table["reason"].iloc[5]
    assert table["quality"].iloc[7] == 0


def test_quality_sees_clipping():
    signal = 5 + np.sin(np.arange(4000) / 200)
    assert eda_quality(signal, 10)["usable_share"].iloc[0] == 1
    clipped = eda_quality(np.minimum(signal, 5.5), 10)
    assert clipped["usable_share"].iloc[0] == pytest.approx(np.mean(signal < 5.5), abs=0.01)
    assert "clipped" in clipped["reason"].iloc[0]


def test_quality_counts_samples_that_never_came():
    times = np.concatenate((np.arange(0, 10, 0.25), np.arange(20, 30, 0.25)))
    signal = 5 + 0.01 * np.sin(times)
    table = eda_quality(signal, 4, [[0, 10], [0, 30], [10, 20]], times_s=times)
    assert table["usable_share"].tolist() == pytest.approx([1, 2 / 3, 0])


def test_accepts_any_array_and_changes_none():
    signal = np.arange(200, dtype=np.int32) % 7 + 3
    signal.setflags(write=False)
    expected = decompose_eda(signal.astype(float), 4)
    for variant in (signal, signal.tolist(), pd.Series(signal)):
        assert np.array_equal(decompose_eda(variant, 4), expected)
        assert isinstance(detect_scrs(variant, 4), pd.DataFrame)


@pytest.mark.parametrize("signal", [[], [5.0], [np.nan] * 100, [5.0] * 10])
def test_nothing_to_find(signal):
    slow, fast = decompose_eda(signal, 4)
    assert np.isnan(slow).all()
    assert slow.shape == fast.shape == (len(signal),)
    found = detect_scrs(signal, 4)
    assert found.empty
    assert found["overlapped"].dtype == bool
    assert len(eda_quality(signal, 4)) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: decompose_eda(np.zeros((2, 50)), 4),
        lambda: decompose_eda(np.zeros(50), -1),
        lambda: decompose_eda(np.zeros(50), 4, method="wavelet"),
        lambda: detect_scrs(["x"], 4),
        lambda: detect_scrs(np.zeros(50), 4, amplitude_min=0),
        lambda: detect_scrs(np.zeros(50), 4, rise_time_min=6),
        lambda: eda_quality(np.zeros(50), 4, [[5, 1]]),
    ],
)
def test_bad_arguments(call):
    with pytest.raises(SignalError):
        call()


@settings(deadline=None, max_examples=60)
@given(
    arrays(np.float64, st.integers(0, 300), elements=st.floats(-100, 100) | st.just(np.nan)),
    st.sampled_from([1.0, 4.0, 32.0]),
)
def test_any_array_gives_results(signal, sfreq):
    slow, fast = decompose_eda(signal, sfreq)
    assert not np.isfinite(slow[np.isnan(signal)]).any()
    assert np.array_equal(np.isnan(slow), np.isnan(fast))
    found = detect_scrs(signal, sfreq)
    assert (found["amplitude"] >= 0.02 * 0.999).all()
    assert (found["onset_s"] <= found["peak_s"]).all()
    assert eda_quality(signal, sfreq)["quality"].between(0, 1).all()


@pytest.mark.parametrize("sfreq", [0.05, 4.0, 1000.0])
@pytest.mark.parametrize("size", [1e300, 1e-300])
def test_absurd_scales_are_no_error(sfreq, size):
    signal = size * np.random.default_rng(0).standard_normal(3000)
    slow, fast = decompose_eda(signal, sfreq)
    assert slow.shape == fast.shape == (3000,)
    assert detect_scrs(signal, sfreq).empty
    assert eda_quality(signal, sfreq)["quality"].iloc[0] == 0
