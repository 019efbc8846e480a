import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.config import parse_yaml_model
from physio_hqc.errors import StudyError
from physio_hqc.reactivity import (
    ALLOSTATIC_COLUMNS,
    CUT_POINT_COLUMNS,
    ProxyDefinition,
    allostatic_dictionary,
    allostatic_proxy,
    load_proxy,
    proxy_summary,
    proxy_values,
)

# Worked examples of the methods reference: ten indicators of one person, four of five persons.
PERSON = {
    "sbp": 152,
    "dbp": 80,
    "waist_hip": 0.96,
    "total_hdl": 4.8,
    "hba1c": 5.6,
    "cortisol": 30.1,
    "norepinephrine": 40,
    "epinephrine": 6,
    "hdl": 35,
    "dhea_s": 60,
}
ROWS = [
    (118, 76, 62, 45),
    (130, 85, 75, 28),
    (124, 80, 68, 38),
    (142, 92, 81, 20),
    (112, 70, 58, 60),
]
Z_SUMS = [-2.3363, 2.2604, -0.2478, 5.2900, -4.9663]


def component(name, risk="high", **more):
    return {
        "name": name,
        "label": name,
        "unit": "1",
        "risk": risk,
        "sources": [{"column": name}],
        **more,
    }


def proxy(*components, **more):
    data = {"name": "own", "title": "Own", "components": list(components), **more}
    return ProxyDefinition.model_validate(data)


FOUR = proxy(component("SBP"), component("DBP"), component("HR"), component("RMSSD", "low"))
TWO = proxy(component("a"), component("b", "low"), min_n=3)


def table(rows, names=("SBP", "DBP", "HR", "RMSSD"), **more):
    values = pd.DataFrame(rows, columns=list(names))
    values.insert(0, "participant", [f"p{index}" for index in range(len(values))])
    return values.assign(**more)


def slow_proxy(values, definition):
    """Counts and z-sums by loops over persons and components, everybody in one group."""
    counts, sums = [], []
    for index in range(len(values)):
        count, total = 0, 0.0
        for entry in definition.components:
            column = values[entry.name].to_numpy(float)
            column = column[~np.isnan(column)]
            value = values[entry.name].iloc[index]
            if entry.risk == "high":
                count += value > np.quantile(column, 0.75)
                total += (value - column.mean()) / column.std(ddof=1)
            else:
                count += value < np.quantile(column, 0.25)
                total -= (value - column.mean()) / column.std(ddof=1)
        counts.append(count)
        sums.append(total)
    return counts, sums


# ---- worked examples -------------------------------------------------------------------------


def test_worked_example_of_published_cut_points():
    scores = allostatic_proxy(pd.DataFrame([{"participant": "p1", **PERSON}]), "seeman_1997")
    row = scores.iloc[0]
    assert tuple(scores.columns) == ALLOSTATIC_COLUMNS
    assert row["count"] == 5
    assert row["at_risk"] == "sbp, waist_hip, cortisol, epinephrine, hdl"
    assert row["proportion"] == 0.5
    assert row["label"] == "allostatic-load proxy (10 of 10 indicators)"
    assert row["rule"] == "cut points"
    # One person has no sample to be standardized in, and a fixed count no interval.
    assert np.isnan(row[["z_sum", "z_mean", "count_low", "count_high"]].to_numpy(float)).all()
    assert "no z-scores: participants with a value: 1, needs 5" in row["reason"]
    assert "no interval" in row["reason"]


def test_worked_example_of_sample_quartiles_and_z_sums():
    scores = allostatic_proxy(table(ROWS), FOUR)
    assert scores["count"].tolist() == [0, 0, 0, 4, 0]
    assert scores["z_sum"].round(4).tolist() == Z_SUMS
    assert (scores["z_mean"] * 4).round(4).tolist() == Z_SUMS
    cuts = scores.attrs["cut_points"]
    assert tuple(cuts.columns) == CUT_POINT_COLUMNS
    assert cuts["cut"].tolist() == [130, 85, 75, 28]
    assert cuts["direction"].tolist() == ["high", "high", "high", "low"]
    assert cuts["n"].tolist() == [5, 5, 5, 5]
    assert (scores["reason"] == "").all()


def test_values_on_published_cut_points_do_not_count():
    definition = load_proxy("seeman_1997")
    exact = {entry.name: entry.cut for entry in definition.components}
    scores = allostatic_proxy(pd.DataFrame([{"participant": "p1", **exact}]), definition)
    assert scores["count"][0] == 0


def test_published_criteria_that_include_their_cut_point():
    definition = proxy(component("a", cut=140, inclusive=True), component("b", cut=140), min_n=3)
    values = table([(140, 140), (139, 141), (141, 139)], ("a", "b"))
    scores = allostatic_proxy(values, definition, rule="cut points")
    assert scores["at_risk"].tolist() == ["a", "b", "a"]
    # The tie rule of the sample quartile stays strict.
    assert allostatic_proxy(values, definition)["at_risk"].tolist() == ["", "b", "a"]


# ---- against a slow reference -----------------------------------------------------------------


def test_three_hundred_participants_against_loops():
    rng = np.random.default_rng(4)
    values = table(rng.normal(100, 15, (300, 4)).round(1))
    scores = allostatic_proxy(values, FOUR, n_boot=0)
    counts, sums = slow_proxy(values, FOUR)
    assert scores["count"].tolist() == counts
    np.testing.assert_allclose(scores["z_sum"], sums)
    assert scores["reason"].eq("no interval: n_boot is 0").all()


def test_intervals_against_a_slow_bootstrap():
    rng = np.random.default_rng(5)
    values = table(rng.normal(100, 15, (40, 4)))
    values.loc[[3, 9], "SBP"] = np.nan
    scores = allostatic_proxy(values, FOUR, n_boot=4000)
    x = values[["SBP", "DBP", "HR", "RMSSD"]].to_numpy()
    signs = np.array([1, 1, 1, -1.0])
    counts, z_means = [], []
    for _ in range(1500):
        drawn = x[rng.integers(0, 40, 40)]
        high, low = np.nanquantile(drawn, 0.75, axis=0), np.nanquantile(drawn, 0.25, axis=0)
        risk = np.where(signs > 0, x > high, x < low)
        counts.append(risk.sum(axis=1))
        z = signs * (x - np.nanmean(drawn, axis=0)) / np.nanstd(drawn, axis=0, ddof=1)
        z_means.append(np.nanmean(z, axis=1))
    low, high = np.quantile(counts, [0.025, 0.975], axis=0)
    assert (scores["count_low"] - low).abs().max() <= 1
    assert (scores["count_high"] - high).abs().max() <= 1
    assert np.mean(scores["count_low"] == low) > 0.9
    z_low, z_high = np.quantile(z_means, [0.025, 0.975], axis=0)
    np.testing.assert_allclose(scores["z_low"], z_low, atol=0.06)
    np.testing.assert_allclose(scores["z_high"], z_high, atol=0.06)


def test_logarithms_change_z_scores_and_no_count():
    rng = np.random.default_rng(6)
    x = np.exp(rng.normal(3, 0.5, 60))
    plain = proxy(component("a"), component("b", "low"))
    logged = proxy(component("a", log=True), component("b", "low", log=True))
    values = table(np.column_stack([x, x[::-1]]), ("a", "b"))
    raw, log = allostatic_proxy(values, plain, n_boot=0), allostatic_proxy(values, logged, n_boot=0)
    assert raw["count"].tolist() == log["count"].tolist()
    y = np.log(x)
    z = (y - y.mean()) / y.std(ddof=1)
    np.testing.assert_allclose(log["z_sum"], z - z[::-1], atol=1e-12)


# ---- properties -------------------------------------------------------------------------------

cells = st.lists(st.integers(-50, 50), min_size=12, max_size=40)


@settings(deadline=None, max_examples=50)
@given(cells=cells, shift=st.integers(-1000, 1000), seed=st.integers(0, 99))
def test_a_constant_changes_nothing(cells, shift, seed):
    rng = np.random.default_rng(seed)
    values = table(np.column_stack([cells, rng.permutation(cells)]), ("a", "b"))
    moved = values.assign(a=values["a"] + shift)
    one, two = (allostatic_proxy(v, TWO, n_boot=20) for v in (values, moved))
    assert one["at_risk"].tolist() == two["at_risk"].tolist()
    for column in ("z_sum", "z_mean", "z_low", "z_high"):
        np.testing.assert_allclose(one[column], two[column], atol=1e-9)


@settings(deadline=None, max_examples=50)
@given(cells=cells, seed=st.integers(0, 99))
def test_the_order_of_participants_does_not_matter(cells, seed):
    rng = np.random.default_rng(seed)
    values = table(np.column_stack([cells, rng.permutation(cells)]), ("a", "b")).astype(
        {"a": float}
    )
    values.loc[rng.integers(0, len(values), 3), "a"] = np.nan
    values["sex"] = rng.choice(["female", "male", ""], len(values))
    moved = values.iloc[rng.permutation(len(values))]
    one = allostatic_proxy(values, TWO, n_boot=20)
    two = allostatic_proxy(moved, TWO, n_boot=20)
    assert two["participant"].tolist() == moved["participant"].tolist()
    two = two.sort_values("participant", key=lambda names: names.str[1:].astype(int))
    pd.testing.assert_frame_equal(one, two.reset_index(drop=True))


@settings(deadline=None, max_examples=50)
@given(cells=cells, seed=st.integers(0, 99), share=st.floats(0, 0.9))
def test_counts_are_bounded_and_what_is_missing_has_a_reason(cells, seed, share):
    rng = np.random.default_rng(seed)
    x = np.column_stack([cells, rng.permutation(cells)]).astype(float)
    x[rng.random(x.shape) < share] = np.nan
    scores = allostatic_proxy(table(x, ("a", "b")), TWO, n_boot=20)
    scored = scores[scores["count"].notna()]
    assert (scored["count"] <= scored["n_components"]).all()
    assert (scored["n_components"] <= 2).all()
    assert (
        scored["count"] == scored["at_risk"].str.split(", ").map(lambda w: len([*filter(None, w)]))
    ).all()
    assert scored["proportion"].between(0, 1).all()
    numbers = scores[["count", "proportion", "count_low", "z_sum", "z_mean", "z_low"]]
    unexplained = numbers.isna().any(axis=1) & ~scores["reason"].str.contains("no |needs")
    assert not unexplained.any()
    known = scored[scored["count_low"].notna()]
    assert (known["count_low"] <= known["count_high"]).all()
    assert (
        scores["reason"].eq("") == (numbers.notna().all(axis=1) & scores["missing"].eq(""))
    ).all()


def test_same_seed_same_table():
    values = table(np.random.default_rng(1).normal(size=(30, 4)))
    one, two = (allostatic_proxy(values, FOUR, seed=3) for _ in range(2))
    assert one.to_csv() == two.to_csv()
    assert one.to_csv() != allostatic_proxy(values, FOUR, seed=4).to_csv()


# ---- missing components -----------------------------------------------------------------------


def test_nothing_is_imputed():
    values = table([*ROWS, (150, np.nan, np.nan, 15), (150, np.nan, np.nan, np.nan)])
    scores = allostatic_proxy(values, FOUR)
    half, quarter = scores.iloc[5], scores.iloc[6]
    assert (half["count"], half["n_components"], half["proportion"]) == (2, 2, 1)
    assert half["label"] == "allostatic-load proxy (2 of 4 indicators)"
    assert half["missing"] == "DBP, HR"
    assert np.isnan(half["z_sum"])
    sbp, rmssd = values["SBP"], values["RMSSD"]
    z = (150 - sbp.mean()) / sbp.std(), (15 - rmssd.mean()) / rmssd.std()
    assert half["z_mean"] == pytest.approx((z[0] - z[1]) / 2)
    assert half["reason"] == (
        "no z_sum: it needs every component that others have; flag: missing DBP (empty), HR (empty)"
    )
    assert np.isnan(quarter[["count", "proportion", "z_mean", "count_low"]].to_numpy(float)).all()
    assert quarter["reason"].startswith("1 of 4 indicators, needs 2: missing DBP (empty), ")


def test_a_component_that_nobody_has_leaves_z_sums_comparable():
    values = table(ROWS).assign(HR=np.nan)
    scores = allostatic_proxy(values, FOUR)
    assert scores["n_components"].tolist() == [3] * 5
    assert scores["z_sum"].notna().all()
    assert scores["label"].unique().tolist() == ["allostatic-load proxy (3 of 4 indicators)"]
    assert scores.attrs["cut_points"]["reason"][2] == "participants with a value: 0, needs 5"


def test_a_component_without_variance_is_left_out():
    scores = allostatic_proxy(table(ROWS).assign(HR=70), FOUR)
    assert scores["missing"].unique().tolist() == ["HR"]
    assert "HR (all participants have the same value)" in scores["reason"][0]
    assert scores["z_sum"].notna().all()
    # A published cut point still says who is at risk; a z-score there is none.
    fixed = proxy(component("SBP", cut=125), component("HR", cut=60), rule="cut points")
    scores = allostatic_proxy(table(ROWS).assign(HR=70), fixed)
    assert scores["count"].tolist() == [1, 2, 1, 2, 1]
    assert scores["z_mean"].notna().all()
    assert "flag: no z-score of HR (all participants have the same value)" in scores["reason"][0]


def test_too_few_participants_have_no_sample_quartile():
    scores = allostatic_proxy(table(ROWS[:4]), FOUR)
    assert scores["count"].isna().all()
    assert "SBP (participants with a value: 4, needs 5)" in scores["reason"][0]
    assert scores.attrs["cut_points"]["cut"].isna().all()


def test_no_participants():
    scores = allostatic_proxy(table(ROWS).iloc[:0], FOUR)
    assert tuple(scores.columns) == ALLOSTATIC_COLUMNS
    assert len(scores) == 0


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("n/a", "'n/a' is not a number"),
        ("5,6", "write a point"),
        ("<5", "'<5' is not a number"),
        ("", "empty"),
        (None, "empty"),
        (-3, "-3 lies outside 0 to 300, a wrong unit?"),
        (np.inf, "inf is no possible value"),
        (1e300, "1e+300 is no possible value"),
    ],
)
def test_values_that_cannot_be(cell, words):
    definition = proxy(component("SBP", possible=[0, 300]), *FOUR.components[1:])
    values = table([*ROWS, (120, 80, 70, 40)]).astype(object)
    values.loc[5, "SBP"] = cell
    scores = allostatic_proxy(values, definition)
    assert scores["missing"].tolist() == [""] * 5 + ["SBP"]
    assert words in scores["reason"][5]
    # It takes no part in the cut point of the others either.
    assert scores.attrs["cut_points"][["cut", "n"]].iloc[0].tolist() == [130, 5]


def test_a_logarithm_of_nothing():
    definition = proxy(component("a", log=True), component("b"), min_n=3)
    scores = allostatic_proxy(table([(0, 1), (1, 2), (2, 3), (4, 5)], ("a", "b")), definition)
    assert scores["missing"].tolist() == ["a", "", "", ""]
    assert "a (0 has no logarithm)" in scores["reason"][0]


# ---- sexes ------------------------------------------------------------------------------------


def test_quartiles_within_sex():
    rng = np.random.default_rng(8)
    values = table(rng.normal(100, 10, (60, 4)))
    values["sex"] = ["female", "male"] * 30
    values.loc[values["sex"] == "male", "SBP"] += 40
    scores = allostatic_proxy(values, FOUR, sex=True, n_boot=50)
    for sex in ("female", "male"):
        own = (values["sex"] == sex).to_numpy()
        counts, sums = slow_proxy(values[own], FOUR)
        assert scores["count"][own].tolist() == counts
        np.testing.assert_allclose(scores["z_sum"][own], sums)
    cuts = scores.attrs["cut_points"]
    assert cuts["sex"].tolist() == ["female", "male"] * 4
    assert cuts["n"].tolist() == [30] * 8
    pooled = allostatic_proxy(values, FOUR, n_boot=0)
    assert pooled["count"].tolist() != scores["count"].tolist()


def test_no_silent_step_back_from_sexes_to_everybody():
    values = table(np.random.default_rng(9).normal(100, 10, (23, 4)))
    values["sex"] = ["female"] * 12 + ["male"] * 9 + ["", "diverse"]
    scores = allostatic_proxy(values, FOUR, sex=True, n_boot=50)
    assert scores["count"][:12].notna().all()
    assert scores["count"][12:].isna().all()
    assert "SBP (male participants with a value: 9, needs 10)" in scores["reason"][12]
    assert "SBP (sex is not known)" in scores["reason"][21]
    assert "SBP (diverse participants with a value: 1, needs 10)" in scores["reason"][22]
    assert scores["reason"][:12].eq("").all()
    nobody = allostatic_proxy(values.assign(sex=""), FOUR, sex=True, n_boot=50)
    assert nobody["reason"].str.contains("sex is not known").all()


def test_published_cut_points_by_sex():
    by_sex = {"female": 0.85, "male": 0.90}
    definition = proxy(
        component("waist_hip", cut_by_sex=by_sex, inclusive=True), rule="cut points", min_n=3
    )
    values = table([(0.85,), (0.87,), (0.87,), (0.90,), (0.89,), (0.95,)], ("waist_hip",))
    values["sex"] = ["F", "woman", "m", "Male", "", "diverse"]
    scores = allostatic_proxy(values, definition)
    assert scores["count"].tolist()[:4] == [1, 1, 0, 1]
    assert scores["count"][4:].isna().all()
    assert "waist_hip (sex is not known)" in scores["reason"][4]
    assert "no published cut point for sex 'diverse'" in scores["reason"][5]
    cuts = scores.attrs["cut_points"]
    assert cuts[["sex", "cut", "n"]].to_numpy().tolist() == [["female", 0.85, 2], ["male", 0.9, 2]]


def test_without_a_published_cut_point_the_sample_quartile_is_said():
    definition = proxy(component("SBP", cut=125), *FOUR.components[1:])
    scores = allostatic_proxy(table(ROWS), definition, rule="cut points")
    assert scores["count"].tolist() == [0, 1, 0, 4, 0]
    assert scores["rule"].unique().tolist() == ["cut points"]
    words = "flag: sample quartile, for want of a cut point: DBP, HR, RMSSD"
    assert scores["reason"].eq(words).all()
    rules = scores.attrs["cut_points"]["rule"].tolist()
    assert rules == ["cut points"] + ["sample quartile"] * 3
    assert scores["count_low"].notna().all()


# ---- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.drop(columns="HR"), "no column 'HR'"),
        (lambda v: v.drop(columns="participant"), "no column 'participant'"),
        (lambda v: v.assign(participant=["p0", "p1", "p0", "p3", "p4"]), "'p0' appears twice"),
        (
            lambda v: v.assign(participant=["p0", "", "p2", "p3", "p4"]),
            "row 2: participant is empty",
        ),
        (lambda v: v.to_dict(), "pass a DataFrame"),
    ],
)
def test_wrong_tables(change, words):
    with pytest.raises(StudyError, match=words):
        allostatic_proxy(change(table(ROWS)), FOUR)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rule": "median"}, "sample quartile"),
        ({"rule": "cut points"}, "no published cut point"),
        ({"sex": True}, "no column 'sex'"),
        ({"sex": ["female"] * 5}, "pass True or False"),
        ({"n_boot": -1}, "n_boot"),
        ({"n_boot": 0.5}, "n_boot"),
        ({"seed": -1}, "seed"),
    ],
)
def test_wrong_arguments(arguments, words):
    with pytest.raises(StudyError, match=words):
        allostatic_proxy(table(ROWS), FOUR, **arguments)


def test_the_input_is_not_changed():
    values = table(ROWS)
    before = values.copy(deep=True)
    allostatic_proxy(values, FOUR, n_boot=10)
    pd.testing.assert_frame_equal(values, before)


def test_two_thousand_resamples_of_three_hundred_participants():
    rng = np.random.default_rng(2)
    names = [f"c{index}" for index in range(10)]
    values = table(rng.normal(size=(300, 10)), names)
    start = time.perf_counter()
    scores = allostatic_proxy(values, proxy(*map(component, names)), n_boot=2000)
    assert time.perf_counter() - start < 5
    assert scores["count_low"].notna().all()


# ---- values from the tables of a study --------------------------------------------------------


def features(rows, **more):
    columns = ["session", "window", "feature", "value"]
    return pd.DataFrame(rows, columns=columns).assign(**more)


def value(values, name, row=0):
    return values[name].iloc[row], values.attrs["reasons"][name][row]


REST = [
    ("s1", "baseline", "CUFF_SBP_Mean", 121.0),
    ("s1", "baseline", "CUFF_N", 4.0),
    ("s1", "baseline", "HRV_RMSSD", 41.0),
    ("s1", "speech", "HRV_RMSSD", 21.0),
]


def test_resting_values_come_from_the_baseline():
    values = proxy_values("session", features(REST))
    names = [entry.name for entry in load_proxy("session").components]
    assert list(values.columns) == ["participant", "sex", *names]
    assert value(values, "resting_sbp") == (121.0, "")
    assert value(values, "resting_rmssd") == (41.0, "")
    missing, reason = value(values, "resting_scl")
    assert np.isnan(missing)
    assert reason == "EDA_Tonic_Mean: no resting window has it"
    assert "no recovery window has it" in value(values, "recovery_failure")[1]


def test_another_window_is_the_baseline():
    rows = [*REST, ("s1", "baseline_last_360s", "HRV_RMSSD", 44.0)]
    values = proxy_values("session", features(rows), baseline="baseline_last_360s")
    assert value(values, "resting_rmssd") == (44.0, "")
    values = proxy_values("session", features(rows), baseline=["baseline_last_360s", "baseline"])
    assert value(values, "resting_rmssd")[0] == 44
    assert value(values, "resting_sbp")[0] == 121


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"quality": 0.3}, "HRV_RMSSD: quality 0.30 is below 0.5"),
        ({"unit": "s"}, "HRV_RMSSD: is in s, needs ms"),
        ({"value": np.nan, "reason": "12 beats, needs 30"}, "HRV_RMSSD: 12 beats, needs 30"),
        ({"value": np.nan}, "HRV_RMSSD: no value"),
        ({"value": -4.0}, "HRV_RMSSD: -4 ms lies outside 0.5 to 400 ms, a wrong unit?"),
        ({"value": "n/a"}, "HRV_RMSSD: 'n/a' is not a number"),
    ],
)
def test_why_a_resting_value_is_missing(more, words):
    values = proxy_values("session", features(REST[2:3]).assign(**more))
    missing, reason = value(values, "resting_rmssd")
    assert np.isnan(missing)
    assert reason == words


def test_sliding_windows_are_no_baseline():
    table = features(REST, kind="phase")
    sliding = features([("s1", "baseline", "HRV_RMSSD", 10.0)], kind="sliding")
    values = proxy_values("session", pd.concat([table, sliding]))
    assert value(values, "resting_rmssd") == (41.0, "")


def test_one_cuff_reading_is_no_resting_pressure():
    rows = [("s1", "baseline", "CUFF_SBP_Mean", 121.0), ("s1", "baseline", "CUFF_N", 1.0)]
    reason = value(proxy_values("seeman_1997", features(rows)), "sbp")[1]
    assert reason == "CUFF_SBP_Mean: cuff readings: 1, needs 2"
    assert value(proxy_values("seeman_1997", features(rows), min_readings=1), "sbp") == (121, "")


def test_pressure_from_another_source_is_said_where_sources_are_mixed():
    both = [*REST, ("s2", "baseline", "BP_SBP_Mean", 118.0)]
    values = proxy_values("session", features(both))
    assert value(values, "resting_sbp", 0) == (121, "")
    flag = "flag: from BP_SBP_Mean, others from CUFF_SBP_Mean"
    assert value(values, "resting_sbp", 1) == (118, flag)
    alone = proxy_values("session", features(both[-1:]))
    assert value(alone, "resting_sbp") == (118, "")


def test_several_sessions_of_one_participant():
    rows = [("s1", "baseline", "HRV_RMSSD", 40.0), ("s2", "baseline", "HRV_RMSSD", 50.0)]
    values = proxy_values("session", features(rows, participant="p1"))
    assert values["participant"].tolist() == ["p1"]
    assert value(values, "resting_rmssd") == (45.0, "flag: mean of 2 sessions")


def test_participants_give_order_sex_and_laboratory_values():
    people = pd.DataFrame(
        {
            "id": ["b", "a", "c"],
            "sex": ["f", "MALE", np.nan],
            "session": ["s2", "s1", ""],
            "HDL": [52, "n/a", 1.3],
            "total_cholesterol": [208, 200, 5.0],
            "hba1c": [5.1, np.nan, 5.4],
        }
    )
    rows = [("s1", "baseline", "HRV_RMSSD", 40.0), ("s2", "baseline", "HRV_RMSSD", 50.0)]
    values = proxy_values("session_and_lab", features(rows), participants=people)
    assert values["participant"].tolist() == ["b", "a", "c"]
    assert values["sex"].tolist() == ["female", "male", ""]
    assert values["resting_rmssd"].tolist()[:2] == [50, 40]
    assert value(values, "resting_rmssd", 2)[1] == "HRV_RMSSD: no session"
    assert value(values, "hdl", 0) == (52, "")
    assert value(values, "hdl", 1)[1] == "hdl: 'n/a' is not a number"
    assert value(values, "hdl", 2)[1].startswith("hdl: 1.3 mg/dL lies outside 8 to 200")
    assert value(values, "total_hdl", 0) == (4.0, "")
    why = "total_hdl: no such column, total_cholesterol / hdl: 'n/a' is not a number (hdl)"
    assert value(values, "total_hdl", 1)[1] == why
    assert value(values, "hba1c", 1)[1] == "hba1c: empty"
    assert value(values, "cortisol", 0)[1] == "cortisol: no such column"


def test_a_session_of_nobody_keeps_its_row():
    people = pd.DataFrame({"id": ["a"], "hba1c": [5.0]})
    rows = [("a", "baseline", "HRV_RMSSD", 40.0), ("x", "baseline", "HRV_RMSSD", 50.0)]
    values = proxy_values("session_and_lab", features(rows), participants=people)
    assert values["participant"].tolist() == ["a", "x"]
    assert value(values, "hba1c", 1)[1] == "hba1c: not in the participants' table"


def test_numbers_as_identifiers():
    people = pd.DataFrame({"id": [1.0, 2.0], "hba1c": [5.0, 6.0]})
    table = features([("s", "baseline", "HRV_RMSSD", 40.0)], participant=2)
    values = proxy_values("session_and_lab", table, participants=people)
    assert values["participant"].tolist() == ["1", "2"]
    assert value(values, "resting_rmssd", 1) == (40, "")


def test_recovery_scores():
    recovery = pd.DataFrame(
        {
            "session": ["s1", "s1", "s2"],
            "window": ["recovery", "recovery_last_180s", "recovery"],
            "feature": "CUFF_SBP_Mean",
            "baseline": 120.0,
            "delta_300s": [6.0, 1.0, np.nan],
            "logistic_level": [123.0, 121.0, np.nan],
            "reason": ["", "", "2 readings, needs 4"],
        }
    )
    values = proxy_values("session", features(REST), recovery)
    assert value(values, "recovery_failure", 0) == (6.0, "")
    assert (
        "delta_300s of CUFF_SBP_Mean: 2 readings, needs 4"
        in value(values, "recovery_failure", 1)[1]
    )
    source = {"recovery": "logistic_elevation", "feature": "CUFF_SBP_Mean"}
    own = proxy(component("level", sources=[{**source, "window": "recovery"}]))
    assert value(proxy_values(own, None, recovery), "level") == (3.0, "")
    own = proxy(component("early", sources=[{**source, "recovery": "delta_60s"}]))
    reason = value(proxy_values(own, None, recovery), "early")[1]
    assert reason == "delta_60s of CUFF_SBP_Mean: the recovery table has no column delta_60s"


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (
            {"features": features(REST).drop(columns="value")},
            "features: there is no column 'value'",
        ),
        ({"features": features([*REST, REST[0]])}, "holds CUFF_SBP_Mean twice"),
        ({"features": None}, "no session and no participant"),
        ({"features": features(REST), "recovery": pd.DataFrame({"session": []})}, "'feature'"),
        ({"features": None, "participants": pd.DataFrame({"sex": ["f"]})}, "'id'"),
        ({"features": None, "participants": pd.DataFrame({"id": ["a", "a"]})}, "'a' appears twice"),
        ({"features": None, "participants": pd.DataFrame({"id": ["a", ""]})}, "row 2: the id is"),
        ({"features": features(REST), "quality_min": 2}, "quality_min"),
        ({"features": features(REST), "min_readings": 0}, "min_readings"),
    ],
)
def test_tables_that_are_refused(tables, words):
    with pytest.raises(StudyError, match=words):
        proxy_values("session", **tables)


def test_reasons_reach_the_scores_whatever_the_order_of_rows():
    rng = np.random.default_rng(3)
    rows = [
        (f"s{k}", "baseline", name, 60 + rng.normal())
        for k in range(8)
        for name in ("HRV_RMSSD", "ECG_Rate_Mean", "CUFF_DBP_Mean")
    ]
    table = features([*rows, ("s0", "baseline", "CUFF_SBP_Mean", np.nan)], reason="cuff came off")
    values = proxy_values("session", table)
    scores = allostatic_proxy(values.iloc[::-1], "session", n_boot=0)
    row = scores[scores["participant"] == "s0"].iloc[0]
    assert "resting_sbp (CUFF_SBP_Mean: cuff came off" in row["reason"]
    assert "cuff came off" not in scores["reason"].iloc[0]


# ---- groups -----------------------------------------------------------------------------------


def test_means_of_conditions():
    values = table(np.random.default_rng(7).normal(size=(60, 4)))
    scores = allostatic_proxy(values, FOUR, n_boot=0)
    people = pd.DataFrame(
        {"id": values["participant"], "condition": ["alone", "support", "nonsupport"] * 20}
    )
    summary = proxy_summary(scores, participants=people, n_boot=4000)
    assert summary["score"].tolist() == ["proportion"] * 3 + ["z_mean"] * 3
    assert summary["label"].unique().tolist() == ["allostatic-load proxy (4 of 4 indicators)"]
    for row in summary.itertuples():
        own = scores.loc[people["condition"] == row.condition, row.score]
        assert row.mean == pytest.approx(own.mean())
        assert row.sd == pytest.approx(own.std())
        # The bootstrap of a mean is nearly normal, with the plug-in standard error.
        half = 1.96 * own.std(ddof=0) / np.sqrt(len(own))
        assert row.ci_low == pytest.approx(own.mean() - half, abs=0.25 * half)
        assert row.ci_high == pytest.approx(own.mean() + half, abs=0.25 * half)
    shuffled = proxy_summary(
        scores.sample(frac=1, random_state=1), participants=people, n_boot=4000
    )
    keys = ["score", "condition"]
    pd.testing.assert_frame_equal(
        summary.sort_values(keys, ignore_index=True), shuffled.sort_values(keys, ignore_index=True)
    )


def test_small_groups_say_so():
    scores = allostatic_proxy(table(ROWS), FOUR, n_boot=0)
    scores["condition"] = ["alone", "alone", "alone", "support", "nonsupport"]
    scores.loc[4, "proportion"] = np.nan
    summary = proxy_summary(scores, scores=["proportion"]).set_index("condition")
    assert summary.loc["alone", "reason"] == "flag: 3 participants, the interval is too narrow"
    assert summary.loc["support", "reason"] == "no sd and interval: 1 participant"
    assert summary.loc["nonsupport", "reason"] == "nobody has this score"
    assert summary.loc["nonsupport", ["n", "n_missing"]].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "no column 'condition'; pass participants"),
        ({"participants": pd.DataFrame({"id": ["p0"]})}, "participants: there is no column"),
        (
            {"participants": pd.DataFrame({"id": ["p0", "p0"], "condition": "alone"})},
            "'p0' appears twice",
        ),
        ({"scores": ["z"]}, "no column 'z'"),
        ({"n_boot": -1}, "n_boot"),
        ({"seed": -1}, "seed"),
    ],
)
def test_groups_that_are_refused(arguments, words):
    with pytest.raises(StudyError, match=words):
        proxy_summary(allostatic_proxy(table(ROWS), FOUR, n_boot=0), **arguments)


def test_yaml_of_ones_own(tmp_path):
    text = "name: mine\ntitle: Mine\nmin_n: 3\ncomponents:\n" + "".join(
        f"  - {{name: {name}, label: x, unit: '1', risk: high, sources: [{{column: {name}}}]}}\n"
        for name in "ab"
    )
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    people = pd.DataFrame({"id": list("wxyz"), "a": [1, 2, 3, 9], "b": [1, 2, 3, 9]})
    scores = allostatic_proxy(proxy_values(path, None, participants=people), path, n_boot=0)
    assert scores["count"].tolist() == [0, 0, 0, 2]
    assert scores["proxy"].unique().tolist() == ["mine"]
    assert parse_yaml_model(text, ProxyDefinition) == load_proxy(path)


def test_every_column_is_described():
    described = allostatic_dictionary()
    assert tuple(described["allostatic"]) == ALLOSTATIC_COLUMNS
    assert tuple(described["cut_points"]) == CUT_POINT_COLUMNS
    assert all(text for columns in described.values() for _, text in columns.values())
