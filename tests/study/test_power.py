import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.power import TTestIndPower, TTestPower

from physio_hqc.study import condition_contrasts
from physio_hqc.study.power import power_of_t, smallest_effect


def sample(seed=0, n=30):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "session": [f"p{i:03d}" for i in range(3 * n)],
            "condition": np.repeat(["alone", "nonsupport", "support"], n),
            "window": "speech",
            "feature": "CUFF_SBP_Mean",
            "unit": "mmHg",
            "baseline": 120.0,
            "value": 135 + 6 * rng.standard_normal(3 * n),
        }
    )


@pytest.mark.parametrize(("g", "n", "alpha"), [(0.5, 30, 0.05), (0.3, 80, 0.05), (1.2, 8, 0.01)])
def test_power_equals_statsmodels(g, n, alpha):
    expected = TTestIndPower().power(g, n, alpha)
    assert power_of_t(g * np.sqrt(n / 2), 2 * n - 2, alpha) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("n", "alpha", "power"), [(20, 0.05, 0.8), (60, 0.05 / 3, 0.9)])
def test_smallest_effect_equals_statsmodels(n, alpha, power):
    expected = TTestPower().solve_power(nobs=n, alpha=alpha, power=power)
    found = smallest_effect(1 / np.sqrt(n), n - 1, alpha, power)
    assert found == pytest.approx(expected, rel=1e-5)


def test_an_effect_without_error_or_df_is_not_known():
    assert np.isnan(smallest_effect(0.0, 20))
    assert np.isnan(smallest_effect(1.0, np.nan))


def test_table_rests_on_the_primary_contrast():
    data = sample()
    result = condition_contrasts(
        data, analyses=["delta"], errors="classical", contrasts=["support - alone"]
    )
    row, contrast = (
        result.power.iloc[0],
        result.contrast("CUFF_SBP_Mean", "speech", "support - alone"),
    )
    assert (row["se"], row["df"], row["n"]) == (contrast["se"], 58, 90)
    delta = data.value - data.baseline
    groups = [delta[data.condition == name] for name in ("support", "alone")]
    pooled = np.sqrt(np.mean([group.var() for group in groups]))
    expected = TTestIndPower().solve_power(nobs1=30, alpha=0.05, power=0.8)
    assert row["smallest_g"] == pytest.approx(expected, rel=1e-5)
    assert row["smallest_effect"] == pytest.approx(expected * pooled, rel=1e-5)
    reference = TTestIndPower().power(0.5, 30, 0.05)
    assert row["power_for_reference"] == pytest.approx(reference, abs=1e-6)
    assert len(result.power) == 1


def test_strictest_level_of_holm_has_its_own_row():
    table = condition_contrasts(sample(), analyses=["ANCOVA"]).power
    one = table[table["term"] == "support - alone"]
    assert one["alpha"].tolist() == pytest.approx([0.05, 0.05 / 3])
    assert one["smallest_effect"].is_monotonic_increasing
    assert "Hoenig" in one["note"].iloc[0]


def test_descriptives_of_all_windows_and_conditions():
    data = sample()
    later = data.assign(window="recovery", value=data.value - 10, onset=900.0)
    last = data.assign(window="speech_last_60s", kind="phase_last", onset=700.0)
    data = pd.concat([later, data.assign(onset=400.0), last]).assign(
        kind=lambda d: d["kind"].fillna("phase"), baseline_window="baseline"
    )
    table = condition_contrasts(data, windows=["speech"], analyses=["delta"]).descriptives
    assert table["window"].drop_duplicates().tolist() == ["baseline", "speech", "recovery"]
    row = table[(table["window"] == "speech") & (table["condition"] == "support")].iloc[0]
    values = data.loc[(data.window == "speech") & (data.condition == "support"), "value"]
    delta = values - 120
    low, high = stats.t.interval(0.95, 29, delta.mean(), stats.sem(delta))
    assert row[["n", "mean", "sd", "median", "min", "max"]].tolist() == pytest.approx(
        [30, values.mean(), values.std(), values.median(), values.min(), values.max()]
    )
    assert row[["q25", "q75"]].tolist() == pytest.approx(values.quantile([0.25, 0.75]).tolist())
    assert row[["delta_mean", "delta_low", "delta_high"]].tolist() == pytest.approx(
        [delta.mean(), low, high]
    )


def test_descriptives_keep_empty_and_single_cells():
    data = sample()
    alone = data.index[data.condition == "alone"]
    data = data.drop(index=alone[1:])
    table = condition_contrasts(data, analyses=["ANCOVA"]).descriptives
    counts = table[table["window"] == "speech"].set_index("condition")["n"]
    assert counts.to_dict() == {"alone": 1, "nonsupport": 30, "support": 30}
