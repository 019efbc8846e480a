"""Tests of linear combinations of coefficients: t, F, interval, small-sample degrees of freedom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]

_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Estimates:
    """Estimates of several combinations, each with its t test and interval; arrays (k,)."""

    estimate: Array
    se: Array
    df: Array
    statistic: Array
    p: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class FTest:
    """A test of several combinations at once."""

    statistic: float
    df1: float
    df2: float
    p: float


NO_F_TEST = FTest(np.nan, np.nan, np.nan, np.nan)


def t_tests(estimate: Array, se: Array, df: float | Array, alpha: float) -> Estimates:
    """Two-sided t tests of estimates against 0; a standard error of 0 gives no test."""
    estimate = np.atleast_1d(np.asarray(estimate, dtype=np.float64))
    df = np.broadcast_to(np.asarray(df, dtype=np.float64), estimate.shape).copy()
    usable = np.isfinite(se) & (se > 0) & (df > 0)
    se = np.where(usable, se, np.nan)
    statistic = estimate / se
    reach = stats.t.isf(alpha / 2, np.where(usable, df, np.nan)) * se
    return Estimates(
        estimate=estimate,
        se=se,
        df=df,
        statistic=statistic,
        p=2 * stats.t.sf(np.abs(statistic), df),
        low=estimate - reach,
        high=estimate + reach,
    )


def combine(
    params: Array, cov: Array, combinations: Array, df: float | Array, alpha: float
) -> Estimates:
    """Two-sided tests of ``combinations @ params`` for a covariance of the coefficients."""
    variance = np.einsum("kp,pq,kq->k", combinations, cov, combinations)
    se = np.sqrt(np.clip(variance, 0, None))
    return t_tests(combinations @ params, se, df, alpha)


def wald(params: Array, cov: Array, combinations: Array) -> float:
    """Wald statistic of all combinations at once (chi-squared scale); NaN where it is singular."""
    values = combinations @ params
    spread = combinations @ cov @ combinations.T
    try:
        statistic = float(values @ np.linalg.solve(spread, values))
    except np.linalg.LinAlgError:
        return np.nan
    return statistic if np.isfinite(statistic) and statistic >= 0 else np.nan


def f_test(params: Array, cov: Array, combinations: Array, df2: float) -> FTest:
    """F test of all combinations at once: Wald statistic over its degrees of freedom."""
    df1 = len(combinations)
    statistic = wald(params, cov, combinations) / df1
    if not (np.isfinite(statistic) and df2 > 0):
        return FTest(np.nan, df1, df2, np.nan)
    return FTest(statistic, df1, df2, float(stats.f.sf(statistic, df1, df2)))


def is_flat(values: Array) -> bool:
    """Whether all values are the same but for rounding."""
    if not len(values):
        return True
    return bool(np.ptp(values) <= _ROUNDING * np.abs(values).max())


@dataclass(frozen=True, eq=False)
class SmallSample:
    """Small-sample tests with an HC2 covariance, for errors that differ between conditions.

    ``rows`` (p, n) is (X'X)^-1 X'; ``maker`` (n, n) is I - H; ``spread`` (n, n) is the covariance
    of the residuals when every participant has the error variance of their condition.
    """

    rows: Array
    maker: Array
    spread: Array

    @property
    def largest_leverage(self) -> float:
        """Largest leverage: 1 means that a coefficient rests on a single participant."""
        return float(1 - self.maker.diagonal().min())

    @classmethod
    def of(cls, design: Array, residual: Array, codes: NDArray[np.int64]) -> SmallSample:
        """From a design matrix (n, p) of full rank, residuals (n,) and conditions (n,)."""
        rows = np.asarray(np.linalg.solve(design.T @ design, design.T), dtype=np.float64)
        maker: Array = np.eye(len(design)) - design @ rows
        square = residual**2 / np.maximum(maker.diagonal(), _ROUNDING)
        variances: Array = (np.bincount(codes, square) / np.bincount(codes))[codes]
        return cls(rows, maker, (maker * variances) @ maker)

    def satterthwaite(self, combinations: Array) -> Array:
        """Degrees of freedom of HC2 variances of combinations (k,).

        Welch's degrees of freedom where there are two conditions and nothing else.
        """
        weights = (combinations @ self.rows) ** 2 / self.maker.diagonal()
        first = (weights * self.spread.diagonal()).sum(axis=1) ** 2
        df: Array = first / np.einsum("ki,ij,kj->k", weights, self.spread**2, weights)
        return df

    def approximate_hotelling(self, params: Array, cov: Array, combinations: Array) -> FTest:
        """F test of several combinations: HC2 Wald statistic as Hotelling's T squared."""
        q = len(combinations)
        picked = combinations @ self.rows
        expected = self.spread.diagonal() / self.maker.diagonal()
        try:
            half = np.linalg.inv(np.linalg.cholesky((picked * expected) @ picked.T))
        except np.linalg.LinAlgError:
            return FTest(np.nan, q, np.nan, np.nan)
        scores = (half @ picked) / np.sqrt(self.maker.diagonal())
        products = np.einsum("si,ti->sti", scores, scores).reshape(q * q, -1)
        eta = q * (q + 1) / (2 * np.einsum("ki,ij,kj->", products, self.spread**2, products))
        df2 = float(eta - q + 1)
        statistic = wald(params, cov, combinations) * df2 / (eta * q)
        if not (np.isfinite(statistic) and df2 > 0):
            return FTest(np.nan, q, np.nan, np.nan)
        return FTest(float(statistic), q, df2, float(stats.f.sf(statistic, q, df2)))
