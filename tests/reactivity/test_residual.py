import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.errors import SignalError
from physio_hqc.reactivity import RESIDUAL_COLUMNS, reactivity_scores, residualized_change

BASELINE = [110, 118, 124, 130, 138]
VALUE = [128, 131, 146, 144, 161]


def table(baseline=BASELINE, value=VALUE, window="speech", feature="CUFF_SBP_Mean", **extra):
    rows = pd.DataFrame({"baseline": baseline, "value": value}, dtype=float)
    rows["session"] = [f"p{k:02d}" for k in range(len(rows))]
    rows = rows.assign(window=window, feature=feature, reason="", quality=1.0)
    return rows.assign(delta=rows["value"] - rows["baseline"]).assign(**extra)


def test_worked_example():
    scores = residualized_change(table())
    assert scores["residual"].round(4).tolist() == [2.2931, -4.0172, 4.0, -4.9828, 2.7069]
    assert scores["residual_z"].round(4).tolist() == [0.775, -0.9816, 0.9288, -1.2175, 0.9149]
    assert scores["residual_n"].tolist() == [5] * 5
    assert scores["reason"].tolist() == [""] * 5
    r = np.corrcoef([scores["delta"], scores["residual"], scores["baseline"]])
    assert round(r[0, 2], 3) == 0.390
    assert round(r[0, 1], 3) == 0.921
    assert abs(r[1, 2]) < 1e-12


def test_columns_stand_before_quality_and_are_replaced():
    scores = residualized_change(table())
    place = scores.columns.get_loc("quality")
    assert tuple(scores.columns[place - 3 : place]) == RESIDUAL_COLUMNS
    pd.testing.assert_frame_equal(residualized_change(scores), scores)
    bare = residualized_change(table()[["session", "window", "feature", "baseline", "value"]])
    assert tuple(bare.columns[-4:]) == (*RESIDUAL_COLUMNS, "reason")


def test_agrees_with_statsmodels_window_by_window():
    import statsmodels.api as sm

    rng = np.random.default_rng(1)
    parts = []
    for window in ("prep", "speech"):
        for feature, scale in (("BP_SBP_Mean", 10), ("HRV_HF", 4e4)):
            baseline = rng.normal(10 * scale, scale, 40)
            value = 0.7 * baseline + rng.normal(3 * scale, scale, 40)
            value[rng.random(40) < 0.2] = np.nan
            parts.append(table(baseline, value, window, feature))
    scores = pd.concat(parts).sample(frac=1, random_state=2)
    scores.loc[scores["value"].isna(), "reason"] = "too short"
    found = residualized_change(scores)
    assert found["residual"].notna().equals(scores["value"].notna())
    for _, rows in found.dropna(subset="value").groupby(["window", "feature"]):
        fit = sm.OLS(rows["value"], sm.add_constant(rows["baseline"])).fit()
        np.testing.assert_allclose(rows["residual"], fit.resid, rtol=1e-7, atol=1e-6)
        studentized = fit.get_influence().resid_studentized_internal
        np.testing.assert_allclose(rows["residual_z"], studentized, rtol=1e-7)
        assert (rows["residual_n"] == len(rows)).all()


def test_too_few_sessions():
    scores = residualized_change(table(BASELINE[:4], VALUE[:4]))
    assert scores["residual"].isna().all()
    assert scores["residual_n"].tolist() == [4] * 4
    assert set(scores["reason"]) == {"no residual: 4 sessions with this score, needs 5"}
    assert residualized_change(table(BASELINE[:4], VALUE[:4]), min_n=4)["residual"].notna().all()


def test_rows_left_out_of_delta_do_not_move_the_line():
    more = table([*BASELINE, 120, 100], [*VALUE, 400, np.nan])
    more.loc[5, ["delta", "reason"]] = [np.nan, "left out: quality 0.20 is below 0.5"]
    more.loc[6, "reason"] = "flag: speech"
    scores = residualized_change(more)
    assert scores["residual"].round(4).tolist()[:5] == [2.2931, -4.0172, 4.0, -4.9828, 2.7069]
    assert scores["residual"][5:].isna().all()
    assert scores["reason"][5] == "left out: quality 0.20 is below 0.5"
    assert scores["reason"][6] == "flag: speech; no residual: no value, baseline or delta"


def test_lines_that_do_not_exist_say_so():
    same = residualized_change(table([120] * 5, VALUE))
    assert set(same["reason"]) == {"no residual: the baseline is the same in every session"}
    perfect = residualized_change(table([0.1 * k for k in range(6)], [0.3 * k for k in range(6)]))
    assert perfect["residual"].abs().max() < 1e-12
    assert perfect["residual_z"].isna().all()
    assert set(perfect["reason"]) == {"no residual_z: all values lie on the line"}
    alone = residualized_change(table([120, 120, 120, 120, 140], VALUE))
    assert abs(alone["residual"][4]) < 1e-10
    assert np.isnan(alone["residual_z"][4])
    assert alone["reason"].tolist() == [
        "",
        "",
        "",
        "",
        "no residual_z: this baseline alone fixes the line",
    ]
    huge = residualized_change(table([1e300, 2e300, 3e300, 5e300, 4e300], VALUE))
    assert set(huge["reason"]) == {"no residual: numbers too large"}
    infinite = residualized_change(table([*BASELINE, np.inf], [*VALUE, 120]))
    assert infinite["residual_n"].tolist() == [5] * 6


def test_reactivity_of_a_study_gets_residuals():
    rows = [
        (f"p{k}", window, value)
        for k, pair in enumerate(zip(BASELINE, VALUE, strict=True))
        for window, value in zip(("baseline", "speech"), pair, strict=True)
    ]
    features = pd.DataFrame(rows, columns=["session", "window", "value"])
    scores = residualized_change(reactivity_scores(features.assign(feature="BP_SBP_Mean")))
    assert scores["residual"].round(4).tolist() == [2.2931, -4.0172, 4.0, -4.9828, 2.7069]


def test_empty_table():
    scores = residualized_change(table([], []))
    assert scores.empty
    assert set(RESIDUAL_COLUMNS) <= set(scores.columns)


@pytest.mark.parametrize(
    ("change", "arguments", "said"),
    [
        (lambda t: t.drop(columns="baseline"), {}, "lack the column 'baseline'"),
        (lambda t: t.assign(value="much"), {}, "'value' is not numeric"),
        (lambda t: pd.concat([t, t]), {}, "twice"),
        (lambda t: t, {"min_n": 2}, "min_n"),
        (lambda t: t, {"min_n": True}, "min_n"),
        (lambda t: t, {"min_n": "5"}, "min_n"),
        (lambda t: t.to_dict(), {}, "DataFrame"),
    ],
)
def test_wrong_arguments_are_one_clear_line(change, arguments, said):
    with pytest.raises(SignalError, match=said) as caught:
        residualized_change(change(table()), **arguments)
    assert "\n" not in str(caught.value)


numbers = st.integers(-1000, 1000).map(float)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(numbers, numbers), min_size=5, max_size=30),
    st.floats(-500, 500),
    st.randoms(use_true_random=False),
)
def test_residuals_of_delta_are_the_same_and_shifts_and_order_do_not_matter(pairs, shift, random):
    baseline, value = np.array(pairs).T
    scores = residualized_change(table(baseline, value))
    of_delta = residualized_change(table(baseline, value - baseline))
    moved = residualized_change(table(baseline + shift, value - shift))
    for other in (of_delta, moved):
        np.testing.assert_allclose(other["residual"], scores["residual"], atol=1e-8)
    order = list(range(len(pairs)))
    random.shuffle(order)
    shuffled = residualized_change(table(baseline, value).iloc[order])
    np.testing.assert_allclose(
        shuffled["residual"].to_numpy(), scores["residual"].to_numpy()[order], atol=1e-9
    )
    if scores["residual"].notna().all():
        assert abs(scores["residual"].sum()) < 1e-8 * len(pairs)
        assert abs(scores["residual"] @ (baseline - baseline.mean())) < 1e-5
    assert (scores["residual_z"].notna() | (scores["reason"] != "")).all()
