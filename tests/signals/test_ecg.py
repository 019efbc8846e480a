import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from physio_hqc.errors import SignalError
from physio_hqc.signals import clean_ecg, correct_beats, detect_r_peaks, ecg_quality

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


def rmssd_ms(times):
    return 1000 * np.sqrt(np.mean(np.diff(times, n=2) ** 2))


@pytest.fixture(scope="module")
def scorer(shared_data):
    path = shared_data.parent / "tools" / "score_beats.py"
    if not path.is_file():
        pytest.skip("the scorer (../shared/tools) is not beside this checkout")
    spec = importlib.util.spec_from_file_location("score_beats", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("method", ["sleepecg", "neurokit"])
def test_beats_of_the_arrhythmia_records_are_found_at_the_libraries_level(
    shared_data, scorer, tmp_path, method
):
    import wfdb

    folder = shared_data / "mitbih"
    for header in sorted(folder.glob("*.hea")):
        record = wfdb.rdrecord(str(header.with_suffix("")))
        peaks = detect_r_peaks(record.p_signal[:, 0], record.fs, method=method)
        rounded = " ".join(str(round(peak)) for peak in peaks)
        (tmp_path / f"{header.stem}.txt").write_text(rounded)
    with (tmp_path / "scores.log").open("w") as log:
        scores, missing = scorer.score_directories(tmp_path, folder, out=log)
    assert missing == []
    total = scorer.total(scores.values())
    assert total["f1"] > 0.989
    assert total["mae_ms"] < 10


@pytest.mark.parametrize("sfreq", [100, 130, 249.89, 500, 1000, 4000])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_peaks_lie_within_2_ms_of_the_truth_and_rmssd_within_3_percent(sfreq, noise):
    ecg, truth = simulate(sfreq, noise=noise)
    found = detect_r_peaks(ecg, sfreq) / sfreq
    assert found.size == truth.size
    assert np.abs(found - truth).max() < 0.002
    assert rmssd_ms(found) == pytest.approx(rmssd_ms(truth), rel=0.03)


def test_neurokit_finds_the_same_beats():
    ecg, truth = simulate(250)
    found = detect_r_peaks(ecg, 250, method="neurokit") / 250
    assert np.abs(found - truth).max() < 0.002


@pytest.mark.parametrize(
    ("scale", "offset"), [(1e-6, 0), (1e6, -3e7), (-1, 0), (-200, 32768), (1e150, 0), (1e-200, 0)]
)
def test_scale_offset_and_polarity_do_not_matter(scale, offset):
    ecg, truth = simulate(250, 60)
    found = detect_r_peaks(ecg * scale + offset, 250) / 250
    assert found.size == truth.size
    assert np.abs(found - truth).max() < 0.002


def test_integers_and_read_only_arrays_are_accepted_and_left_alone():
    ecg, truth = simulate(500, 60)
    raw = np.round(ecg * 200 + 1024).astype(np.int16)
    raw.flags.writeable = False
    before = raw.copy()
    found = detect_r_peaks(raw, 500) / 500
    assert np.abs(found - truth).max() < 0.004
    assert (raw == before).all()


def test_mains_and_wander_do_not_matter():
    ecg, truth = simulate(500, 60, mains=0.3, wander=1.5)
    found = detect_r_peaks(ecg, 500) / 500
    assert np.abs(found - truth).max() < 0.002


def test_gaps_and_flat_lines_give_no_beats_and_cost_none_elsewhere():
    ecg, truth = simulate(250, 120)
    times = np.arange(ecg.size) / 250
    ecg[(times > 30) & (times < 40)] = np.nan
    ecg[(times > 70) & (times < 80)] = 0.4
    found = detect_r_peaks(ecg, 250) / 250
    for low, high in ((30, 40), (70, 80)):
        assert not ((found > low + 0.1) & (found < high - 0.1)).any()
    for low, high in ((0, 29.5), (40.6, 69.5), (80.6, 120)):
        expected = truth[(truth > low) & (truth < high)]
        near = np.abs(found[:, None] - expected).min(axis=0)
        assert near.max() < 0.002


def test_a_step_and_a_larger_second_half_do_not_lose_beats():
    ecg, truth = simulate(250, 120, wander=0)
    ecg[15000:] = ecg[15000:] * 3 + 2
    found = detect_r_peaks(ecg, 250) / 250
    near = np.abs(found[:, None] - truth).min(axis=0)
    assert np.count_nonzero(near > 0.002) <= 2
    assert abs(found.size - truth.size) <= 2


@pytest.mark.slow
def test_blocks_join_without_a_seam():
    ecg, truth = simulate(100, 3 * 3600, noise=0.02)
    found = detect_r_peaks(ecg, 100) / 100
    assert found.size == truth.size
    assert np.abs(found - truth).max() < 0.002


@pytest.mark.parametrize("method", ["sleepecg", "neurokit"])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 50, 199, 200, 201, 450])
def test_short_flat_and_missing_signals_never_raise(n, method):
    noise = np.random.default_rng(0).standard_normal(n)
    spike = np.where(np.arange(n) == n // 2, 1.0, 0.0)
    for ecg in (np.zeros(n), np.full(n, np.nan), np.full(n, 7.5), noise, spike, np.arange(n)):
        peaks = detect_r_peaks(ecg, 100, method=method)
        assert peaks.ndim == 1
        assert np.isfinite(peaks).all()
        assert (np.diff(peaks) > 0).all()
        assert clean_ecg(ecg, 100).shape == (n,)


@settings(deadline=None, max_examples=40)
@given(
    hnp.arrays(
        np.float64,
        st.integers(0, 900),
        elements=st.floats(width=64),
    )
)
def test_no_signal_raises(ecg):
    peaks = detect_r_peaks(ecg, 120)
    assert ((peaks >= 0) & (peaks <= ecg.size)).all()
    assert (np.diff(peaks) >= 0.2 * 120 - 1e-9).all()


def test_cleaning_keeps_the_beat_and_takes_the_rest():
    sfreq = 500
    plain, peaks = simulate(sfreq, 60, wander=0)
    dirty, _ = simulate(sfreq, 60, wander=1.0, mains=0.2)
    inner = slice(3 * sfreq, -3 * sfreq)
    cleaned = clean_ecg(dirty + 100, sfreq)
    assert np.abs(cleaned - clean_ecg(plain, sfreq))[inner].max() < 0.05
    at = np.round(peaks[3:-3] * sfreq).astype(int)
    assert np.median(cleaned[at]) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("method", ["butterworth", "neurokit"])
def test_cleaning_filters_each_run_by_itself(method):
    ecg, _ = simulate(250, 30)
    ecg[3000:3200] = np.nan
    cleaned = clean_ecg(ecg, 250, method=method)
    assert np.isnan(cleaned).tolist() == np.isnan(ecg).tolist()
    np.testing.assert_allclose(cleaned[:3000], clean_ecg(ecg[:3000], 250, method=method))
    np.testing.assert_allclose(cleaned[3200:], clean_ecg(ecg[3200:], 250, method=method))


def test_cleaning_in_blocks_equals_cleaning_at_once():
    from physio_hqc.signals._ecg_filter import clean_butterworth

    ecg = np.random.default_rng(3).standard_normal(2 * 3600 * 100)
    np.testing.assert_allclose(clean_ecg(ecg, 100), clean_butterworth(ecg, 100.0), atol=1e-8)


@pytest.mark.parametrize("function", [clean_ecg, detect_r_peaks, ecg_quality])
def test_wrong_arguments_are_refused(function):
    with pytest.raises(SignalError, match="1-D"):
        function(np.zeros((2, 100)), 250)
    with pytest.raises(SignalError, match="sfreq"):
        function(np.zeros(100), 0)
    with pytest.raises(SignalError, match="at least 80 Hz"):
        function(np.zeros(100), 25)
    if function is not ecg_quality:
        with pytest.raises(SignalError, match="magic"):
            function(np.zeros(100), 250, method="magic")


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
    assert table["usable_share"].round(2).tolist()[:4] == [1.0, 0.5, 0.0, 1.0]
    assert (table["quality"][[0, 3, 5]] > 0.9).all()
    assert (table["quality"][[2, 4]] < 0.1).all()
    assert table["usable_share"][6] == pytest.approx(0.5)
    assert table["reason"][1] == "50 % missing"
    assert "flat" in table["reason"][2]
    assert "shape" in table["reason"][4]
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
    assert "shape" in nobody["reason"]


@pytest.mark.parametrize("n", [0, 1, 2, 100])
def test_quality_of_next_to_nothing(n):
    assert ecg_quality(np.zeros(n), 250).shape == (1, 6)
    assert ecg_quality(np.full(n, np.nan), 250, np.empty((0, 2))).empty


def test_false_beats_in_motion_lower_the_quality_and_clean_ones_do_not(tmp_path):
    from physio_hqc import open_session
    from physio_hqc.simulate import Noise, simulate_session

    quality, false_share = {}, {}
    for name, noise in (("clean", Noise()), ("motion", Noise(motion_per_min=3))):
        made = simulate_session(tmp_path / f"{name}.h5", seed=8, noise=noise, time_scale=0.3)
        with open_session(made.path) as session:
            times, ecg = session.streams["ecg"].filled()
        found = np.interp(detect_r_peaks(ecg, 250), np.arange(ecg.size), times)
        nearest = np.abs(found[:, None] - made.truth.beat_times_s).min(axis=1)
        false_share[name] = np.mean(nearest > 0.05)
        row = ecg_quality(ecg, 250, times_s=times).iloc[0]
        quality[name] = row["quality"]
        assert ("unlike" in row["reason"]) == (name == "motion")
    assert false_share["clean"] == 0
    assert false_share["motion"] > 0.05
    assert quality["clean"] > 0.95
    assert quality["motion"] < 0.8
