"""Pressure per window: against plain pandas, the validity rules, and the reasons."""

import numpy as np
import pandas as pd
import pytest

from physio_hqc.errors import SignalError
from physio_hqc.features import blood_pressure, cuff_pressure
from physio_hqc.features._catalog_pressure_eda import CATALOG
from physio_hqc.signals.beats import correct_beats


def beats_table(n=300, seed=0):
    rng = np.random.default_rng(seed)
    foot = np.cumsum(0.8 + 0.05 * rng.standard_normal(n))
    sbp, dbp = 125 + 6 * rng.standard_normal(n), 78 + 4 * rng.standard_normal(n)
    valid = rng.random(n) > 0.1
    mean = np.where(np.arange(n) % 50 == 49, np.nan, dbp + 0.4 * (sbp - dbp))
    table = {"foot_s": foot, "systole_s": foot + 0.15, "SBP": sbp, "DBP": dbp, "MAP": mean}
    sbp[~valid] = 400
    return pd.DataFrame(table | {"PP": sbp - dbp, "valid": valid, "reason": ""})


def test_values_are_those_of_pandas():
    beats = beats_table()
    windows = np.array([[0, 60], [30, 90], [100, 200], [-10, 1000]])
    table = blood_pressure(beats, windows, heart_rate=[70, 72, 74, 76])
    for row, (onset, offset) in enumerate(windows):
        inside = (beats["systole_s"] >= onset) & (beats["systole_s"] < offset)
        part = beats[inside & beats["valid"]]
        for name in ("SBP", "DBP", "MAP", "PP"):
            assert table[f"BP_{name}_Mean"][row] == pytest.approx(part[name].mean())
        assert table["BP_SBP_SD"][row] == pytest.approx(part["SBP"].std())
        assert table["BP_DBP_SD"][row] == pytest.approx(part["DBP"].std())
        assert table["BP_N"][row] == len(part)
    assert table["BP_RPP_Mean"].to_numpy() == pytest.approx(
        table["BP_SBP_Mean"] * np.array([70, 72, 74, 76])
    )


def test_too_few_beats_are_withheld_with_the_count():
    beats = beats_table()
    beats["valid"] = True
    first = beats["systole_s"].iloc[:8].max() + 0.01
    table = blood_pressure(beats, [[0, first], [1000, 1100]])
    reasons = table.attrs["reasons"]
    assert np.isfinite(table["BP_SBP_Mean"][0])
    assert np.isnan(table["BP_SBP_SD"][0])
    assert reasons["BP_SBP_SD"][0] == "8 valid beats of 8, needs 10"
    assert reasons["BP_SBP_Mean"] == ["", "0 valid beats of 0, needs 5"]
    assert table["BP_N"].tolist() == [8, 0]


def test_many_invalid_beats_are_a_caution():
    beats = beats_table(40)
    beats["valid"] = np.arange(40) >= 10
    table = blood_pressure(beats)
    assert table.attrs["reasons"]["BP_DBP_Mean"] == ["flag: 10 of 40 beats not valid"]


def test_rate_pressure_product_needs_a_heart_rate():
    table = blood_pressure(beats_table(), [[0, 60]], heart_rate=[np.nan])
    assert table.attrs["reasons"]["BP_RPP_Mean"] == ["no heart rate"]
    assert "BP_RPP_Mean" not in blood_pressure(beats_table(), [[0, 60]])
    with pytest.raises(SignalError, match="one per window"):
        blood_pressure(beats_table(), [[0, 60]], heart_rate=[70, 71])


def hearts(n=200, seed=0):
    """Return R peaks, pressure beats that follow them by known times, and those times in ms."""
    rng = np.random.default_rng(seed)
    peaks = 2 + np.cumsum(0.8 + 0.06 * rng.standard_normal(n))
    arrival = 210 + 12 * rng.standard_normal(n)
    beats = beats_table(n, seed).assign(foot_s=peaks + arrival / 1000, valid=True)
    return peaks, beats.assign(systole_s=beats["foot_s"] + 0.13, SBP=120 + peaks % 7), arrival


def test_pulse_arrival_time_is_that_of_each_beat():
    peaks, beats, arrival = hearts()
    beats.loc[[20, 60, 61], "valid"] = False
    windows = np.array([[0.0, 50.0], [50.0, 120.0], [0.0, 1000.0]])
    table = blood_pressure(beats, windows, beats=peaks)
    for row, (onset, offset) in enumerate(windows):
        use = beats["valid"] & (beats["systole_s"] >= onset) & (beats["systole_s"] < offset)
        assert table["BP_PAT_Mean"][row] == pytest.approx(arrival[use].mean())
        assert table["BP_PAT_SD"][row] == pytest.approx(arrival[use].std(ddof=1))
        assert table["BP_PAT_N"][row] == use.sum()


def test_pulse_arrival_of_a_missed_peak_or_pulse_is_nobodys():
    peaks, beats, arrival = hearts()
    without_peak = blood_pressure(beats, beats=np.delete(peaks, [50, 51, 120]))
    assert without_peak["BP_PAT_N"].iloc[0] == 197
    assert without_peak["BP_PAT_Mean"].iloc[0] == pytest.approx(
        np.delete(arrival, [50, 51, 120]).mean()
    )
    without_pulse = blood_pressure(beats.drop(index=[30, 70]), beats=peaks)
    assert without_pulse["BP_PAT_N"].iloc[0] == 198
    extra = pd.concat([beats, beats.iloc[[40]].assign(foot_s=lambda t: t["foot_s"] + 0.3)])
    extra["systole_s"] = extra["foot_s"] + 0.13
    assert blood_pressure(extra, beats=peaks)["BP_PAT_N"].iloc[0] == 200


def test_corrected_beats_have_no_arrival_time():
    peaks, beats, _ = hearts()
    corrected = correct_beats(np.delete(peaks, 100))
    moved = int((corrected.kind != "normal").sum())
    assert moved >= 1
    table = blood_pressure(beats, beats=corrected)
    assert table["BP_PAT_N"].iloc[0] <= 200 - moved


def test_rate_pressure_product_beat_by_beat():
    peaks, beats, _ = hearts()
    table = blood_pressure(beats, [[0, 1000], [20, 80]], beats=peaks, heart_rate=[1.0, 1.0])
    product = beats["SBP"].to_numpy()[:-1] * 60 / np.diff(peaks)
    assert table["BP_RPP_Mean"][0] == pytest.approx(product.mean())
    inside = (peaks[:-1] >= 20) & (peaks[:-1] < 80)
    assert table["BP_RPP_Mean"][1] == pytest.approx(product[inside].mean())


def test_arrival_time_says_what_it_lacks():
    peaks, beats, _ = hearts()
    table = blood_pressure(beats, [[0, 60]])
    assert table.attrs["reasons"]["BP_PAT_Mean"] == ["no R peaks of an ECG"]
    assert table["BP_PAT_N"].tolist() == [0]
    late = beats.assign(foot_s=beats["foot_s"] - 0.2, systole_s=beats["systole_s"] - 0.2)
    table = blood_pressure(late, [[0, 1000]], beats=peaks)
    assert "valid pulses with an R peak 50-600 ms before" in table.attrs["reasons"]["BP_PAT_SD"][0]
    for none in ([], [1.0]):
        assert np.isnan(blood_pressure(beats, [[0, 60]], beats=none)["BP_PAT_Mean"][0])
    with pytest.raises(SignalError, match="arrival_limits_ms"):
        blood_pressure(beats, beats=peaks, arrival_limits_ms=(600, 50))
    with pytest.raises(SignalError, match="ascending"):
        blood_pressure(beats, beats=[3.0, 2.0])


def test_cuff_rules():
    readings = pd.DataFrame(
        {
            "time_s": [10, 70, 130, 190, 250, 310, 370],
            "SBP": [120, 130, 60, np.nan, 90, 140, 261],
            "DBP": [80, 84, 30, 70, 76, 161, 80],
            "MAP": [95, np.nan, 40, 80, 80, 90, 90],
            "HR": [70, np.nan, 60, 70, 70, 70, 70],
        }
    )
    table = cuff_pressure(readings, [[0, 100], [100, 200], [200, 400], [0, 400]])
    assert table["CUFF_N"].tolist() == [2, 1, 0, 3]
    assert table["CUFF_SBP_Mean"][0] == 125
    assert table["CUFF_PP_Mean"][0] == 43
    assert table["CUFF_MAP_Mean"][0] == pytest.approx((95 + (130 + 2 * 84) / 3) / 2)
    assert table["CUFF_MAP_Computed_N"].tolist() == [1, 0, 0, 1]
    assert table["CUFF_HR_Mean"][0] == 70
    assert table["CUFF_RPP_Mean"][0] == 120 * 70
    reasons = table.attrs["reasons"]
    assert reasons["CUFF_SBP_Mean"][0] == ""
    assert reasons["CUFF_SBP_Mean"][1] == (
        "flag: 1 of 2 readings left out: SBP or DBP missing (1); 1 reading, 2 recommended"
    )
    assert reasons["CUFF_SBP_Mean"][2] == (
        "no valid reading; 3 of 3 readings left out: SBP outside 60-260 mmHg (1), "
        "DBP outside 30-160 mmHg (1), pulse pressure under 15 mmHg (1)"
    )
    assert np.isnan(table["CUFF_MAP_Mean"][2])


def test_cuff_without_mean_or_rate():
    readings = pd.DataFrame({"time_s": [5, 65], "SBP": [120, 124], "DBP": [80, 80]})
    table = cuff_pressure(readings)
    assert table["CUFF_MAP_Computed_N"].tolist() == [2]
    assert table["CUFF_MAP_Mean"].tolist() == pytest.approx([94])
    assert table.attrs["reasons"]["CUFF_HR_Mean"] == ["no valid reading with HR"]


@pytest.mark.parametrize("windows", [None, [[0, 10]], []])
def test_no_beats_and_no_readings(windows):
    none = beats_table(0)
    assert blood_pressure(none, windows)["BP_N"].eq(0).all()
    empty = pd.DataFrame({"time_s": [], "SBP": [], "DBP": []})
    assert cuff_pressure(empty, windows)["CUFF_N"].eq(0).all()


def test_every_nan_has_a_reason():
    table = blood_pressure(beats_table(3), [[0, 1], [0, 100], [5, 5]], heart_rate=[60, 60, 60])
    for name, texts in table.attrs["reasons"].items():
        missing = table[name].isna()
        assert [bool(t) and not t.startswith("flag") for t in texts] == missing.tolist()


def test_every_column_is_in_the_catalog():
    known = {info.name for info in CATALOG}
    readings = pd.DataFrame({"time_s": [5], "SBP": [120], "DBP": [80]})
    with_rate = blood_pressure(beats_table(), [[0, 60]], heart_rate=[70])
    with_peaks = blood_pressure(beats_table(), [[0, 60]], beats=np.arange(60.0))
    assert set(with_rate.columns) == set(with_peaks.columns)
    assert set(with_rate.columns) == {name for name in known if name.startswith("BP_")}
    assert set(cuff_pressure(readings).columns) <= known


def test_bad_arguments():
    with pytest.raises(SignalError, match="lacks"):
        blood_pressure(pd.DataFrame({"SBP": [1]}))
    with pytest.raises(SignalError, match="DataFrame"):
        cuff_pressure([1, 2])
    with pytest.raises(SignalError):
        cuff_pressure(pd.DataFrame({"time_s": [1], "SBP": ["x"], "DBP": [2]}))
    with pytest.raises(SignalError):
        blood_pressure(beats_table(), [[5, 1]])
