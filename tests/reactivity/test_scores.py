import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.errors import SignalError
from physio_hqc.reactivity import (
    COURSE_SCORE_COLUMNS,
    REACTIVITY_COLUMNS,
    area_under_curve,
    combine_windows,
    reactivity_scores,
    with_rate_pressure,
)


def tidy(rows, **extra):
    """Features table from (window, feature, value) rows of one session."""
    table = pd.DataFrame(rows, columns=["window", "feature", "value"])
    return table.assign(**{"session": "p01", **extra})


def score(scores, window, feature="CUFF_SBP_Mean"):
    found = scores[(scores["window"] == window) & (scores["feature"] == feature)]
    assert len(found) == 1
    return found.iloc[0]


# Cuff readings of the worked example: baseline, preparation, speech.
READINGS = {"baseline": [118, 121, 119, 122], "prep": [128, 130], "speech": [138, 142, 141]}


def cuff_table():
    rows = []
    for window, values in READINGS.items():
        rows += [(window, "CUFF_SBP_Mean", np.mean(values)), (window, "CUFF_N", len(values))]
    rows += [("baseline_last_180s", "CUFF_SBP_Mean", 120.5), ("baseline_last_180s", "CUFF_N", 2)]
    return tidy(rows)


def test_worked_example_of_cuff_means():
    scores = reactivity_scores(cuff_table())
    prep, speech = score(scores, "prep"), score(scores, "speech")
    assert prep["baseline"] == 120
    assert prep["delta"] == 9
    assert round(speech["delta"], 4) == 20.3333
    assert round(speech["percent"], 4) == 16.9444
    assert (speech["baseline_readings"], speech["readings"]) == (4, 3)
    assert speech["baseline_window"] == "baseline"
    assert (prep["reason"], speech["reason"]) == ("", "")


def test_worked_example_with_the_last_two_readings_as_baseline():
    scores = reactivity_scores(cuff_table(), baseline="baseline_last_180s")
    assert score(scores, "speech")["baseline"] == 120.5
    assert score(scores, "baseline")["delta"] == -0.5


def test_every_reading_as_a_window_of_its_own_gives_the_same_baseline():
    rows = [(f"b{k}", "BP_SBP_Mean", value) for k, value in enumerate(READINGS["baseline"])]
    rows += [("speech", "BP_SBP_Mean", np.mean(READINGS["speech"]))]
    scores = reactivity_scores(tidy(rows), baseline=["b0", "b1", "b2", "b3"])
    row = score(scores, "speech", "BP_SBP_Mean")
    assert row["baseline"] == 120
    assert round(row["percent"], 4) == 16.9444
    assert row["baseline_n"] == 4
    assert row["baseline_window"] == "b0; b1; b2; b3"


def test_readings_weigh_equally_over_several_baseline_windows():
    rows = [("b0", "CUFF_SBP_Mean", 118), ("b0", "CUFF_N", 1)]
    rows += [("b1", "CUFF_SBP_Mean", np.mean([121, 119, 122])), ("b1", "CUFF_N", 3)]
    rows += [("speech", "CUFF_SBP_Mean", 140), ("speech", "CUFF_N", 2)]
    row = score(reactivity_scores(tidy(rows), baseline=["b0", "b1"]), "speech")
    assert row["baseline"] == pytest.approx(120)
    assert row["baseline_readings"] == 4


def test_columns_and_order_and_no_rows_of_baseline_or_counts():
    scores = reactivity_scores(cuff_table())
    assert tuple(scores.columns) == REACTIVITY_COLUMNS
    assert scores["window"].tolist() == ["prep", "speech", "baseline_last_180s"]
    assert set(scores["feature"]) == {"CUFF_SBP_Mean"}


def test_too_few_cuff_readings_leave_no_baseline():
    rows = [("baseline", "CUFF_SBP_Mean", 120), ("baseline", "CUFF_N", 1)]
    rows += [("speech", "CUFF_SBP_Mean", 140), ("speech", "CUFF_N", 4)]
    row = score(reactivity_scores(tidy(rows)), "speech")
    assert np.isnan(row["baseline"])
    assert np.isnan(row["delta"])
    assert row["value"] == 140
    assert row["reason"] == "baseline rests on 1 cuff readings, needs 2"
    assert score(reactivity_scores(tidy(rows), min_readings=1), "speech")["delta"] == 20


def test_poor_window_stays_marked_without_delta():
    table = tidy([("baseline", "HRV_RMSSD", 40.0), ("speech", "HRV_RMSSD", 20.0)])
    table["quality"] = [0.9, 0.31]
    row = score(reactivity_scores(table), "speech", "HRV_RMSSD")
    assert np.isnan(row["delta"])
    assert np.isnan(row["percent"])
    assert row["value"] == 20
    assert row["reason"] == "left out: quality 0.31 is below 0.5"
    assert score(reactivity_scores(table, quality_min=0.3), "speech", "HRV_RMSSD")["delta"] == -20


def test_poor_baseline_is_not_used():
    table = tidy([("baseline", "HRV_RMSSD", 40.0), ("speech", "HRV_RMSSD", 20.0)])
    table["quality"] = [0.2, 0.9]
    row = score(reactivity_scores(table), "speech", "HRV_RMSSD")
    assert np.isnan(row["delta"])
    assert row["reason"] == "baseline: left out: quality 0.20 is below 0.5"
    assert row["baseline_n"] == 0


def test_missing_values_keep_their_reason():
    table = tidy(
        [
            ("baseline", "HRV_LF", np.nan),
            ("speech", "HRV_LF", 300.0),
            ("baseline", "HRV_HF", 9.0),
            ("speech", "HRV_HF", np.nan),
            ("speech", "HRV_RMSSD", 30.0),
        ],
        reason=["12 beats, needs 30", "", "", "too short", ""],
    )
    scores = reactivity_scores(table)
    assert score(scores, "speech", "HRV_LF")["reason"] == "baseline: 12 beats, needs 30"
    assert score(scores, "speech", "HRV_HF")["reason"] == "too short"
    reason = score(scores, "speech", "HRV_RMSSD")["reason"]
    assert reason == "baseline: no window 'baseline' with this feature"
    assert scores["delta"].isna().all()


@pytest.mark.parametrize(
    ("feature", "unit", "base"),
    [
        ("HRV_LnHF", "ln(ms²)", 6.1),
        ("RSA_PorgesBohrer", "ln(ms²)", 6.1),
        ("EDA_Tonic_Slope", "µS/min", 0.2),
        ("HRV_DFA_alpha1", "1", 1.1),
        ("SKIN_Temperature", "°C", 33.0),
        ("BP_SBP_SD", "mmHg", 0.0),
        ("X_Mean", "", -2.0),
    ],
)
def test_no_percent_without_a_meaningful_zero(feature, unit, base):
    rows = [("baseline", feature, base), ("speech", feature, base + 1)]
    row = score(reactivity_scores(tidy(rows, unit=unit)), "speech", feature)
    assert row["delta"] == pytest.approx(1)
    assert np.isnan(row["percent"])
    assert "no percent" in row["reason"]


def test_cautions_of_value_and_baseline_are_carried():
    table = tidy(
        [("baseline", "HRV_HF", 200.0), ("speech", "HRV_HF", 100.0)],
        reason=["flag: 70 s, 120 s recommended", "flag: speech"],
    )
    row = score(reactivity_scores(table), "speech", "HRV_HF")
    assert row["delta"] == -100
    assert row["reason"] == "flag: speech; baseline flag: 70 s, 120 s recommended"


def test_features_that_depend_on_length_are_flagged_when_lengths_differ():
    table = tidy(
        [(w, f, 10.0) for w in ("baseline", "speech", "short") for f in ("HRV_SDNN", "HRV_RMSSD")]
    )
    table["duration"] = [360.0, 360.0, 360.0, 360.0, 180.0, 180.0]
    scores = reactivity_scores(table)
    assert score(scores, "speech", "HRV_SDNN")["reason"] == ""
    assert "differ in length" in score(scores, "short", "HRV_SDNN")["reason"]
    assert score(scores, "short", "HRV_RMSSD")["reason"] == ""
    assert score(scores, "short", "HRV_SDNN")["baseline_s"] == 360


def test_sessions_below_each_other_are_scored_each_by_itself():
    one = cuff_table()
    two = cuff_table().assign(session="p02", value=lambda t: t["value"] * 2)
    two.loc[two["feature"] == "CUFF_N", "value"] = 3.0
    together = reactivity_scores(pd.concat([one, two]))
    apart = pd.concat([reactivity_scores(one), reactivity_scores(two)], ignore_index=True)
    pd.testing.assert_frame_equal(together, apart)


def test_input_is_not_changed():
    table = cuff_table()
    before = table.copy(deep=True)
    reactivity_scores(table)
    pd.testing.assert_frame_equal(table, before)


def test_a_session_without_baseline_among_others_says_so():
    table = pd.concat([cuff_table(), tidy([("speech", "CUFF_SBP_Mean", 1.0)], session="p02")])
    scores = reactivity_scores(table)
    row = scores[scores["session"] == "p02"].iloc[0]
    assert row["reason"] == "baseline: no window 'baseline' with this feature"


def test_empty_table_gives_empty_scores():
    scores = reactivity_scores(cuff_table()[:0])
    assert tuple(scores.columns) == REACTIVITY_COLUMNS
    assert scores.empty


@pytest.mark.parametrize(
    ("change", "arguments", "said"),
    [
        (lambda t: t.drop(columns="value"), {}, "lack the column 'value'"),
        (lambda t: t.assign(value="much"), {}, "'value' is not numeric"),
        (lambda t: pd.concat([t, t]), {}, "twice"),
        (lambda t: t, {"baseline": "basline"}, "no window is called 'basline'"),
        (lambda t: t, {"baseline": []}, "baseline"),
        (lambda t: t, {"quality_min": 2}, "quality_min"),
        (lambda t: t, {"min_readings": 0}, "min_readings"),
        (lambda t: t.to_numpy(), {}, "DataFrame"),
    ],
)
def test_wrong_arguments_are_one_clear_line(change, arguments, said):
    with pytest.raises(SignalError, match=said) as caught:
        reactivity_scores(change(cuff_table()), **arguments)
    assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["p1", "p2"]),
            st.sampled_from(["baseline", "a", "b"]),
            st.sampled_from(["BP_SBP_Mean", "HRV_LnHF"]),
            st.one_of(st.just(np.nan), st.floats(-1e3, 1e3)),
            st.one_of(st.just(np.nan), st.floats(0, 1)),
        ),
        unique_by=lambda row: row[:3],
    )
)
def test_scores_agree_with_a_plain_loop(rows):
    columns = ["session", "window", "feature", "value", "quality"]
    table = pd.DataFrame(rows, columns=columns).astype({"value": float, "quality": float})
    if not (table["window"] == "baseline").any():
        return
    scores = reactivity_scores(table)
    assert len(scores) == sum(row[1] != "baseline" for row in rows)
    rest = {row[:1] + row[2:3]: row for row in rows if row[1] == "baseline"}
    for found in scores.itertuples():
        base = rest.get((found.session, found.feature))
        usable = base is not None and np.isfinite(base[3]) and not base[4] < 0.5
        if usable and np.isfinite(found.value) and not found.quality < 0.5:
            assert found.delta == pytest.approx(found.value - base[3])
        else:
            assert np.isnan(found.delta)
            assert found.reason
        assert not np.isinf(found.percent)
        assert np.isfinite(found.percent) or found.reason


def test_counts_and_settings_have_no_reactivity():
    names = ["BRS_xBRS", "BRS_xBRS_N", "BRS_Lag", "BRS_R", "BP_PAT_N", "RSA_P2T_N", "SCR_Peaks_N"]
    rows = [("baseline", name, 2.0) for name in names] + [("speech", name, 3.0) for name in names]
    table = pd.DataFrame(rows, columns=["window", "feature", "value"]).assign(session="p1")
    assert set(reactivity_scores(table)["feature"]) == {"BRS_xBRS", "SCR_Peaks_N"}


def course(rows, **extra):
    """Course of one session from (window, since_s, value)."""
    table = pd.DataFrame(rows, columns=["window", "since_s", "value"])
    return table.assign(**{"session": "p01", "feature": "CUFF_SBP_Mean", "quality": 1.0, **extra})


SPEECH = [("speech", 30, 138), ("speech", 150, 142), ("speech", 270, 141)]
PREP = [("prep", 30, 128), ("prep", 110, 130)]


def plain(rows, baseline):
    """Course scores of one window by hand; rows of (since_s, value) in order of time."""
    t = [since / 60 for since, _ in rows]
    y = [value for _, value in rows]
    values = {"peak": max(y) - baseline, "trough": min(y) - baseline}
    values["time_to_peak_s"] = rows[y.index(max(y))][0]
    values["auc_g"], values["auc_i"] = area_under_curve([0, *t], [baseline, *y])
    values["habituation"] = np.polyfit(t, y, 1)[0] if len(y) > 2 else np.nan
    return values


def test_area_under_the_curve_of_the_worked_examples():
    assert area_under_curve([0, 10, 20, 40], [5, 8, 12, 6]) == (345, 145)
    assert area_under_curve(range(5), [120, 126, 140, 134, 122]) == (521, 41)
    assert area_under_curve(range(5), [120, 116, 118, 121, 119]) == (474.5, -5.5)


def test_area_under_the_curve_needs_two_measurements():
    assert np.isnan(area_under_curve([], [])).all()
    assert np.isnan(area_under_curve([3], [120])).all()


@pytest.mark.parametrize(
    ("times", "values", "said"),
    [
        ([0, 1], [1], "2 times but 1 values"),
        ([1, 0], [1, 2], "times fall"),
        ([0, 1], [1, np.nan], "NaN"),
        ([0, np.inf], [1, 2], "infinity"),
        ([[0, 1]], [[1, 2]], "2 dimensions"),
        (["now", "then"], [1, 2], "not numeric"),
        ([0, 1], {"a": 1}, "not numeric"),
    ],
)
def test_measurements_that_make_no_sense_are_one_clear_line(times, values, said):
    with pytest.raises(SignalError, match=said) as caught:
        area_under_curve(times, values)
    assert "\n" not in str(caught.value)


measured = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=20)


@settings(deadline=None, max_examples=60)
@given(measured, st.floats(-1e3, 1e3), st.floats(0, 100), st.data())
def test_area_of_increase_forgets_where_ground_is(values, shift, start, data):
    steps = data.draw(
        st.lists(st.floats(0, 10), min_size=len(values) - 1, max_size=len(values) - 1)
    )
    times = start + np.concatenate([[0.0], np.cumsum(steps)])
    ground, increase = area_under_curve(times, values)
    span = times[-1] - times[0]
    assert increase == pytest.approx(ground - values[0] * span, abs=1e-6)
    higher, same = area_under_curve(times, np.array(values) + shift)
    assert same == pytest.approx(increase, abs=1e-6)
    assert higher == pytest.approx(ground + shift * span, abs=1e-6)
    assert area_under_curve(times + shift, values) == pytest.approx((ground, increase), abs=1e-6)


def test_worked_example_of_the_peak():
    scores = reactivity_scores(cuff_table(), courses=course([*SPEECH, *PREP]))
    speech, prep = score(scores, "speech"), score(scores, "prep")
    assert (speech["peak"], speech["trough"]) == (22, 18)
    assert (speech["time_to_peak_s"], speech["course_n"], speech["course_s"]) == (150, 3, 240)
    expected = plain([row[1:] for row in SPEECH], 120)
    for name, value in expected.items():
        assert speech[name] == pytest.approx(value)
    # By hand: (120 + 138) / 2 * 0.5 + 140 * 2 + 141.5 * 2, less 120 * 4.5.
    assert speech["auc_g"] == pytest.approx(627.5)
    assert speech["auc_i"] == pytest.approx(87.5)
    assert speech["habituation"] == pytest.approx(0.75)
    assert speech["reason"] == ""
    assert (prep["peak"], prep["auc_i"]) == (10, pytest.approx(-120 * 11 / 6 + 62 + 129 * 4 / 3))
    assert prep["reason"] == "no habituation: 2 points, needs 3"


def test_courses_add_columns_and_change_nothing_else():
    scores = reactivity_scores(cuff_table())
    more = reactivity_scores(cuff_table(), courses=course(SPEECH))
    place = REACTIVITY_COLUMNS.index("quality")
    assert tuple(more.columns) == (
        *REACTIVITY_COLUMNS[:place],
        *COURSE_SCORE_COLUMNS,
        *REACTIVITY_COLUMNS[place:],
    )
    kept = [name for name in REACTIVITY_COLUMNS if name != "reason"]
    pd.testing.assert_frame_equal(more[kept], scores[kept])
    prep = score(more, "prep")
    assert prep["reason"] == "no course in this window"
    assert (prep["course_n"], prep["course_s"]) == (0, 0)


def test_area_from_the_first_point_of_the_course():
    scores = reactivity_scores(cuff_table(), courses=course(SPEECH), auc_from="first")
    row = score(scores, "speech")
    expected = area_under_curve([0.5, 2.5, 4.5], [138, 142, 141])
    assert (row["auc_g"], row["auc_i"]) == pytest.approx(expected)
    assert row["peak"] == 22


def test_points_of_low_quality_are_left_out_and_counted():
    rows = [*SPEECH, ("speech", 330, 250), ("speech", 350, np.nan)]
    courses = course(rows).assign(quality=[1, np.nan, 0.5, 0.49, 1])
    row = score(reactivity_scores(cuff_table(), courses=courses), "speech")
    assert (row["peak"], row["course_n"], row["course_s"]) == (22, 3, 240)
    assert row["reason"] == ("flag: 2 of 5 course points left out (missing or quality below 0.5)")
    few = courses.assign(quality=[0, 0, 1, 0, 0])
    row = score(reactivity_scores(cuff_table(), courses=few), "speech")
    assert row["reason"] == "no course scores: 1 of 5 points usable, needs 2"
    assert row[["peak", "trough", "time_to_peak_s", "auc_g", "auc_i", "habituation"]].isna().all()
    assert row["course_n"] == 1


def test_sliding_pieces_count_the_seconds_they_cover():
    courses = course(SPEECH, duration_s=60.0)
    assert score(reactivity_scores(cuff_table(), courses=courses), "speech")["course_s"] == 180


def test_without_baseline_there_is_no_peak_but_a_time_and_a_slope():
    table = cuff_table()
    table = table[~((table["window"] == "baseline") & (table["feature"] == "CUFF_SBP_Mean"))]
    row = score(reactivity_scores(table, courses=course(SPEECH)), "speech")
    assert row[["peak", "trough", "auc_g", "auc_i"]].isna().all()
    assert row["reason"] == "baseline: no window 'baseline' with this feature"
    assert (row["time_to_peak_s"], row["habituation"]) == (150, pytest.approx(0.75))
    first = score(reactivity_scores(table, courses=course(SPEECH), auc_from="first"), "speech")
    assert np.isfinite(first["auc_i"])


def test_a_poor_window_has_no_course_scores():
    table = tidy([("baseline", "CUFF_SBP_Mean", 120.0), ("speech", "CUFF_SBP_Mean", 140.0)])
    table["quality"] = [0.9, 0.31]
    row = score(reactivity_scores(table, courses=course(SPEECH)), "speech")
    assert row[["peak", "time_to_peak_s", "auc_g", "habituation"]].isna().all()
    assert row["reason"] == "left out: quality 0.31 is below 0.5"


def test_points_at_one_time_and_numbers_too_large():
    table = tidy([("baseline", "CUFF_SBP_Mean", 120.0), ("speech", "CUFF_SBP_Mean", 140.0)])
    said = "no habituation or AUC: points at one time, or numbers too large"
    together = course([("speech", 60, 140), ("speech", 60, 150), ("speech", 60, 145)])
    row = score(reactivity_scores(table, courses=together), "speech")
    assert (row["peak"], row["auc_i"], row["reason"]) == (30, 10, said)
    huge = course([("speech", 60 * k, 1.7e308) for k in range(4)])
    row = score(reactivity_scores(table, courses=huge), "speech")
    assert np.isnan(row["auc_g"])
    assert row["reason"] == said


def test_task_windows_need_readings_too():
    rows = [("baseline", "CUFF_SBP_Mean", 120), ("baseline", "CUFF_N", 4)]
    rows += [("speech", "CUFF_SBP_Mean", 140), ("speech", "CUFF_N", 1)]
    assert score(reactivity_scores(tidy(rows)), "speech")["delta"] == 20
    row = score(reactivity_scores(tidy(rows), min_task_readings=2), "speech")
    assert np.isnan(row["delta"])
    assert np.isnan(row["percent"])
    assert row["value"] == 140
    assert row["reason"] == "value rests on 1 cuff readings, needs 2"


@pytest.mark.parametrize(
    ("courses", "arguments", "said"),
    [
        (course(SPEECH).drop(columns="since_s"), {}, "courses lack the column 'since_s'"),
        (course(SPEECH, value="x"), {}, "'value' is not numeric"),
        (course([("speech", -30, 120)]), {}, "30 s before the window"),
        (course(SPEECH, session="p7"), {}, "none in common"),
        (course(SPEECH), {"auc_from": "zero"}, "auc_from"),
        (course(SPEECH), {"min_task_readings": 0}, "min_task_readings"),
        ([1, 2], {}, "DataFrame"),
    ],
)
def test_wrong_courses_are_one_clear_line(courses, arguments, said):
    with pytest.raises(SignalError, match=said) as caught:
        reactivity_scores(cuff_table(), courses=courses, **arguments)
    assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["prep", "speech"]),
            st.integers(0, 360),
            st.integers(60, 260),
            st.sampled_from([1.0, 0.2]),
        ),
        unique_by=lambda row: row[:2],
        max_size=24,
    )
)
def test_course_scores_agree_with_a_plain_loop_in_any_order(rows):
    courses = course([row[:3] for row in rows], quality=[row[3] for row in rows])
    courses = courses.astype({"since_s": float, "value": float, "quality": float})
    scores = reactivity_scores(cuff_table(), courses=courses)
    for window in ("prep", "speech"):
        used = sorted(row[1:3] for row in rows if row[0] == window and row[3] > 0.5)
        row = score(scores, window)
        assert row["course_n"] == len(used)
        if len(used) > 1:
            for name, value in plain(used, 120).items():
                assert row[name] == pytest.approx(value, abs=1e-6, nan_ok=True)
        else:
            assert np.isnan(row["peak"])
        assert np.isfinite(row["habituation"]) or "no " in row["reason"]


def test_total_task_is_the_mean_of_the_phase_means():
    features = combine_windows(cuff_table(), {"task_total": ("prep", "speech")})
    row = score(features, "task_total")
    # (129 + 140.3333) / 2, not the mean of the five readings (135.8).
    assert row["value"] == pytest.approx((129 + 421 / 3) / 2)
    scored = score(reactivity_scores(features), "task_total")
    assert scored["delta"] == pytest.approx((9 + 61 / 3) / 2)
    assert scored["readings"] == 5
    of_scores = combine_windows(reactivity_scores(cuff_table()), {"task_total": ["prep", "speech"]})
    again = score(of_scores, "task_total")
    for name in ("value", "baseline", "delta", "percent", "readings", "baseline_readings"):
        assert again[name] == pytest.approx(scored[name])
    assert again["kind"] == "combined"


def test_combined_windows_carry_length_quality_and_cautions_of_their_parts():
    table = tidy(
        [(w, f, 10.0) for w in ("baseline", "a", "b") for f in ("HRV_SDNN", "HRV_RMSSD")],
        kind="phase",
        reason=["", "", "flag: short", "", "", ""],
        duration=[360.0, 360.0, 180.0, 180.0, 360.0, 360.0],
        onset=[0.0, 0.0, 600.0, 600.0, 400.0, 400.0],
        quality=[1.0, 1.0, 0.9, 0.9, 0.2, 0.9],
    )
    row = score(combine_windows(table, {"ab": ["a", "b"]}), "ab", "HRV_SDNN")
    assert (row["duration"], row["onset"], row["quality"], row["kind"]) == (
        540,
        400,
        0.2,
        "combined",
    )
    assert row["reason"] == "flag: a: short"
    scores = reactivity_scores(combine_windows(table, {"ab": ["a", "b"]}))
    assert np.isnan(score(scores, "ab", "HRV_SDNN")["delta"])
    assert score(scores, "ab", "HRV_RMSSD")["delta"] == 0


def test_a_missing_part_leaves_no_combined_value():
    more = tidy([("prep", "CUFF_SBP_Mean", 130.0), ("prep", "HRV_HF", np.nan)], session="p02")
    table = pd.concat([cuff_table(), more, tidy([("speech", "HRV_HF", 2.0)], session="p02")])
    found = combine_windows(table, {"both": ["prep", "speech"]})
    found = found[(found["window"] == "both") & (found["session"] == "p02")].set_index("feature")
    assert found["value"].isna().all()
    assert found.loc["CUFF_SBP_Mean", "reason"] == "speech: no such window or feature"
    assert found.loc["HRV_HF", "reason"] == "prep: value is missing"


def test_combined_scores_have_no_course():
    scores = reactivity_scores(cuff_table(), courses=course([*SPEECH, *PREP]))
    row = score(combine_windows(scores, {"both": ["prep", "speech"]}), "both")
    assert row[list(COURSE_SCORE_COLUMNS)].isna().all()
    assert row["reason"].endswith("no course scores and residual: combined window")


@pytest.mark.parametrize(
    ("combined", "said"),
    [
        ({"both": ["prep", "speach"]}, "no window is called 'speach'"),
        ({"speech": ["prep", "baseline"]}, "no window has yet"),
        ({"both": ["prep"]}, "two or more"),
        ({"both": "prep"}, "two or more"),
        ({"both": ["prep", "prep"]}, "two or more"),
    ],
)
def test_wrong_combinations_are_one_clear_line(combined, said):
    with pytest.raises(SignalError, match=said) as caught:
        combine_windows(cuff_table(), combined)
    assert "\n" not in str(caught.value)


def rate_table(**extra):
    rows = [("baseline", "ECG_Rate_Mean", 70.0), ("baseline", "CUFF_SBP_Mean", 120.0)]
    rows += [("baseline", "CUFF_RPP_Mean", np.nan), ("baseline", "CUFF_N", 4.0)]
    rows += [("speech", "ECG_Rate_Mean", 90.0), ("speech", "CUFF_SBP_Mean", 140.0)]
    rows += [("prep", "CUFF_SBP_Mean", 130.0)]
    return tidy(rows, unit="mmHg", reason="", quality=1.0, **extra)


def test_rate_pressure_product_with_the_rate_of_the_ecg():
    table = rate_table()
    table.loc[4, ["quality", "reason"]] = [0.7, "flag: 12 s, 30 s recommended"]
    found = with_rate_pressure(table)
    assert score(found, "baseline", "CUFF_RPP_Mean")["value"] == 8400
    row = score(found, "speech", "CUFF_RPP_Mean")
    assert (row["value"], row["unit"], row["quality"]) == (12600, "mmHg/min", 0.7)
    assert row["reason"].startswith("flag: mean CUFF_SBP_Mean times ECG_Rate_Mean")
    assert row["reason"].endswith("; flag: 12 s, 30 s recommended")
    assert found["feature"].tolist()[1:3] == ["CUFF_SBP_Mean", "CUFF_RPP_Mean"]
    assert "CUFF_RPP_Mean" not in found.loc[found["window"] == "prep", "feature"].tolist()
    pd.testing.assert_frame_equal(with_rate_pressure(found), found)


def test_rate_pressure_of_a_cuff_with_heart_rate_stays():
    table = rate_table()
    table = pd.concat([table, tidy([("prep", "CUFF_HR_Mean", 80.0)])], ignore_index=True)
    pd.testing.assert_frame_equal(with_rate_pressure(table), table)


def test_rate_pressure_of_a_bad_table_is_one_clear_line():
    with pytest.raises(SignalError, match="twice"):
        with_rate_pressure(pd.concat([rate_table(), rate_table()]))
    with pytest.raises(SignalError, match="lack the column 'window'"):
        with_rate_pressure(rate_table().drop(columns="window"))
