"""Pressure beats: simulated truth, real recordings, and what must not pass as pressure."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from physio_hqc.errors import SignalError
from physio_hqc.signals.ecg import detect_r_peaks
from physio_hqc.signals.pressure import detect_pressure_beats, pressure_quality

UPSTROKE_S = 0.16


def simulate(sfreq, duration=60.0, heart_rate=75.0, noise=0.0, seed=0, dicrotic=0.25):
    """Return a pressure signal and, for each whole beat, onset, systole, SBP, DBP and MAP."""
    rng = np.random.default_rng(seed)
    n = int(duration * heart_rate / 60)
    interval = 60 / heart_rate * (1 + 0.04 * rng.standard_normal(n))
    onset = 0.5 + np.concatenate(([0.0], np.cumsum(interval)))
    dbp = 78 + 5 * np.sin(2 * np.pi * 0.1 * onset)
    pulse = 42 + 4 * np.sin(2 * np.pi * 0.25 * onset)
    time = np.arange(int((onset[-1] - 0.02) * sfreq)) / sfreq
    beat = np.clip(np.searchsorted(onset, time, side="right") - 1, 0, n - 1)
    since, length = time - onset[beat], interval[beat]
    late = np.clip(since - UPSTROKE_S, 0, None)
    share = late / (length - UPSTROKE_S)
    end = np.exp(-(length - UPSTROKE_S) / 0.35)
    wave = np.exp(-late / 0.35) - end * share
    wave += dicrotic * np.exp(-(((since - 0.4) / 0.05) ** 2)) * (since > UPSTROKE_S)
    rising = since < UPSTROKE_S
    wave[rising] = 0.5 - 0.5 * np.cos(np.pi * np.clip(since[rising], 0, None) / UPSTROKE_S)
    signal = dbp[beat] + (dbp[beat + 1] - dbp[beat]) * share + pulse[beat] * wave
    truth = pd.DataFrame(
        {
            "onset": onset[:-1],
            "systole": onset[:-1] + UPSTROKE_S,
            "SBP": (dbp + pulse)[:-1],
            "DBP": dbp[:-1],
        }
    )
    return signal + noise * rng.standard_normal(time.size), truth


@pytest.fixture(scope="module")
def abp(shared_data: Path):
    wfdb = pytest.importorskip("wfdb")

    def read(name):
        record = wfdb.rdrecord(str(shared_data / "abp" / name), smooth_frames=False)
        channel = record.sig_name.index("ABP")
        return record.e_p_signal[channel], record.fs * record.samps_per_frame[channel]

    return read


@pytest.fixture(scope="module")
def r_peaks(shared_data: Path):
    wfdb = pytest.importorskip("wfdb")

    def read(name):
        record = wfdb.rdrecord(str(shared_data / "abp" / name), smooth_frames=False)
        sfreq = record.fs * record.samps_per_frame[0]
        return detect_r_peaks(record.e_p_signal[0], sfreq) / sfreq

    return read


def answered(peaks, beats, use):
    """Tell which R peaks are followed within 50 to 400 ms by a pulse of ``use``."""
    foot = beats["foot_s"].to_numpy()[use]
    return ((foot - peaks[:, None] > 0.05) & (foot - peaks[:, None] < 0.4)).any(axis=1)


def test_every_r_peak_has_its_pulse(abp, r_peaks):
    signal, sfreq = abp("3975656_0013")
    beats = detect_pressure_beats(signal, sfreq)
    peaks = r_peaks("3975656_0013")
    peaks = peaks[(peaks > 24) & (peaks < 133.3)]
    assert len(peaks) >= 108
    assert answered(peaks, beats, beats["valid"]).mean() >= 0.99


def test_every_r_peak_that_ejects_has_its_pulse(abp, r_peaks):
    signal, sfreq = abp("mixedsignals")
    beats = detect_pressure_beats(signal, sfreq)
    peaks = r_peaks("mixedsignals")
    peaks = peaks[(peaks > 5) & (peaks < 229)]
    # A premature beat before a pause may not open the aortic valve: no pressure, no pulse.
    interval = np.diff(peaks)
    early = np.zeros(peaks.size, dtype=bool)
    early[1:-1] = interval[1:] > 1.07 * interval[:-1]
    has = answered(peaks, beats, beats["valid"])
    assert has[~early].mean() >= 0.99
    assert early.sum() < 0.05 * peaks.size
    time = np.arange(signal.size) / sfreq
    for peak in peaks[early & ~has]:
        after = signal[(time > peak + 0.1) & (time < peak + 0.4)]
        climbs = after - np.minimum.accumulate(after)
        assert climbs.max() < 12


@pytest.mark.parametrize("sfreq", [60, 100, 125, 250, 1000])
@pytest.mark.parametrize("heart_rate", [45, 75, 150])
def test_every_beat_is_found_and_measured(sfreq, heart_rate):
    signal, truth = simulate(sfreq, heart_rate=heart_rate)
    beats = detect_pressure_beats(signal, sfreq)
    assert len(beats) == len(truth)
    assert beats["valid"].all()
    assert np.abs(beats["systole_s"] - truth["systole"]).max() < 0.015
    assert np.abs(beats["SBP"] - truth["SBP"]).max() < 2
    assert np.abs(beats["DBP"] - truth["DBP"]).max() < 2
    assert np.array_equal(beats["PP"], beats["SBP"] - beats["DBP"])
    # The tangent foot lies inside the upstroke, and close to its beginning.
    lead = beats["foot_s"] - truth["onset"]
    assert lead.between(-0.005, 0.06).all()


@pytest.mark.parametrize("sfreq", [125, 1000])
def test_noise_of_a_millimeter_does_not_matter(sfreq):
    signal, truth = simulate(sfreq, noise=1.0, seed=3)
    beats = detect_pressure_beats(signal, sfreq)
    assert len(beats) == len(truth)
    assert abs((beats["SBP"] - truth["SBP"]).mean()) < 0.5
    assert abs((beats["DBP"] - truth["DBP"]).mean()) < 0.7


def test_mean_pressure_is_the_area_from_foot_to_foot():
    signal, _ = simulate(1000)
    beats = detect_pressure_beats(signal, 1000)
    for beat, following in zip(beats.itertuples(), beats.iloc[1:].itertuples(), strict=False):
        part = signal[round(beat.foot_s * 1000) : round(following.foot_s * 1000) + 1]
        assert pytest.approx(np.trapezoid(part) / (part.size - 1), abs=0.15) == beat.MAP
    assert np.isnan(beats["MAP"].iloc[-1])
    assert beats["reason"].iloc[-1].startswith("flag: no MAP")


def test_a_large_dicrotic_wave_is_no_beat():
    signal, truth = simulate(200, dicrotic=0.4)
    assert len(detect_pressure_beats(signal, 200)) == len(truth)


def test_gaps_end_a_stretch():
    signal, truth = simulate(100)
    signal[2000:2600] = np.nan
    beats = detect_pressure_beats(signal, 100)
    outside = (truth["systole"] < 19.9) | (truth["onset"] > 26.0)
    assert beats["valid"].sum() == pytest.approx(outside.sum(), abs=1)
    assert not beats["foot_s"].between(20.0, 26.0).any()
    across = beats[beats["foot_s"] < 20].iloc[-1]
    assert np.isnan(across["MAP"])


def test_calibration_pause_is_not_averaged():
    signal, truth = simulate(200)
    held = slice(4000, 4500)
    signal[held] = signal[4000]
    beats = detect_pressure_beats(signal, 200)
    beside = beats[(beats["foot_s"] < 22.5) & (beats["foot_s"] > 19.0)]
    assert beside["reason"].str.contains("flat line").any()
    valid = beats[beats["valid"]]
    spans = np.diff(valid["foot_s"])[np.isfinite(valid["MAP"].iloc[:-1])]
    assert not ((valid["foot_s"] > 20.0) & (valid["foot_s"] < 22.5)).any()
    assert len(valid) >= len(truth) - 6
    assert np.median(spans) == pytest.approx(0.8, abs=0.05)


def test_clipping_is_told():
    signal, _ = simulate(200)
    clipped = np.minimum(signal, 112.0)
    beats = detect_pressure_beats(clipped, 200)
    assert (~beats["valid"]).mean() > 0.9
    assert beats["reason"].str.contains("limit of the converter").mean() > 0.9
    # Coarse steps alone are no clipping.
    coarse = np.round(signal / 1.2) * 1.2
    assert detect_pressure_beats(coarse, 200)["valid"].all()


def test_flush_is_told_and_does_not_hide_the_beats_beside_it():
    signal, truth = simulate(125)
    signal[2500:2690] = 290.0
    beats = detect_pressure_beats(signal, 125)
    flush = beats[beats["SBP"] > 250]
    assert len(flush) >= 1
    assert not flush["valid"].any()
    assert beats["valid"].sum() >= len(truth) - 5


def test_damping_is_told():
    signal, _ = simulate(100, duration=180)
    half = slice(9000, None)
    mean = signal[half].mean()
    signal[half] = mean + 0.4 * (signal[half] - mean)
    beats = detect_pressure_beats(signal, 100)
    late = beats[beats["foot_s"] > 100]
    early = beats[beats["foot_s"] < 80]
    assert (late["reason"] == "damped").mean() > 0.95
    assert early["valid"].all()


@pytest.mark.parametrize("level", [-16.0, 0.0, 20.0, 300.0])
def test_no_patient_no_pressure(level):
    rng = np.random.default_rng(1)
    beats = detect_pressure_beats(level + 3 * rng.standard_normal(6000), 100)
    assert not beats["valid"].any()
    assert (beats["reason"] != "").all()


def test_units_far_from_mmhg_are_refused():
    signal, _ = simulate(100)
    assert not detect_pressure_beats(signal / 7.50062, 100)["valid"].any()


def test_usable_stretch_of_a_real_record(abp):
    signal, sfreq = abp("3975656_0013")
    beats = detect_pressure_beats(signal, sfreq)
    valid = beats[beats["valid"]]
    usable = valid[valid["foot_s"].between(24, 134)]
    assert len(usable) == pytest.approx(109, abs=1)
    assert usable["SBP"].min() >= 116
    assert usable["SBP"].max() <= 149
    assert usable["DBP"].between(49, 74).all()
    # Before: flushes and zeroing; after: an open line.
    before = valid[valid["foot_s"] < 23]
    assert (
        before["foot_s"].between(4, 6)
        | before["foot_s"].between(1, 2.4)
        | before["foot_s"].between(22, 23)
    ).all()
    assert not (valid["foot_s"] > 134).any()
    # The monitor's minute (stamp 37.68 + 40 s), its own reading: 129.5 / 59.8, mean 86.4.
    minute = valid[valid["foot_s"].between(77.68, 137.68)]
    assert minute["SBP"].mean() == pytest.approx(129.5, abs=2)
    assert minute["DBP"].mean() == pytest.approx(59.8, abs=2)
    assert minute["MAP"].mean() == pytest.approx(86.4, abs=2)
    earlier = valid[valid["foot_s"].between(17.68, 77.68)]
    assert earlier["SBP"].mean() == pytest.approx(129.3, abs=2)
    assert earlier["DBP"].mean() == pytest.approx(59.3, abs=2)


def test_clean_real_record(abp):
    signal, sfreq = abp("mixedsignals")
    beats = detect_pressure_beats(signal, sfreq)
    # Premature beats whose valve hardly opened: pulses of 6 to 8 mmHg.
    assert (~beats["valid"]).sum() <= 4
    assert (beats.loc[~beats["valid"], "PP"] < 15).all()
    assert beats["SBP"].median() == pytest.approx(160, abs=1)
    assert beats["DBP"].median() == pytest.approx(90, abs=1)
    assert 60 / np.median(np.diff(beats["systole_s"])) == pytest.approx(104, abs=1)


def test_line_without_a_patient_yields_no_pressure(abp):
    signal, sfreq = abp("3234460_0018")
    beats = detect_pressure_beats(signal, sfreq)
    assert not beats["valid"].any()
    quality = pressure_quality(signal, sfreq, [[0, 100], [100, 751], [0, 751.8]])
    assert (quality["quality"] == 0).all()
    assert (quality["n_beats"] == 0).all()
    assert quality["reason"].str.contains("SBP outside 50-280 mmHg").all()


def test_quality_per_window():
    signal, truth = simulate(100)
    signal[1000:2000] = np.nan
    signal[4000:4500] = 8.0
    windows = [[0.5, 10], [10, 20], [5, 15], [25, 35], [40.5, 44.5], [30, 30]]
    quality = pressure_quality(signal, 100, windows)
    assert quality["usable_share"].iloc[0] == pytest.approx(1.0, abs=0.1)
    assert quality["usable_share"].iloc[1] == pytest.approx(0, abs=1e-9)
    assert quality["usable_share"].iloc[2] == pytest.approx(0.5, abs=0.1)
    assert quality["reason"].iloc[1] == "no beats: 100 % missing"
    assert "missing" in quality["reason"].iloc[2]
    assert quality["reason"].iloc[3] == ""
    assert quality["n_beats"].iloc[3] == truth["systole"].between(25, 35).sum()
    assert quality["reason"].iloc[4] == "no beats: 100 % flat line"
    assert quality["quality"].iloc[5] == 0
    assert quality["quality"].between(0, 1).all()


def test_quality_on_another_clock():
    signal, _ = simulate(100)
    times = 1000 + np.arange(signal.size) / 100
    moved = pressure_quality(signal, 100, [[1005, 1030]], times_s=times)
    plain = pressure_quality(signal, 100, [[5, 30]])
    assert moved["n_beats"].tolist() == plain["n_beats"].tolist()
    assert moved["usable_share"].iloc[0] == pytest.approx(plain["usable_share"].iloc[0])


def test_accepts_any_array_and_changes_none():
    signal, _ = simulate(100)
    whole = np.round(signal).astype(np.int16)
    whole.setflags(write=False)
    expected = detect_pressure_beats(whole.astype(float), 100)
    for variant in (whole, whole.tolist(), pd.Series(whole)):
        pd.testing.assert_frame_equal(detect_pressure_beats(variant, 100), expected)


@pytest.mark.parametrize("signal", [[], [80.0], [np.nan] * 500, [90.0] * 500])
def test_nothing_to_find(signal):
    beats = detect_pressure_beats(signal, 100)
    assert beats.empty
    assert beats["valid"].dtype == bool
    assert len(pressure_quality(signal, 100)) == 1


@pytest.mark.parametrize(
    ("signal", "sfreq", "more"),
    [
        (np.zeros((2, 100)), 100, {}),
        (np.zeros(100), 0, {}),
        (["a"], 100, {}),
        (np.zeros(100), 100, {"sbp_limits": (260, 60)}),
    ],
)
def test_bad_arguments(signal, sfreq, more):
    with pytest.raises(SignalError):
        detect_pressure_beats(signal, sfreq, **more)


def test_quality_refuses_a_table_that_is_no_beats():
    with pytest.raises(SignalError, match="lacks"):
        pressure_quality(np.zeros(100), 10, beats=pd.DataFrame({"SBP": [120]}))


@settings(deadline=None, max_examples=60)
@given(
    arrays(np.float64, st.integers(0, 400), elements=st.floats(-1e4, 1e4) | st.just(np.nan)),
    st.sampled_from([5.0, 60.0, 125.0]),
)
def test_any_array_gives_a_table(signal, sfreq):
    beats = detect_pressure_beats(signal, sfreq)
    assert (beats["foot_s"] <= beats["systole_s"]).all()
    assert ((beats["reason"] == "") | ~beats["valid"] | beats["MAP"].isna()).all()
    quality = pressure_quality(signal, sfreq)
    assert quality["quality"].between(0, 1).all()


@pytest.mark.parametrize("sfreq", [0.05, 125.0, 50_000.0])
@pytest.mark.parametrize("size", [1e300, 1e-300])
def test_absurd_scales_are_no_error(sfreq, size):
    signal = size * np.random.default_rng(0).standard_normal(3000)
    assert not detect_pressure_beats(signal, sfreq)["valid"].any()
