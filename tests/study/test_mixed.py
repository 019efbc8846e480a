import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf

from physio_hqc.study import condition_contrasts

NAMES = np.array(["alone", "nonsupport", "support"])
PHASES = ("baseline", "preparation", "speech")
ROLES = ("baseline", "preparation", "task")
FIXED = "value ~ C(condition) * C(phase, Treatment('baseline')) + C(sex)"
SPEECH = "C(condition)[T.support]:C(phase, Treatment('baseline'))[T.speech]"


def study(seed=0, cells=(10, 12, 14), readings=(5, 2, 4), react=6.0, effect=(0.0, 6.0, -5.0)):
    """Scores, courses and participants with person-specific levels and reactions."""
    rng = np.random.default_rng(seed)
    codes = np.repeat([0, 1, 2], cells)
    n = len(codes)
    sessions = np.array([f"p{i:03d}" for i in range(n)])
    rest = rng.normal(120, 8, n)
    shift = np.array(effect)[codes]
    levels = [
        rest,
        rest + 8 + shift / 2 + react / 2 * rng.standard_normal(n),
        rest + 18 + shift + react * rng.standard_normal(n),
    ]
    courses, means = [], []
    for i, (level, count) in enumerate(zip(levels, readings, strict=True)):
        values = level[:, None] + rng.normal(0, 4, (n, count))
        means.append(values.mean(axis=1))
        table = pd.DataFrame({"session": np.repeat(sessions, count), "value": values.ravel()})
        table["since_s"] = np.tile(60.0 * np.arange(count), n)
        courses.append(table.assign(window=PHASES[i], role=ROLES[i]))
    same = {"kind": "phase", "feature": "CUFF_SBP_Mean", "unit": "mmHg", "quality": 1.0}
    courses = pd.concat(courses, ignore_index=True).assign(**same, duration_s=0.0)
    courses["participant"] = courses["session"]
    courses["condition"] = ""
    people = pd.DataFrame(
        {
            "id": sessions,
            "condition": NAMES[codes],
            "sex": np.where(rng.random(n) < 0.5, "male", "female"),
        }
    )
    scores = pd.concat(
        [
            pd.DataFrame(
                {
                    "session": sessions,
                    "condition": NAMES[codes],
                    "window": PHASES[i],
                    "onset": 400.0 * i,
                    "baseline": means[0],
                    "value": means[i],
                    "baseline_window": "baseline",
                }
            ).assign(**same)
            for i in (1, 2)
        ],
        ignore_index=True,
    )
    return scores, courses, people


def mixed(scores, courses, people, **options):
    options = {"analyses": ["mixed model"], "checks": False, **options}
    return condition_contrasts(scores, participants=people, courses=courses, **options).statistics


def one(table, errors, kind="contrast", window="speech", term="support - alone"):
    found = table[
        (table["errors"] == errors)
        & (table["kind"] == kind)
        & (table["window"] == window)
        & (table["term"] == term)
    ]
    assert len(found) == 1
    return found.iloc[0]


def joined(courses, people):
    """The frame that the printed formula is written for."""
    table = courses.drop(columns="condition").merge(people, left_on="participant", right_on="id")
    return table.assign(phase=table["window"])


def test_formula_fitted_to_the_courses_gives_the_same():
    scores, courses, people = study()
    row = one(mixed(scores, courses, people), "classical")
    assert FIXED in row["model"]
    assert "re_formula='0 + C(phase)'" in row["model"]
    data = joined(courses, people)
    fit = smf.mixedlm(FIXED, data, groups="participant", re_formula="0 + C(phase)")
    fit = fit.fit(reml=True, method=["lbfgs", "bfgs"])
    assert row["estimate"] == pytest.approx(fit.fe_params[SPEECH], abs=1e-3)
    assert row["se"] == pytest.approx(fit.bse_fe[SPEECH], rel=2e-3)
    assert row["df2"] == 36 - 3 - 1


def test_robust_rows_are_gee_on_phase_means():
    scores, courses, people = study()
    table = mixed(scores, courses, people)
    data = joined(courses, people).groupby(["participant", "phase", "condition", "sex"])
    data = data["value"].mean().reset_index()
    fit = sm.GEE.from_formula(FIXED, "participant", data).fit(cov_type="bias_reduced")
    row = one(table, "robust")
    assert row["estimate"] == pytest.approx(fit.params[SPEECH])
    assert row["se"] == pytest.approx(fit.bse[SPEECH])
    picked = [i for i, name in enumerate(fit.params.index) if ":" in name]
    assert len(picked) == 4
    omnibus = one(table, "robust", "omnibus", "preparation, speech", "condition x phase")
    test = fit.wald_test(np.eye(len(fit.params))[picked], scalar=True)
    assert omnibus["statistic"] == pytest.approx(float(test.statistic) / 4)
    assert (omnibus["df1"], omnibus["df2"]) == (4, 32)


def test_balanced_readings_give_the_difference_of_mean_changes():
    scores, courses, people = study()
    delta = scores.assign(delta=scores.value - scores.baseline).query("window == 'speech'")
    means = delta.groupby("condition")["delta"].mean()
    table = mixed(scores, courses, people, covariates=())
    for errors in ("classical", "robust"):
        row = one(table, errors)
        assert row["estimate"] == pytest.approx(means["support"] - means["alone"])
        change = one(table, errors, "adjusted mean", term="support")
        assert change["estimate"] == pytest.approx(means["support"])


def test_one_value_per_phase_without_courses():
    scores, _, people = study()
    table = mixed(scores, None, people)
    delta = scores.assign(delta=scores.value - scores.baseline).query("window == 'speech'")
    delta = delta.merge(people[["id", "sex"]], left_on="session", right_on="id")
    pooled = smf.ols("delta ~ C(condition)", delta).fit()
    row = one(table, "classical")
    assert row["estimate"] == pytest.approx(pooled.params["C(condition)[T.support]"], rel=1e-6)
    assert row["se"] == pytest.approx(pooled.bse["C(condition)[T.support]"], rel=1e-3)
    assert "one value per phase" in row["note"]
    assert "re_formula='1'" in row["model"]


def test_baseline_is_the_stretch_that_the_scores_use():
    scores, courses, people = study()
    late = (courses["window"] != "baseline") | (courses["since_s"] >= 120)
    expected = mixed(scores, courses[late], people)
    scores = scores.assign(baseline_window="baseline_last_120s")
    found = mixed(scores, courses, people)
    columns = ["estimate", "se", "p"]
    pd.testing.assert_frame_equal(found[columns], expected[columns])
    assert "last 120 s of baseline" in one(found, "robust")["note"]


def test_logarithm_of_a_course_stands_for_its_feature():
    scores, courses, people = study()
    scores = scores.assign(
        feature="HRV_lnRMSSD", value=np.log(scores.value), baseline=np.log(scores.baseline)
    )
    table = mixed(scores, courses.assign(feature="HRV_RMSSD"), people)
    assert "ln of HRV_RMSSD" in one(table, "robust")["note"]
    data = joined(courses, people).assign(value=lambda d: np.log(d.value))
    data = data.groupby(["participant", "phase", "condition", "sex"])["value"].mean().reset_index()
    fit = sm.GEE.from_formula(FIXED, "participant", data).fit(cov_type="bias_reduced")
    assert one(table, "robust")["estimate"] == pytest.approx(fit.params[SPEECH])


def test_missing_readings_and_poor_minutes_are_counted():
    scores, courses, people = study()
    gone = (courses["session"] == "p003") & (courses["window"] == "baseline")
    courses.loc[courses.index[40:90:5], "quality"] = 0.2
    table = mixed(scores, courses[~gone], people)
    row = one(table, "robust")
    assert row["n"] == 35
    assert row["n_by_condition"] == "alone 9, nonsupport 12, support 14"
    assert "1 left out: no reading in the baseline" in row["note"]
    assert "10 readings or minutes of low quality left out" in row["note"]


def test_rows_do_not_depend_on_order_or_unit():
    scores, courses, people = study()
    expected = mixed(scores, courses, people)
    shuffled = mixed(
        scores.sample(frac=1, random_state=1),
        courses.sample(frac=1, random_state=2),
        people.sample(frac=1, random_state=3),
    )
    columns = ["term", "window", "estimate", "se", "p", "n_by_condition"]
    pd.testing.assert_frame_equal(shuffled[columns], expected[columns], rtol=1e-4)
    small = scores.assign(value=scores.value * 1e-9, baseline=scores.baseline * 1e-9)
    scaled = mixed(small, courses.assign(value=courses.value * 1e-9), people)
    pd.testing.assert_series_equal(scaled["p"], expected["p"], rtol=1e-3)


def test_people_who_react_alike_do_not_break_the_model():
    scores, courses, people = study(react=0.0)
    row = one(mixed(scores, courses, people), "classical")
    robust = one(mixed(scores, courses, people), "robust")
    assert row["estimate"] == pytest.approx(robust["estimate"], abs=0.5)
    assert row["se"] == pytest.approx(robust["se"], rel=0.3)


def test_an_empty_cell_falls_back_to_single_windows():
    scores, courses, people = study()
    empty = (courses["window"] == "speech") & (courses["session"] < "p010")
    gone = (scores["window"] == "speech") & (scores["condition"] == "alone")
    table = mixed(scores[~gone], courses[~empty], people)
    refused = one(table, "robust")
    assert np.isnan(refused["estimate"])
    assert "alone has 0 participants" in refused["note"]
    assert np.isfinite(one(table, "robust", term="support - nonsupport")["p"])
    assert np.isfinite(one(table, "robust", window="preparation")["p"])
    assert "fewer than two participants of alone" in refused["note"]


@pytest.mark.slow
def test_false_positives_when_people_differ_in_reactivity():
    found = []
    for seed in range(150):
        table = mixed(*study(seed, cells=(10, 15, 20), effect=(0.0, 0.0, 0.0)))
        p = table.loc[table["kind"] == "contrast", "p"]
        found.append(p.to_numpy() < 0.05)
    share = np.mean(found, axis=0)
    # Four standard errors of the simulation around 5 %; a random intercept alone gives 30 %.
    assert (share < 0.05 + 0.072).all()
    assert 0.02 < share.mean() < 0.08
