"""Breathing from heart beats: simulated truth, a recorded belt, and what must not be claimed."""

import numpy as np
import pytest

from physio_hqc.errors import SignalError
from physio_hqc.signals import (
    correct_beats,
    detect_breaths,
    detect_r_peaks,
    ecg_respiration,
    r_wave_heights,
)
from physio_hqc.simulate import Noise, ecg_waveform, render_ecg, simulate_truth


def beat_times(duration_s, hz, swing_s, mean_s=0.85, slow_s=0.0):
    """Return beats whose intervals breathing lengthens, with a wave at 0.1 Hz if wanted."""
    times = [0.3]
    while times[-1] < duration_s:
        t = times[-1]
        wave = swing_s * np.sin(2 * np.pi * hz * t) + slow_s * np.sin(2 * np.pi * 0.1 * t)
        times.append(t + mean_s + wave)
    return np.array(times)


def true_rates(truth, course):
    """Return the true breaths per minute of each window of an estimate."""
    edges = [
        np.interp(course[name], truth.grid_s, truth.breath_cycles)
        for name in ("onset_s", "offset_s")
    ]
    return 60 * (edges[1] - edges[0]) / (course["offset_s"] - course["onset_s"]).to_numpy()


@pytest.mark.parametrize("sfreq", [130.0, 250.0, 1000.0])
def test_rate_of_simulated_sessions_from_r_waves_and_intervals(sfreq):
    errors, shares = [], []
    for seed in range(3):
        truth = simulate_truth(seed=seed, time_scale=0.3)
        ecg = render_ecg(truth, sfreq, Noise())
        peaks = detect_r_peaks(ecg, sfreq)
        course = ecg_respiration(correct_beats(peaks / sfreq), r_wave_heights(ecg, sfreq, peaks))
        # A window over two phases holds two rates.
        inside = np.zeros(len(course), dtype=bool)
        for phase in truth.phases:
            inside |= (course["onset_s"] >= phase.onset) & (course["offset_s"] <= phase.offset)
        valid = course["valid"].to_numpy() & inside
        errors.append(np.abs(course["rate"].to_numpy() - true_rates(truth, course))[valid])
        shares.append(valid.sum() / inside.sum())
    assert np.mean(shares) > 0.95
    assert np.concatenate(errors).mean() < 0.3
    assert np.concatenate(errors).max() < 1.5


def test_intervals_alone_find_fast_breathing_and_do_not_guess_slow_breathing():
    for seed in range(3):
        truth = simulate_truth(seed=seed, time_scale=0.3)
        course = ecg_respiration(truth.beat_times_s)
        true = true_rates(truth, course)
        wrong = course["valid"].to_numpy() & (np.abs(course["rate"].to_numpy() - true) > 2)
        assert wrong.mean() < 0.03
        speech = truth.phase("speech")
        inside = (course["onset_s"] >= speech.onset) & (course["offset_s"] <= speech.offset)
        assert not course.loc[inside, "valid"].any()
        assert (course.loc[inside, "reason"] != "").all()


@pytest.mark.parametrize("hz", [0.16, 0.2, 0.25, 0.3, 0.4, 0.5])
def test_rate_of_even_breathing(hz):
    course = ecg_respiration(beat_times(200, hz, 0.04))
    assert course["valid"].all()
    assert set(course["source"]) == {"intervals"}
    np.testing.assert_allclose(course["rate"], 60 * hz, atol=0.5)
    assert course["confidence"].between(0.5, 1).all()


def test_slow_breathing_is_known_from_the_r_waves():
    times = beat_times(200, 0.1, 0.04)
    assert not ecg_respiration(times)["valid"].any()
    course = ecg_respiration(times, 1 + 0.05 * np.sin(2 * np.pi * 0.1 * times))
    assert course["valid"].all()
    np.testing.assert_allclose(course["rate"], 6, atol=0.5)


def test_r_waves_overrule_slow_waves_of_the_intervals():
    times = beat_times(200, 0.27, 0.02, slow_s=0.05)
    course = ecg_respiration(times, 1 + 0.05 * np.sin(2 * np.pi * 0.27 * times + 1))
    assert course["valid"].all()
    np.testing.assert_allclose(course["rate"], 60 * 0.27, atol=0.5)


def test_noise_is_not_taken_for_breathing():
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(5):
        times = np.cumsum(0.8 + 0.03 * rng.standard_normal(600))
        shares.append(ecg_respiration(times)["valid"].mean())
        shares.append(ecg_respiration(times, rng.normal(1, 0.05, 600))["valid"].mean())
    assert np.mean(shares) < 0.03


def test_no_rate_faster_than_half_the_heart_rate():
    times = beat_times(200, 0.45, 0.04, mean_s=1.2)
    rate = ecg_respiration(times)["rate"]
    assert not (rate > 60 * 0.5 / 1.2).any()


def test_no_window_reaches_over_a_gap():
    times = beat_times(300, 0.25, 0.04)
    times = times[(times < 120) | (times > 140)]
    course = ecg_respiration(times)
    assert not ((course["onset_s"] < 140) & (course["offset_s"] > 120)).any()
    assert course["valid"].mean() > 0.9
    assert (course["offset_s"] <= 120).any()
    assert (course["onset_s"] >= 140).any()


def test_agrees_with_the_recorded_respiration(shared_data):
    import wfdb

    record = wfdb.rdrecord(str(shared_data / "abp" / "mixedsignals"), smooth_frames=False)
    rates = record.fs * np.array(record.samps_per_frame)
    place = record.sig_name.index("Resp")
    breaths = detect_breaths(record.e_p_signal[place], float(rates[place]))
    counted = np.arange(len(breaths))
    for lead in ("II", "III", "V"):
        k = record.sig_name.index(lead)
        ecg, sfreq = record.e_p_signal[k], float(rates[k])
        peaks = detect_r_peaks(ecg, sfreq)
        course = ecg_respiration(correct_beats(peaks / sfreq), r_wave_heights(ecg, sfreq, peaks))
        inside = course["valid"] & (course["onset_s"] > breaths["inhale_s"].iloc[0])
        inside &= course["offset_s"] < breaths["inhale_s"].iloc[-1]
        found = course[inside]
        edges = [
            np.interp(found[name], breaths["inhale_s"], counted) for name in ("onset_s", "offset_s")
        ]
        recorded = 60 * (edges[1] - edges[0]) / 32
        assert len(found) > 20
        assert np.abs(found["rate"] - recorded).max() < 1.5
        assert np.abs(found["rate"] - recorded).mean() < 0.5


@pytest.mark.parametrize("sfreq", [100.0, 130.0, 250.0, 1000.0])
def test_heights_follow_the_r_waves(sfreq):
    rng = np.random.default_rng(1)
    times = beat_times(120, 0.25, 0.03)[:-1]
    heights = 1.0 + 0.05 * np.sin(2 * np.pi * 0.2 * times)
    at = np.arange(int(121 * sfreq)) / sfreq
    ecg = ecg_waveform(at, times, heights) + 0.02 * rng.standard_normal(at.size)
    found = r_wave_heights(ecg + 0.5 * np.sin(2 * np.pi * 0.1 * at), sfreq, times * sfreq)
    assert np.isfinite(found).mean() > 0.98
    known = np.isfinite(found)
    assert np.corrcoef(found[known], heights[known])[0, 1] > (0.9 if sfreq < 200 else 0.95)
    ratio = found[known] / heights[known]
    assert np.std(ratio) / np.mean(ratio) < 0.025


def test_heights_of_strange_beats_and_edges_are_not_known():
    sfreq = 250.0
    times = np.arange(0.5, 60, 0.8)
    at = np.arange(int(60 * sfreq)) / sfreq
    ecg = ecg_waveform(at, times, np.ones(times.size))
    wide = slice(int((times[20] - 0.1) * sfreq), int((times[20] + 0.1) * sfreq))
    ecg[wide] = -np.hanning(wide.stop - wide.start)
    ecg[int(times[30] * sfreq)] = np.nan
    peaks = np.concatenate([[1.0], times * sfreq])
    found = r_wave_heights(ecg, sfreq, peaks)
    assert np.flatnonzero(np.isnan(found)).tolist() == [0, 21, 31]
    assert r_wave_heights(ecg, sfreq, []).size == 0
    assert np.isnan(r_wave_heights(np.zeros(1000), sfreq, [500])).all()
    assert np.isnan(r_wave_heights(ecg, sfreq, [np.nan, -50, 1e9])).all()


@pytest.mark.parametrize("times", [[], [1.0], [1.0, 2.0], np.arange(20.0)])
def test_too_few_beats_give_no_windows(times):
    course = ecg_respiration(times)
    assert len(course) == 0
    assert list(course.columns) == [
        *("onset_s", "offset_s", "rate", "confidence", "source", "valid", "reason")
    ]


def test_arguments_are_checked():
    times = np.arange(100.0)
    with pytest.raises(SignalError, match="7 values for 100 detected beats"):
        ecg_respiration(times, np.ones(7))
    with pytest.raises(SignalError, match="window_s"):
        ecg_respiration(times, window_s=5)
    with pytest.raises(SignalError, match="step_s"):
        ecg_respiration(times, step_s=0)
    with pytest.raises(SignalError, match="ascending"):
        ecg_respiration([3.0, 2.0, 1.0])


def test_missing_heights_fall_back_to_the_intervals():
    times = beat_times(120, 0.25, 0.04)
    unknown = np.full(times.size, np.nan)
    assert ecg_respiration(times, unknown).equals(ecg_respiration(times))
