"""Ratings and reactivity: estimates against least squares that is exact for balanced data."""

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from scipy import stats

from physio_hqc.errors import StudyError
from physio_hqc.study import (
    load_participants,
    load_ratings,
    rated_windows,
    rating_associations,
    rating_correlations,
)
from physio_hqc.study._association_fit import Design, _errors_given_variances, fit_mixed
from physio_hqc.study.association import ASSOCIATION_COLUMNS

CONDITIONS = np.array(["alone", "nonsupport", "support"])


def study(rng, *, n=30, windows=4, within=0.0, between=0.0, person_sd=4.0, dyads=False):
    """Scores, ratings and participants with planted slopes."""
    ids = np.array([f"p{i:02d}" for i in range(n)])
    rating = np.clip(np.round(4 + rng.normal(0, 1, (n, 1)) + rng.normal(0, 1, (n, windows))), 1, 7)
    mean = rating.mean(axis=1, keepdims=True)
    person = rng.normal(0, person_sd, n)
    if dyads:
        person = person + np.repeat(rng.normal(0, person_sd, n // 2), 2)
    noise = rng.normal(0, 5, (n, windows))
    delta = 10 + within * (rating - mean) + between * (mean - 4) + person[:, None] + noise
    row, window = np.repeat(ids, windows), np.tile([f"w{j}" for j in range(windows)], n)
    condition = np.repeat(CONDITIONS[np.arange(n) % 3], windows)
    scores = pd.DataFrame({"session": row, "participant": row, "condition": condition})
    scores = scores.assign(window=window, feature="SBP", delta=delta.ravel())
    rated = pd.DataFrame({"participant": row, "window": window, "support": rating.ravel()})
    people = pd.DataFrame({"id": ids, "dyad": [f"d{i // 2}" if dyads else "" for i in range(n)]})
    return scores, load_ratings(rated), load_participants(people)


def associated(scores, ratings, **kwargs):
    return rating_associations(scores, ratings, outcomes=["SBP"], **kwargs).set_index("level")


def test_balanced_data_give_the_exact_tests():
    scores, ratings, _ = study(np.random.default_rng(2), within=-2, between=3)
    found = associated(scores, ratings)
    assert [*found.reset_index().columns] == [
        "level",
        *[c for c in ASSOCIATION_COLUMNS if c != "level"],
    ]
    rows = rated_windows(scores, ratings, outcome="SBP", rating="support")
    means = rows.groupby("participant").agg(
        delta=("delta", "mean"), rating=("rating", "mean"), condition=("condition", "first")
    )
    exact = {
        "between": (smf.ols("delta ~ rating + C(condition)", means).fit(), "rating"),
        "within": (smf.ols("delta ~ rating_within + C(participant)", rows).fit(), "rating_within"),
    }
    for level, (fit, term) in exact.items():
        row = found.loc[level]
        assert row["estimate"] == pytest.approx(fit.params[term], rel=1e-4)
        assert row["se"] == pytest.approx(fit.bse[term], rel=1e-3)
        assert row["df"] == fit.df_resid
        assert row["p"] == pytest.approx(fit.pvalues[term], rel=2e-2, abs=1e-8)
        assert [row["ci_low"], row["ci_high"]] == pytest.approx(
            list(fit.conf_int().loc[term]), rel=1e-3
        )
    assert (found["n_persons"] == 30).all()
    assert (found["n_windows"] == 120).all()
    assert found.loc["within", "window_set"] == "w0, w1, w2, w3"
    assert found.loc["between", "standardized"] == pytest.approx(
        found.loc["between", "estimate"] * means["rating"].std() / means["delta"].std()
    )


def test_the_formula_in_the_table_gives_the_fit_in_statsmodels():
    scores, ratings, _ = study(np.random.default_rng(3), within=-2, between=3)
    missing = np.random.default_rng(0).random(len(ratings)) < 0.2
    found = associated(scores, ratings[~missing])
    rows = rated_windows(scores, ratings[~missing], outcome="SBP", rating="support")
    kind, formula = found.loc["within", "model"].split(": ")
    formula, groups = formula.split(", ")
    assert (kind, groups) == ("MixedLM, REML", "groups=participant")
    fit = smf.mixedlm(formula, rows, groups="participant").fit()
    for level, term in (("within", "rating_within"), ("between", "rating_between")):
        assert found.loc[level, "estimate"] == pytest.approx(fit.params[term], rel=1e-3)
        assert found.loc[level, "se"] == pytest.approx(fit.bse[term], rel=1e-3)
    n = len(rows)
    assert found.loc["within", "df"] == n - 30 - 1
    assert found.loc["between", "df"] == 30 - 3 - 1


def test_slopes_of_opposite_sign_are_told_apart():
    found = [
        associated(*study(np.random.default_rng(seed), within=-3, between=4)[:2])
        for seed in range(12)
    ]
    within = [table.loc["within", "estimate"] for table in found]
    between = [table.loc["between", "estimate"] for table in found]
    assert np.mean(within) == pytest.approx(-3, abs=3 * np.std(within) / np.sqrt(12))
    assert np.mean(between) == pytest.approx(4, abs=3 * np.std(between) / np.sqrt(12))
    assert all(
        table.loc["within", "ci_high"] < 0 < table.loc["between", "ci_high"] for table in found
    )


@pytest.mark.parametrize("person_sd", [0.0, 4.0])
def test_false_positives(person_sd):
    """About 5 %: the bounds hold 99.9 % of binomial counts of 20."""
    rng = np.random.default_rng(11)
    p = np.array([associated(*study(rng, person_sd=person_sd)[:2])["p"] for _ in range(20)])
    low, high = stats.binom.interval(0.999, 20, 0.05)
    assert ((low <= (p < 0.05).sum(axis=0)) & ((p < 0.05).sum(axis=0) <= high)).all()
    assert np.isfinite(p).all()


@pytest.mark.slow
@pytest.mark.parametrize("dyads", [False, True])
def test_intervals_cover_the_planted_slopes(dyads):
    rng = np.random.default_rng(12)
    rows = []
    for _ in range(300):
        scores, ratings, people = study(rng, within=-2, between=3, dyads=dyads)
        found = associated(scores, ratings, participants=people)
        truth = pd.Series({"within": -2, "between": 3})
        rows.append((found["ci_low"] <= truth) & (truth <= found["ci_high"]))
    covered = np.sum(rows, axis=0)
    low, high = stats.binom.interval(0.999, 300, 0.95)
    assert ((low <= covered) & (covered <= high)).all()


def test_no_variance_between_persons_keeps_the_effect_between():
    """statsmodels alone gives exactly 0 for effects between groups at that edge (issue 10239)."""
    rng = np.random.default_rng(4)
    scores, ratings, _ = study(rng, between=3, person_sd=0)
    rows = rated_windows(scores, ratings, outcome="SBP", rating="support")
    # Noise that sums to zero for every person: less variance between means than chance leaves.
    noise = rng.normal(0, 5, (30, 4))
    noise -= noise.mean(axis=1, keepdims=True)
    scores["delta"] = 3 * rows["rating_between"].to_numpy() + noise.ravel()
    found = associated(scores, ratings, covariates=())
    assert found.loc["between", "estimate"] == pytest.approx(3, abs=1e-6)
    assert found.loc["between", "df"] == 28
    assert "variance between participants is estimated as 0" in found.loc["between", "note"]


def test_the_edge_is_where_a_search_without_gradients_ends():
    """Whether a variance is 0 is decided as Powell's method decides it."""
    rng = np.random.default_rng(27)
    decided = []
    for _ in range(12):
        scores, ratings, _ = study(rng, n=12, person_sd=1.5)
        rows = rated_windows(scores, ratings, outcome="SBP", rating="support")
        note = associated(scores, ratings, covariates=()).loc["between", "note"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = smf.mixedlm("delta ~ rating_within + rating_between", rows, groups="participant")
            variance = fit.fit(method=["powell"]).cov_re.iloc[0, 0]
        decided.append("estimated as 0" in note)
        assert decided[-1] == (variance < 1e-4)
    assert 0 < sum(decided) < 12


def test_dyads_are_groups():
    scores, ratings, people = study(np.random.default_rng(5), within=-2, dyads=True)
    found = associated(scores, ratings, participants=people, covariates=())
    rows = rated_windows(scores, ratings, outcome="SBP", rating="support")
    rows["dyad"] = rows["participant"].map(people.set_index("id")["dyad"])
    fit = smf.mixedlm(
        "delta ~ rating_within + rating_between",
        rows,
        groups="dyad",
        re_formula="1",
        vc_formula={"participant": "0 + C(participant)"},
    ).fit()
    for level, term in (("within", "rating_within"), ("between", "rating_between")):
        assert found.loc[level, "estimate"] == pytest.approx(fit.params[term], rel=1e-2)
        assert found.loc[level, "se"] == pytest.approx(fit.bse[term], rel=1e-2)
    assert found.loc["within", "df"] == 120 - 30 - 1
    assert found.loc["between", "df"] == 30 - 15 - 1
    assert "groups=dyad" in found.loc["within", "model"]


def test_errors_given_the_variances_are_those_of_statsmodels():
    scores, ratings, _ = study(np.random.default_rng(6), within=-2)
    rows = rated_windows(scores, ratings, outcome="SBP", rating="support")
    frame = pd.DataFrame(
        {"y": rows["delta"], "x0": rows["rating_within"], "x1": rows["rating_between"]}
    )
    frame["person"] = pd.factorize(rows["participant"])[0]
    fit = smf.mixedlm("y ~ x0 + x1", frame, groups="person").fit()
    ratio = (
        float(fit.cov_re_unscaled.iloc[0, 0])
        if hasattr(fit.cov_re_unscaled, "iloc")
        else float(fit.cov_re_unscaled[0, 0])
    )
    errors = _errors_given_variances(frame, {"person": ratio}, fit.scale)
    assert errors == pytest.approx({name: fit.bse[name] for name in ("x0", "x1")}, rel=1e-4)


def test_one_rated_window_is_between_persons_only():
    scores, ratings, _ = study(np.random.default_rng(7), windows=1, between=3)
    found = associated(scores, ratings)
    assert list(found.index) == ["between"]
    rows = rated_windows(scores, ratings, outcome="SBP", rating="support")
    fit = smf.ols("delta ~ rating + C(condition)", rows).fit(cov_type="HC3")
    row = found.loc["between"]
    assert row["estimate"] == pytest.approx(fit.params["rating"])
    assert row["se"] == pytest.approx(fit.bse["rating"])
    assert row["df"] == 26
    assert row["p"] == pytest.approx(2 * stats.t.sf(abs(fit.tvalues["rating"]), 26))
    assert row["model"] == "OLS, HC3: delta ~ rating_between + C(condition)"
    assert "one rated window per person: between persons only" in row["note"]


def test_a_person_alone_in_a_condition_does_not_break_hc3():
    scores, ratings, _ = study(np.random.default_rng(8), windows=1)
    scores.loc[0, "condition"] = "only"
    found = associated(scores, ratings)
    assert np.isfinite(found.loc["between", "p"])
    assert found.loc["between", "n_persons"] == 29
    assert "alone in a cell, left out: p00" in found.loc["between", "note"]


def test_windows_go_by_name_or_by_mapping():
    scores, ratings, _ = study(np.random.default_rng(9), windows=1)
    ratings["window"] = "after_talk"
    with pytest.raises(
        StudyError,
        match="no window of them is in the scores; ratings have after_talk, scores have w0",
    ):
        associated(scores, ratings)
    assert (
        associated(scores, ratings, window_of={"after_talk": "w0"}).loc["between", "n_windows"]
        == 30
    )
    with pytest.raises(StudyError, match="no rating has the window 'talk'"):
        associated(scores, ratings, window_of={"talk": "w0"})
    both = pd.concat([ratings, ratings.assign(window="w0")])
    with pytest.raises(
        StudyError, match="'support' of participant 'p00' has two values for window 'w0'"
    ):
        associated(scores, both, window_of={"after_talk": "w0"})


def test_ratings_that_name_sessions_only():
    scores, ratings, _ = study(np.random.default_rng(10), windows=1)
    scores["session"] = "s_" + scores["session"]
    by_session = ratings.assign(session="s_" + ratings["participant"], participant="")
    pd.testing.assert_frame_equal(associated(scores, ratings), associated(scores, by_session))


def test_window_as_covariate_takes_out_what_everybody_shares():
    """All rate the second window higher and react more in it: nothing that is theirs."""
    scores, ratings, _ = study(np.random.default_rng(13), windows=2)
    second = (ratings["window"] == "w1").to_numpy()
    ratings.loc[second, "value"] += 3
    scores.loc[second, "delta"] += 30
    naive = associated(scores, ratings)
    assert naive.loc["within", "p"] < 1e-6
    assert "flag: what windows have in common is not taken out" in naive.loc["within", "note"]
    fair = associated(scores, ratings, covariates=("condition", "window"))
    assert abs(fair.loc["within", "estimate"]) < 2.5
    assert fair.loc["within", "p"] > 0.05
    assert fair.loc["within", "df"] == 60 - 30 - 2
    assert "C(window)" in fair.loc["within", "model"]


def test_covariates_of_participants():
    scores, ratings, people = study(np.random.default_rng(14), between=3)
    people["age"] = np.arange(30.0)
    people["sex"] = ["female", "male"] * 15
    people.loc[3, "sex"] = ""
    found = associated(scores, ratings, participants=people, covariates=("condition", "age", "sex"))
    assert found.loc["between", "df"] == 29 - 2 - 1 - 1 - 1 - 1
    assert found.loc["between", "n_persons"] == 29
    assert "4 windows without a covariate left out" in found.loc["between", "note"]
    with pytest.raises(StudyError, match="covariate 'bmi' is no column of scores or participants"):
        associated(scores, ratings, participants=people, covariates=("bmi",))


def test_unbalanced_persons_and_missing_values():
    scores, ratings, _ = study(np.random.default_rng(15), within=-3, between=4)
    scores.loc[::7, "delta"] = np.nan
    ratings.loc[::5, "value"] = np.nan
    ratings.loc[1, "value"] = np.inf
    found = associated(scores, ratings)
    rows = rated_windows(scores, ratings, outcome="SBP", rating="support")
    assert (found["n_windows"] == len(rows)).all()
    assert rows.groupby("participant")["rating_within"].mean().abs().max() < 1e-12
    assert found["p"].notna().all()


@pytest.mark.parametrize(
    ("change", "level", "note"),
    [
        (lambda s, r: (s, r.assign(value=4.0)), "between", "every person has the same mean rating"),
        (
            lambda s, r: (s.assign(delta=1.0), r),
            "between",
            "the outcome is the same in every window",
        ),
        (
            lambda s, r: (s[s["participant"] < "p04"], r),
            "between",
            "4 persons with score and rating, needs 7",
        ),
        (
            lambda s, r: (s.assign(delta=np.nan), r),
            "between",
            "0 persons with score and rating, needs 5",
        ),
        (
            lambda s, r: (
                s,
                r.assign(
                    value=s["condition"].map({"alone": 1, "support": 7, "nonsupport": 3}).to_numpy()
                ),
            ),
            "between",
            "the covariates explain the rating between persons completely",
        ),
    ],
)
def test_a_missing_estimate_says_why(change, level, note):
    scores, ratings = change(*study(np.random.default_rng(16))[:2])
    found = associated(scores, ratings)
    assert found[["estimate", "p", "ci_low"]].loc[level].isna().all()
    assert note in found.loc[level, "note"]


def test_ratings_that_follow_the_window_only():
    scores, ratings, _ = study(np.random.default_rng(17))
    ratings["value"] = ratings["window"].str[1:].astype(float)
    found = associated(scores, ratings, covariates=("window",))
    assert found["estimate"].isna().all()
    assert (
        "the covariates explain the rating within persons completely" in found.loc["within", "note"]
    )
    assert "every person has the same mean rating" in found.loc["between", "note"]


def test_outcomes_that_the_rating_explains_without_rest():
    scores, ratings, _ = study(np.random.default_rng(18))
    scores["delta"] = 2 * ratings["value"].to_numpy()
    found = associated(scores, ratings)
    assert found["estimate"].to_numpy() == pytest.approx([2, 2], abs=1e-3)


def test_many_outcomes_and_ratings_in_order_and_items_left_out():
    scores, ratings, _ = study(np.random.default_rng(19), n=12, windows=1)
    scores = pd.concat([scores, scores.assign(feature="HR", delta=-scores["delta"])])
    ratings = pd.concat(
        [
            ratings,
            ratings.assign(name="calm", value=8 - ratings["value"]),
            ratings.assign(name="i1", kind="item"),
        ]
    )
    found = rating_associations(scores, ratings, outcomes=["HR", "SBP"])
    assert found[["outcome", "rating"]].to_numpy().tolist() == [
        ["HR", "support"],
        ["HR", "calm"],
        ["SBP", "support"],
        ["SBP", "calm"],
    ]
    estimates = found["estimate"].to_numpy()
    assert estimates == pytest.approx(estimates[0] * np.array([1, -1, -1, 1]))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"outcomes": ["SBQ"]}, "feature 'SBQ' is not one of SBP; did you mean 'SBP'"),
        ({"outcomes": "SBP"}, "outcomes: pass a sequence"),
        ({"outcomes": []}, "at least one feature"),
        ({"outcomes": ["SBP"], "score": "residual"}, "the column 'residual' is missing"),
        (
            {"outcomes": ["SBP"], "names": ["suport"]},
            "rating 'suport' is not one of support; did you mean",
        ),
        ({"outcomes": ["SBP"], "covariates": ["age"]}, "covariate 'age' is no column of scores"),
        ({"outcomes": ["SBP"], "confidence": 95}, "confidence is 95"),
    ],
)
def test_wrong_arguments(kwargs, message):
    scores, ratings, _ = study(np.random.default_rng(20), n=6)
    with pytest.raises(StudyError, match=message):
        rating_associations(scores, ratings, **kwargs)


def test_wrong_frames():
    scores, ratings, _ = study(np.random.default_rng(21), n=6)
    with pytest.raises(StudyError, match="session 'p00', window 'w0' holds SBP twice"):
        associated(pd.concat([scores, scores]), ratings)
    with pytest.raises(StudyError, match="ratings: the column 'name' is missing"):
        associated(scores, ratings.drop(columns="name"))
    with pytest.raises(StudyError, match="scores, column 'delta' is not numeric"):
        associated(scores.assign(delta="x"), ratings)
    with pytest.raises(
        StudyError, match="no participant of them is in the scores; ratings have x, scores"
    ):
        associated(scores, ratings.assign(participant="x"))
    again = scores.assign(session=scores["session"] + "b")
    with pytest.raises(
        StudyError, match="participant 'p00' has two sessions with the rated window"
    ):
        associated(pd.concat([scores, again]), ratings)


def test_inputs_are_not_changed_and_the_same_input_gives_the_same_table():
    scores, ratings, people = study(np.random.default_rng(22))
    copies = scores.copy(), ratings.copy(), people.copy()
    first = associated(scores, ratings, participants=people)
    second = associated(scores, ratings, participants=people)
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    for frame, copy in zip((scores, ratings, people), copies, strict=True):
        pd.testing.assert_frame_equal(frame, copy)


def test_scale_and_origin_of_the_outcome_do_not_matter():
    scores, ratings, _ = study(np.random.default_rng(23), within=-2, between=3)
    small = scores.assign(delta=scores["delta"] * 1e-6 + 1)
    a, b = associated(scores, ratings), associated(small, ratings)
    np.testing.assert_allclose(b["p"], a["p"], rtol=1e-3)
    np.testing.assert_allclose(b["estimate"], a["estimate"] * 1e-6, rtol=1e-3)


def test_correlations_over_persons():
    scores, ratings, _ = study(np.random.default_rng(24), between=3)
    found = rating_correlations(scores, ratings, outcomes=["SBP"]).set_index("method")
    rows = rated_windows(scores, ratings, outcome="SBP", rating="support")
    means = rows.groupby("participant")[["rating", "delta"]].mean()
    pearson = stats.pearsonr(means["rating"], means["delta"])
    assert found.loc["pearson", "r"] == pytest.approx(pearson.statistic)
    assert found.loc["pearson", "p"] == pytest.approx(pearson.pvalue)
    interval = pearson.confidence_interval(0.95)
    assert found.loc["pearson", ["ci_low", "ci_high"]].tolist() == pytest.approx(
        list(interval), rel=1e-6
    )
    spearman = stats.spearmanr(means["rating"], means["delta"])
    assert found.loc["spearman", "r"] == pytest.approx(spearman.statistic)
    assert (found["n_persons"] == 30).all()


def test_correlations_that_cannot_be_had():
    scores, ratings, _ = study(np.random.default_rng(25), n=3)
    few = rating_correlations(scores, ratings, outcomes=["SBP"])
    assert few["r"].isna().all()
    assert (few["note"] == "3 persons, needs 4").all()
    scores, ratings, _ = study(np.random.default_rng(25), n=8)
    flat = rating_correlations(scores, ratings.assign(value=4.0), outcomes=["SBP"])
    assert (flat["note"] == "rating or outcome does not differ").all()


def test_a_fit_is_made_from_a_design():
    rng = np.random.default_rng(26)
    person = np.repeat(np.arange(10), 3).astype(object)
    x = rng.normal(size=30)
    fit = fit_mixed(Design(5 * x, pd.DataFrame({"x": x}), person))
    assert fit.estimate["x"] == pytest.approx(5, abs=1e-6)


def test_one_window_per_person_in_dyads_allows_for_likeness_within_them():
    """Partners who rate and react alike are not two independent people."""
    rng = np.random.default_rng(12)
    n = 20
    shared, felt = rng.normal(0, 3, n), rng.normal(0, 1, n)
    rows = pd.DataFrame(
        {
            "participant": [f"P{i:02d}" for i in range(2 * n)],
            "dyad": np.repeat([f"D{i:02d}" for i in range(n)], 2),
            "delta": np.repeat(shared, 2) + rng.normal(0, 0.5, 2 * n),
            "value": np.repeat(felt, 2) + rng.normal(0, 0.2, 2 * n),
        }
    )
    scores = rows.assign(
        session=rows["participant"], condition="c", window="talk", feature="CUFF_SBP_Mean"
    )
    ratings = load_ratings(rows[["participant", "value"]].assign(window="talk", name="warmth"))
    people = rows[["participant", "dyad"]].rename(columns={"participant": "id"})
    given = {"outcomes": ["CUFF_SBP_Mean"], "covariates": ()}
    alone = rating_associations(scores, ratings, **given).iloc[0]
    paired = rating_associations(scores, ratings, participants=people, **given).iloc[0]
    assert paired["estimate"] == pytest.approx(alone["estimate"])
    model = sm.GEE(rows["delta"], sm.add_constant(rows["value"]), groups=rows["dyad"])
    fit = model.fit(cov_type="bias_reduced")
    assert paired["se"] == pytest.approx(fit.bse["value"], rel=1e-6)
    assert paired["se"] > 1.2 * alone["se"]
    assert paired["df"] == n - 2
    assert "groups=dyad" in paired["model"]
