import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from physio_hqc.errors import StudyError
from physio_hqc.reactivity import reactivity_scores
from physio_hqc.study import condition_contrasts
from physio_hqc.study._tables import (
    ASSUMPTION_COLUMNS,
    DESCRIPTIVE_COLUMNS,
    POWER_COLUMNS,
    SENSITIVITY_COLUMNS,
    STATISTICS_COLUMNS,
    holm,
)

CONDITIONS = ["alone", "nonsupport", "support"]


def features(seed=0, n=6, conditions=CONDITIONS):
    """A tidy table of features: three phases of every participant."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n * len(conditions)):
        rest = rng.normal(120, 8)
        for window, rise in (("baseline", 0), ("preparation", 8), ("speech", 18)):
            rows.append((f"p{i:03d}", conditions[i // n], window, rest + rise + rng.normal(0, 4)))
    table = pd.DataFrame(rows, columns=["session", "condition", "window", "value"])
    return table.assign(
        kind="phase", feature="CUFF_SBP_Mean", unit="mmHg", onset=0.0, duration=300.0, quality=1.0
    )


def people(table, **extra):
    ids = table["session"].drop_duplicates().to_numpy()
    sex = np.where(np.arange(len(ids)) % 2, "male", "female")
    return pd.DataFrame({"id": ids, "sex": sex}).assign(**extra)


def contrasts(result):
    table = result.statistics
    return table[(table["kind"] == "contrast") & table["primary"]]


def replaced(table, session, window, value):
    here = (table["session"] == session) & (table["window"] == window)
    return table.assign(value=table["value"].mask(here, value))


def test_all_tables_have_their_columns():
    table = features()
    result = condition_contrasts(table, participants=people(table))
    for name, columns in (
        ("statistics", STATISTICS_COLUMNS),
        ("assumptions", ASSUMPTION_COLUMNS),
        ("sensitivity", SENSITIVITY_COLUMNS),
        ("power", POWER_COLUMNS),
        ("descriptives", DESCRIPTIVE_COLUMNS),
    ):
        frame = getattr(result, name)
        assert tuple(frame.columns) == columns
        assert len(frame)
    assert (result.statistics["n"] == 18).all()
    assert (result.statistics["n_by_condition"] == "alone 6, nonsupport 6, support 6").all()
    assert (result.statistics["model"] != "").all()


def test_features_are_scored_against_the_baseline():
    table = features()
    wide = table.pivot(index="session", columns="window", values="value")
    delta = (wide["speech"] - wide["baseline"]).groupby(
        table.drop_duplicates("session").set_index("session")["condition"]
    )
    result = condition_contrasts(table, analyses=["delta"], checks=False)
    row = result.contrast("CUFF_SBP_Mean", "speech", "alone - nonsupport")
    means = delta.mean()
    assert row["estimate"] == pytest.approx(means["alone"] - means["nonsupport"])


def test_planned_contrasts_are_those_of_the_model_experiment():
    result = condition_contrasts(features(), analyses=["ANCOVA"], checks=False)
    expected = ["support - nonsupport", "alone - nonsupport", "support - alone"]
    assert contrasts(result).query("window == 'speech'")["term"].tolist() == expected


def test_other_conditions_are_compared_in_pairs():
    table = features(conditions=["low", "mid", "top"])
    result = condition_contrasts(table, analyses=["ANCOVA"], checks=False)
    found = contrasts(result).query("window == 'speech'")["term"].tolist()
    assert found == ["mid - low", "top - low", "top - mid"]


def test_contrasts_can_be_named():
    result = condition_contrasts(
        features(), contrasts=["nonsupport - alone"], analyses=["ANCOVA"], checks=False
    )
    row = result.contrast("CUFF_SBP_Mean", "speech", "nonsupport - alone")
    assert row["p"] == row["p_holm"]


def test_holm_runs_over_the_contrasts_of_a_window():
    result = condition_contrasts(features(), analyses=["ANCOVA"], checks=False)
    table = result.statistics[result.statistics["kind"] == "contrast"]
    keys = ["outcome", "window", "analysis", "errors"]
    for _, family in table.groupby(keys):
        expected = multipletests(family["p"], method="holm")[1]
        np.testing.assert_allclose(family["p_holm"], expected)


def test_holm_equals_statsmodels():
    p = np.random.default_rng(2).random(12) ** 3
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(deadline=None, max_examples=40)
def test_holm_keeps_order_and_never_helps(p):
    found = np.array(holm(p))
    assert ((found >= p) & (found <= 1)).all()
    assert (np.diff(found[np.argsort(p, kind="stable")]) >= 0).all()


def test_default_windows_are_tasks_by_role():
    table = features()
    recovery = table[table["window"] == "speech"].assign(window="recovery")
    table = pd.concat([table, recovery])
    roles = {"baseline": "baseline", "speech": "task", "recovery": "recovery"}
    courses = pd.DataFrame({"window": list(roles), "role": list(roles.values())})
    known = condition_contrasts(table, courses=courses, analyses=["ANCOVA"], checks=False)
    assert known.statistics["window"].unique().tolist() == ["speech"]
    unknown = condition_contrasts(table, analyses=["ANCOVA"], checks=False)
    assert set(unknown.statistics["window"]) == {"preparation", "speech", "recovery"}


def test_missing_cells_are_counted():
    table = features()
    table = table[~((table["session"] == "p000") & (table["window"] == "speech"))]
    table = table[~((table["session"] == "p001") & (table["window"] == "baseline"))]
    table = replaced(table, "p007", "speech", np.nan)
    result = condition_contrasts(table, checks=False)
    row = result.contrast("CUFF_SBP_Mean", "speech", "support - alone")
    assert row["n"] == 15
    assert row["n_by_condition"] == "alone 4, nonsupport 5, support 6"
    for reason in ("no row for this outcome", "no baseline", "no value"):
        assert f"1 left out: {reason}" in row["note"]


def test_a_condition_of_one_participant_is_refused_and_the_others_go_on():
    table = features()
    table = table[~table["session"].isin([f"p{i:03d}" for i in range(1, 6)])]
    result = condition_contrasts(table, participants=people(table))
    found = contrasts(result).query("window == 'speech'").set_index("term")
    for term in ("alone - nonsupport", "support - alone"):
        assert found.loc[term, ["estimate", "p", "p_holm"]].isna().all().all()
        assert found.loc[term, "note"].str.contains("alone has 1 participant, needs 2").all()
    assert found.loc["support - nonsupport", "p"].notna().all()
    assert (found["n_by_condition"] == "alone 1, nonsupport 6, support 6").all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: pd.concat([t, t[t["session"] == "p003"].assign(session="again")]).assign(
                participant=lambda d: d["session"].replace("again", "p003")
            ),
            r"'p003' has CUFF_SBP_Mean in baseline more than once \(session 'p003', 'again'\)",
        ),
        (lambda t: pd.concat([t, t.iloc[[4]]]), "'p001' has .* more than once"),
        (
            lambda t: t.assign(condition=t["condition"].mask(t["session"] == "p002", "suport")),
            "'p002' has condition 'suport': did you mean 'support'",
        ),
        (
            lambda t: t.assign(condition=t["condition"].mask(t["session"] == "p002", "Alone")),
            "'p002' has condition 'Alone': did you mean 'alone'",
        ),
        (lambda t: t.assign(condition=""), "no participant has a condition"),
        (lambda t: t[t["condition"] == "alone"], "only one condition"),
        (
            lambda t: replaced(t.assign(value=t["value"].astype(object)), "p004", "speech", "high"),
            "'high' of session 'p004', speech, CUFF_SBP_Mean is not a number",
        ),
        (
            lambda t: t.assign(condition=t["condition"].mask(t.index == 5, "support")),
            "'p001' has the conditions 'alone' and 'support'",
        ),
        (lambda t: t.iloc[:0], "empty"),
        (lambda t: t.drop(columns="window"), "lack the column 'window'"),
        (lambda t: t[t["window"] != "baseline"], "no window is called 'baseline'"),
        (lambda t: t.to_dict(), "pass a DataFrame"),
    ],
)
def test_wrong_tables_are_refused_in_one_line(change, message):
    with pytest.raises(StudyError, match=message) as caught:
        condition_contrasts(change(features()))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outcomes": ["CUFF_SBP_mean"]}, "did you mean 'CUFF_SBP_Mean'"),
        ({"windows": ["speach"]}, "did you mean 'speech'"),
        ({"conditions": ["alone", "suport"]}, "did you mean 'support'"),
        ({"conditions": ["alone"]}, "only one condition"),
        ({"contrasts": ["suport - alone"]}, "did you mean 'support'"),
        ({"contrasts": ["support/alone"]}, "write two conditions as"),
        ({"covariates": ["agee"]}, "did you mean 'age'"),
        ({"analyses": ["ancova"]}, "did you mean 'ANCOVA'"),
        ({"analyses": []}, "analyses is empty"),
        ({"errors": "HC3"}, "pass 'robust' or 'classical'"),
        ({"alpha": 0}, "alpha is 0"),
        ({"quality_min": 2}, "quality_min is 2"),
        ({"reference_g": -1}, "reference_g is -1"),
        ({"outcomes": []}, "outcomes is empty"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options, message):
    table = features()
    with pytest.raises(StudyError, match=message) as caught:
        condition_contrasts(table, participants=people(table, age=20.0), **options)
    assert "\n" not in str(caught.value)


def test_participants_are_checked():
    table = features()
    listed = people(table)
    with pytest.raises(StudyError, match="'p002' is listed twice"):
        condition_contrasts(table, participants=pd.concat([listed, listed.iloc[[2]]]))
    with pytest.raises(StudyError, match=r"'p006' has condition 'alone' .* 'nonsupport'"):
        condition_contrasts(table, participants=listed.assign(condition="alone"))
    with pytest.raises(StudyError, match="lack the column 'id'"):
        condition_contrasts(table, participants=listed.drop(columns="id"))


def test_condition_may_come_from_the_participants():
    table = features()
    listed = people(table, condition=table.drop_duplicates("session")["condition"].to_numpy())
    expected = condition_contrasts(table, participants=listed).statistics
    found = condition_contrasts(table.drop(columns="condition"), participants=listed).statistics
    pd.testing.assert_frame_equal(found, expected)


def test_sex_that_is_missing_constant_or_aliased():
    table = features()
    listed = people(table)
    some = condition_contrasts(
        table, participants=listed.assign(sex=listed["sex"].where(listed["id"] > "p002", ""))
    )
    row = some.contrast("CUFF_SBP_Mean", "speech", "support - alone")
    assert row["n"] == 15
    assert "3 left out: sex is missing" in row["note"]
    same = condition_contrasts(table, participants=listed.assign(sex="female"))
    assert "sex is the same for everybody" in same.statistics["note"].iloc[0]
    aliased = condition_contrasts(
        table, participants=listed.assign(sex=np.where(listed["id"] < "p006", "male", "female"))
    )
    found = contrasts(aliased)
    assert found["p"].notna().all()
    fitted = found[found["analysis"] != "delta"]
    assert fitted["note"].str.contains("sex is a combination of the other terms").all()


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.assign(value=120.0),
        lambda t: t.assign(value=np.nan),
        lambda t: t.assign(value=t["value"].mask(t["window"] == "baseline", 120.0)),
        lambda t: t.assign(value=t["value"].mask(t["window"] != "baseline", 140.0)),
        lambda t: t.assign(value=np.where(t["window"] == "baseline", 110.0, 130.0)),
        lambda t: replaced(t, "p004", "baseline", 1e9),
        lambda t: replaced(t, "p004", "speech", np.inf),
        lambda t: t.assign(value=t["value"] * 1e-12),
        lambda t: t.assign(value=t["value"] * 1e-45),
        lambda t: t.assign(value=t["value"] * 1e45),
        lambda t: replaced(t, "p004", "baseline", 1e45),
        lambda t: replaced(t, "p004", "speech", 1e-200),
        lambda t: t.assign(quality=0.1),
        lambda t: t[t["session"].isin(["p000", "p001", "p006", "p007", "p012", "p013"])],
        lambda t: t[t["session"].isin(["p000", "p006", "p012"])],
        lambda t: t.assign(value=t["value"].astype(str)),
        lambda t: t[(t["condition"] != "alone") | (t["window"] != "speech")],
    ],
)
def test_hostile_values_give_reasons_and_no_crash(change):
    result = condition_contrasts(change(features()), outcomes=["CUFF_SBP_Mean"])
    table = result.statistics
    for kind in ("omnibus", "contrast"):
        unknown = table[(table["kind"] == kind) & table["p"].isna()]
        assert (unknown["note"] != "").all()
    assert set(table["n_by_condition"]) != {""}
    assert len(contrasts(result)) == 3 * 2 * 3


def test_conditions_that_are_not_compared_are_counted():
    result = condition_contrasts(features(), conditions=["support", "nonsupport"], checks=False)
    row = result.contrast("CUFF_SBP_Mean", "speech", "support - nonsupport")
    assert row["n_by_condition"] == "support 6, nonsupport 6"
    assert "6 left out: condition 'alone' is not compared" in row["note"]


def test_logarithm_of_an_outcome():
    table = features()
    found = condition_contrasts(table, outcomes=["CUFF_SBP_Mean"], log_outcomes=["CUFF_SBP_Mean"])
    rest = np.log(table["value"])
    expected = condition_contrasts(table.assign(value=rest), outcomes=["CUFF_SBP_Mean"])
    columns = ["term", "estimate", "se", "p"]
    pd.testing.assert_frame_equal(found.statistics[columns], expected.statistics[columns])
    assert set(found.statistics["outcome"]) == {"ln CUFF_SBP_Mean"}
    assert set(found.statistics["unit"]) == {"ln mmHg"}


def test_result_does_not_depend_on_row_order_and_inputs_stay():
    table = features()
    listed = people(table)
    before = table.copy(), listed.copy()
    expected = condition_contrasts(table, participants=listed)
    pd.testing.assert_frame_equal(table, before[0])
    pd.testing.assert_frame_equal(listed, before[1])
    again = condition_contrasts(table, participants=listed)
    order = np.random.default_rng(5).permutation(len(table) // 3)
    blocks = pd.concat([table.iloc[3 * i : 3 * i + 3] for i in order])
    shuffled = condition_contrasts(blocks, participants=listed.iloc[::-1])
    for name in ("statistics", "assumptions", "sensitivity", "power", "descriptives"):
        first = getattr(expected, name)
        assert first.to_csv() == getattr(again, name).to_csv()
        pd.testing.assert_frame_equal(getattr(shuffled, name), first)


def test_contrast_names_what_is_not_there():
    result = condition_contrasts(features(), checks=False)
    row = result.contrast("CUFF_SBP_Mean", "speech", "support - alone", analysis="mixed model")
    assert row["analysis"] == "mixed model"
    with pytest.raises(StudyError, match="no contrast with window 'speach'"):
        result.contrast("CUFF_SBP_Mean", "speach", "support - alone")


def test_three_hundred_participants():
    table = features(n=100)
    result = condition_contrasts(table, participants=people(table))
    assert contrasts(result)["p"].notna().all()
    assert (contrasts(result)["n"] == 300).all()


def scored(table):
    """A table of scores without its change from baseline for a few participants."""
    scores = reactivity_scores(table, baseline="baseline", quality_min=0.5)
    return scores.set_index(["session", "window"], drop=False)


def test_scores_without_a_change_are_left_out_of_everything():
    table = features()
    table.loc[(table["session"] == "p003") & (table["window"] == "speech"), "quality"] = 0.3
    scores = scored(table)
    scores.loc[("p000", "speech"), ["value", "delta"]] = [400.0, np.nan]
    scores.loc[("p000", "speech"), "reason"] = "flag: x; value rests on 1 cuff readings, needs 2"
    scores.loc[("p001", "speech"), ["delta", "reason"]] = [np.nan, ""]
    result = condition_contrasts(scores.reset_index(drop=True))
    rows = contrasts(result).query("window == 'speech' and term == 'support - alone'")
    assert rows["analysis"].tolist() == ["ANCOVA", "delta", "mixed model"]
    assert (rows["n_by_condition"] == "alone 3, nonsupport 6, support 6").all()
    for said in (
        "1 left out: value rests on 1 cuff readings, needs 2",
        "1 left out: quality is below 0.5",
        "1 left out: the scores give no change from baseline",
    ):
        assert rows["note"].str.contains(said, regex=False).all()
    kept = ["p002", "p004", "p005"]
    delta = scores.loc[[(name, "speech") for name in kept], "delta"].astype(float)
    shown = result.descriptives.query("window == 'speech' and condition == 'alone'").iloc[0]
    assert shown["n"] == 3
    assert shown["delta_mean"] == pytest.approx(delta.mean())
    varied = result.sensitivity.query("window == 'speech' and term == 'support - alone'")
    counts = varied.set_index("variant")["n"]
    assert counts["as planned"] == 15
    assert counts["windows of any quality"] == 16


def test_a_stricter_limit_of_the_scores_stays():
    table = features()
    table.loc[(table["session"] == "p003") & (table["window"] == "speech"), "quality"] = 0.3
    scores = scored(table).reset_index(drop=True)
    result = condition_contrasts(scores, quality_min=0.2, analyses=["ANCOVA"])
    row = result.contrast("CUFF_SBP_Mean", "speech", "support - alone")
    assert row["n"] == 17
    assert "1 left out: quality is below the limit of the scores" in row["note"]
    varied = result.sensitivity.query("window == 'speech'").set_index("variant")["n"]
    assert set(varied["windows of any quality"]) == {18}


def test_one_person_alone_with_a_rejected_score_is_not_described():
    table = features()
    table = table[(table["condition"] != "alone") | (table["session"] == "p000")]
    scores = scored(table)
    scores.loc[("p000", "speech"), ["delta", "reason"]] = [np.nan, "value rests on 1, needs 2"]
    shown = condition_contrasts(scores.reset_index(drop=True)).descriptives
    assert shown.query("window == 'speech' and condition == 'alone'")["n"].tolist() == [0]


def test_units_of_an_outcome_must_agree():
    table = features()
    other = table["session"] == "p004"
    mixed = table.assign(
        unit=table["unit"].mask(other, "kPa"), value=table["value"].mask(other, 16.0)
    )
    with pytest.raises(
        StudyError, match=r"CUFF_SBP_Mean is in mmHg for participant 'p000' and in kPa for .*'p004'"
    ):
        condition_contrasts(mixed)
    blank = table.assign(unit=table["unit"].mask(other, ""))
    assert len(condition_contrasts(blank, checks=False).statistics)
    micro = table.assign(unit=np.where(other, "uS", "µS"))
    assert len(condition_contrasts(micro, checks=False).statistics)


def test_a_condition_that_looks_like_a_contrast_is_refused_by_its_name():
    table = features(conditions=["a - b", "c", "d"])
    with pytest.raises(StudyError, match="condition 'a - b'"):
        condition_contrasts(table)


@pytest.mark.parametrize("scale", [1e200, 1e150, 1e-200])
def test_values_that_squares_cannot_hold_are_refused(scale):
    table = features()
    with pytest.raises(StudyError, match="CUFF_SBP_Mean is out of range: check its unit"):
        condition_contrasts(table.assign(value=table["value"] * scale))
    with pytest.raises(StudyError, match="'p004', speech"):
        condition_contrasts(replaced(table, "p004", "speech", 1e200))


@pytest.mark.parametrize("scale", [1e45, 1e-45])
def test_units_however_large_or_small_do_not_change_p(scale):
    table = features()
    expected = condition_contrasts(table, analyses=["delta"]).statistics["p"]
    scaled = table.assign(value=table["value"] * scale)
    found = condition_contrasts(scaled, analyses=["delta"]).statistics["p"]
    pd.testing.assert_series_equal(found, expected, rtol=1e-6)


def test_courses_out_of_range_are_refused():
    table = features()
    courses = table.assign(since_s=0.0, duration_s=0.0, role="task", value=1e200)
    with pytest.raises(StudyError, match="courses: value"):
        condition_contrasts(table, courses=courses, windows=["speech"])


def test_strict_quality_says_what_it_does_not_look_at():
    table = condition_contrasts(features(), analyses=["ANCOVA"]).sensitivity
    notes = table.loc[table["variant"] == "quality at least 0.8", "note"]
    assert notes.str.startswith("baselines as processing judged them").all()


def test_rows_that_take_dyads_for_strangers_say_so():
    table = features()
    listed = people(table, dyad=[f"d{i // 2}" for i in range(18)])
    rows = condition_contrasts(table, participants=listed).statistics
    said = rows["note"].str.contains("likeness within dyads is not allowed for")
    allowed = rows["note"].str.contains("errors allow for likeness within dyads")
    pd.testing.assert_series_equal(said, ~allowed)
    assert said[(rows["errors"] == "classical") | (rows["analysis"] == "delta")].all()
    assert allowed[(rows["errors"] == "robust") & (rows["analysis"] != "delta")].all()
