"""Waveforms go where the truth says, at any rate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.errors import SignalError
from physio_hqc.simulate import (
    SimulatedTruth,
    ecg_waveform,
    pressure_waveform,
    render_ecg,
    render_eda,
    render_pressure,
    render_respiration,
    scr_waveform,
    simulate_truth,
)
from physio_hqc.simulate.waveforms import pressure_means


@pytest.fixture(scope="module")
def truth() -> SimulatedTruth:
    return simulate_truth(seed=21, condition="nonsupport", time_scale=0.15)


def _vertex(y: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Position of the maximum of the parabola through three samples."""
    left, middle, right = y[index - 1], y[index], y[index + 1]
    return index + 0.5 * (left - right) / (left - 2 * middle + right)


def test_r_peaks_lie_at_the_beat_times(truth: SimulatedTruth) -> None:
    ecg = render_ecg(truth, 1000.0)
    beats = truth.beat_times_s
    for beat in beats[(beats > 0.1) & (beats < truth.duration_s - 0.1)]:
        first = int((beat - 0.1) * 1000)
        peak = first + int(np.argmax(ecg[first : first + 200]))
        assert _vertex(ecg, np.array(peak)) / 1000 == pytest.approx(beat, abs=1e-4)


@pytest.mark.parametrize("amplitude", [-1.0, 0.5, 2.0])
def test_only_r_peaks_are_that_high(truth: SimulatedTruth, amplitude: float) -> None:
    times = np.arange(0.0, truth.duration_s, 0.001)
    ecg = ecg_waveform(times, truth.beat_times_s, amplitude) / amplitude
    high = (ecg[1:-1] > ecg[:-2]) & (ecg[1:-1] >= ecg[2:]) & (ecg[1:-1] > 0.6)
    peaks = times[1:-1][high]
    inside = truth.beat_times_s[truth.beat_times_s < times[-1]]
    assert np.abs(peaks - inside).max() < 0.001


def test_qrs_keeps_its_width_when_the_heart_is_fast() -> None:
    u = np.arange(-0.05, 0.05, 0.001)
    slow = ecg_waveform(10 + u, np.arange(0, 20, 1.0))
    fast = ecg_waveform(10 + u, np.arange(0, 20, 0.5))
    assert np.abs(slow - fast).max() < 0.01


@settings(deadline=None, max_examples=25)
@given(
    sfreq=st.sampled_from([100.0, 130.0, 250.0, 256.0, 500.0, 1000.0]),
    hr=st.floats(40, 160),
    amplitude=st.floats(0.3, 3.0),
)
def test_peaks_at_any_rate(sfreq: float, hr: float, amplitude: float) -> None:
    beats = np.arange(0.37, 12.0, 60 / hr)
    ecg = ecg_waveform(np.arange(int(12 * sfreq)) / sfreq, beats, amplitude)
    for beat in beats[beats < 11.9]:
        first = max(int((beat - 0.06) * sfreq), 0)
        peak = first + int(np.argmax(ecg[first : first + int(0.12 * sfreq) + 1]))
        assert abs(peak / sfreq - beat) <= 0.5 / sfreq + 1e-4


def test_pressure_meets_truth_at_feet_and_peaks(truth: SimulatedTruth) -> None:
    pulses = (truth.foot_s, truth.systole_s, truth.sbp, truth.dbp)
    np.testing.assert_allclose(pressure_waveform(truth.systole_s, *pulses), truth.sbp, atol=1e-9)
    np.testing.assert_allclose(pressure_waveform(truth.foot_s, *pulses), truth.dbp, atol=1e-9)


@pytest.mark.parametrize(("sfreq", "tolerance"), [(1000.0, 0.1), (200.0, 0.35), (100.0, 0.7)])
def test_pressure_extremes_of_every_beat(
    truth: SimulatedTruth, sfreq: float, tolerance: float
) -> None:
    pressure = render_pressure(truth, sfreq)
    first = np.ceil(truth.foot_s[:-1] * sfreq).astype(int)
    last = np.ceil(truth.foot_s[1:] * sfreq).astype(int)
    inside = last < len(pressure)
    for k in np.flatnonzero(inside):
        beat = pressure[first[k] : last[k]]
        assert beat.max() == pytest.approx(truth.sbp[k], abs=tolerance)
        assert beat.max() <= truth.sbp[k] + 1e-9
        lowest = pressure[first[k] - 3 : first[k] + 3].min()
        assert lowest == pytest.approx(truth.dbp[k], abs=tolerance)
        assert lowest >= truth.dbp[k] - 1e-9


@settings(deadline=None, max_examples=50)
@given(
    hr=st.floats(35, 165),
    high=st.lists(st.floats(100, 200), min_size=4, max_size=4),
    low=st.lists(st.floats(40, 85), min_size=4, max_size=4),
)
def test_pressure_stays_between_foot_and_peak(
    hr: float, high: list[float], low: list[float]
) -> None:
    foot = 1.0 + np.arange(4) * 60 / hr
    systole = foot + 0.13
    pulses = (foot, systole, np.array(high), np.array(low))
    for k in range(3):
        times = np.linspace(foot[k], foot[k + 1], 400)
        beat = pressure_waveform(times, *pulses)
        assert beat.max() <= high[k] + 1e-9
        assert beat.min() >= min(low[k], low[k + 1]) - 1e-9
        assert pressure_means(*pulses)[k] == pytest.approx(beat.mean(), rel=0.003)


def test_mean_pressure_is_the_area(truth: SimulatedTruth) -> None:
    sfreq = 1000.0
    pressure = render_pressure(truth, sfreq)
    cumulative = np.concatenate([[0.0], np.cumsum(pressure)]) / sfreq
    edges = np.interp(truth.foot_s * sfreq, np.arange(len(cumulative)), cumulative)
    means = np.diff(edges) / np.diff(truth.foot_s)
    inside = truth.foot_s[1:] < truth.duration_s - 0.01
    np.testing.assert_allclose(means[inside], truth.map[:-1][inside], atol=0.2)


def test_pressure_has_a_dicrotic_notch() -> None:
    times = np.arange(1.0, 1.85, 0.001)
    feet = np.array([0.15, 1.0, 1.85, 2.7])
    pressure = pressure_waveform(times, feet, feet + 0.13, 120.0, 80.0)
    slope = np.diff(pressure)[135:]
    assert (slope > 0).any()


def test_one_response_has_its_height_and_time() -> None:
    times = np.arange(0, 30, 0.001)
    eda = scr_waveform(times, [4.0], [0.25])
    assert eda.max() == pytest.approx(0.25, abs=1e-6)
    rise = np.log(2.0 / 0.7) / (1 / 0.7 - 1 / 2.0)
    assert times[eda.argmax()] == pytest.approx(4.0 + rise, abs=0.001)
    assert (eda[times < 4.0] == 0).all()


def test_responses_add_up() -> None:
    rng = np.random.default_rng(0)
    onsets = np.cumsum(rng.uniform(0.5, 9.0, 60))
    heights = rng.uniform(0.02, 1.0, 60)
    times = np.arange(0, onsets[-1] + 10, 0.1)
    age = np.maximum(times[:, None] - onsets, 0)
    kernel = np.exp(-age / 2.0) - np.exp(-age / 0.7)
    peak = 1.130543
    norm = np.exp(-peak / 2.0) - np.exp(-peak / 0.7)
    expected = (kernel * heights / norm).sum(axis=1)
    np.testing.assert_allclose(scr_waveform(times, onsets, heights), expected, atol=1e-6)


def test_eda_is_tonic_plus_responses(truth: SimulatedTruth) -> None:
    eda = render_eda(truth, 32.0)
    times = np.arange(len(eda)) / 32.0
    tonic = eda - scr_waveform(times, truth.scr_onset_s, truth.scr_amplitude)
    whole = times == np.floor(times)
    expected = truth.tonic_us[times[whole].astype(int)]
    np.testing.assert_allclose(tonic[whole], expected, atol=1e-9)


def test_respiration_breathes_at_the_true_rate(truth: SimulatedTruth) -> None:
    resp = render_respiration(truth, 25.0)
    for phase in truth.phases:
        piece = resp[int(phase.onset * 25) : int(phase.offset * 25)]
        upward = np.sum((piece[:-1] < 0) & (piece[1:] >= 0))
        assert upward == pytest.approx(phase.breathing_hz * (phase.offset - phase.onset), abs=1.1)


@settings(deadline=None, max_examples=20)
@given(sfreq=st.floats(4.0, 2000.0))
def test_every_signal_has_the_length_of_the_session(sfreq: float) -> None:
    truth = simulate_truth(seed=1, time_scale=0.01)
    for render in (render_ecg, render_pressure, render_eda, render_respiration):
        signal = render(truth, sfreq)
        assert len(signal) == int(truth.duration_s * sfreq + 1e-9)
        assert np.isfinite(signal).all()


def test_wrong_arguments_are_refused(truth: SimulatedTruth) -> None:
    with pytest.raises(SignalError, match="ascending"):
        ecg_waveform(np.zeros(3), [2.0, 1.0])
    with pytest.raises(SignalError, match="2 finite values"):
        ecg_waveform(np.zeros(3), [1.0, 2.0], [1.0])
    with pytest.raises(SignalError, match="systole_s"):
        pressure_waveform(np.zeros(3), [1.0, 2.0], [2.5, 2.6], 120.0, 80.0)
    with pytest.raises(SignalError, match="sfreq"):
        render_ecg(truth, 0.0)


def test_nothing_in_nothing_out() -> None:
    times = np.arange(3.0)
    assert (ecg_waveform(times, []) == 0).all()
    assert np.isnan(pressure_waveform(times, [], [], [], [])).all()
    assert (scr_waveform(times, [], []) == 0).all()
    assert ecg_waveform([], [1.0]).shape == (0,)
