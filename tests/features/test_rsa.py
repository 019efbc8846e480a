"""Respiratory sinus arrhythmia: worked property, slow references, NeuroKit2, known swing."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import interpolate, signal

from physio_hqc.errors import SignalError
from physio_hqc.features import FEATURES, respiration, rsa
from physio_hqc.signals import correct_beats, detect_breaths, ecg_respiration
from physio_hqc.simulate import Noise, render_respiration, simulate_truth
from physio_hqc.simulate.breathing import true_breaths


def beat_times(duration_s, hz, swing_s, mean_s=0.8, noise_s=0.0, seed=0):
    """Return beats whose intervals breathing lengthens."""
    rng = np.random.default_rng(seed)
    times = [0.0]
    while times[-1] < duration_s:
        t = times[-1]
        wave = swing_s * np.sin(2 * np.pi * hz * t) + noise_s * rng.standard_normal()
        times.append(t + mean_s + wave)
    return np.array(times)


def sine_breaths(duration_s, hz):
    """Return breaths under which the intervals of `beat_times` are longest in expiration."""
    cycle = np.arange(0.25, duration_s * hz - 1)
    return pd.DataFrame(
        {
            "inhale_s": cycle / hz,
            "exhale_s": (cycle + 0.5) / hz,
            "end_s": (cycle + 1) / hz,
            "amplitude": 1.0,
            "valid": True,
            "reason": "",
        }
    )


def gain_of_the_chain(hz):
    """Return what the polynomial and the band-pass leave of the variance at one frequency."""
    weights = signal.savgol_coeffs(21, 3)
    passed = weights @ np.cos(2 * np.pi * hz / 2 * np.arange(-10, 11))
    sos = signal.butter(4, (0.12, 0.40), "bandpass", fs=2, output="sos")
    return (1 - passed) ** 2 * np.abs(signal.sosfreqz(sos, [hz], fs=2)[1][0]) ** 4


def test_worked_property():
    # 30 ms at 0.25 Hz: variance 450, ln 6.109; the chain passes 1.25 of it.
    value = rsa(beat_times(400, 0.25, 0.030), [[30, 330]])["RSA_PorgesBohrer"][0]
    assert np.log(450) == pytest.approx(6.109, abs=5e-4)
    assert value == pytest.approx(6.109 + np.log(1.25), abs=0.03)


@pytest.mark.parametrize("hz", [0.15, 0.18, 0.22, 0.25, 0.28, 0.32, 0.36])
def test_every_breathing_rate_has_the_gain_of_the_chain(hz):
    value = rsa(beat_times(400, hz, 0.030), [[30, 330]])["RSA_PorgesBohrer"][0]
    # Beats sample the wave once an interval: the faster it is, the more of it splines cut off.
    assert value == pytest.approx(np.log(450 * gain_of_the_chain(hz)), abs=0.09)


def test_docstring_states_the_gain():
    stated = {0.16: 0.9, 0.20: 1.5, 0.25: 1.25, 0.30: 0.75}
    for hz, gain in stated.items():
        assert gain_of_the_chain(hz) == pytest.approx(gain, abs=0.05)


@pytest.mark.parametrize("factor", [0.5, 2.0, 5.0])
def test_a_swing_so_much_larger_adds_twice_its_logarithm(factor):
    windows = [[30, 330]]
    base = rsa(beat_times(400, 0.25, 0.010), windows)["RSA_PorgesBohrer"][0]
    other = rsa(beat_times(400, 0.25, 0.010 * factor), windows)["RSA_PorgesBohrer"][0]
    assert other - base == pytest.approx(2 * np.log(factor), abs=0.05)


def slow_porges_bohrer(times, onset, offset):
    """Follow the definition step by step: one polynomial per sample, one variance per epoch."""
    rr = 1000 * np.diff(times)
    first, last = int(np.ceil(2 * times[1])), int(np.floor(2 * times[-1]))
    grid = np.arange(first, last + 1) / 2
    period = interpolate.CubicSpline(times[1:], rr)(grid)
    trend = np.empty(grid.size)
    for k in range(grid.size):
        center = min(max(k, 10), grid.size - 11)
        x = np.arange(-10, 11)
        fit = np.polynomial.Polynomial.fit(x, period[center - 10 : center + 11], 3)
        trend[k] = fit(k - center)
    sos = signal.butter(4, (0.12, 0.40), "bandpass", fs=2, output="sos")
    left = signal.sosfiltfilt(sos, period - trend, padlen=60)
    logs = []
    begin = onset
    while begin + 27 <= offset + 1e-9:
        inside = left[(grid >= begin) & (grid < min(begin + 30, offset))]
        if inside.size >= 54:
            logs.append(np.log(np.var(inside, ddof=1)))
        begin += 30
    return np.mean(logs), len(logs)


@pytest.mark.parametrize("seed", range(3))
def test_porges_bohrer_equals_a_slow_reference(seed):
    times = 3.3 + beat_times(400, 0.23, 0.03, noise_s=0.02, seed=seed)
    windows = np.array([[3.3, 403.3], [10, 130], [61.7, 221.7], [100, 249]])
    table = rsa(times, windows)
    for row, (onset, offset) in enumerate(windows):
        value, count = slow_porges_bohrer(times, onset, offset)
        assert table["RSA_PorgesBohrer"][row] == pytest.approx(value, rel=1e-9)
        assert table["RSA_PorgesBohrer_N"][row] == count


def slow_peak_to_valley(times, breaths, onset, offset, inside):
    """Take breath after breath."""
    begins, ends, rr = times[:-1], times[1:], 1000 * np.diff(times)
    swings, missing = [], 0
    for row in breaths.itertuples():
        if not row.valid or row.inhale_s < onset or row.end_s > offset:
            continue
        phases = []
        for start, stop in ((row.inhale_s, row.exhale_s), (row.exhale_s, row.end_s)):
            closing = ends if inside else begins
            late = closing <= stop + 0.75 if inside else closing < stop + 0.75
            phases.append(rr[(begins >= start) & late])
        if not (phases[0].size and phases[1].size):
            missing += 1
            continue
        swings.append(max(phases[1].max() - phases[0].min(), 0.0))
    return np.mean(swings), np.std(swings, ddof=1), len(swings), missing


@pytest.mark.parametrize("intervals", ["begin", "inside"])
@pytest.mark.parametrize("hz", [0.12, 0.25, 0.6])
def test_peak_to_valley_equals_a_slow_reference(hz, intervals):
    times = beat_times(400, hz, 0.04, mean_s=0.9, noise_s=0.02, seed=5)
    breaths = sine_breaths(390, hz)
    breaths.loc[::7, "valid"] = False
    windows = [[5, 380], [20, 140], [101, 221]]
    table = rsa(times, windows, breaths=breaths, intervals=intervals)
    for row, (onset, offset) in enumerate(windows):
        expected = slow_peak_to_valley(times, breaths, onset, offset, intervals == "inside")
        found = table.filter(like="P2T").iloc[row]
        assert found.tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_intervals_inside_equal_neurokit(seed):
    from neurokit2.hrv.hrv_rsa import _hrv_rsa_p2t

    truth = simulate_truth(seed=seed, time_scale=0.5)
    phase = truth.phase("baseline")
    breaths = detect_breaths(render_respiration(truth, 25.0, Noise()), 25.0)
    window = [[phase.onset, phase.offset]]
    table = rsa(truth.beat_times_s, window, breaths=breaths, intervals="inside")
    inside = breaths[(breaths["inhale_s"] >= phase.onset) & (breaths["end_s"] <= phase.offset)]
    edges = np.append(inside["inhale_s"], inside["end_s"].iloc[-1])
    theirs = _hrv_rsa_p2t(
        1000 * edges,
        1000 * truth.beat_times_s,
        1000,
        rsp_peaks=1000 * inside["exhale_s"].to_numpy(),
    )
    assert table["RSA_P2T_Mean"][0] == pytest.approx(theirs["RSA_P2T_Mean"], rel=1e-9)
    assert table["RSA_P2T_SD"][0] == pytest.approx(theirs["RSA_P2T_SD"], rel=1e-9)
    assert table["RSA_P2T_NoRSA"][0] == theirs["RSA_P2T_NoRSA"]


@pytest.mark.parametrize("mean_s", [0.65, 0.8, 1.1])
@pytest.mark.parametrize("hz", [0.1, 0.2, 0.25, 0.3])
def test_peak_to_valley_finds_a_known_swing(hz, mean_s):
    times = beat_times(400, hz, 0.030, mean_s=mean_s)
    table = rsa(times, [[10, 370]], breaths=sine_breaths(390, hz))
    # A few beats a breath rarely hit both turning points: somewhat less than 60 ms is left.
    least = 60 * np.cos(np.pi * hz * mean_s)
    assert least <= table["RSA_P2T_Mean"][0] <= 60.001


@pytest.mark.parametrize("seed", range(4))
def test_swing_of_simulated_sessions(seed):
    truth = simulate_truth(seed=seed)
    breaths = true_breaths(truth)[["inhale_s", "exhale_s", "end_s"]].assign(
        amplitude=1.0, valid=True
    )
    windows = [[phase.onset, phase.offset] for phase in truth.phases]
    table = rsa(truth.beat_times_s, windows, breaths=breaths)
    known = np.array([phase.rsa for phase in truth.phases])
    # Waves at 0.1 Hz and scatter, which are no RSA, widen the range of a breath as well.
    assert (table["RSA_P2T_Mean"] / known < 1.35).all()
    assert (table["RSA_P2T_Mean"] / known > 0.9).all()


def test_gaps_are_not_bridged():
    times = beat_times(400, 0.25, 0.03)
    cut = times[(times < 100) | (times > 115)]
    windows = [[0, 90], [60, 180], [150, 300]]
    whole = rsa(times, windows, breaths=sine_breaths(390, 0.25))
    table = rsa(cut, windows, breaths=sine_breaths(390, 0.25))
    assert table["RSA_PorgesBohrer_N"].tolist() == [3, 3, 5]
    assert table["RSA_P2T_NoRSA"].tolist()[::2] == whole["RSA_P2T_NoRSA"].tolist()[::2]
    lost = table["RSA_P2T_NoRSA"][1] - whole["RSA_P2T_NoRSA"][1]
    assert 4 <= lost <= 6
    difference = table["RSA_PorgesBohrer"] - whole["RSA_PorgesBohrer"]
    assert difference.abs().max() < 0.1
    assert table.attrs["reasons"]["RSA_PorgesBohrer"][1] == "flag: 105 s, 120 s recommended"


def test_gates():
    times = beat_times(400, 0.25, 0.03)
    table = rsa(times, [[0, 130], [0, 90], [0, 50], [500, 600], [7, 7]])
    said = table.attrs["reasons"]["RSA_PorgesBohrer"]
    assert said[0] == ""
    assert said[1] == "flag: 90 s, 120 s recommended"
    assert said[2] == "50 s usable, needs 60 s"
    assert said[3] == said[4] == "no beat interval in the window"
    assert table["RSA_PorgesBohrer"].isna().tolist() == [False, False, True, True, True]
    loose = rsa(times, [[0, 50]], gates={"RSA_PorgesBohrer": (40, 30)})
    assert np.isfinite(loose["RSA_PorgesBohrer"][0])


def test_corrected_beats_withhold_and_flag():
    times = beat_times(200, 0.25, 0.03)
    rng = np.random.default_rng(0)
    beats = correct_beats(np.delete(times, rng.choice(np.arange(5, 235), 25, replace=False)))
    table = rsa(beats, [[0, 190]])
    assert table.attrs["reasons"]["RSA_PorgesBohrer"][0].startswith("flag")
    strict = rsa(beats, [[0, 190]], max_corrected=0.05)
    assert strict["RSA_PorgesBohrer"].isna().all()
    assert "corrected" in strict.attrs["reasons"]["RSA_PorgesBohrer"][0]


def test_a_metronome_has_no_logarithm():
    table = rsa(np.arange(0, 200, 0.8), breaths=sine_breaths(190, 0.25))
    assert table["RSA_PorgesBohrer"].isna().all()
    assert table.attrs["reasons"]["RSA_PorgesBohrer"] == ["beat intervals do not vary"]
    assert table["RSA_P2T_Mean"][0] == pytest.approx(0, abs=1e-6)


def test_windows_do_not_influence_each_other():
    times = beat_times(4000, 0.25, 0.03, noise_s=0.02)
    windows = np.arange(0, 3600, 30)[:, None] + np.array([0, 300])
    together = rsa(times, windows)
    alone = pd.concat([rsa(times, windows[k : k + 1]) for k in (0, 50, 110)])
    np.testing.assert_array_equal(together.iloc[[0, 50, 110]].to_numpy(), alone.to_numpy())


@pytest.mark.parametrize("times", [[], [1.0], [1.0, 1.8], [1.0, 1.8, 2.6]])
def test_too_few_beats(times):
    for breaths in (None, sine_breaths(60, 0.25), detect_breaths([], 25)):
        table = rsa(times, [[0, 60]], breaths=breaths)
        assert table["RSA_PorgesBohrer"].isna().all()
        assert table.attrs["reasons"]["RSA_PorgesBohrer"][0] != ""
    assert len(rsa(times)) == 1


def test_arguments_are_checked():
    times = beat_times(100, 0.25, 0.03)
    with pytest.raises(SignalError, match="hf is"):
        rsa(times, hf=(0.4, 0.12))
    with pytest.raises(SignalError, match="intervals is"):
        rsa(times, intervals="near")
    with pytest.raises(SignalError, match="only RSA_PorgesBohrer and RSA_P2T_Mean"):
        rsa(times, gates={"HRV_HF": (1, 2)})
    with pytest.raises(SignalError, match="recommended and minimum"):
        rsa(times, gates={"RSA_P2T_Mean": (1, 2, 3)})
    with pytest.raises(SignalError, match="estimated from the ECG"):
        rsa(times, breaths=ecg_respiration(times))
    with pytest.raises(SignalError, match="ascending"):
        rsa([2.0, 1.0])
    with pytest.raises(SignalError, match="max_corrected"):
        rsa(times, max_corrected=2)


def test_every_column_is_in_the_catalog():
    table = rsa(beat_times(100, 0.25, 0.03), breaths=sine_breaths(90, 0.25))
    assert set(table) <= set(FEATURES)
    assert FEATURES["RSA_PorgesBohrer"].unit == "ln(ms²)"


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.floats(1e-3, 1e9, allow_nan=False), max_size=80),
    st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(0, 1e9)), max_size=5),
)
def test_any_beats_and_windows_are_survived(steps, spans):
    times = np.unique(np.cumsum(steps)) if steps else np.empty(0)
    windows = [[onset, onset + length] for onset, length in spans]
    table = rsa(times, windows, breaths=sine_breaths(90, 0.25))
    assert len(table) == len(windows)
    for column in table:
        missing = table[column].isna().to_numpy()
        texts = np.array(table.attrs["reasons"][column], dtype=object)
        assert (texts[missing] != "").all()
    course = ecg_respiration(times)
    assert np.isfinite(course["rate"]).equals(course["valid"])
    assert (course.loc[~course["valid"], "reason"] != "").all()
    assert len(respiration(course, windows)) == len(windows)


def test_same_input_same_bytes_and_nothing_is_changed():
    times = beat_times(300, 0.25, 0.03, noise_s=0.02)
    times.flags.writeable = False
    breaths = sine_breaths(290, 0.25)
    before = breaths.copy()
    windows = [[0, 130], [100, 250]]
    first, again = (rsa(times, windows, breaths=breaths) for _ in range(2))
    assert first.to_numpy().tobytes() == again.to_numpy().tobytes()
    listed = rsa(
        times.tolist(), pd.DataFrame(windows), breaths=breaths.sample(frac=1, random_state=1)
    )
    np.testing.assert_array_equal(listed, first)
    pd.testing.assert_frame_equal(breaths, before)
