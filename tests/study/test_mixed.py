import numpy as np
import pandas as pd
import patsy
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from scipy.linalg import sqrtm

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


def slow_sandwich(data, fit, fixed, groups):
    """CR2 from every single reading, one group at a time, and what each group adds."""
    pulls = []
    design = patsy.dmatrix(fixed.split("~")[1], data, return_type="dataframe").to_numpy()
    random = pd.get_dummies(data["phase"]).to_numpy(dtype=float)
    residual = data["value"].to_numpy() - design @ fit.fe_params.to_numpy()
    parts = []
    for rows in data.groupby(groups).indices.values():
        same = data["participant"].to_numpy()[rows]
        v = random[rows] @ fit.cov_re.to_numpy() @ random[rows].T * (same[:, None] == same)
        parts.append((design[rows], residual[rows], np.linalg.inv(v + fit.scale * np.eye(len(v)))))
    bread = np.linalg.inv(sum(x.T @ w @ x for x, _, w in parts))
    meat = 0
    for x, r, w in parts:
        # Bell & McCaffrey's correction of least squares, after whitening.
        d = np.linalg.inv(np.linalg.cholesky(np.linalg.inv(w)))
        x, r = d @ x, d @ r
        score = x.T @ np.linalg.inv(sqrtm(np.eye(len(x)) - x @ bread @ x.T)).real @ r
        meat = meat + np.outer(score, score)
        pulls.append(bread @ score)
    return bread @ meat @ bread, np.array(pulls)


@pytest.mark.parametrize("groups", ["participant", "dyad"])
def test_robust_rows_are_the_same_estimate_with_a_sandwich(groups):
    scores, courses, people = study()
    rng = np.random.default_rng(1)
    courses = courses[rng.random(len(courses)) < 0.8]
    lost = (courses["window"] == "speech") & courses["session"].isin(["p003", "p020", "p021"])
    courses = courses[~lost]
    data = joined(courses, people)
    if groups == "dyad":
        people = people.assign(dyad=[f"d{i // 2}" for i in range(len(people))])
        data = joined(courses, people)
    table = mixed(scores, courses, people)
    classical, row = one(table, "classical"), one(table, "robust")
    fit = smf.mixedlm(FIXED, data, groups="participant", re_formula="0 + C(phase)")
    fit = fit.fit(reml=True, method=["lbfgs", "bfgs"])
    cov, pulls = slow_sandwich(data, fit, FIXED, groups)
    names = list(fit.fe_params.index)
    place = names.index(SPEECH)
    assert row["estimate"] == classical["estimate"]
    assert row["estimate"] == pytest.approx(fit.fe_params[SPEECH], abs=2e-3)
    assert row["se"] == pytest.approx(np.sqrt(cov[place, place]), rel=2e-3)
    strata = data.groupby(groups)["condition"].agg(lambda names: "+".join(sorted(set(names))))
    added = pd.Series(pulls[:, place] ** 2, index=strata.to_numpy()).groupby(level=0)
    satterthwaite = added.sum().sum() ** 2 / (added.sum() ** 2 / (added.count() - 1)).sum()
    with_speech = 17 if groups == "dyad" else 33
    assert row["df2"] == pytest.approx(min(satterthwaite, with_speech - 3 - 1), rel=5e-3)
    assert f"sandwich by {groups} (CR2)" in row["model"]
    caution = "likeness within dyads is not allowed for" in classical["note"]
    assert caution == (groups == "dyad")
    if groups == "participant":
        picked = [i for i, name in enumerate(names) if ":" in name]
        b, v = fit.fe_params.to_numpy()[picked], cov[np.ix_(picked, picked)]
        omnibus = one(table, "robust", "omnibus", "preparation, speech", "condition x phase")
        assert omnibus["statistic"] == pytest.approx(b @ np.linalg.solve(v, b) / 4, rel=5e-3)
        assert (omnibus["df1"], omnibus["df2"]) == (4, 33 - 3 - 1)


def test_without_covariates_the_robust_contrast_is_welchs_test():
    scores, courses, people = study(cells=(5, 6, 7))
    row = one(mixed(scores, courses, people, covariates=()), "robust")
    delta = scores.assign(delta=scores.value - scores.baseline).query("window == 'speech'")
    cells = dict(list(delta.groupby("condition")["delta"]))
    welch = stats.ttest_ind(cells["support"], cells["alone"], equal_var=False)
    squares = [cells[name].var() / len(cells[name]) for name in ("support", "alone")]
    assert row["se"] == pytest.approx(np.sqrt(sum(squares)))
    assert row["df2"] == pytest.approx(welch.df)


def test_rows_of_a_window_count_who_has_it():
    scores, courses, people = study()
    lost = ["p024", "p030"]
    keep = (courses["window"] != "speech") | ~courses["session"].isin([*lost, "p001"])
    keep &= (courses["window"] != "preparation") | (courses["session"] != "p001")
    table = mixed(scores, courses[keep], people)
    row = one(table, "robust")
    assert row["n"] == 33
    assert row["n_by_condition"] == "alone 9, nonsupport 12, support 12"
    assert (
        "3 without speech stay in the model by the phases they have (alone 1, support 2)"
        in (row["note"])
    )
    assert "1 with only a baseline" in row["note"]
    assert one(table, "robust", window="preparation")["n"] == 35
    assert one(table, "robust", "omnibus", "preparation, speech", "condition x phase")["n"] == 36


def test_scores_that_were_left_out_leave_the_readings_of_that_window():
    scores, courses, people = study()
    speech = scores["window"] == "speech"
    scores = scores.assign(delta=scores.value - scores.baseline, reason="")
    few = speech & (scores["session"] == "p002")
    scores.loc[few, "delta"] = np.nan
    scores.loc[few, "reason"] = "value rests on 1 cuff readings, needs 2"
    scores.loc[speech & (scores["session"] == "p012"), "quality"] = 0.2
    scores.loc[scores["session"] == "p030", ["baseline", "delta"]] = np.nan
    found = condition_contrasts(scores, participants=people, courses=courses, checks=False)
    robust = found.statistics[found.statistics["errors"] == "robust"]
    rows = robust[robust["term"] == "support - alone"].query("window == 'speech'")
    assert set(rows["n_by_condition"]) == {"alone 9, nonsupport 11, support 13"}
    row = one(found.statistics[found.statistics["analysis"] == "mixed model"], "robust")
    assert "1 left out: value rests on 1 cuff readings, needs 2" in row["note"]
    assert "1 left out: quality is below 0.5" in row["note"]
    assert "1 left out: no baseline in the scores" in row["note"]
    gone = (courses["session"] == "p030") | (
        courses["session"].isin(["p002", "p012"]) & (courses["window"] == "speech")
    )
    expected = one(mixed(scores, courses[~gone], people), "robust")
    assert row["estimate"] == expected["estimate"]
    assert row["se"] == expected["se"]


def test_without_a_mixed_model_only_complete_people_are_compared():
    scores, _, people = study()
    rng = np.random.default_rng(3)
    # A value that falls as the baseline rises leaves no variance to a random intercept.
    scores["value"] = 260 - scores["baseline"] + rng.normal(0, 2, len(scores))
    scores.loc[(scores["session"] == "p005") & (scores["window"] == "speech"), "value"] = np.nan
    table = mixed(scores, None, people)
    row = one(table, "robust")
    assert row["model"].startswith("gee(")
    assert "no mixed model" in row["note"]
    assert "people with baseline and speech only" in row["note"]
    assert row["n"] == 35
    delta = scores.assign(delta=scores.value - scores.baseline).query("window == 'speech'")
    means = delta.groupby("condition")["delta"].mean()
    assert row["estimate"] == pytest.approx(means["support"] - means["alone"])
    assert "not tested" in one(table, "classical")["note"]


def test_a_condition_of_one_is_counted_and_dyads_of_a_few_are_refused():
    scores, courses, people = study(cells=(3, 3, 3))
    people = people.assign(dyad=np.repeat(["a", "b", "c"], 3))
    row = one(mixed(scores, courses, people), "robust")
    assert np.isnan(row["p"])
    assert "dyads are too few" in row["note"]


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
    fit = smf.ols(FIXED, data).fit()
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


def lose_speech_by_baseline(scores, courses, people, rng):
    """In support, people with a baseline above 120 lose the speech with probability 0.6."""
    first = scores.drop_duplicates("session").set_index("session")
    support = first["condition"] == "support"
    lost = first.index[support & (first["baseline"] > 120) & (rng.random(len(first)) < 0.6)]
    gone = scores["session"].isin(lost) & (scores["window"] == "speech")
    quiet = courses["session"].isin(lost) & (courses["window"] == "speech")
    return scores[~gone], courses[~quiet], people


@pytest.mark.parametrize("n", [pytest.param(6), pytest.param(60, marks=pytest.mark.slow)])
def test_losses_that_depend_on_the_baseline_do_not_look_like_an_effect(n):
    rng = np.random.default_rng(5)
    found = []
    for seed in range(n):
        tables = study(seed, cells=(30, 30, 30), react=4.0, effect=(0.0, 0.0, 0.0))
        row = one(mixed(*lose_speech_by_baseline(*tables, rng)), "robust")
        found.append((row["estimate"], row["p"] < 0.05))
    estimate, rejected = np.mean(found, axis=0)
    # A standard error of one study is near 1.2 mmHg; comparing whoever is there is 4 mmHg off.
    assert abs(estimate) < 4 * 1.2 / np.sqrt(n)
    assert rejected <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / n)
