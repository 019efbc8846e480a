"""Hedges g of a difference between two conditions, with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

Array = NDArray[np.float64]


@dataclass(frozen=True)
class EffectSize:
    """Hedges g with its confidence interval."""

    g: float
    low: float
    high: float


NO_EFFECT_SIZE = EffectSize(np.nan, np.nan, np.nan)


def small_sample_factor(df: float) -> float:
    """Hedges' correction of a standardized difference, in the closed form that is in use."""
    return float(1 - 3 / (4 * df - 1)) if df > 1 else np.nan


def pooled_sd(first: Array, second: Array) -> float:
    """Pooled standard deviation of two samples; NaN where there are fewer than three values."""
    df = len(first) + len(second) - 2
    if df < 1 or not len(first) or not len(second):
        return np.nan
    squares = ((first - first.mean()) ** 2).sum() + ((second - second.mean()) ** 2).sum()
    return float(np.sqrt(squares / df))


def standardized(
    estimate: float, se: float, first: Array, second: Array, alpha: float, df: float
) -> EffectSize:
    """An adjusted difference in pooled standard deviations of the change scores of two conditions.

    The interval is by the delta method: the error of the difference and that of the standard
    deviation add up.
    """
    sd, sd_df = pooled_sd(first, second), len(first) + len(second) - 2
    factor = small_sample_factor(sd_df)
    if not (np.isfinite(sd) and sd > 0 and np.isfinite(factor) and np.isfinite(estimate)):
        return NO_EFFECT_SIZE
    g = factor * estimate / sd
    error = np.sqrt((factor * se / sd) ** 2 + g**2 / (2 * sd_df))
    reach = stats.t.isf(alpha / 2, df) * error
    return EffectSize(g, g - reach, g + reach)


def of_two_samples(first: Array, second: Array, alpha: float) -> EffectSize:
    """Hedges g of two samples; the interval inverts the noncentral t distribution."""
    sd, df = pooled_sd(first, second), len(first) + len(second) - 2
    factor = small_sample_factor(df)
    if not (np.isfinite(sd) and sd > 0 and np.isfinite(factor)):
        return NO_EFFECT_SIZE
    d = (first.mean() - second.mean()) / sd
    scale = np.sqrt(1 / len(first) + 1 / len(second))
    low, high = _noncentrality(d / scale, df, alpha)
    return EffectSize(factor * d, factor * low * scale, factor * high * scale)


def _noncentrality(statistic: float, df: float, alpha: float) -> tuple[float, float]:
    """Noncentrality parameters for which `statistic` is the upper and the lower bound."""
    if statistic < 0:
        low, high = _noncentrality(-statistic, df, alpha)
        return -high, -low
    spread = np.sqrt(1 + statistic**2 / (2 * df))

    def bound(probability: float) -> float:
        guess = statistic + stats.norm.isf(probability) * spread
        lower, upper = guess - spread, guess + spread

        def gap(nc: float) -> float:
            return float(special.nctdtr(df, nc, statistic)) - probability

        if not gap(lower) > 0 > gap(upper):
            return float(guess)
        return float(optimize.brentq(gap, lower, upper, xtol=1e-8))

    return bound(1 - alpha / 2), bound(alpha / 2)
