"""Electrodermal features: against plain NumPy, counts and reasons."""

import numpy as np
import pandas as pd
import pytest

from physio_hqc.errors import SignalError
from physio_hqc.features import eda
from physio_hqc.features._catalog_pressure_eda import CATALOG
from physio_hqc.signals import decompose_eda, eda_artifacts

RATE = 8.0


@pytest.fixture
def parts():
    rng = np.random.default_rng(0)
    n = int(600 * RATE)
    return 6 + np.cumsum(0.01 * rng.standard_normal(n)), 0.1 * rng.random(n)


@pytest.fixture
def scrs():
    return pd.DataFrame(
        {
            "onset_s": [9.0, 29.0, 59.5, 200.0],
            "peak_s": [10.0, 30.0, 60.5, 201.5],
            "amplitude": [0.1, 0.3, 0.2, 0.5],
            "rise_time_s": [1.0, 1.0, np.nan, 1.5],
            "half_recovery_s": [2.0, np.nan, np.nan, 3.0],
        }
    )


def test_levels_are_those_of_numpy(parts, scrs):
    tonic, phasic = parts
    tonic[1000:1100] = np.nan
    windows = np.array([[0, 60], [100, 160], [50.06, 400.3]])
    table = eda(tonic, phasic, RATE, windows, scrs=scrs)
    time = np.arange(tonic.size) / RATE
    for row, (onset, offset) in enumerate(windows):
        inside = (time >= onset) & (time < offset)
        use = inside & np.isfinite(tonic)
        assert table["EDA_Tonic_Mean"][row] == pytest.approx(tonic[use].mean())
        assert table["EDA_Tonic_SD"][row] == pytest.approx(tonic[use].std(ddof=1))
        assert table["EDA_Phasic_SD"][row] == pytest.approx(phasic[inside].std(ddof=1))
        slope = np.polyfit(time[use], tonic[use], 1)[0] * 60
        assert table["EDA_Tonic_Slope"][row] == pytest.approx(slope, rel=1e-6)


def test_slope_late_in_a_long_recording():
    time = 80_000 + np.arange(0, 300, 0.25)
    table = eda(5 + 0.02 * time, 0 * time, 4, [[80_010, 80_100]], times_s=time)
    assert table["EDA_Tonic_Slope"][0] == pytest.approx(1.2, rel=1e-6)


def test_responses_per_window(parts, scrs):
    table = eda(*parts, RATE, [[0, 60], [0, 120], [100, 190], [10, 30]], scrs=scrs)
    assert table["SCR_Peaks_N"].tolist() == [2, 3, 0, 1]
    assert table["SCR_Rate"].iloc[:3].tolist() == pytest.approx([2, 1.5, 0])
    assert table["SCR_Peaks_Amplitude_Mean"].iloc[:2].tolist() == pytest.approx([0.2, 0.2])
    assert table["SCR_Peaks_Amplitude_Sum"].tolist() == pytest.approx([0.4, 0.6, 0, 0.1])
    assert table["SCR_RiseTime_Mean"].iloc[1] == pytest.approx(1.0)
    assert table["SCR_RecoveryTime_Mean"].iloc[1] == pytest.approx(2.0)
    reasons = table.attrs["reasons"]
    assert reasons["SCR_Peaks_Amplitude_Mean"] == ["", "", "no SCR", ""]
    assert reasons["SCR_Peaks_N"][2] == ""
    assert reasons["SCR_Rate"][3] == "20.0 s of signal, needs 30"


def test_rate_counts_usable_minutes_only(parts, scrs):
    tonic, phasic = parts
    phasic[int(30 * RATE) : int(60 * RATE)] = np.nan
    table = eda(tonic, phasic, RATE, [[0, 90], [0, 65]], scrs=scrs)
    assert table["SCR_Rate"].tolist() == pytest.approx([3.0, 3 / (35 / 60)])
    assert table.attrs["reasons"]["SCR_Rate"] == ["", "flag: 35 s of signal, 60 recommended"]


def test_without_signal_nothing_is_counted(parts, scrs):
    tonic, phasic = parts
    tonic[:800] = phasic[:800] = np.nan
    table = eda(tonic, phasic, RATE, [[0, 90], [0, 0], [5000, 6000]], scrs=scrs)
    assert table.isna().all(axis=None)
    assert table.attrs["reasons"]["EDA_Tonic_Mean"][1] == "0.0 s of signal, needs 5"
    assert all(all(texts) for texts in table.attrs["reasons"].values())


def test_finds_responses_itself():
    time = np.arange(0, 120, 1 / RATE)
    after = np.clip(time - 50, 0, None)
    phasic = 2.7086 * 0.4 * (np.exp(-after / 2) - np.exp(-after / 0.7))
    table = eda(5 + 0 * time, phasic, RATE, [[1000, 1060], [1000, 1040]], times_s=1000 + time)
    assert table["SCR_Peaks_N"].tolist() == [1, 0]
    assert table["SCR_Peaks_Amplitude_Mean"].iloc[0] == pytest.approx(0.4, rel=0.03)


def test_artifacts_are_left_out_and_said(parts, scrs):
    tonic, phasic = parts
    time = np.arange(tonic.size) / RATE
    windows = [[0, 60], [100, 220], [300, 330], [400, 440]]
    lost = [(20, 35), (30, 45), (195, 205), (300, 328)]
    for artifacts in (lost, pd.DataFrame(lost, columns=["onset_s", "offset_s"])):
        table = eda(tonic, phasic, RATE, windows, scrs=scrs, artifacts=artifacts)
        use = (time < 20) | ((time >= 45) & (time < 60))
        assert table["EDA_Tonic_Mean"][0] == pytest.approx(tonic[use].mean())
        assert table["EDA_Tonic_SD"][0] == pytest.approx(tonic[use].std(ddof=1))
        assert table["EDA_Phasic_SD"][0] == pytest.approx(phasic[use].std(ddof=1))
        # The responses at 30 and 201.5 s peak in what is left out.
        assert table["SCR_Peaks_N"].iloc[:2].tolist() == [1, 0]
        assert table["SCR_Rate"][1] == 0
        reasons = table.attrs["reasons"]
        assert reasons["EDA_Tonic_Mean"][:2] == [
            "flag: 42 % left out as artifact",
            "flag: 8 % left out as artifact",
        ]
        assert reasons["SCR_Peaks_N"][2] == "2.0 s of signal, needs 5 (93 % left out as artifact)"
        assert reasons["EDA_Tonic_Mean"][3] == ""
    # The rate is over what is left: 1 response in 35 s.
    assert eda(tonic, phasic, RATE, [[0, 60]], scrs=scrs, artifacts=lost)["SCR_Rate"][
        0
    ] == pytest.approx(60 / 35)


def test_artifacts_found_by_itself():
    rng = np.random.default_rng(1)
    time = np.arange(0, 300, 1 / RATE)
    signal = 5 + 0.002 * rng.standard_normal(time.size)
    for begin in (30, 100, 170, 240):
        part = (time >= begin) & (time < begin + 6)
        signal[part] += 0.5 * np.sin(2 * np.pi * 0.8 * (time[part] - begin))
    tonic, phasic = decompose_eda(signal, RATE)
    own = eda(tonic, phasic, RATE)
    given = eda(tonic, phasic, RATE, artifacts=eda_artifacts(signal, RATE))
    assert own["SCR_Peaks_N"][0] == given["SCR_Peaks_N"][0] == 0
    assert own["EDA_Tonic_Mean"][0] == pytest.approx(5, abs=0.01)
    assert (
        own["EDA_Phasic_SD"][0] < 0.02 < eda(tonic, phasic, RATE, artifacts=[])["EDA_Phasic_SD"][0]
    )
    assert "left out as artifact" in own.attrs["reasons"]["SCR_Rate"][0]


def test_every_column_is_in_the_catalog(parts):
    table = eda(*parts, RATE)
    assert set(table.columns) <= {info.name for info in CATALOG}
    assert list(table.index) == [0]


def test_empty():
    assert len(eda([], [], 4)) == 1
    assert eda([], [], 4, [[0, 10], [5, 6]]).isna().all(axis=None)
    assert len(eda(np.ones(100), np.zeros(100), 4, [])) == 0


def test_bad_arguments(parts):
    with pytest.raises(SignalError, match="pair"):
        eda([1, 2], [1], 4)
    with pytest.raises(SignalError):
        eda(*parts, 0)
    with pytest.raises(SignalError, match="artifacts"):
        eda(*parts, RATE, artifacts=[1, 2, 3])
    with pytest.raises(SignalError, match="lacks"):
        eda(*parts, RATE, scrs=pd.DataFrame({"peak_s": [1]}))
