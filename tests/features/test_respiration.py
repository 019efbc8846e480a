"""Breathing per window: simulated truth, a slow reference, and the band."""

import numpy as np
import pandas as pd
import pytest

from physio_hqc.errors import SignalError
from physio_hqc.features import FEATURES, breathing_in_band, respiration
from physio_hqc.signals import detect_breaths, ecg_respiration
from physio_hqc.simulate import Noise, render_respiration, simulate_truth


def breaths_of(lengths, start=0.0, inspired=0.4, amplitude=1.0):
    """Return a table of breaths of the lengths given, one after the other."""
    lengths = np.asarray(lengths, dtype=float)
    end = start + np.cumsum(lengths)
    inhale = end - lengths
    return pd.DataFrame(
        {
            "inhale_s": inhale,
            "exhale_s": inhale + inspired * lengths,
            "end_s": end,
            "amplitude": amplitude,
            "valid": True,
            "reason": "",
        }
    )


@pytest.mark.parametrize("seed", range(3))
def test_rates_of_simulated_phases(seed):
    truth = simulate_truth(seed=seed)
    breaths = detect_breaths(render_respiration(truth, 25.0, Noise()), 25.0)
    windows = [[phase.onset, phase.offset] for phase in truth.phases]
    table = respiration(breaths, windows)
    true = [60 * phase.breathing_hz for phase in truth.phases]
    np.testing.assert_allclose(table["RSP_Rate"], true, atol=0.15)
    counts = [phase.breathing_hz * (phase.offset - phase.onset) for phase in truth.phases]
    np.testing.assert_allclose(table["RSP_N_Breaths"], counts, atol=2)
    speech = [phase.speech for phase in truth.phases]
    assert (table["RSP_HF_Share"][speech] < 0.1).all()
    assert (table["RSP_HF_Share"][~np.array(speech)] > 0.95).all()


def slow_rate(breaths, onset, offset):
    """Count breaths and seconds one by one."""
    count = seconds = 0.0
    for row in breaths[breaths["valid"]].itertuples():
        inside = min(row.end_s, offset) - max(row.inhale_s, onset)
        if inside > 0:
            count += inside / (row.end_s - row.inhale_s)
            seconds += inside
    return 60 * count / seconds


def test_rate_equals_a_slow_reference():
    rng = np.random.default_rng(3)
    breaths = breaths_of(rng.uniform(2.5, 6, 200))
    breaths.loc[rng.uniform(size=200) < 0.1, "valid"] = False
    windows = np.sort(rng.uniform(0, 800, (40, 2)), axis=1)
    table = respiration(breaths, windows)
    for row, (onset, offset) in enumerate(windows):
        rate = table["RSP_Rate"][row]
        if np.isfinite(rate):
            assert rate == pytest.approx(slow_rate(breaths, onset, offset), rel=1e-9)
    assert table["RSP_Rate"].notna().sum() > 20


def test_worked_example():
    breaths = breaths_of([4, 4, 5, 6, 4, 3, 4, 5, 4, 5])
    row = respiration(breaths, [[0, 44]]).iloc[0]
    rates = 60 / np.array([4, 4, 5, 6, 4, 3, 4, 5, 4, 5])
    assert row["RSP_N_Breaths"] == 10
    assert row["RSP_Rate"] == pytest.approx(600 / 44)
    assert row["RSP_Rate_SD"] == pytest.approx(rates.std(ddof=1))
    assert row["RSP_Phase_Duration_Inspiration"] == pytest.approx(0.4 * 4.4)
    assert row["RSP_Phase_Duration_Expiration"] == pytest.approx(0.6 * 4.4)
    assert row["RSP_Amplitude_Mean"] == 1
    assert row["RSP_HF_Share"] == 1


def test_share_of_breathing_time_in_the_band():
    # 30 s of breaths of 10 s (0.1 Hz), 30 s of 3 s (0.33 Hz), 30 s of 2 s (0.5 Hz).
    breaths = breaths_of([10] * 3 + [3] * 10 + [2] * 15)
    share = breathing_in_band(breaths, [[0, 60], [30, 90], [0, 90], [30, 60]])
    assert share["RSP_HF_Share"].tolist() == pytest.approx([0.5, 0.5, 1 / 3, 1.0])
    wide = breathing_in_band(breaths, [[0, 90]], (0.05, 0.6))
    assert wide["RSP_HF_Share"].tolist() == pytest.approx([1.0])


def test_the_edges_of_the_band_belong_to_it():
    breaths = breaths_of([4.0] * 20)
    assert breathing_in_band(breaths, hf=(0.25, 0.4))["RSP_HF_Share"].tolist() == [1.0]
    assert breathing_in_band(breaths, hf=(0.15, 0.25))["RSP_HF_Share"].tolist() == [1.0]


def test_reasons():
    breaths = breaths_of([4.0] * 30)
    windows = [[0, 120], [0, 50], [0, 20], [200, 300], [80, 200], [5, 5]]
    table = respiration(breaths, windows)
    said = table.attrs["reasons"]["RSP_Rate"]
    assert said[0] == ""
    assert said[1] == "flag: 50 s of breathing, 60 s recommended"
    assert said[2] == "20 s of breathing, needs 30 s"
    assert said[3] == "no breath in the window"
    assert said[4] == "breathing known in 33 % of the window"
    assert said[5] == "no breath in the window"
    for column in table:
        missing = table[column].isna().to_numpy()
        texts = np.array(table.attrs["reasons"][column], dtype=object)
        assert ((texts == "") | np.char.startswith(texts.astype(str), "flag"))[~missing].all()
        assert (texts[missing] != "").all()


def test_breaths_without_size_have_a_rate():
    table = respiration(breaths_of([4.0] * 30, amplitude=np.nan), [[0, 120]])
    assert table["RSP_Rate"].tolist() == [15]
    assert table.attrs["reasons"]["RSP_Amplitude_Mean"] == ["no breath whose size is known"]


def test_an_estimate_from_the_ecg_gives_rate_and_band():
    times = [0.0]
    while times[-1] < 300:
        rate = 0.25 if times[-1] < 150 else 0.5
        times.append(times[-1] + 0.8 + 0.04 * np.sin(2 * np.pi * rate * times[-1]))
    course = ecg_respiration(times)
    windows = [[0, 150], [150, 300], [0, 20], [100, 131]]
    table = respiration(course, windows)
    assert list(table.columns) == ["RSP_Rate", "RSP_HF_Share"]
    assert table["RSP_Rate"][:2].tolist() == pytest.approx([15, 30], abs=0.5)
    assert table["RSP_HF_Share"][:2].tolist() == [1, 0]
    assert table["RSP_Rate"][2:].isna().all()
    assert table.attrs["reasons"]["RSP_Rate"][2:] == ["20 s, needs 32 s", "31 s, needs 32 s"]
    share = breathing_in_band(course, windows)
    assert share["RSP_HF_Share"].equals(table["RSP_HF_Share"])


def test_an_estimate_that_is_rarely_sure_is_withheld():
    course = ecg_respiration(np.arange(0, 300, 0.8))
    table = respiration(course, [[0, 200]])
    assert table["RSP_Rate"].isna().all()
    expected = ["breathing known from the ECG in 0 % of the window"]
    assert table.attrs["reasons"]["RSP_HF_Share"] == expected


@pytest.mark.parametrize("call", [respiration, breathing_in_band])
def test_arguments_are_checked(call):
    breaths = breaths_of([4.0] * 30)
    with pytest.raises(SignalError, match="lacks the columns"):
        call(breaths.drop(columns="end_s"))
    with pytest.raises(SignalError, match="hf is"):
        call(breaths, [[0, 60]], hf=(0.4, 0.15))
    with pytest.raises(SignalError, match="ends before it starts"):
        call(breaths, [[60, 0]])


def test_nothing_gives_nothing():
    empty = detect_breaths([], 25)
    for table in (respiration(empty), respiration(empty, [[0, 60]])):
        assert table["RSP_Rate"].isna().all()
        assert table["RSP_N_Breaths"].tolist() == [0]
    assert len(respiration(empty, [])) == 0
    assert len(respiration(ecg_respiration([]), [[0, 60]])) == 1


def test_every_column_is_in_the_catalog():
    table = respiration(breaths_of([4.0] * 30))
    assert set(table) <= set(FEATURES)
    assert FEATURES["RSP_Rate"].unit == "1/min"
