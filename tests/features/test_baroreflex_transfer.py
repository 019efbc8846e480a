"""Transfer function from SBP to RR: SciPy's spectra, known gain and coherence, gates."""

import numpy as np
import pandas as pd
import pytest
from scipy import signal

from physio_hqc.errors import SignalError
from physio_hqc.features import baroreflex
from physio_hqc.features._transfer import significant_coherence, spectra_of
from physio_hqc.signals.beats import correct_beats
from physio_hqc.signals.ecg import detect_r_peaks
from physio_hqc.signals.pressure import detect_pressure_beats
from physio_hqc.simulate import Noise, Person, render_ecg, render_pressure, simulate_truth


def coupled(duration=400.0, gain=10.0, noise_ms=0.0, seed=0):
    """Return beat times and pressure beats; RR follows SBP with a known gain."""
    rng = np.random.default_rng(seed)
    grid = np.arange(0, duration + 10, 0.25)
    wave = signal.sosfiltfilt(
        signal.butter(2, [0.03, 0.4], "band", fs=4, output="sos"), rng.standard_normal(grid.size)
    )
    wave *= 4 / wave.std()
    times, sbp = [0.0], []
    while times[-1] < duration:
        sbp.append(np.interp(times[-1], grid, wave))
        times.append(times[-1] + (850 + gain * sbp[-1] + noise_ms * rng.standard_normal()) / 1000)
    times = np.array(times)
    pressure = pd.DataFrame(
        {"systole_s": times[:-1] + 0.3, "SBP": 120 + np.array(sbp), "valid": True}
    )
    return times, pressure


def test_spectra_are_those_of_scipy():
    times, pressure = coupled(noise_ms=30)
    sbp, rr = pressure["SBP"].to_numpy(), 1000 * np.diff(times)
    windows = np.array([[10.0, 310.0], [33.25, 200.0], [0.0, 130.0]])
    found = spectra_of(times[:-1], sbp, rr, windows, 0.4)
    for row, (onset, offset) in enumerate(windows):
        grid = np.arange(np.ceil(onset * 4), np.ceil(offset * 4)) / 4
        x, y = np.interp(grid, times[:-1], sbp), np.interp(grid, times[:-1], rr)
        setting = {"fs": 4, "nperseg": 240, "noverlap": 120, "detrend": "linear"}
        freqs, cross = signal.csd(x, y, **setting)
        _, power = signal.welch(x, **setting)
        _, coherence = signal.coherence(x, y, **setting)
        n = found.freqs.size
        assert np.allclose(found.freqs, freqs[:n])
        assert np.allclose(found.gain[row], (np.abs(cross) / power)[:n], rtol=1e-8)
        assert np.allclose(found.coherence[row], coherence[:n], rtol=1e-8)
        assert found.n_segments[row] == (grid.size - 240) // 120 + 1


@pytest.mark.parametrize("gain", [3.0, 10.0, 25.0])
def test_known_gain(gain):
    table = baroreflex(*coupled(gain=gain, noise_ms=gain), [[10, 310], [60, 360]])
    for column in ("BRS_TF_LF", "BRS_TF_HF"):
        assert table[column].to_numpy() == pytest.approx([gain, gain], rel=0.05)
    assert (table["BRS_TF_LF_Coherence"] > 0.9).all()
    assert (table["BRS_TF_LF_Share"] == 1).all()
    assert table["BRS_TF_N_Segments"].tolist() == [9, 9]


def test_without_coherence_no_gain():
    times, pressure = coupled()
    rng = np.random.default_rng(5)
    other = pressure.assign(SBP=120 + 5 * rng.standard_normal(len(pressure)))
    table = baroreflex(times, other, [[10, 310]])
    assert table["BRS_TF_LF_Coherence"].iloc[0] < 0.4
    assert table["BRS_TF_LF_Share"].iloc[0] <= 1 / 6
    reason = table.attrs["reasons"]["BRS_TF_LF"][0]
    assert reason.endswith("of 6 frequencies with a coherence of 0.50, needs 2")


def test_limit_of_coherence():
    # Uncorrelated series: the share of exceedances is the level (segments that do not overlap).
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 4000, 8, 32))
    fx, fy = np.fft.rfft(x)[..., 5], np.fft.rfft(y)[..., 5]
    cross = np.abs((np.conj(fx) * fy).sum(axis=1)) ** 2
    coherence = cross / ((np.abs(fx) ** 2).sum(axis=1) * (np.abs(fy) ** 2).sum(axis=1))
    limit = significant_coherence(np.array([round(8 * 11 / 9)]))
    assert (coherence > limit).mean() == pytest.approx(0.05, abs=0.012)
    assert (significant_coherence(np.array([0, 1])) == 1).all()


def test_short_windows_are_withheld_and_medium_ones_flagged():
    table = baroreflex(*coupled(), [[10, 100], [10, 140]])
    reasons = table.attrs["reasons"]
    assert np.isnan(table["BRS_TF_LF"][0])
    assert reasons["BRS_TF_LF"][0] == "2 segments of 60 s without a gap, needs 3"
    assert reasons["BRS_TF_LF"][1] == "flag: 3 segments, 9 recommended"


def test_a_calibration_pause_is_bridged_with_a_caution_and_a_long_one_is_not():
    times, pressure = coupled(noise_ms=5)
    short, long = pressure.copy(), pressure.copy()
    for start in range(20, 320, 30):
        short.loc[short["systole_s"].between(start, start + 3.2), "valid"] = False
    long.loc[long["systole_s"].between(100, 110), "valid"] = False
    bridged = baroreflex(times, short, [[10, 310]])
    assert bridged["BRS_TF_N_Segments"].iloc[0] == 9
    assert bridged["BRS_TF_LF"].iloc[0] == pytest.approx(10, rel=0.1)
    reason = bridged.attrs["reasons"]["BRS_TF_LF"][0]
    assert reason.startswith("flag: ")
    assert "of the time lies in beats left out" in reason
    assert baroreflex(times, long, [[10, 310]])["BRS_TF_N_Segments"].iloc[0] == 6


@pytest.mark.parametrize("band", [(0.15, 0.04), (0.0, 0.15), (0.04, 3.0)])
def test_bad_bands(band):
    with pytest.raises(SignalError, match="lf"):
        baroreflex(*coupled(30), lf=band)


@pytest.mark.parametrize("seed", range(6))
def test_known_gain_of_simulated_sessions(seed):
    """From the waveforms: all three estimators within 10 percent, five minutes each."""
    brs = (6.0, 10.0, 14.0, 25.0)[seed % 4]
    person = Person(brs=brs, rmssd=2.5 * brs + 5.0) if seed % 2 else None
    truth = simulate_truth(seed=seed, condition=("alone", "support")[seed % 2], person=person)
    ecg_sfreq, bp_sfreq = ((250.0, 60.0), (500.0, 200.0))[seed % 2]
    peaks = detect_r_peaks(render_ecg(truth, ecg_sfreq, Noise()), ecg_sfreq) / ecg_sfreq
    pressure = detect_pressure_beats(render_pressure(truth, bp_sfreq, Noise()), bp_sfreq)
    windows = [
        [onset, onset + 300]
        for phase in truth.phases
        for onset in np.arange(phase.onset, phase.offset - 299.9, 150)
    ]
    table = baroreflex(correct_beats(peaks), pressure, windows)
    assert len(windows) >= 4
    for row, (onset, offset) in enumerate(windows):
        inside = (truth.beat_times_s >= onset) & (truth.beat_times_s < offset)
        gain = truth.brs_gain[inside].mean()
        for column in ("BRS_Sequence", "BRS_xBRS", "BRS_TF_LF"):
            assert table[column][row] == pytest.approx(gain, rel=0.1)
