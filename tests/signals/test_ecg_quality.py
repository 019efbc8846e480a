from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import signal

from physio_hqc.errors import SignalError
from physio_hqc.signals import correct_beats, ecg_quality
from physio_hqc.signals._clock import Clock
from physio_hqc.signals._ecg_scan import EcgScan
from physio_hqc.signals._spans import held_in, outside, union
from physio_hqc.simulate import Noise, render_ecg, simulate_truth
from physio_hqc.simulate.noise import draw_artifacts

# Delay (s), height (mV) and width (s) of P, Q, R, S and T wave.
WAVES = (
    (-0.17, 0.12, 0.025),
    (-0.028, -0.12, 0.009),
    (0, 1.0, 0.01),
    (0.03, -0.25, 0.01),
    (0.26, 0.3, 0.05),
)


def simulate(sfreq, duration_s=120.0, *, noise=0.0, wander=0.1, mains=0.0, seed=0):
    """ECG of Gaussian waves whose R peaks lie at known times between samples."""
    rng = np.random.default_rng(seed)
    n = int(duration_s)
    rr = 0.85 + 0.03 * np.sin(0.5 * np.arange(2 * n)) + 0.015 * rng.standard_normal(2 * n)
    peaks = 0.6 + np.cumsum(rr)
    peaks = peaks[peaks < duration_s - 0.6]
    times = np.arange(int(duration_s * sfreq)) / sfreq
    ecg = wander * np.sin(2 * np.pi * 0.2 * times) + mains * np.sin(2 * np.pi * 50 * times)
    ecg += noise * rng.standard_normal(times.size)
    for delay, height, width in WAVES:
        reach = np.arange(-int(6 * width * sfreq) - 1, int(6 * width * sfreq) + 2)
        index = np.round((peaks + delay) * sfreq).astype(int)[:, None] + reach
        values = height * np.exp(-0.5 * ((index / sfreq - (peaks + delay)[:, None]) / width) ** 2)
        inside = (index >= 0) & (index < times.size)
        np.add.at(ecg, index[inside], values[inside])
    return ecg, peaks


def test_wrong_arguments_are_refused():
    with pytest.raises(SignalError, match="1-D"):
        ecg_quality(np.zeros((2, 100)), 250)
    with pytest.raises(SignalError, match="sfreq"):
        ecg_quality(np.zeros(100), 0)
    with pytest.raises(SignalError, match="at least 80 Hz"):
        ecg_quality(np.zeros(100), 25)


def test_quality_of_a_clean_recording_is_1():
    ecg, truth = simulate(250, 60, noise=0.01)
    row = ecg_quality(ecg, 250).iloc[0]
    assert row["n_beats"] == truth.size
    assert row["quality"] > 0.97
    assert row["reason"] == ""


def test_quality_says_what_is_wrong_in_each_window():
    ecg, _ = simulate(250, 180, noise=0.01)
    rng = np.random.default_rng(0)
    ecg[40 * 250 : 55 * 250] = np.nan
    ecg[60 * 250 : 90 * 250] = 0.1
    ecg[120 * 250 : 150 * 250] = rng.standard_normal(30 * 250)
    windows = [[0, 30], [30, 60], [60, 90], [90, 120], [120, 150], [150, 180], [170, 190]]
    table = ecg_quality(ecg, 250, windows)
    assert table["usable_share"].round(2).tolist()[:3] == [1.0, 0.5, 0.0]
    # Artefact begins with the last beat before it.
    assert table["usable_share"][3] == pytest.approx(1 - 0.85 / 30, abs=0.02)
    assert (table["quality"][[0, 3, 5]] > 0.9).all()
    assert (table["quality"][[2, 4]] < 0.1).all()
    assert table["usable_share"][6] == pytest.approx(0.5)
    assert table["reason"][1] == "50 % missing"
    assert "flat" in table["reason"][2]
    assert "artefact" in table["reason"][4]
    assert "missing" in table["reason"][6]


def test_quality_counts_corrected_beats_given_to_it():
    ecg, truth = simulate(250, 60)
    beats = correct_beats(np.delete(truth, 30))
    row = ecg_quality(ecg, 250, beats=beats).iloc[0]
    assert row["corrected_share"] == pytest.approx(1 / truth.size)


def test_quality_follows_the_given_sample_times():
    ecg, _ = simulate(250, 60)
    shifted = ecg_quality(ecg, 250, [[1000, 1030]], times_s=1000 + np.arange(ecg.size) / 250)
    plain = ecg_quality(ecg, 250, [[0, 30]])
    assert shifted["n_beats"].tolist() == plain["n_beats"].tolist()
    assert shifted["quality"][0] == pytest.approx(plain["quality"][0])


def test_quality_of_clipped_peaks_that_stay_at_the_limit():
    ecg, _ = simulate(250, 60)
    ecg[5000:7500] = 3.0
    row = ecg_quality(ecg, 250, [[20, 30]]).iloc[0]
    assert row["usable_share"] == 0


def test_real_recordings_are_told_apart(shared_data):
    import wfdb

    def quality(name):
        record = wfdb.rdrecord(str(shared_data / name), smooth_frames=False)
        return ecg_quality(record.e_p_signal[0], record.fs * record.samps_per_frame[0]).iloc[0]

    assert quality("abp/3975656_0013")["quality"] > 0.9
    assert quality("mitbih/101")["quality"] > 0.9
    nobody = quality("abp/3234460_0018")
    assert nobody["quality"] < 0.1
    assert "artefact" in nobody["reason"]


@pytest.mark.parametrize("n", [0, 1, 2, 100])
def test_quality_of_next_to_nothing(n):
    assert ecg_quality(np.zeros(n), 250).shape == (1, 11)
    assert ecg_quality(np.full(n, np.nan), 250, np.empty((0, 2))).empty


# --- noise, motion, ectopic beats -----------------------------------------------------------------


def recording(noise, seed=3, seconds=300, sfreq=250):
    """A simulated ECG with its true beat times."""
    truth = simulate_truth(seed=seed, protocol="lepore_1993")
    drawn = draw_artifacts(noise, truth.duration_s, ("ecg",), np.random.default_rng(seed))
    truth = replace(
        truth,
        artifact_onset_s=drawn.onset_s,
        artifact_offset_s=drawn.offset_s,
        artifact_stream=drawn.stream,
        artifact_kind=drawn.kind,
    )
    ecg = render_ecg(truth, sfreq, noise)[: seconds * sfreq]
    return ecg, truth.beat_times_s[truth.beat_times_s < seconds]


def disturbed(band_hz, db, seed=3):
    """A clean recording under band noise; the signal's power is (QRS peak to peak)^2 / 8."""
    ecg, beats = recording(Noise.none(), seed)
    around = np.round(beats[2:-2] * 250).astype(int)[:, None] + np.arange(-15, 16)
    power = np.median(np.ptp(ecg[around], axis=1)) ** 2 / 8
    sos = signal.butter(2, band_hz, "bandpass", fs=250, output="sos")
    noise = signal.sosfilt(sos, np.random.default_rng(seed).standard_normal(ecg.size))
    return ecg + noise * np.sqrt(power / 10 ** (db / 10) / noise.var()), beats


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_quality_falls_with_muscle_noise_from_1_to_nothing(seed):
    quality = [
        ecg_quality(disturbed((20, 120), db, seed)[0], 250).loc[0, "quality"]
        for db in (24, 12, 6, 0, -6, -12)
    ]
    assert min(quality[:2]) > 0.98
    assert (np.diff(quality) < 0.01).all()
    # At 0 dB nearly all beats are still found; at -6 dB every third is missed.
    assert 0.6 < quality[3] < 0.97
    assert quality[4] < 0.4
    assert quality[5] < 0.05


def test_wander_that_costs_no_beat_costs_no_quality():
    ecg, _ = disturbed((0.05, 0.5), -6)
    assert ecg_quality(ecg, 250).loc[0, "quality"] > 0.95


def test_a_stretch_of_motion_costs_its_time_and_its_beats():
    ecg, truth = recording(Noise())
    plain = ecg_quality(ecg, 250).iloc[0]
    rng = np.random.default_rng(0)
    sos = signal.butter(2, (1, 10), "bandpass", fs=250, output="sos")
    for start in (40, 120, 200):
        part = slice(start * 250, (start + 8) * 250)
        ecg[part] += 10 * np.std(ecg) * signal.sosfilt(sos, rng.standard_normal(8 * 250)) / 0.25
    row = ecg_quality(ecg, 250).iloc[0]
    assert plain["quality"] > 0.95
    assert row["usable_share"] == pytest.approx(1 - 24 / 300, abs=0.04)
    assert row["unlike_share"] < 0.02
    assert row["quality"] == pytest.approx(row["usable_share"], abs=0.05)
    assert "artefact" in row["reason"]
    assert row["n_beats"] == pytest.approx(len(truth) * row["usable_share"], rel=0.04)


def test_ectopic_beats_of_one_focus_are_no_artefact():
    beats = np.cumsum(np.full(300, 0.8))
    ectopic = np.arange(20, 280, 30)[:, None] + [0, 1]
    beats[ectopic] -= 0.25
    times = np.arange(0, 240, 1 / 250)
    ecg = np.zeros(times.size)
    for k, beat in enumerate(beats):
        wide = 0.05 if k in ectopic else 0.012
        ecg += (-1.4 if k in ectopic else 1.0) * np.exp(-0.5 * ((times - beat) / wide) ** 2)
        ecg += 0.3 * np.exp(-0.5 * ((times - beat - 0.28) / 0.05) ** 2)
    corrected = correct_beats(beats[beats < 239])
    row = ecg_quality(ecg, 250, beats=corrected).iloc[0]
    assert "artefact" not in row["reason"]
    assert row["usable_share"] > 0.99


def test_an_electrode_that_was_moved_gives_another_usual_shape():
    ecg, _ = recording(Noise(), seconds=900)
    ecg[500 * 250 :] = np.gradient(ecg[500 * 250 :]) * 25
    table = ecg_quality(ecg, 250, [[0, 480], [600, 900]])
    assert (table["quality"] > 0.9).all()


def test_noisy_and_clean_stretches_of_the_arrhythmia_records(shared_data):
    import wfdb

    def by_minute(name):
        record = wfdb.rdrecord(str(shared_data / "mitbih" / name))
        windows = 60.0 * np.arange(31)
        windows = np.column_stack([windows[:-1], windows[1:]])
        return ecg_quality(record.p_signal[:, 0], record.fs, windows)["quality"]

    for name in ("101", "112", "115", "122", "230"):
        assert by_minute(name).median() > 0.95
    for name in ("104", "203"):
        assert by_minute(name).median() < 0.8
    flutter = by_minute("207")
    assert flutter.min() < 0.2
    assert flutter.median() > 0.9


# --- pieces --------------------------------------------------------------------------------------


def test_how_the_signal_is_cut_does_not_matter():
    ecg, truth = simulate(1000, 900, noise=0.02)
    ecg[200_000:203_000] = np.nan
    ecg[262_000:264_500] = ecg[262_000]
    ecg[524_000:524_500] = ecg.max() if np.isfinite(ecg).all() else np.nanmax(ecg) + 1
    places = truth * 1000
    whole = EcgScan(1000, places)
    whole.feed(ecg)
    expected = whole.finish()
    rng = np.random.default_rng(0)
    pieces = EcgScan(1000, places)
    buffer = np.empty(300_000)
    at = 0
    while at < ecg.size:
        n = min(int(rng.choice([1, 7, 1000, 100_000, 300_000])), ecg.size - at)
        buffer[:n] = ecg[at : at + n]
        pieces.feed(buffer[:n])
        at += n
    found = pieces.finish()
    assert found.n == expected.n == ecg.size
    assert expected.missing.tolist() == [[200_000, 203_000]]
    assert expected.stuck.tolist() == [[262_000, 264_500], [524_000, 524_500]]
    assert (found.stuck == expected.stuck).all()
    assert (found.missing == expected.missing).all()
    np.testing.assert_array_equal(found.shapes, expected.shapes)
    np.testing.assert_array_equal(found.heights, expected.heights)


@settings(deadline=None, max_examples=40)
@given(
    hnp.arrays(np.float64, st.integers(0, 600), elements=st.floats(width=64)),
    st.lists(st.floats(-10, 10), max_size=8),
)
def test_no_signal_and_no_beat_raises(ecg, times):
    beats = correct_beats(np.unique(np.round(times, 2)))
    table = ecg_quality(ecg, 120, [[0, 2], [1, 5], [9, 9]], beats=beats)
    assert table["quality"].between(0, 1).all()
    assert table["usable_share"].between(0, 1).all()


def test_spans_count_as_masks_do():
    rng = np.random.default_rng(2)
    for _ in range(50):
        n = int(rng.integers(1, 60))
        spans = [
            np.sort(rng.integers(0, n + 1, (int(rng.integers(0, 5)), 2)), axis=1) for _ in "ab"
        ]
        mask = np.zeros(n, dtype=bool)
        for start, stop in np.concatenate(spans).tolist():
            mask[start:stop] = True
        edges = np.sort(rng.integers(0, n + 1, (6, 2)), axis=1)
        every = union(*spans)
        counts = [mask[a:b].sum() for a, b in edges.tolist()]
        assert held_in(every, edges).tolist() == counts
        rest = [b - a - c for (a, b), c in zip(edges.tolist(), counts, strict=True)]
        assert held_in(outside(every, n), edges).tolist() == rest


def test_the_clock_goes_both_ways_and_on_beyond_its_knots():
    clock = Clock(1000, 100.0, np.array([0.0, 499.0, 600.0]), np.array([5.0, 9.99, 12.0]))
    places = np.array([-10.0, 0.0, 250.5, 499.0, 560.0, 999.0, 1200.0])
    np.testing.assert_allclose(clock.places_of(clock.times_of(places)), places, atol=1e-9)
    assert clock.times_of(np.array([999.0]))[0] == pytest.approx(12 + 3.99)
    times = clock.times_of(np.arange(1000.0))
    asked = np.concatenate([times[::7], times[::11] + 0.003, [0.0, 100.0]])
    np.testing.assert_array_equal(
        clock.first_at_or_after(asked), np.searchsorted(times, asked - 1e-9)
    )


def test_kinds_of_correction_are_told_for_each_window():
    from physio_hqc.signals import Beats

    times = np.arange(1.0, 61.0)
    ecg = np.exp(-0.5 * ((np.arange(0, 62, 1 / 250)[:, None] - times) / 0.012) ** 2).sum(axis=1)
    kind = np.full(times.size, "normal", dtype="<U7")
    kind[[4, 9, 30]], kind[[11]] = "ectopic", "missed"
    beats = Beats(times, np.diff(times, prepend=np.nan), kind, 4, times, np.arange(times.size))
    table = ecg_quality(ecg, 250, [[0, 20], [20, 40], [40, 60]], beats=beats)
    assert table["corrected_kinds"].tolist() == ["2 ectopic, 1 missed", "1 ectopic", ""]
