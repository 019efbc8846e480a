"""xBRS: the published example, a slow reference, gates."""

import numpy as np
import pandas as pd
import pytest
from scipy.interpolate import CubicSpline
from scipy.stats import pearsonr

from physio_hqc.features import baroreflex
from physio_hqc.features._xbrs import critical_r, estimates_of


def series(sbp, rr, first=5.0):
    """Return beat times and pressure beats in which the systole follows each beat by 0.3 s."""
    times = first + np.concatenate(([0.0], np.cumsum(np.asarray(rr) / 1000)))
    pressure = pd.DataFrame({"systole_s": times[:-1] + 0.3, "SBP": sbp, "valid": True})
    return times, pressure


def varying(n=400, seed=0, gain=12.0, noise=0.0):
    rng = np.random.default_rng(seed)
    beat = np.arange(n)
    sbp = 120 + 5 * np.sin(beat / 1.7) + 4 * np.sin(beat / 0.7 + 1) + rng.standard_normal(n)
    return sbp, 800 + gain * (sbp - 120) + noise * rng.standard_normal(n)


def test_known_gain():
    sbp, rr = varying()
    table = baroreflex(*series(sbp, rr))
    assert table["BRS_xBRS"].iloc[0] == pytest.approx(12.0, abs=1e-9)
    assert table["BRS_xBRS_R"].iloc[0] == pytest.approx(1.0, abs=1e-9)
    assert table["BRS_xBRS_Delay"].iloc[0] == 0
    assert table["BRS_xBRS_Share"].iloc[0] == 1


def test_critical_correlation():
    assert critical_r() == pytest.approx(0.7646, abs=5e-5)
    # One-sided 0.01 is two-sided 0.02.
    assert critical_r(10, 0.02) == pytest.approx(0.7155, abs=5e-5)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 2, 10))
    for a, b in x:
        r, p = pearsonr(a, b)
        assert (p < 0.01) == (abs(r) > critical_r())


def slow_xbrs(times, sbp, rr, onset, offset):
    """Go through the seconds one by one, as the paper describes."""
    grid = np.arange(np.ceil(times[0]), np.floor(times[-1]) + 1)
    x, y = CubicSpline(times, sbp)(grid), CubicSpline(times, rr)(grid)
    values = []
    for start in range(grid.size - 9):
        best = None
        for delay in range(6):
            if start + delay + 10 > grid.size:
                continue
            a, b = x[start : start + 10], y[start + delay : start + delay + 10]
            r = np.corrcoef(a, b)[0, 1]
            if best is None or r > best[0]:
                best = (r, b.std() / a.std(), delay)
        inside = grid[start] >= onset and grid[start] + 9 + best[2] < offset
        if best[0] >= 0.764594 and inside:
            values.append(best[1])
    return np.exp(np.mean(np.log(values))), len(values)


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_agrees_with_a_slow_reference(lag):
    sbp, rr = varying(noise=20, seed=lag)
    rr = 800 + np.roll(rr - 800, lag)
    times, pressure = series(sbp, rr)
    windows = [[0, 1000], [50, 200], [120.5, 180.2]]
    table = baroreflex(times, pressure, windows)
    for row, window in enumerate(windows):
        value, n = slow_xbrs(times[:-1], sbp, rr, *window)
        assert table["BRS_xBRS_N"][row] == n
        assert table["BRS_xBRS"][row] == pytest.approx(value, rel=1e-9)


def test_the_delay_is_found():
    sbp, rr = varying(n=600)
    for beats in (0, 2, 4):
        delayed = 800 + np.roll(rr - 800, beats)
        table = baroreflex(*series(sbp, delayed), [[20, 400]])
        expected = beats * delayed.mean() / 1000
        assert table["BRS_xBRS_Delay"].iloc[0] == pytest.approx(expected, abs=0.5)
        assert table["BRS_xBRS"].iloc[0] == pytest.approx(12, rel=0.1)


def test_unrelated_series_give_few_estimates():
    rng = np.random.default_rng(1)
    sbp, rr = 120 + 5 * rng.standard_normal(600), 800 + 50 * rng.standard_normal(600)
    table = baroreflex(*series(sbp, rr))
    # Six delays are tried at p = 0.005 each, one-sided.
    assert table["BRS_xBRS_Share"].iloc[0] < 0.08


def test_nothing_is_estimated_across_a_pause():
    sbp, rr = varying(n=600)
    times, pressure = series(sbp, rr)
    pause = pressure["systole_s"].between(100, 105)
    pressure.loc[pause, "valid"] = False
    found = estimates_of(times[:-1], np.where(pause, np.nan, sbp), rr)
    touching = (found.start_s + found.delay_s + 9 > 100) & (found.start_s < 104)
    assert not touching.any()
    table = baroreflex(times, pressure, [[95, 110], [0, 90]])
    assert np.isnan(table["BRS_xBRS"][0])
    assert table.attrs["reasons"]["BRS_xBRS"][0].endswith("needs 10")
    assert table["BRS_xBRS"][1] == pytest.approx(12, rel=1e-6)


def test_short_windows_are_withheld():
    sbp, rr = varying()
    table = baroreflex(*series(sbp, rr), [[10, 19], [10, 25]])
    reasons = table.attrs["reasons"]
    assert reasons["BRS_xBRS_Share"][0] == "no 10 s of beats with pressure in a row"
    assert reasons["BRS_xBRS"][1] == "6 estimates with p < 0.01 in 6 tested seconds, needs 10"


def test_constant_series_are_no_estimate():
    table = baroreflex(*series(np.full(100, 120.0), np.full(100, 800.0)))
    assert table["BRS_xBRS_N"].iloc[0] == 0
    assert np.isnan(table["BRS_TF_LF"].iloc[0])
