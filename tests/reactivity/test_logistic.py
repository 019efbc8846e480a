"""The logistic fits, against worked examples, SciPy's own least squares and quadrature."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import curve_fit, least_squares

from physio_hqc.reactivity._logistic import SPEED_MAX, SPEED_MIN, course_of, fit_logistic

EXAMPLE = np.array([140, 136, 132, 128, 125, 123, 122, 121.5, 121, 120.5, 120])


def curve(t, level, amount, speed):
    return level + 2 * amount / (1 + np.exp(speed * t))


def fit(times, values, lengths=0.0):
    times, values = np.atleast_2d(times).astype(float), np.atleast_2d(values).astype(float)
    return fit_logistic(times, values, np.broadcast_to(np.asarray(lengths, float), times.shape))


def test_exact_points_give_their_parameters():
    minutes = np.arange(6)
    values = [140, 133.5911, 128.1849, 124.2414, 121.6596, 120.0867]
    np.testing.assert_allclose(curve(minutes, 118, 22, 0.6), values, atol=5e-5)
    fits = fit(minutes, curve(minutes, 118, 22, 0.6))
    np.testing.assert_allclose(
        [fits.level[0], fits.amount[0], fits.speed[0]], [118, 22, 0.6], rtol=1e-9
    )
    assert np.log(3) / fits.speed[0] == pytest.approx(1.831020, abs=1e-6)


def test_worked_example():
    fits = fit(np.arange(11), EXAMPLE)
    assert fits.level[0] == pytest.approx(119.7226, abs=5e-5)
    assert fits.amount[0] == pytest.approx(20.6557, abs=5e-5)
    assert fits.speed[0] == pytest.approx(0.461712, abs=5e-7)
    assert np.log(3) / fits.speed[0] == pytest.approx(2.3794, abs=5e-5)
    assert fits.rmse[0] == pytest.approx(0.3068, abs=5e-5)
    assert fits.n[0] == 11


def test_standard_errors_are_those_of_curve_fit():
    rng = np.random.default_rng(3)
    minutes = np.arange(0.5, 12)
    values = curve(minutes, 118, 22, 0.6) + rng.normal(0, 2, len(minutes))
    expected, covariance = curve_fit(
        curve, minutes, values, p0=[120, 20, 0.5], ftol=1e-14, xtol=1e-14, gtol=1e-14
    )
    fits = fit(minutes, values)
    np.testing.assert_allclose([fits.level[0], fits.amount[0], fits.speed[0]], expected, rtol=1e-5)
    np.testing.assert_allclose(
        [fits.level_se[0], fits.amount_se[0], fits.speed_se[0]],
        np.sqrt(np.diag(covariance)),
        rtol=1e-4,
    )
    residuals = values - curve(minutes, *expected)
    assert fits.r2[0] == pytest.approx(1 - residuals.var() / values.var(), abs=1e-3)


def test_no_start_of_scipy_finds_a_better_fit():
    rng = np.random.default_rng(11)
    minutes = np.array([1, 2.5, 4, 5.5, 7, 8.5])
    speeds = np.exp(rng.uniform(np.log(0.1), np.log(3), 25))
    amounts = rng.choice([-15.0, 6.0, 20.0], 25)
    values = np.array([curve(minutes, 120, a, k) for a, k in zip(amounts, speeds, strict=True)])
    values += rng.normal(0, 3, values.shape)
    fits = fit(np.tile(minutes, (25, 1)), values)
    for row, best in zip(values, fits.rmse, strict=True):
        others = [
            least_squares(
                lambda p, row=row: curve(minutes, *p) - row,
                [row.mean(), start, speed],
                bounds=([-1e4, -1e4, SPEED_MIN], [1e4, 1e4, SPEED_MAX]),
            ).cost
            for start in (-10, 10)
            for speed in (0.05, 0.5, 5)
        ]
        assert best <= np.sqrt(2 * min(others) / len(minutes)) * (1 + 1e-6)


@pytest.mark.parametrize("speed", [0.03, 0.6, 2.5, 11.0])
def test_a_piece_is_the_mean_of_the_curve_over_it(speed):
    times, lengths = np.array([0.5, 1.5, 6.0, 200.0]), np.array([1.0, 0.0, 3.0, 1.0])
    shares, slopes = course_of(times, lengths, speed)
    for share, slope, t, length in zip(shares, slopes, times, lengths, strict=True):
        area, _ = quad(lambda x: 1 - np.tanh(speed * x / 2), t - length / 2, t + length / 2)
        mean = area / length if length else 1 - np.tanh(speed * t / 2)
        assert share == pytest.approx(mean, abs=1e-9)
        step = 1e-5 * speed
        around = [
            course_of(np.array([t]), np.array([length]), k)[0][0]
            for k in (speed - step, speed + step)
        ]
        assert slope == pytest.approx((around[1] - around[0]) / (2 * step), abs=1e-6)


def test_means_of_pieces_give_the_parameters_of_the_curve():
    starts = np.arange(10)
    values = [
        quad(lambda x: curve(x, 118, 22, 1.5), start, start + 1, epsabs=1e-12)[0]
        for start in starts
    ]
    fits = fit(starts + 0.5, values, 1.0)
    np.testing.assert_allclose(
        [fits.level[0], fits.amount[0], fits.speed[0]], [118, 22, 1.5], rtol=1e-7
    )
    # As if they were readings at the middle, the same means give another amount.
    assert abs(fit(starts + 0.5, values).amount[0] - 22) > 0.1


def test_missing_points_and_padding_change_nothing():
    rng = np.random.default_rng(5)
    minutes = np.arange(0.5, 9)
    values = curve(minutes, 70, 15, 0.8) + rng.normal(0, 1, len(minutes))
    holes = np.r_[values[:3], np.nan, values[3:], np.nan, np.nan]
    times = np.r_[minutes[:3], 3.2, minutes[3:], np.nan, np.nan]
    whole = fit(minutes, values, 1.0)
    batch = fit(
        np.vstack([times, np.full_like(times, np.nan), times]),
        np.vstack([holes, np.full_like(holes, np.nan), 2 * holes]),
        1.0,
    )
    assert batch.n.tolist() == [9, 0, 9]
    for name in ("amount", "level", "speed", "amount_se", "r2", "rmse"):
        assert getattr(batch, name)[0] == pytest.approx(getattr(whole, name)[0], rel=1e-7)
        assert np.isnan(getattr(batch, name)[1])
    assert batch.amount[2] == pytest.approx(2 * batch.amount[0], rel=1e-7)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10_000),
    scale=st.sampled_from([-40.0, -1.0, 0.01, 100.0]),
    shift=st.floats(-500, 500),
)
def test_the_unit_does_not_matter(seed, scale, shift):
    rng = np.random.default_rng(seed)
    minutes = np.arange(0.5, 10)
    values = curve(minutes, 0, 20, rng.uniform(0.3, 1.5)) + rng.normal(0, 1, len(minutes))
    one, other = fit(minutes, values), fit(minutes, shift + scale * values)
    assert other.speed[0] == pytest.approx(one.speed[0], rel=1e-4)
    assert other.amount[0] == pytest.approx(scale * one.amount[0], rel=1e-4)
    assert other.level[0] == pytest.approx(
        shift + scale * one.level[0], rel=1e-4, abs=1e-3 * abs(scale)
    )
    assert other.r2[0] == pytest.approx(one.r2[0], abs=1e-6)


def test_lines_and_steps_end_at_the_bounds():
    minutes = np.arange(1, 9)
    fits = fit(np.tile(minutes, (2, 1)), np.vstack([140.0 - minutes, [130] + 7 * [120]]))
    assert fits.at_bound.all()
    np.testing.assert_allclose(fits.speed, [SPEED_MIN, SPEED_MAX], rtol=1e-3)


def test_equal_values_have_no_r2():
    assert np.isnan(fit(np.arange(6), np.full(6, 0.1)).r2[0])
