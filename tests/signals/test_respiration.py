"""Breaths of belts, thermistors and impedance, against known breaths and NeuroKit2."""

import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from physio_hqc.errors import SignalError
from physio_hqc.signals import clean_respiration, detect_breaths
from physio_hqc.signals._breaths import _prune
from physio_hqc.simulate import Noise, breathing_waveform, render_respiration, simulate_truth
from physio_hqc.simulate.breathing import true_breaths

DURATION_S = 300.0


def draw_breaths(rate, seed, spread=0.1, sighs=0.0, pauses=0.0, inspired=0.4):
    """Return inspiration, expiration, rest (their starts) and depth of random breaths."""
    rng = np.random.default_rng(seed)
    n = int(1.5 * DURATION_S * rate / 60) + 1
    length = 60 / rate * np.clip(1 + spread * rng.standard_normal(n), 0.6, 1.6)
    depth = np.clip(1 + 0.15 * rng.standard_normal(n), 0.6, 1.6)
    sigh = rng.uniform(size=n) < sighs
    depth[sigh] *= 2.5
    hold = np.where(rng.uniform(size=n) < pauses, rng.uniform(8, 16, n), 0.0)
    inhale = 1.0 + np.concatenate([[0.0], np.cumsum(length + hold)[:-1]])
    exhale, rest = inhale + inspired * length, inhale + 0.9 * length
    whole = inhale + length + hold < DURATION_S - 1
    return inhale[whole], exhale[whole], rest[whole], depth[whole]


def belt(breaths, sfreq, noise=0.0, drift=0.0, heart=0.0, seed=0):
    """Return a belt signal of the breaths with noise, slow drift and the heart in it."""
    rng = np.random.default_rng(seed)
    times = np.arange(int(DURATION_S * sfreq)) / sfreq
    signal = breathing_waveform(times, *breaths)
    frequency = np.arange(1, 12) / DURATION_S
    waves = np.sin(2 * np.pi * (np.outer(times, frequency) + rng.uniform(size=11)))
    signal += drift * (waves / np.arange(1, 12)).sum(axis=1)
    signal += heart * np.sin(2 * np.pi * 1.15 * times)
    return signal + noise * rng.standard_normal(times.size)


def f1(true, found, tolerance):
    """Return the share of one-to-one matches among both, as F1 in percent."""
    near = np.abs(np.subtract.outer(true, found)) <= tolerance
    hits = min(int(near.any(axis=1).sum()), int(near.any(axis=0).sum()))
    return 200 * hits / (true.size + found.size)


@pytest.mark.parametrize("sfreq", [4.0, 10.0, 25.0, 62.4725, 1000.0, 2000.0])
@pytest.mark.parametrize("rate", [6, 15, 30])
def test_breaths_are_found_at_any_sampling_rate(rate, sfreq):
    breaths = draw_breaths(rate, seed=rate)
    found = detect_breaths(belt(breaths, sfreq, noise=0.02), sfreq)
    assert found["valid"].all()
    assert abs(len(found) - breaths[0].size) <= 1
    assert f1(breaths[1], found["exhale_s"].to_numpy(), 0.1 * 60 / rate) >= 98
    middle = found["amplitude"].median()
    assert middle == pytest.approx(np.median(breaths[3]), rel=0.1)


@pytest.mark.parametrize("rate", [3, 6, 10, 15, 22, 30, 40])
def test_sighs_pauses_drift_and_noise_compared_with_neurokit(rate):
    import neurokit2

    ours, theirs = [], []
    for seed in range(3):
        breaths = draw_breaths(rate, seed, sighs=0.03, pauses=0.03)
        # Drift as fast as 3 breaths a minute cannot be told from breathing by anyone.
        drift = 0.15 if rate < 6 else 0.8
        signal = belt(breaths, 25, noise=0.08, drift=drift, heart=0.04, seed=seed)
        tolerance = min(0.2 * 60 / rate, 3.0)
        found = detect_breaths(signal, 25)["exhale_s"].to_numpy()
        ours.append(f1(breaths[1], found, tolerance))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cleaned = neurokit2.rsp_clean(signal, sampling_rate=25)
            peaks = neurokit2.rsp_peaks(cleaned, sampling_rate=25)[1]["RSP_Peaks"]
        theirs.append(f1(breaths[1], np.asarray(peaks) / 25, tolerance))
    assert np.mean(ours) >= 96
    assert np.mean(ours) >= np.mean(theirs) - 0.5


def test_start_of_inspiration_is_where_the_rest_ends():
    breaths = draw_breaths(12, seed=4, pauses=0.2)
    found = detect_breaths(belt(breaths, 50), 50)
    inhale = found["inhale_s"].to_numpy()
    nearest = np.abs(np.subtract.outer(breaths[0][1:-1], inhale)).min(axis=1)
    assert np.median(nearest) < 0.25
    assert nearest.max() < 0.5
    np.testing.assert_array_equal(found["end_s"].to_numpy()[:-1], inhale[1:])


@pytest.mark.parametrize("seed", range(3))
def test_truth_of_a_simulated_session(seed):
    truth = simulate_truth(seed=seed, time_scale=0.5)
    known = true_breaths(truth)
    found = detect_breaths(render_respiration(truth, 25.0, Noise()), 25.0)
    for column in ("inhale_s", "exhale_s"):
        assert f1(known[column].to_numpy(), found[column].to_numpy(), 0.5) >= 99
    assert found.attrs["polarity"] == "up"


def test_a_signal_upside_down_is_turned():
    breaths = draw_breaths(14, seed=1, inspired=0.36)
    upright = detect_breaths(belt(breaths, 25, noise=0.02), 25)
    turned = detect_breaths(-belt(breaths, 25, noise=0.02), 25)
    assert (upright.attrs["polarity"], turned.attrs["polarity"]) == ("up", "down")
    np.testing.assert_allclose(turned["inhale_s"], upright["inhale_s"], atol=1e-6)
    np.testing.assert_allclose(turned["amplitude"], upright["amplitude"], atol=1e-6)
    as_given = detect_breaths(-belt(breaths, 25, noise=0.02), 25, polarity="up")
    assert abs(len(as_given) - len(upright)) <= 1


def test_symmetrical_breathing_is_never_turned():
    times = np.arange(0, 300, 0.04)
    for sign in (1, -1):
        found = detect_breaths(sign * np.sin(2 * np.pi * 0.25 * times), 25)
        assert found.attrs["polarity"] == "up"


def test_no_breath_reaches_across_a_gap_or_a_flat_line():
    breaths = draw_breaths(15, seed=2)
    signal = belt(breaths, 25, noise=0.02)
    signal[2500:2900] = np.nan
    signal[5000:5900] = signal[5000]
    found = detect_breaths(signal, 25)
    for start, stop in ((100.0, 116.0), (200.0, 236.0)):
        assert not ((found["inhale_s"] < stop) & (found["end_s"] > start)).any()
    assert len(found) > 50


def test_single_lost_samples_are_bridged_and_said():
    signal = belt(draw_breaths(15, seed=3), 25)
    whole = detect_breaths(signal, 25)
    signal[1003] = np.nan
    found = detect_breaths(signal, 25)
    assert len(found) == len(whole)
    said = found[found["reason"] != ""]
    assert said["reason"].tolist() == ["0.04 s missing, bridged"]
    assert said["inhale_s"].iloc[0] < 1003 / 25 < said["end_s"].iloc[0]


def test_a_clipped_breath_has_no_size_but_its_times():
    breaths = draw_breaths(15, seed=5)
    signal = belt(breaths, 50, noise=0.01)
    clipped = detect_breaths(np.minimum(signal, 0.6), 50)
    assert clipped["valid"].all()
    assert (clipped["amplitude"].isna() == (clipped["reason"] != "")).all()
    assert clipped["amplitude"].isna().mean() > 0.9
    assert abs(len(clipped) - breaths[0].size) <= 1
    assert detect_breaths(signal, 50)["amplitude"].notna().all()


def test_held_breath_is_a_pause_and_a_long_one_no_breath():
    inhale = np.concatenate(
        [np.arange(0, 60, 4.0), np.arange(78, 140, 4.0), np.arange(190, 300, 4.0)]
    )
    signal = belt((inhale, inhale + 1.6, inhale + 3.6, np.ones(inhale.size)), 25, noise=0.01)
    found = detect_breaths(signal, 25)
    pause = found[found["reason"].str.startswith("pause")]
    assert pause["inhale_s"].tolist() == pytest.approx([56], abs=0.5)
    assert pause["valid"].all()
    gone = found[~found["valid"]]
    assert gone["inhale_s"].tolist() == pytest.approx([138], abs=0.5)
    assert gone["reason"].iloc[0].startswith("no breath for 5")


def test_talking_keeps_its_breaths():
    truth = simulate_truth(seed=8, time_scale=0.5)
    speech = truth.phase("speech")
    times = np.arange(int(truth.duration_s * 25)) / 25
    ripple = 0.12 * np.sin(2 * np.pi * (0.9 * times + np.sin(times / 3)))
    talks = (times >= speech.onset) & (times < speech.offset)
    found = detect_breaths(render_respiration(truth, 25.0) + ripple * talks, 25.0)
    inside = found["inhale_s"].between(speech.onset, speech.offset) & found["valid"]
    expected = speech.breathing_hz * (speech.offset - speech.onset)
    assert int(inside.sum()) == pytest.approx(expected, abs=1.5)


@pytest.mark.parametrize("sfreq", [4.0, 25.0, 250.0])
def test_noise_alone_gives_no_valid_breaths(sfreq):
    rng = np.random.default_rng(0)
    found = detect_breaths(rng.standard_normal(int(300 * sfreq)), sfreq)
    assert found["valid"].mean() < 0.05
    assert set(found.loc[~found["valid"], "reason"]) == {"no larger than the noise"}


def test_a_jerk_is_no_breath():
    signal = belt(draw_breaths(15, seed=6), 25)
    signal[4000:4025] += 12.0
    found = detect_breaths(signal, 25)
    bad = found[~found["valid"]]
    assert bad["reason"].str.startswith("movement").all()
    assert ((bad["inhale_s"] < 161.5) & (bad["end_s"] > 159.5)).all()
    assert 1 <= len(bad) <= 3


def test_scale_offset_and_number_type_change_nothing():
    signal = belt(draw_breaths(15, seed=7), 25, noise=0.03)
    found = detect_breaths(signal, 25)
    for other in (1e4 * signal - 3e6, np.rint(8000 * signal).astype(np.int16), signal.tolist()):
        again = detect_breaths(other, 25)
        np.testing.assert_allclose(again["inhale_s"], found["inhale_s"], atol=0.05)
    before = signal.copy()
    signal.flags.writeable = False
    assert detect_breaths(signal, 25).equals(found)
    np.testing.assert_array_equal(signal, before)


@pytest.mark.parametrize("hz", [0.05, 0.1, 0.25, 0.5, 0.66])
@pytest.mark.parametrize("sfreq", [4.0, 25.0, 62.5, 1000.0])
def test_times_and_size_of_even_breathing(hz, sfreq):
    times = np.arange(0, 300, 1 / sfreq)
    found = detect_breaths(-3 * np.cos(2 * np.pi * hz * times), sfreq)
    for column, phase in (("inhale_s", 0.0), ("exhale_s", 0.5), ("end_s", 0.0)):
        cycle = found[column].to_numpy() * hz - phase
        assert np.abs(cycle - np.round(cycle)).max() / hz < 0.15
    assert found["amplitude"].median() == pytest.approx(6, rel=0.05)
    assert len(found) >= 300 * hz - 3


def slow_prune(values, least):
    """Remove the smallest difference again and again until all reach the least."""
    kept = list(range(len(values)))
    while len(kept) > 1:
        change = [abs(values[b] - values[a]) for a, b in pairwise(kept)]
        k = int(np.argmin(change))
        if change[k] >= least:
            break
        if len(kept) == 2:
            return []
        if k == 0:
            del kept[0]
        elif k == len(change) - 1:
            del kept[-1]
        else:
            del kept[k : k + 2]
    return kept


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=60), st.integers(0, 10**6))
def test_thinning_out_equals_a_slow_reference(sizes, least):
    # Sizes all different, so that no tie leaves a choice.
    steps = np.array(sizes) + np.arange(len(sizes)) / 128
    signs = np.where(np.arange(len(sizes)) % 2, -1, 1)
    values = np.cumsum(np.concatenate([[0.0], steps * signs]))
    kept = _prune(values, np.full(values.size, least + 0.3))
    assert kept.tolist() == slow_prune(values, least + 0.3)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float64,
        st.integers(0, 400),
        elements=st.floats(allow_nan=True, allow_infinity=True, width=32),
    ),
    st.sampled_from([2.0, 4.0, 31.25]),
)
def test_any_numbers_are_survived(values, sfreq):
    with np.errstate(over="ignore", invalid="ignore"):
        found = detect_breaths(values, sfreq)
        assert clean_respiration(values, sfreq).size == values.size
    assert (found["end_s"] > found["inhale_s"]).all()
    assert (found["inhale_s"].diff().dropna() > 0).all()
    unknown = found["amplitude"].isna() | ~found["valid"]
    assert (found.loc[unknown, "reason"] != "").all()


@pytest.mark.parametrize("call", [clean_respiration, detect_breaths])
def test_arguments_are_checked(call):
    with pytest.raises(SignalError, match="dimensions"):
        call(np.zeros((2, 100)), 25)
    with pytest.raises(SignalError, match="at least 2 Hz"):
        call(np.zeros(100), 1.0)
    with pytest.raises(SignalError, match="above 0 Hz"):
        call(np.zeros(100), 0)


def test_further_arguments_are_checked():
    with pytest.raises(SignalError, match="polarity"):
        detect_breaths(np.zeros(100), 25, polarity="sideways")
    with pytest.raises(SignalError, match="depth_min"):
        detect_breaths(np.zeros(100), 25, depth_min=0)


@pytest.mark.parametrize("values", [[], [1.0], np.full(500, np.nan), np.zeros(5000), range(500)])
def test_nothing_to_find(values):
    found = detect_breaths(values, 25)
    assert len(found) == 0
    expected = ["inhale_s", "exhale_s", "end_s", "amplitude", "valid", "reason"]
    assert list(found.columns) == expected


def test_cleaning_keeps_breathing_and_missing_samples():
    times = np.arange(0, 300, 0.04)
    breathing = np.sin(2 * np.pi * 0.2 * times)
    noisy = breathing + 5 + times / 30 + 0.3 * np.sin(2 * np.pi * 10 * times)
    noisy[3000:3100] = np.nan
    cleaned = clean_respiration(noisy, 25)
    np.testing.assert_array_equal(np.isnan(cleaned), np.isnan(noisy))
    inner = np.r_[500:2500, 3600:7000]
    assert np.abs(cleaned - breathing)[inner].max() < 0.12


def test_belt_of_a_recording_at_4_hz(shared_data):
    import bioread

    folder = shared_data / "formats" / "acqknowledge"
    channels = bioread.read_file(str(folder / "physio-5.0.1.acq")).channels
    belt_channel = next(channel for channel in channels if "RESP" in channel.name)
    found = detect_breaths(belt_channel.data, belt_channel.samples_per_second)
    # The three deep breaths of the recording, as they are seen in its plot.
    deep = found.nlargest(3, "amplitude").sort_values("exhale_s")
    assert deep["exhale_s"].tolist() == pytest.approx([17.1, 22.7, 41.6], abs=0.5)


def test_numbers_too_large_to_square_are_missing():
    times = np.arange(0, 120, 0.04)
    resp = -np.cos(2 * np.pi * 0.25 * times)
    expected = detect_breaths(np.where(times < 60, resp, np.nan), 25)
    huge = np.where(times < 60, resp, 1e300)
    pd.testing.assert_frame_equal(detect_breaths(huge, 25), expected)
    assert np.isnan(clean_respiration(huge, 25)[times > 60]).all()
