import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from physio_hqc.study import condition_contrasts

FORMULA = "value ~ C(condition) + baseline + C(sex)"


def sample(seed=0, cells=(12, 14, 16)):
    rng = np.random.default_rng(seed)
    codes = np.repeat([0, 1, 2], cells)
    n = len(codes)
    baseline = 120 + 8 * rng.standard_normal(n)
    return pd.DataFrame(
        {
            "session": [f"p{i:03d}" for i in range(n)],
            "condition": np.array(["alone", "nonsupport", "support"])[codes],
            "sex": np.where(rng.random(n) < 0.4, "male", "female"),
            "window": "speech",
            "feature": "CUFF_SBP_Mean",
            "baseline": baseline,
            "value": 50 + 0.7 * baseline + 5 * (codes == 1) + 6 * rng.standard_normal(n),
        }
    )


def checked(data, check, analysis="ANCOVA", **options):
    options = {"analyses": ["ANCOVA"], **options}
    table = condition_contrasts(data, **options).assumptions
    found = table[(table["check"] == check) & (table["analysis"] == analysis)]
    assert len(found) == 1
    return found.iloc[0]


def test_normality_is_shapiro_wilk_of_the_residuals():
    data = sample()
    residual = smf.ols(FORMULA, data).fit().resid
    row = checked(data, "normality of residuals")
    assert (row["statistic"], row["p"]) == pytest.approx(tuple(stats.shapiro(residual)))
    assert row["passed"] == (row["p"] >= 0.05)


def test_variances_are_compared_by_brown_and_forsythe():
    data = sample()
    residual = smf.ols(FORMULA, data).fit().resid
    groups = [residual[data.condition == name] for name in sorted(set(data.condition))]
    expected = stats.levene(*groups, center="median")
    row = checked(data, "homogeneity of variances")
    assert (row["statistic"], row["p"]) == pytest.approx(tuple(expected))
    data.loc[data.condition == "alone", "value"] += np.tile([-40.0, 40.0], 6)
    row = checked(data, "homogeneity of variances")
    assert not row["passed"]
    assert "robust" in row["consequence"]


def test_slopes_are_compared_by_the_interaction():
    data = sample()
    full = smf.ols("value ~ C(condition) * baseline + C(sex)", data).fit()
    statistic, p, df1 = full.compare_f_test(smf.ols(FORMULA, data).fit())
    row = checked(data, "homogeneity of slopes")
    assert (row["statistic"], row["p"], row["df1"]) == pytest.approx((statistic, p, df1))
    assert row["df2"] == full.df_resid


def test_influence_is_cooks_distance_and_leaving_one_out():
    data = sample()
    data.loc[5, "value"] += 60
    distance = smf.ols(FORMULA, data).fit().get_influence().cooks_distance[0]
    row = checked(data, "influence")
    assert row["statistic"] == pytest.approx(distance.max())
    assert row["value"] == (distance > 4 / len(data)).sum()
    assert "p005" in row["consequence"]
    estimates = [
        smf.ols(FORMULA, data.drop(index=i)).fit().params["C(condition)[T.support]"]
        for i in data.index
    ]
    expected = f"support - alone {min(estimates):.4g} to {max(estimates):.4g}"
    assert expected in row["consequence"]


def test_baselines_are_compared():
    data = sample()
    row = checked(data, "baseline difference")
    groups = [group.to_numpy() for _, group in data.groupby("condition")["baseline"]]
    assert (row["statistic"], row["p"]) == pytest.approx(tuple(stats.f_oneway(*groups)))
    data.loc[data.condition == "alone", "baseline"] += 20
    row = checked(data, "baseline difference")
    assert not row["passed"]
    assert row["value"] > 1
    assert "Lord 1967" in row["consequence"]


def test_worked_example_of_initial_value_dependence():
    data = pd.DataFrame(
        {
            "session": list("abcde"),
            "condition": ["alone", "alone", "support", "support", "support"],
            "window": "speech",
            "feature": "CUFF_SBP_Mean",
            "baseline": [110, 118, 124, 130, 138],
            "value": [128, 131, 146, 144, 161],
        }
    )
    row = checked(data, "baseline-change correlation", analysis="delta")
    assert row["value"] == pytest.approx(0.390, abs=5e-4)


def test_what_cannot_be_checked_says_why():
    data = sample().assign(value=140.0)
    table = condition_contrasts(data, analyses=["ANCOVA"]).assumptions
    unknown = table[table["p"].isna() & table["statistic"].isna()]
    assert len(unknown) >= 4
    assert unknown["consequence"].str.startswith("not checked: ").all()


def test_sensitivity_leaves_out_who_is_influential():
    data = sample()
    data.loc[5, "value"] += 60
    influence = smf.ols(FORMULA, data).fit().get_influence().cooks_distance[0]
    kept = data[influence <= 4 / len(data)]
    expected = smf.ols(FORMULA, kept).fit().params["C(condition)[T.support]"]
    table = condition_contrasts(data, analyses=["ANCOVA"]).sensitivity
    row = table[
        (table["variant"] == "without influential participants")
        & (table["term"] == "support - alone")
    ].iloc[0]
    assert row["estimate"] == pytest.approx(expected)
    assert row["n"] == len(kept)


def test_sensitivity_to_quality_flags_and_covariates():
    data = sample().assign(quality=1.0, reason="")
    data.loc[[0, 1, 20], "quality"] = [0.3, 0.7, 0.7]
    data.loc[[30, 31], "reason"] = "flag: 70 s, 120 s recommended"
    result = condition_contrasts(data, analyses=["ANCOVA"])
    table = result.sensitivity[result.sensitivity["term"] == "support - alone"]
    table = table.set_index("variant")
    assert table["n"].to_dict() | {} == {
        "as planned": 41,
        "windows of any quality": 42,
        "quality at least 0.8": 39,
        "without flagged values": 39,
        "without influential participants": table.loc["without influential participants", "n"],
        "without sex": 41,
        "delta instead of ANCOVA": 41,
    }
    fit = smf.ols("value ~ C(condition) + baseline", data.drop(index=0)).fit()
    without = table.loc["without sex", "estimate"]
    assert without == pytest.approx(fit.params["C(condition)[T.support]"])
    planned = result.contrast("CUFF_SBP_Mean", "speech", "support - alone")
    assert table.loc["as planned", "estimate"] == planned["estimate"]
    assert "quality is below 0.5" in planned["note"]
