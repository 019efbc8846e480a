import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.errors import SignalError
from physio_hqc.reactivity import REACTIVITY_COLUMNS, reactivity_scores


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
