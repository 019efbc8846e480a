"""Baroreflex sensitivity: worked example, a slow reference, known gain, pairing."""

import numpy as np
import pandas as pd
import pytest

from physio_hqc.errors import SignalError
from physio_hqc.features import (
    baroreflex,
    baroreflex_sequences,
    pair_pressure_with_intervals,
)
from physio_hqc.features._catalog_pressure_eda import CATALOG
from physio_hqc.signals.beats import correct_beats

SBP = [120, 119, 121, 123, 126, 125, 124, 122, 119, 120, 120.5, 121.2, 123, 122]
RR = [800, 802, 801, 812, 828, 846, 840, 835, 820, 801, 806, 807, 812, 826]


def test_worked_example_lag_0():
    found = baroreflex_sequences(SBP, RR, lag=0)
    assert found[["start", "stop", "direction"]].values.tolist() == [[2, 5, "up"], [5, 9, "down"]]
    assert found["slope"].tolist() == pytest.approx([5.3947, 4.1667], abs=5e-5)
    assert found["r"].iloc[1] == pytest.approx(0.992, abs=5e-4)


def test_worked_example_lag_1():
    found = baroreflex_sequences(SBP, RR, lag=1)
    assert found[["start", "stop", "direction"]].values.tolist() == [[1, 5, "up"], [4, 9, "down"]]
    assert found["slope"].tolist() == pytest.approx([6.5514, 6.5130], abs=5e-5)
    assert found["r"].tolist() == pytest.approx([0.998, 0.999], abs=5e-4)


def series(sbp, rr):
    """Return beat times and pressure beats in which the systole follows each beat by 0.3 s."""
    times = 5 + np.concatenate(([0.0], np.cumsum(np.asarray(rr) / 1000)))
    pressure = pd.DataFrame({"systole_s": times[:-1] + 0.3, "SBP": sbp, "valid": True})
    return times, pressure


def test_worked_example_effectiveness():
    times, pressure = series(SBP, RR)
    table = baroreflex(times, pressure, lag=1, sequences_min=1)
    assert table["BRS_BEI"].tolist() == [1.0]
    assert table["BRS_N_Sequences"].tolist() == [2]
    assert table["BRS_Up"].tolist() == pytest.approx([6.5514], abs=5e-5)
    assert table["BRS_Down"].tolist() == pytest.approx([6.5130], abs=5e-5)
    assert table["BRS_Sequence"].tolist() == pytest.approx([(6.5514 + 6.5130) / 2], abs=5e-5)


def test_what_was_asked_of_a_sequence_is_in_the_table():
    times, pressure = series(SBP, RR)
    table = baroreflex(times, pressure, lag=1, sequences_min=1)
    assert table["BRS_N_Up"].tolist() == [1]
    assert table["BRS_N_Down"].tolist() == [1]
    assert table["BRS_R"].tolist() == pytest.approx([(0.998 + 0.999) / 2], abs=1e-3)
    asked = table[["BRS_Lag", "BRS_SBP_Step_Min", "BRS_RR_Step_Min", "BRS_Beats_Min", "BRS_R_Min"]]
    assert asked.values.tolist() == [[1, 1, 4, 3, 0.85]]


def slow_sequences(sbp, rr, lag, n_min, r_min):
    """Find sequences step by step."""
    found = []
    for sign in (1, -1):
        i = 0
        while i < len(sbp) - lag - 1:
            j = i
            while (
                j + 1 < len(sbp) - lag
                and sign * (sbp[j + 1] - sbp[j]) >= 1
                and sign * (rr[j + 1 + lag] - rr[j + lag]) >= 4
            ):
                j += 1
            if j - i + 1 >= n_min:
                x, y = sbp[i : j + 1], rr[i + lag : j + 1 + lag]
                if np.corrcoef(x, y)[0, 1] > r_min:
                    found.append((i, j + 1, np.polyfit(x, y, 1)[0]))
            i = max(j, i + 1)
    return sorted(found)


@pytest.mark.parametrize("lag", [0, 1, 2])
@pytest.mark.parametrize("n_min", [3, 4])
def test_agrees_with_a_slow_reference(lag, n_min):
    rng = np.random.default_rng(lag)
    sbp = 120 + np.cumsum(3 * rng.standard_normal(1500))
    rr = 900 + 8 * np.roll(sbp - sbp.mean(), lag) + 10 * rng.standard_normal(1500)
    found = baroreflex_sequences(sbp, rr, lag=lag, n_beats_min=n_min)
    slow = slow_sequences(sbp, rr, lag, n_min, 0.85)
    assert len(slow) > 5
    assert list(zip(found["start"], found["stop"], strict=True)) == [s[:2] for s in slow]
    assert found["slope"].to_numpy() == pytest.approx([s[2] for s in slow])


@pytest.mark.parametrize("gain", [5.0, 12.0, 25.0])
def test_known_gain(gain):
    rng = np.random.default_rng(2)
    beat = np.arange(600)
    sbp = 120 + 6 * np.sin(beat / 2.1) + 4 * np.sin(beat / 1.3) + 0.3 * rng.standard_normal(600)
    times, pressure = series(sbp, 850 + gain * (sbp - 120) + 3 * rng.standard_normal(600))
    table = baroreflex(times, pressure, [[0, 200], [200, 500]])
    assert table["BRS_Sequence"].to_numpy() == pytest.approx([gain, gain], rel=0.1)
    assert (table["BRS_N_Sequences"] > 20).all()
    assert (table["BRS_BEI"] > 0.8).all()


def test_systole_belongs_to_the_interval_it_falls_in():
    beats = [1.0, 1.8, 2.7, 3.5, 4.3]
    pressure = pd.DataFrame(
        {
            "systole_s": [0.7, 1.3, 2.0, 2.4, 3.0, 3.75, 5.0],
            "SBP": [1.0, 120, 121, 130, 122, 123, 2.0],
            "valid": [True, True, True, True, False, True, True],
        }
    )
    times, sbp, rr = pair_pressure_with_intervals(beats, pressure)
    assert times.tolist() == beats
    assert rr == pytest.approx([800, 900, 800, 800])
    assert np.array_equal(sbp, [120, 121, np.nan, 123], equal_nan=True)


def test_corrected_beats_and_gaps_interrupt():
    rng = np.random.default_rng(0)
    times = np.cumsum(0.8 + 0.02 * rng.standard_normal(200))
    without = np.delete(times, 100)
    corrected = correct_beats(without)
    assert "missed" in corrected.kind.tolist()
    pressure = pd.DataFrame({"systole_s": times + 0.3, "SBP": 120.0, "valid": True})
    out, sbp, rr = pair_pressure_with_intervals(corrected, pressure)
    assert sbp.size == rr.size == out.size - 1
    at = int(np.flatnonzero(corrected.kind == "missed")[0])
    assert np.isnan(rr[[at - 1, at]]).all()
    assert np.isfinite(rr).sum() > 150


def test_every_column_is_in_the_catalog():
    table = baroreflex(*series(SBP, RR))
    assert set(table.columns) == {i.name for i in CATALOG if i.name.startswith("BRS_")}


def test_few_sequences_are_withheld():
    times, pressure = series(SBP, RR)
    table = baroreflex(times, pressure)
    assert np.isnan(table["BRS_Sequence"][0])
    assert table["BRS_N_Sequences"][0] == 2
    reasons = table.attrs["reasons"]
    assert reasons["BRS_Sequence"] == ["2 sequences in 14 beats with pressure, needs 3"]
    assert reasons["BRS_Up"] == ["1 rising sequences in 14 beats with pressure, needs 3"]
    assert reasons["BRS_N_Sequences"] == [""]


def test_sequences_across_a_window_edge_belong_to_neither():
    times, pressure = series(SBP, RR)
    edge = times[4] + 0.1
    table = baroreflex(times, pressure, [[0, edge], [edge, 100], [0, 100]])
    assert table["BRS_N_Sequences"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("beats", [[], [1.0], [1.0, 2.0]])
def test_nothing_to_find(beats):
    none = pd.DataFrame({"systole_s": [], "SBP": [], "valid": np.zeros(0, dtype=bool)})
    table = baroreflex(beats, none, [[0, 10]])
    assert table["BRS_N_Sequences"].tolist() == [0]
    assert table.attrs["reasons"]["BRS_BEI"] == ["no SBP ramp"]
    assert len(baroreflex(beats, none)) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: baroreflex_sequences([1, 2, 3], [1, 2]),
        lambda: baroreflex_sequences([1, 2, 3], [1, 2, 3], lag=-1),
        lambda: baroreflex_sequences([1, 2, 3], [1, 2, 3], n_beats_min=2),
        lambda: baroreflex([3.0, 2.0], series(SBP, RR)[1]),
        lambda: baroreflex([1.0, 2.0], pd.DataFrame({"SBP": [1]})),
    ],
)
def test_bad_arguments(call):
    with pytest.raises(SignalError):
        call()
