from dataclasses import replace

import numpy as np
import pandas as pd
import pingouin as pg
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from scipy import stats

from physio_hqc.study import condition_contrasts
from physio_hqc.study._design import build_design
from physio_hqc.study.ancova import ancova_rows

NAMES = ["alone", "support", "nonsupport"]
# The worked example of the reference: four participants per condition.
EXAMPLE = pd.DataFrame(
    {
        "session": [f"p{i:02d}" for i in range(12)],
        "condition": np.repeat(NAMES, 4),
        "window": "speech",
        "feature": "CUFF_SBP_Mean",
        "unit": "mmHg",
        "baseline": [118, 122, 115, 125, 124, 121, 128, 123, 117, 112, 119, 116],
        "value": [132, 138, 127, 141, 131, 128, 139, 131, 138, 131, 142, 135],
    }
)


def sample(seed=0, cells=(20, 30, 40), sds=(2.0, 1.5, 1.0), **extra):
    """A study with a baseline difference, a sex effect and unequal variances."""
    rng = np.random.default_rng(seed)
    codes = np.repeat([0, 1, 2], cells)
    n = len(codes)
    baseline = 120 + 8 * rng.standard_normal(n) + 3 * (codes == 2)
    sex = np.where(rng.random(n) < 0.4, "male", "female")
    noise = 6 * np.array(sds)[codes] * rng.standard_normal(n)
    value = 40 + 0.8 * baseline + 4 * (sex == "male") + np.array([0, -4, 5])[codes] + noise
    table = pd.DataFrame(
        {
            "session": [f"p{i:03d}" for i in range(n)],
            "condition": np.array(NAMES)[codes],
            "sex": sex,
            "window": "speech",
            "feature": "CUFF_SBP_Mean",
            "baseline": baseline,
            "value": value,
        }
    )
    return table.assign(**extra)


def rows(table, kind=None, errors="classical", analysis="ANCOVA"):
    found = table[(table["errors"] == errors) & (table["analysis"] == analysis)]
    return found if kind is None else found[found["kind"] == kind].set_index("term")


def compare(table, **options):
    options = {"analyses": ("ANCOVA", "delta"), "checks": False, **options}
    return condition_contrasts(table, **options).statistics


def study_design(table):
    return build_design(
        table,
        participants=None,
        courses=None,
        outcomes=None,
        windows=None,
        conditions=None,
        contrasts=None,
        covariates=("sex",),
        quality_min=0.5,
        baseline="baseline",
        log_outcomes=(),
    )


def test_worked_example_of_ancova():
    table = compare(EXAMPLE)
    omnibus = rows(table, "omnibus").loc["condition"]
    assert (omnibus["df1"], omnibus["df2"]) == (2, 8)
    assert omnibus["statistic"] == pytest.approx(132.961, abs=5e-4)
    assert omnibus["partial_eta2"] == pytest.approx(0.970795, abs=5e-7)
    assert rows(table, "covariate").loc["baseline", "estimate"] == pytest.approx(1.481818, abs=5e-7)
    means = rows(table, "adjusted mean")["estimate"]
    expected = {"alone": 134.5, "support": 126.3227, "nonsupport": 142.4273}
    assert means.to_dict() == pytest.approx(expected, abs=5e-5)


def test_worked_example_of_change_scores():
    table = compare(EXAMPLE)
    omnibus = rows(table, "omnibus", analysis="delta").loc["condition"]
    assert (omnibus["df1"], omnibus["df2"]) == (2, 9)
    assert omnibus["statistic"] == pytest.approx(41.244, abs=5e-4)
    assert omnibus["p"] == pytest.approx(0.000029, abs=5e-7)
    means = rows(table, "adjusted mean", analysis="delta")["estimate"]
    assert means.to_dict() == {"alone": 14.5, "nonsupport": 20.5, "support": 8.25}


def test_classical_rows_equal_pingouin_and_a_formula():
    data = sample()
    table = compare(data)
    found = pg.ancova(
        data.assign(male=(data["sex"] == "male").astype(float)),
        dv="value",
        between="condition",
        covar=["baseline", "male"],
    ).set_index("Source")
    omnibus = rows(table, "omnibus").loc["condition"]
    assert omnibus["statistic"] == pytest.approx(found.loc["condition", "F"])
    assert omnibus["partial_eta2"] == pytest.approx(found.loc["condition", "np2"])
    fit = smf.ols("value ~ C(condition) + baseline + C(sex)", data).fit()
    test = fit.t_test("C(condition)[T.support] - C(condition)[T.nonsupport] = 0")
    contrast = rows(table, "contrast").loc["support - nonsupport"]
    low, high = test.conf_int()[0]
    assert contrast[["estimate", "se", "p", "ci_low", "ci_high"]].tolist() == pytest.approx(
        [test.effect[0], test.sd[0, 0], float(test.pvalue), low, high]
    )
    assert rows(table, "covariate").loc["sex: male - female", "estimate"] == pytest.approx(
        fit.params["C(sex)[T.male]"]
    )


def test_adjusted_means_are_predictions_at_the_sample_means():
    data = sample()
    fit = smf.ols("value ~ C(condition) + baseline + male", data.assign(male=data.sex == "male"))
    fit = fit.fit()
    at = pd.DataFrame({"condition": ["alone"], "baseline": [data.baseline.mean()]})
    dummy = fit.params["male[T.True]"] * (data.sex == "male").mean()
    expected = float(fit.predict(at.assign(male=False)).iloc[0]) + dummy
    assert rows(compare(data), "adjusted mean").loc["alone", "estimate"] == pytest.approx(expected)


def slow_df(design, residual, codes, combination):
    """Satterthwaite degrees of freedom of an HC2 variance, from its definition."""
    hat = design @ np.linalg.inv(design.T @ design) @ design.T
    maker = np.eye(len(design)) - hat
    corrected = residual**2 / np.diag(maker)
    error = np.diag([corrected[codes == code].mean() for code in codes])
    weights = (combination @ np.linalg.inv(design.T @ design) @ design.T) ** 2 / np.diag(maker)
    form = np.diag(weights)
    spread = maker @ error @ maker
    return np.trace(form @ spread) ** 2 / np.trace(form @ spread @ form @ spread)


def test_robust_contrasts_are_hc2_with_welch_satterthwaite_df():
    data = sample()
    model = smf.ols("value ~ C(condition) + baseline + C(sex)", data)
    fit = model.fit(cov_type="HC2")
    test = fit.t_test("C(condition)[T.support] - C(condition)[T.nonsupport] = 0")
    combination = np.array([0, -1, 1, 0, 0])
    df = slow_df(model.exog, fit.resid.to_numpy(), data.condition.to_numpy(), combination)
    row = rows(compare(data), "contrast", "robust").loc["support - nonsupport"]
    assert row["estimate"] == pytest.approx(test.effect[0])
    assert row["se"] == pytest.approx(test.sd[0, 0])
    assert row["df2"] == pytest.approx(df)
    assert row["p"] == pytest.approx(2 * stats.t.sf(abs(row["estimate"] / row["se"]), df))
    assert row["ci_high"] - row["estimate"] == pytest.approx(stats.t.isf(0.025, df) * row["se"])
    assert "HC2" in row["model"]


def test_robust_ancova_of_two_conditions_without_covariate_is_welchs_test():
    data = sample(cells=(8, 15, 3)).query("condition != 'nonsupport'").assign(baseline=100.0)
    row = rows(compare(data, covariates=()), "contrast", "robust").loc["support - alone"]
    first, second = (data.loc[data.condition == name, "value"] for name in ("support", "alone"))
    found = pg.ttest(first, second, correction=True).iloc[0]
    assert row[["statistic", "df2", "p"]].tolist() == pytest.approx(
        [found["T"], found["dof"], found["p_val"]]
    )
    assert "baseline is the same for everybody" in row["note"]


def test_robust_omnibus_of_one_difference_is_its_t_test():
    data = sample().query("condition != 'alone'")
    table = compare(data)
    t = rows(table, "contrast", "robust").loc["support - nonsupport"]
    f = rows(table, "omnibus", "robust").loc["condition"]
    assert f["statistic"] == pytest.approx(t["statistic"] ** 2)
    assert f["df2"] == pytest.approx(t["df2"])


def test_false_positives_with_unequal_cells_and_variances():
    data = sample()
    design = study_design(data)
    drawn = design.sample("CUFF_SBP_Mean", "speech")
    rng = np.random.default_rng(1)
    sd = data.condition.map({"alone": 12, "support": 9, "nonsupport": 6}).to_numpy()
    share = {"classical": np.zeros(4), "robust": np.zeros(4)}
    for _ in range(600):
        value = 40 + 0.8 * drawn.baseline + sd * rng.standard_normal(drawn.n)
        found, _ = ancova_rows(replace(drawn, value=value), design.contrasts)
        for errors, counts in share.items():
            tested = ("omnibus", "contrast")
            p = [row["p"] for row in found if row["errors"] == errors and row["kind"] in tested]
            counts += np.array(p) < 0.05
    # Three standard errors of the simulation around 5 %.
    assert (np.abs(share["robust"] / 600 - 0.05) < 0.027).all()
    assert share["classical"].max() / 600 > 0.08


def test_change_scores_equal_pingouin():
    data = sample().assign(delta=lambda d: d.value - d.baseline)
    table = compare(data)
    welch = pg.welch_anova(data, dv="delta", between="condition").iloc[0]
    omnibus = rows(table, "omnibus", "robust", "delta").loc["condition"]
    assert omnibus[["statistic", "df2", "p"]].tolist() == pytest.approx(
        [welch["F"], welch["ddof2"], welch["p_unc"]]
    )
    groups = {name: group.to_numpy() for name, group in data.groupby("condition")["delta"]}
    for errors, correction in (("classical", False), ("robust", True)):
        row = rows(table, "contrast", errors, "delta").loc["support - alone"]
        found = pg.ttest(groups["support"], groups["alone"], correction=correction).iloc[0]
        assert row[["statistic", "df2", "p"]].tolist() == pytest.approx(
            [found["T"], found["dof"], found["p_val"]]
        )
        g = pg.compute_effsize(groups["support"], groups["alone"], eftype="hedges")
        assert row["hedges_g"] == pytest.approx(g)


def test_interval_of_g_inverts_the_noncentral_t_distribution():
    data = sample()
    row = rows(compare(data), "contrast", "classical", "delta").loc["support - alone"]
    scale, factor = np.sqrt(1 / 20 + 1 / 30), 1 - 3 / (4 * 48 - 1)
    for bound, tail in (("g_low", 0.975), ("g_high", 0.025)):
        noncentrality = row[bound] / factor / scale
        assert stats.nct.cdf(row["statistic"], 48, noncentrality) == pytest.approx(tail, abs=1e-6)


def test_g_of_all_analyses_is_on_the_scale_of_change():
    data = sample().assign(delta=lambda d: d.value - d.baseline)
    table = compare(data)
    first, second = (data.loc[data.condition == name, "delta"] for name in ("support", "alone"))
    pooled = np.sqrt((29 * first.var() + 19 * second.var()) / 48)
    contrast = rows(table, "contrast", "robust").loc["support - alone"]
    factor = 1 - 3 / (4 * 48 - 1)
    assert contrast["hedges_g"] == pytest.approx(factor * contrast["estimate"] / pooled)
    assert contrast["g_low"] < contrast["hedges_g"] < contrast["g_high"]


def test_members_of_dyads_share_their_error():
    data = sample().assign(dyad=[f"d{i // 2}" for i in range(90)])
    table = compare(data)
    row = rows(table, "contrast", "robust").loc["support - alone"]
    model = sm.GEE.from_formula("value ~ C(condition) + baseline + C(sex)", "dyad", data)
    fit = model.fit(cov_type="bias_reduced")
    test = fit.t_test("C(condition)[T.support] = 0")
    assert row["se"] == pytest.approx(test.sd[0, 0])
    assert row["df2"] == 45 - 5
    assert "dyads" in row["note"]


def unequal_slopes():
    data = sample(3, sds=(0.5, 0.5, 0.5))
    shift = 0.9 * (data.baseline - 120) * (data.condition == "support")
    return data.assign(value=data.value + shift)


def test_separate_slopes_where_slopes_differ():
    data = unequal_slopes()
    table = condition_contrasts(data, analyses=["ANCOVA"]).statistics
    row = rows(table, "contrast", "robust: separate slopes").loc["support - alone"]
    centered = data.assign(centered=data.baseline - data.baseline.mean())
    fit = smf.ols("value ~ C(condition) * centered + C(sex)", centered).fit(cov_type="HC2")
    test = fit.t_test("C(condition)[T.support] = 0")
    assert row["estimate"] == pytest.approx(test.effect[0])
    assert row["se"] == pytest.approx(test.sd[0, 0])
    assert not row["primary"]
    assert "robust: separate slopes" not in set(
        condition_contrasts(EXAMPLE, analyses=["ANCOVA"]).statistics["errors"]
    )


def test_huber_where_residuals_are_not_normal():
    data = sample()
    data.loc[[3, 40, 77], "value"] += [90, -80, 110]
    table = condition_contrasts(data, analyses=["ANCOVA"]).statistics
    row = rows(table, "contrast", "robust: Huber").loc["support - nonsupport"]
    fit = smf.rlm("value ~ C(condition) + baseline + C(sex)", data).fit()
    test = fit.t_test("C(condition)[T.support] - C(condition)[T.nonsupport] = 0")
    assert row["estimate"] == pytest.approx(test.effect[0])
    assert row["se"] == pytest.approx(test.sd[0, 0])
    assert row["df2"] == 85


def test_errors_chosen_beforehand_are_primary():
    for errors in ("robust", "classical"):
        table = compare(sample(), errors=errors)
        assert set(table.loc[table["primary"], "errors"]) == {errors}
        assert set(table["errors"]) == {"classical", "robust"}


def test_numeric_and_worded_covariates():
    data = sample().assign(age=np.linspace(18, 40, 90), site=np.tile(["a", "b", "c"], 30))
    table = compare(data, covariates=["sex", "age", "site"])
    fit = smf.ols("value ~ C(condition) + baseline + C(sex) + age + C(site)", data).fit()
    found = rows(table, "covariate")["estimate"]
    assert found["age"] == pytest.approx(fit.params["age"])
    assert found["site: c - a"] == pytest.approx(fit.params["C(site)[T.c]"])
    assert (
        table["model"]
        .iloc[0]
        .startswith("ols('value ~ C(condition) + baseline + C(sex) + age + C(site)')")
    )
