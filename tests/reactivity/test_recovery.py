"""Recovery scores and curves: worked examples, refusals, simulated truth, the table."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from physio_hqc.errors import SignalError
from physio_hqc.reactivity import (
    RECOVERY_COLUMNS,
    adjusted_recovery,
    area_above_baseline,
    feature_courses,
    half_recovery_time,
    percent_recovery,
    reactivity_scores,
    recovery_curve,
    recovery_dictionary,
    recovery_scores,
    residual_elevation,
    value_at_time,
)
from physio_hqc.reactivity._logistic import fit_logistic
from physio_hqc.reactivity._recovery_refusal import Limits, _needed_r2, refusals

MINUTES = np.arange(11)
EXAMPLE = np.array([140, 136, 132, 128, 125, 123, 122, 121.5, 121, 120.5, 120])
CUFF_S = np.array([60, 150, 240, 330, 420, 510])


def logistic(minutes, level, amount, speed):
    return level + 2 * amount / (1 + np.exp(speed * np.asarray(minutes)))


# --- one course -----------------------------------------------------------------------------


def test_worked_example_of_the_simple_scores():
    levels = {"baseline": 120, "task": 140}
    assert half_recovery_time(60 * MINUTES, EXAMPLE, **levels) == pytest.approx(150)
    assert float(percent_recovery(EXAMPLE[5], **levels)) == pytest.approx(85)
    assert residual_elevation(60 * MINUTES, EXAMPLE, baseline=120) == pytest.approx(4.9)
    assert area_above_baseline(60 * MINUTES, EXAMPLE, baseline=120) == pytest.approx(59)


def test_worked_example_of_the_curve():
    curve = recovery_curve(60 * MINUTES, EXAMPLE, baseline=120, task=140)
    assert curve.reason == ""
    assert curve.level == pytest.approx(119.7226, abs=5e-5)
    assert curve.amount == pytest.approx(20.6557, abs=5e-5)
    assert curve.speed_per_min == pytest.approx(0.461712, abs=5e-7)
    assert curve.half_time_s / 60 == pytest.approx(2.3794, abs=5e-5)
    assert curve.rmse == pytest.approx(0.3068, abs=5e-5)
    assert curve.n == 11
    fitted = curve.predict(60 * MINUTES)
    np.testing.assert_allclose(
        fitted, logistic(MINUTES, curve.level, curve.amount, curve.speed_per_min)
    )
    assert np.sqrt(np.mean((fitted - EXAMPLE) ** 2)) == pytest.approx(curve.rmse)


def test_exact_course():
    curve = recovery_curve(
        60 * np.arange(6), logistic(np.arange(6), 118, 22, 0.6), baseline=118, task=140
    )
    np.testing.assert_allclose(
        [curve.level, curve.amount, curve.speed_per_min, curve.half_time_s],
        [118, 22, 0.6, 60 * 1.831020],
        rtol=1e-6,
    )
    assert curve.predict([[0.0, 60.0]]).shape == (1, 2)


def test_a_course_that_fell_under_stress_is_the_mirror():
    up = recovery_curve(60 * MINUTES, EXAMPLE, baseline=120, task=140)
    down = recovery_curve(60 * MINUTES, 160 - EXAMPLE, baseline=40, task=20)
    assert down.reason == ""
    assert down.amount == pytest.approx(-up.amount)
    assert down.level == pytest.approx(160 - up.level)
    assert down.half_time_s == pytest.approx(up.half_time_s)
    levels = {"baseline": 40, "task": 20}
    assert half_recovery_time(60 * MINUTES, 160 - EXAMPLE, **levels) == pytest.approx(150)
    assert float(percent_recovery(160 - EXAMPLE[5], **levels)) == pytest.approx(85)
    assert area_above_baseline(60 * MINUTES, 160 - EXAMPLE, baseline=40) == pytest.approx(-59)


def test_order_and_missing_values_do_not_matter():
    order = np.random.default_rng(0).permutation(11)
    values = np.r_[EXAMPLE[order], np.nan]
    times = np.r_[60 * MINUTES[order], 30]
    one = recovery_curve(times, values, baseline=120, task=140)
    other = recovery_curve(60 * MINUTES, EXAMPLE, baseline=120, task=140)
    assert one.speed_per_min == pytest.approx(other.speed_per_min)
    assert one.n == 11
    assert half_recovery_time(times, values, baseline=120, task=140) == pytest.approx(150)


REFUSED = {
    "few points": ({"values": EXAMPLE[:4]}, "4 points, needs 5"),
    "nothing": ({"values": []}, "0 points, needs 5"),
    "only missing": ({"values": [np.nan] * 8}, "0 points, needs 5"),
    "small reactivity": ({"values": EXAMPLE, "task": 122.5}, "reactivity 2.5 is below the floor"),
    "no reactivity": ({"values": EXAMPLE, "task": 120.0}, "reactivity 0 is below the floor"),
    "no baseline": ({"values": EXAMPLE, "baseline": np.nan}, "no reactivity"),
    "no task level": ({"values": EXAMPLE, "task": np.nan}, "no reactivity"),
    "all the same": ({"values": [125.0] * 8}, "all values are the same"),
    "flat with noise": (
        {"values": [124, 126, 123, 127, 124, 125, 126, 124]},
        "no better than a constant",
    ),
    "wrong sign": ({"values": EXAMPLE, "baseline": 140, "task": 120}, "moves away from rest"),
    "small amount": ({"values": 120 + (EXAMPLE - 120) / 10}, "amount 2.07 is below the floor"),
    "a straight line": ({"values": 140 - MINUTES}, "speed at its lower bound"),
    "a step": ({"values": [130, 120, 120.1, 120, 119.9, 120]}, "speed at its upper bound"),
    "too short": (
        {"values": logistic(np.arange(6), 120, 20, 0.15)},
        "half time 7.3 min is longer",
    ),
    "not identified": (
        {"values": [134.3, 130.5, 131.5, 129.1, 127.7, 121.8, 123.6, 123.0], "durations_s": 60.0},
        "speed not identified",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    given, expected = REFUSED[name]
    start = 60 if name == "a step" else 0
    given = {"baseline": 120.0, "task": 140.0} | given
    times = start + 60.0 * np.arange(len(given["values"])) + given.get("durations_s", 0.0) / 2
    curve = recovery_curve(times, **given)
    assert expected in curve.reason
    assert not curve.reason.startswith("flag:")
    parameters = [curve.amount, curve.level, curve.speed_per_min, curve.half_time_s]
    errors = [curve.amount_se, curve.level_se, curve.speed_se_per_min]
    assert np.isnan(parameters + errors).all()
    assert np.isnan(curve.predict([0.0, 60.0])).all()


def test_without_a_task_level_the_curve_itself_says_where_it_began():
    assert recovery_curve(60 * MINUTES, EXAMPLE, baseline=120).reason == ""
    away = recovery_curve(60 * MINUTES, EXAMPLE, baseline=150)
    assert "away from rest" in away.reason


def test_an_amount_beyond_what_was_seen_is_flagged():
    minutes = CUFF_S / 60
    curve = recovery_curve(CUFF_S, logistic(minutes, 120, 30, 0.8), baseline=120, task=132)
    assert curve.reason == "flag: amount is 2.5 x the reactivity"
    assert curve.amount == pytest.approx(30, rel=1e-6)


def test_needed_r2_is_the_critical_f_in_other_words():
    n = np.array([5, 6, 10, 30])
    critical = stats.f.ppf(0.95, 2, n - 3)
    np.testing.assert_allclose(_needed_r2(n, 0.05), 2 * critical / (2 * critical + n - 3))


@pytest.mark.parametrize(
    "wrong",
    [
        {"times_s": [0, 60], "values": [1.0]},
        {"times_s": [[0, 60]], "values": [[1.0, 2.0]]},
        {"times_s": [-60, 60], "values": [1.0, 2.0]},
        {"times_s": [0, np.inf], "values": [1.0, 2.0]},
        {"times_s": [0, 60], "values": ["a", "b"]},
        {"times_s": [0, 60], "values": [1.0, 2.0], "durations_s": [1.0, 2.0, 3.0]},
        {"times_s": [0, 60], "values": [1.0, 2.0], "min_points": 3},
        {"times_s": [0, 60], "values": [1.0, 2.0], "max_error": 0.0},
        {"times_s": [0, 60], "values": [1.0, 2.0], "alpha": 0.0},
    ],
)
def test_wrong_arguments_are_refused_in_one_line(wrong):
    with pytest.raises(SignalError) as caught:
        recovery_curve(**wrong, baseline=0.0, task=10.0)
    assert "\n" not in str(caught.value)


def test_value_at_a_fixed_time():
    values = np.array([136.0, 130.0, 127.0, 125.0, 124.0, 123.0])
    at = [value_at_time(CUFF_S, values, t) for t in (60, 180, 300, 40, 530, 600, 10)]
    np.testing.assert_allclose(
        at, [136, 130 - 1, 127 - 2 * 60 / 90, 136, 123, np.nan, np.nan], rtol=1e-12
    )
    middles = [30, 90, 150, 390, 450]
    means = [10.0, 8.0, 6.0, 4.0, 3.0]
    at = [value_at_time(middles, means, t, durations_s=60.0) for t in (0, 60, 180, 270, 365, 480)]
    # 150 to 390 s is a gap: what lies inside a piece is known, the middle of the gap is not.
    np.testing.assert_allclose(at, [10, 9, 6, np.nan, 4, 3])
    assert value_at_time(middles, means, 270, max_gap_s=240) == pytest.approx(5)
    assert value_at_time([150], [7.0], 20, durations_s=300.0) == 7.0
    assert np.isnan(value_at_time([], [], 60))


def test_half_recovery_of_courses_that_begin_late_or_never_get_there():
    levels = {"baseline": 120, "task": 140}
    # From 140 at 0 s to 125 at 60 s: 130 is two thirds of the way.
    assert half_recovery_time([60, 120], [125, 124], **levels) == pytest.approx(40)
    assert np.isnan(half_recovery_time(CUFF_S, np.full(6, 131.0), **levels))
    assert np.isnan(half_recovery_time([60, 120], [121, 120], baseline=120, task=122))
    assert np.isnan(percent_recovery(121, baseline=120, task=122))
    # The first crossing counts, also if the course comes back.
    assert half_recovery_time([0, 60, 120, 180], [140, 120, 140, 120], **levels) == 30


@settings(deadline=None, max_examples=50)
@given(
    values=st.lists(st.floats(-1e3, 1e3), min_size=0, max_size=12),
    task=st.floats(-1e3, 1e3),
    seed=st.integers(0, 1000),
)
@example(values=[0.0] * 5, task=2.3e-308, seed=0)
@example(values=[900.0, 800.0, 0.0, 0.0, 0.0, 1.0], task=2.3e-308, seed=1)
def test_any_course_has_a_curve_or_a_reason(values, task, seed):
    times = np.sort(np.random.default_rng(seed).uniform(0, 900, len(values)))
    curve = recovery_curve(times, values, baseline=0.0, task=task)
    known = curve.reason == "" or curve.reason.startswith("flag:")
    assert np.isfinite(curve.speed_per_min) == known
    half = half_recovery_time(times, values, baseline=0.0, task=task)
    assert np.isnan(half) or 0 <= half <= times[-1]


# --- simulated truth ------------------------------------------------------------------------


def simulated(minutes, lengths, amount, half, noise, n, seed, correlation=0.0):
    """Fits of n courses with a known curve, which of them were accepted, and why not."""
    rng = np.random.default_rng(seed)
    errors = rng.normal(0, noise, (n, len(minutes)))
    for j in range(1, len(minutes)):
        errors[:, j] = correlation * errors[:, j - 1] + np.sqrt(1 - correlation**2) * errors[:, j]
    steps = (np.arange(60) + 0.5) / 60 - 0.5
    fine = minutes[:, None] + lengths * steps
    truth = logistic(fine, 120, amount, np.log(3) / half).mean(axis=1)
    times = np.tile(minutes, (n, 1))
    fits = fit_logistic(times, truth + errors, np.full_like(times, lengths))
    reasons = refusals(
        fits,
        last_min=times.max(axis=1),
        reactivity=np.full(n, 15.0 if amount == 0 else float(amount)),
        floor=np.full(n, 3.0),
        units=[""] * n,
        limits=Limits(),
    )
    accepted = np.array([text == "" or text.startswith("flag:") for text in reasons])
    return fits, accepted


CUFF = (CUFF_S / 60, 0.0)
TEN_MEANS = (np.arange(0.5, 10), 1.0)
TWENTY_MEANS = (np.arange(0.5, 20), 1.0)


@pytest.mark.parametrize("correlation", [0.0, 0.3])
@pytest.mark.parametrize("design", [CUFF, TEN_MEANS, TWENTY_MEANS])
def test_flat_noise_gets_no_curve(design, correlation):
    _, accepted = simulated(*design, 0.0, 1.0, 3.5, 2000, 21, correlation)
    # Measured .006 to .03; the Monte Carlo error of .04 is .0044.
    assert accepted.mean() < 0.05


@pytest.mark.parametrize("half", [1.5, 3.0])
def test_twenty_minute_means_give_the_true_parameters(half):
    fits, accepted = simulated(*TWENTY_MEANS, 20, half, 3.0, 2000, 22)
    assert accepted.mean() > 0.97
    assert np.median(fits.amount[accepted]) == pytest.approx(20, rel=0.05)
    assert np.median(fits.level[accepted]) == pytest.approx(120, abs=0.3)
    assert np.median(np.log(3) / fits.speed[accepted]) == pytest.approx(half, rel=0.05)


def test_ten_minute_means_give_a_curve_mostly_and_cuff_readings_seldom():
    fits, means = simulated(*TEN_MEANS, 20, 1.5, 3.5, 2000, 23)
    assert means.mean() > 0.75
    assert np.median(np.log(3) / fits.speed[means]) == pytest.approx(1.5, rel=0.1)
    assert np.median(fits.amount[means]) == pytest.approx(20, rel=0.12)
    _, readings = simulated(*CUFF, 20, 1.5, 3.5, 2000, 24)
    assert 0.15 < readings.mean() < 0.45


def test_standard_errors_cover_the_truth():
    fits, accepted = simulated(*TWENTY_MEANS, 20, 2.0, 2.0, 2000, 25)
    width = stats.t.ppf(0.975, 17)
    for name, truth in (("amount", 20.0), ("level", 120.0), ("speed", np.log(3) / 2.0)):
        off = np.abs(getattr(fits, name) - truth) / getattr(fits, f"{name}_se")
        assert 0.92 < (off[accepted] < width).mean() < 0.97


# --- the table ------------------------------------------------------------------------------


def session(name="p01", values=EXAMPLE[1:], feature="BP_SBP_Mean", unit="mmHg", **levels):
    """Reactivity rows and minute means of one session: ten minutes after a speech."""
    base, task = levels.get("baseline", 120.0), levels.get("task", 140.0)
    scores = pd.DataFrame(
        {
            "session": name,
            "participant": f"person {name}",
            "condition": "alone",
            "window": ["preparation", "speech", "recovery"],
            "kind": "phase",
            "onset": [600.0, 780.0, 1140.0],
            "duration": [180.0, 360.0, 600.0],
            "feature": feature,
            "unit": unit,
            "baseline": base,
            "value": [base + 5, task, base + 1],
            "delta": [5.0, task - base, 1.0],
            "reason": "",
        }
    )
    values = np.asarray(values, dtype=float)
    since = np.r_[30.0, 30 + 60 * np.arange(len(values))]
    onset = np.r_[780.0, np.full(len(values), 1140.0)]
    courses = pd.DataFrame(
        {
            "session": name,
            "participant": f"person {name}",
            "condition": "alone",
            "window": ["speech"] + ["recovery"] * len(values),
            "kind": "phase",
            "role": ["task"] + ["recovery"] * len(values),
            "feature": feature,
            "time_s": onset + since,
            "since_s": since,
            "duration_s": 60.0,
            "value": np.r_[task, values],
            "unit": unit,
            "quality": 1.0,
            "source": "sliding",
        }
    )
    return scores, courses


def test_table_holds_what_the_functions_give():
    scores, courses = session()
    table = recovery_scores(scores, courses)
    assert tuple(table.columns) == RECOVERY_COLUMNS == tuple(recovery_dictionary())
    assert len(table) == 1
    row = table.iloc[0]
    times, values = 30 + 60.0 * np.arange(10), EXAMPLE[1:]
    assert (row["session"], row["participant"], row["window"], row["task_window"]) == (
        "p01",
        "person p01",
        "recovery",
        "speech",
    )
    assert (row["baseline"], row["task"], row["reactivity"]) == (120, 140, 20)
    for at in (60, 180, 300, 600):
        value = value_at_time(times, values, at, durations_s=60.0)
        assert row[f"delta_{at}s"] == pytest.approx(value - 120)
        assert row[f"percent_{at}s"] == pytest.approx(100 * (140 - value) / 20)
    assert row["delta_60s"] == pytest.approx((136 + 132) / 2 - 120)
    assert row["mean_elevation"] == pytest.approx(4.9)
    assert row["auc_above"] == pytest.approx(np.trapezoid(values - 120, times / 60))
    assert row["half_recovery_s"] == pytest.approx(90 + 60 / 4 * 2)
    curve = recovery_curve(times, values, baseline=120, task=140, durations_s=60.0)
    assert row["logistic_amount"] == pytest.approx(curve.amount)
    assert row["logistic_level"] == pytest.approx(curve.level)
    assert row["logistic_speed"] == pytest.approx(curve.speed_per_min)
    assert row["logistic_half_s"] == pytest.approx(curve.half_time_s)
    assert row["logistic_r2"] == pytest.approx(curve.r2)
    assert row["logistic_rmse"] == pytest.approx(curve.rmse)
    assert (row["logistic_n"], row["n_points"], row["seconds"]) == (10, 10, 600)
    assert (row["source"], row["logistic_reason"], row["reason"]) == ("sliding", "", "")


def test_cuff_readings_rest_on_their_times():
    scores, courses = session(values=[136, 130, 127, 125, 124, 123], feature="CUFF_SBP_Mean")
    recovering = courses["role"] == "recovery"
    courses.loc[recovering, "since_s"] = CUFF_S
    courses["duration_s"], courses["quality"], courses["source"] = 0.0, np.nan, "cuff"
    row = recovery_scores(scores, courses).iloc[0]
    assert row["delta_60s"] == 16
    assert row["delta_180s"] == pytest.approx(9)
    assert np.isnan(row["delta_600s"])
    assert np.isnan(row["percent_600s"])
    assert row["reason"] == "no point near 600 s after the task"
    assert (row["n_points"], row["seconds"], row["source"]) == (6, 450, "cuff")


def test_below_the_floor_only_the_simple_elevations_are_scored():
    scores, courses = session(task=122.0)
    row = recovery_scores(scores, courses).iloc[0]
    assert np.isnan(row[["half_recovery_s", "percent_60s", "logistic_speed"]].astype(float)).all()
    assert row["delta_60s"] == pytest.approx(14)
    assert row["mean_elevation"] == pytest.approx(4.9)
    text = "reactivity 2 mmHg is below the floor of 3"
    assert row["reason"] == text
    assert row["logistic_reason"] == text


@pytest.mark.parametrize("floor", [1.0, {"mmHg": 1.0}, {"BP_SBP_Mean": 1.0, "mmHg": 50.0}])
def test_floors_are_set_for_all_by_unit_or_by_feature(floor):
    scores, courses = session(task=122.0, values=120 + (EXAMPLE[1:] - 120) / 10)
    assert np.isnan(recovery_scores(scores, courses).iloc[0]["percent_60s"])
    assert recovery_scores(scores, courses, floor=floor).iloc[0]["percent_60s"] == pytest.approx(30)


def test_without_a_floor_no_reactivity_is_still_none():
    scores, courses = session(task=120.0)
    row = recovery_scores(scores, courses, floor=0.0).iloc[0]
    assert row["reason"] == row["logistic_reason"] == "the task level is that of the baseline"
    assert np.isnan(row["percent_60s"])
    assert np.isnan(percent_recovery(121, baseline=120, task=120, floor=0))


def test_falling_features_are_scored_with_their_sign():
    scores, courses = session(
        feature="HRV_RMSSD", unit="ms", baseline=40.0, task=20.0, values=160 - EXAMPLE[1:]
    )
    row = recovery_scores(scores, courses).iloc[0]
    assert row["reactivity"] == -20
    assert row["percent_60s"] == pytest.approx(30)
    assert row["mean_elevation"] == pytest.approx(-4.9)
    assert row["half_recovery_s"] == pytest.approx(120)
    assert row["logistic_amount"] < -15


def test_poor_pieces_are_left_out_and_gaps_are_said():
    scores, courses = session()
    poor = courses["since_s"].isin([150, 210, 270]) & (courses["role"] == "recovery")
    courses.loc[poor, "quality"] = 0.2
    row = recovery_scores(scores, courses).iloc[0]
    assert row["n_points"] == 7
    assert np.isnan(row["delta_180s"])
    assert "no point near 180 s" in row["reason"]
    assert "flag: gap of 240 s between points" in row["reason"]
    wide = recovery_scores(scores, courses, max_gap_s=240).iloc[0]
    assert wide["delta_180s"] == pytest.approx(12 - 10 * 90 / 240)
    assert recovery_scores(scores, courses, quality_min=0.1).iloc[0]["n_points"] == 10


def test_sessions_without_a_course_are_in_the_table_with_a_reason():
    scores, courses = session("p01")
    other, _ = session("p02")
    third, points = session("p03")
    points["value"] = points["value"].where(points["role"] != "recovery")
    table = recovery_scores(
        pd.concat([other, scores, third]), pd.concat([courses, points])
    ).set_index("session")
    assert list(table.index) == ["p02", "p01", "p03"]
    for name in ("p02", "p03"):
        assert table.loc[name, "reason"] == "no point of the course in this window"
        assert table.loc[name, "logistic_reason"] == "0 points, needs 5"
        assert table.loc[name, "n_points"] == 0
        assert table.loc[name, "seconds"] == 0
        assert np.isnan(table.loc[name, "auc_above"])
        assert table.loc[name, "participant"] == f"person {name}"
    assert table.loc["p02", "task"] == 140


def test_missing_levels_are_named():
    scores, courses = session()
    poor = scores["window"] == "speech"
    scores.loc[poor, "delta"] = np.nan
    scores.loc[poor, "reason"] = "left out: quality 0.30 is below 0.5"
    row = recovery_scores(scores, courses).iloc[0]
    assert np.isnan(row["task"])
    assert row["reason"] == "no level of speech: left out: quality 0.30 is below 0.5"
    assert row["logistic_reason"] == "no reactivity: task level or baseline is missing"
    assert row["delta_60s"] == pytest.approx(14)
    scores, courses = session()
    scores[["baseline", "delta"]] = np.nan
    scores["reason"] = "baseline: value is missing"
    row = recovery_scores(scores, courses).iloc[0]
    assert "no baseline: baseline: value is missing" in row["reason"]
    assert np.isnan(row[["delta_60s", "auc_above", "mean_elevation"]].astype(float)).all()


def test_the_last_task_before_the_recovery_counts_unless_another_is_named():
    scores, courses = session()
    arithmetic = scores[scores["window"] == "speech"].assign(
        window="arithmetic", onset=1140.0, duration=300.0, value=132.0, delta=12.0
    )
    recovery = scores["window"] == "recovery"
    scores.loc[recovery, "onset"] = 1440.0
    scores = pd.concat([scores, arithmetic], ignore_index=True)
    courses = pd.concat(
        [courses, courses.iloc[[0]].assign(window="arithmetic", time_s=1170.0)], ignore_index=True
    )
    row = recovery_scores(scores, courses).iloc[0]
    assert (row["task_window"], row["task"]) == ("arithmetic", 132)
    named = recovery_scores(scores, courses, task_window="speech").iloc[0]
    assert (named["task_window"], named["task"]) == ("speech", 140)
    # Named or not, time counts from the end of the last task.
    assert named["delta_60s"] == row["delta_60s"] == pytest.approx(14)
    with pytest.raises(SignalError, match="no window is called 'song'"):
        recovery_scores(scores, courses, task_window="song")


def test_time_counts_from_the_end_of_the_task():
    scores, courses = session()
    scores.loc[scores["window"] == "recovery", "onset"] = 1200.0
    row = recovery_scores(scores, courses).iloc[0]
    # The first minute mean, 136, has its middle at 90 s now.
    assert row["delta_60s"] == pytest.approx(16)
    assert row["delta_180s"] == pytest.approx(10)
    assert "flag: begins 60 s after the end of the task" in row["reason"]


def test_roles_and_times_may_come_from_a_windows_table():
    scores, courses = session()
    plan = pd.DataFrame(
        {
            "window": ["baseline", "preparation", "speech", "recovery", "recovery_last_180s"],
            "kind": ["phase", "phase", "phase", "phase", "phase_last"],
            "role": ["baseline", "preparation", "task", "recovery", "recovery"],
            "onset": [0.0, 600.0, 780.0, 1140.0, 1560.0],
            "duration": [600.0, 180.0, 360.0, 600.0, 180.0],
        }
    )
    expected = recovery_scores(scores, courses)
    for windows in (plan, plan.assign(session="p01")):
        pd.testing.assert_frame_equal(recovery_scores(scores, courses, windows=windows), expected)
    plan["role"] = plan["role"].replace("recovery", "other")
    assert recovery_scores(scores, courses, windows=plan).empty


def test_sessions_do_not_touch_each_other_and_input_stays():
    pairs = [session(f"p{i}", EXAMPLE[1:] + i, task=140.0 + i) for i in range(4)]
    scores = pd.concat([pair[0] for pair in pairs], ignore_index=True)
    courses = pd.concat([pair[1] for pair in pairs], ignore_index=True)
    before = scores.copy(), courses.copy()
    whole = recovery_scores(scores, courses)
    pd.testing.assert_frame_equal(scores, before[0])
    pd.testing.assert_frame_equal(courses, before[1])
    alone = pd.concat([recovery_scores(*pair) for pair in pairs], ignore_index=True)
    pd.testing.assert_frame_equal(whole, alone)
    shuffled = courses.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(recovery_scores(scores, shuffled), whole)


def test_every_missing_score_has_a_reason():
    rng = np.random.default_rng(4)
    scores, courses = [], []
    for i in range(40):
        n = int(rng.integers(1, 11))
        values = logistic(0.5 + np.arange(n), 120, rng.uniform(0, 20), 0.6) + rng.normal(0, 3, n)
        values[rng.random(n) < 0.2] = np.nan
        part = session(f"p{i}", values, task=120 + rng.uniform(0, 20))
        scores.append(part[0])
        courses.append(part[1])
    table = recovery_scores(pd.concat(scores), pd.concat(courses))
    simple = [name for name in table if name.startswith(("delta_", "percent_"))]
    simple += ["mean_elevation", "auc_above", "half_recovery_s"]
    missing = table[simple].isna().any(axis=1)
    said = table["reason"].map(
        lambda text: any(not part.startswith("flag:") for part in text.split("; ") if part)
    )
    assert missing.any()
    assert (missing == said).all()
    refused = table["logistic_reason"].map(lambda text: text != "" and not text.startswith("flag:"))
    assert (table["logistic_speed"].isna() == refused).all()


def test_wrong_tables_are_refused_in_one_line():
    scores, courses = session()
    wrong = [
        (scores.drop(columns="baseline"), courses, {}, "scores lack the column 'baseline'"),
        (scores, courses.drop(columns="role"), {}, "courses lack the column 'role'"),
        (pd.concat([scores, scores]), courses, {}, "twice"),
        (scores.assign(value="high"), courses, {}, "'value' is not numeric"),
        (scores, [1, 2], {}, "pass a DataFrame"),
        (scores, courses, {"at_s": (0, 60)}, "at_s"),
        (scores, courses, {"at_s": (60, 60)}, "at_s"),
        (scores, courses, {"floor": -1.0}, "floor"),
        (scores, courses, {"max_gap_s": 0.0}, "max_gap_s"),
        (scores, courses, {"min_points": 3}, "min_points"),
    ]
    for first, second, options, text in wrong:
        with pytest.raises(SignalError, match=text):
            recovery_scores(first, second, **options)


def test_empty_tables_give_an_empty_table():
    scores, courses = session()
    for first, second in ((scores, courses.iloc[:0]), (scores.iloc[:0], courses.iloc[:0])):
        table = recovery_scores(first, second)
        assert tuple(table.columns) == RECOVERY_COLUMNS
        assert table.empty
    lone = recovery_scores(scores.iloc[:0], courses).iloc[0]
    assert "no baseline: not in scores" in lone["reason"]


def test_other_times_name_their_columns():
    scores, courses = session()
    table = recovery_scores(scores, courses, at_s=(90, 120.5))
    assert list(table.columns) == list(recovery_dictionary((90, 120.5)))
    assert table.iloc[0]["delta_90s"] == pytest.approx(12)
    assert "delta_120.5s" in table
    assert "Sawada & Kato 2011" in recovery_dictionary()["auc_above"][1]
    assert "after Christenfeld" in recovery_dictionary()["logistic_amount"][1]


def test_from_features_to_recovery():
    starts = np.arange(0, 1140, 10.0)
    truth = np.where(starts + 30 < 600, 120.0, 140.0)
    later = starts >= 780
    truth[later] = logistic((starts[later] - 780 + 30) / 60, 121, 19, 0.9)
    sliding = pd.DataFrame(
        {
            "session": "p01",
            "window": [f"slide_{i}" for i in range(len(starts))],
            "kind": "sliding",
            "onset": starts,
            "duration": 60.0,
            "feature": "BP_SBP_Mean",
            "unit": "mmHg",
            "value": truth,
        }
    )
    windows = pd.DataFrame(
        {
            "window": ["baseline", "speech", "recovery"],
            "kind": "phase",
            "role": ["baseline", "task", "recovery"],
            "onset": [0.0, 600.0, 780.0],
            "duration": [600.0, 180.0, 420.0],
        }
    )
    phases = windows.drop(columns="role").assign(
        session="p01", feature="BP_SBP_Mean", unit="mmHg", value=[120.0, 140.0, 125.0]
    )
    features = pd.concat([sliding, phases], ignore_index=True)
    courses = feature_courses(features, windows)
    scores = reactivity_scores(features[features["kind"] != "sliding"])
    row = recovery_scores(scores, courses).iloc[0]
    assert (row["baseline"], row["task"], row["n_points"]) == (120, 140, 6)
    assert row["logistic_half_s"] == pytest.approx(60 * np.log(3) / 0.9, rel=0.05)
    assert row["logistic_amount"] == pytest.approx(19, rel=0.1)


def test_adjusted_recovery_is_the_residual_of_a_regression():
    rng = np.random.default_rng(9)
    reactivity = rng.uniform(5, 25, 12)
    table = pd.DataFrame(
        {
            "window": "recovery",
            "feature": ["BP_SBP_Mean"] * 8 + ["ECG_Rate_Mean"] * 4,
            "source": "sliding",
            "reactivity": np.r_[reactivity[:7], np.nan, reactivity[8:]],
            "auc_above": 2 * reactivity + rng.normal(0, 3, 12),
            "mean_elevation": np.nan,
            "reason": ["", "flag: gap"] * 6,
        }
    )
    adjusted = adjusted_recovery(table)
    line = stats.linregress(reactivity[:7], table["auc_above"][:7])
    expected = table["auc_above"][:7] - (line.intercept + line.slope * reactivity[:7])
    np.testing.assert_allclose(adjusted["auc_above_adjusted"][:7], expected, atol=1e-10)
    assert adjusted["auc_above_adjusted"][7:].isna().all()
    assert adjusted["reason"][7] == "flag: gap; auc_above_adjusted: no reactivity"
    assert adjusted["reason"][8] == "auc_above_adjusted: 4 sessions, needs 5"
    assert adjusted["reason"][0] == ""
    same = adjusted_recovery(table.assign(reactivity=10.0), ["auc_above"])
    assert "the same everywhere" in same["reason"][0]
    with pytest.raises(SignalError, match="lacks the column 'auc'"):
        adjusted_recovery(table, ["auc"])


def test_a_large_study_is_scored_in_seconds():
    pairs = [
        session(f"p{i:03d}", EXAMPLE[1:], feature=f"BP_{j}_Mean")
        for i in range(30)
        for j in "ABCDEFGHIJ"
    ]
    scores = pd.concat([pair[0] for pair in pairs], ignore_index=True)
    courses = pd.concat([pair[1] for pair in pairs], ignore_index=True)
    names = [f"{tenth}-" for tenth in range(10)]
    scores = pd.concat([scores.assign(session=name + scores["session"]) for name in names])
    courses = pd.concat([courses.assign(session=name + courses["session"]) for name in names])
    start = time.perf_counter()
    table = recovery_scores(scores, courses)
    assert len(table) == 3000
    assert time.perf_counter() - start < 5
