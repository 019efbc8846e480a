"""What the tests rest on, whether it holds, and what the tables do about it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ._change import anova
from ._design import Contrast, Sample
from ._effect_size import pooled_sd
from ._inference import NO_F_TEST, FTest, is_flat
from ._tables import Row
from .ancova import ANALYSIS, SLOPES, Fit, fit_sample

Array = NDArray[np.float64]

LEVEL = 0.05
_MOST_NAMED = 8
_NO_FIT = "not checked: "


def influential(fit: Fit) -> NDArray[np.bool_]:
    """Participants whose Cook's distance is above 4/n (n,)."""
    found: NDArray[np.bool_] = cooks_distance(fit) > 4 / fit.sample.n
    return found


def cooks_distance(fit: Fit) -> Array:
    """How far each participant moves the coefficients (n,); infinite at full leverage."""
    leverage, residual = _leverage(fit), np.asarray(fit.result.resid)
    p, variance = fit.design.shape[1], float(fit.result.mse_resid)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = residual**2 * leverage / (p * variance * (1 - leverage) ** 2)
    return np.where(leverage > 1 - 1e-9, np.inf, distance)


def _leverage(fit: Fit) -> Array:
    """Diagonal of the hat matrix (n,)."""
    inverse = np.linalg.inv(fit.design.T @ fit.design)
    leverage: Array = np.einsum("ij,jk,ik->i", fit.design, inverse, fit.design)
    return leverage


def left_one_out(fit: Fit, contrast: Contrast) -> Array:
    """Estimate of a contrast without each participant in turn (n,)."""
    leverage, residual = _leverage(fit), np.asarray(fit.result.resid)
    combination = fit.mean_of(contrast.first) - fit.mean_of(contrast.second)
    moved = fit.design @ np.linalg.inv(fit.design.T @ fit.design) @ combination
    with np.errstate(divide="ignore", invalid="ignore"):
        estimates: Array = combination @ fit.params - moved * residual / (1 - leverage)
    return estimates[np.isfinite(estimates) & (leverage < 1 - 1e-9)]


def slopes_test(fit: Fit) -> FTest | str:
    """Whether the slope on the baseline differs between conditions, or why it is not known."""
    if "baseline" not in fit.terms:
        return "the baseline is not in the model"
    wider = fit_sample(fit.sample, separate_slopes=True)
    if isinstance(wider, str):
        return wider
    if SLOPES not in wider.terms:
        return "slopes per condition cannot be told apart"
    statistic, p, df1 = wider.result.compare_f_test(fit.result)
    return FTest(float(statistic), float(df1), float(wider.df), float(p))


def assumption_rows(
    sample: Sample, fit: Fit | str, slopes: FTest | str, contrasts: Sequence[Contrast]
) -> list[Row]:
    """All checks of one outcome in one window."""
    same = {
        "outcome": f"ln {sample.outcome}" if sample.log else sample.outcome,
        "window": sample.window,
    }
    if isinstance(fit, str):
        checks = ("normality of residuals", "homogeneity of variances", "homogeneity of slopes")
        return [
            {**same, "analysis": ANALYSIS, "check": check, "consequence": _NO_FIT + fit}
            for check in (*checks, "influence")
        ] + _of_baseline(sample, same)
    residual = np.asarray(fit.result.resid, dtype=np.float64)
    change = sample.delta - _condition_means(sample, sample.delta)
    return [
        _normality(residual, {**same, "analysis": ANALYSIS}),
        _variances(sample, residual, {**same, "analysis": ANALYSIS}),
        _slopes(slopes, {**same, "analysis": ANALYSIS}),
        _influence(fit, contrasts, {**same, "analysis": ANALYSIS}),
        _normality(change, {**same, "analysis": "delta"}),
        _variances(sample, change, {**same, "analysis": "delta"}),
        *_of_baseline(sample, same),
    ]


def _condition_means(sample: Sample, values: Array) -> Array:
    """Mean of every participant's condition (n,)."""
    sums = np.bincount(sample.codes, values, minlength=len(sample.conditions))
    counts = np.bincount(sample.codes, minlength=len(sample.conditions))
    means: Array = (sums / np.maximum(counts, 1))[sample.codes]
    return means


def _normality(residual: Array, same: Row) -> Row:
    """Shapiro-Wilk test of residuals."""
    row = {**same, "check": "normality of residuals", "test": "Shapiro-Wilk"}
    if len(residual) < 3 or is_flat(residual):
        return {**row, "consequence": "not checked: no spread of residuals"}
    with warnings.catch_warnings():
        # Its p value is approximate above 5000 residuals, which changes nothing here.
        warnings.filterwarnings("ignore", message=".*p-value may not be accurate.*")
        statistic, p = stats.shapiro(residual)
    passed = bool(p >= LEVEL)
    does = (
        "Huber's estimates stand in the table beside the planned ones"
        if same["analysis"] == ANALYSIS
        else "t tests of means are little affected at these numbers; ANCOVA has Huber's estimates"
    )
    return {
        **row,
        "statistic": float(statistic),
        "p": float(p),
        "value": float(stats.skew(residual)),
        "passed": passed,
        "consequence": "none needed" if passed else does,
    }


def _variances(sample: Sample, residual: Array, same: Row) -> Row:
    """Brown-Forsythe test of the spread of residuals by condition."""
    row = {**same, "check": "homogeneity of variances", "test": "Brown-Forsythe"}
    groups = [residual[sample.codes == code] for code in range(len(sample.conditions))]
    if len(groups) < 2 or not sum(float(group.var()) for group in groups) > 0:
        return {**row, "consequence": "not checked: no spread within conditions"}
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic, p = stats.levene(*groups, center="median")
    if not np.isfinite(p):
        return {**row, "consequence": "not checked: the same spread for every participant"}
    spreads = np.array([group.std(ddof=1) for group in groups])
    ratio = float(spreads.max() / spreads.min()) if spreads.min() > 0 else np.inf
    passed = bool(p >= LEVEL)
    return {
        **row,
        "statistic": float(statistic),
        "df1": float(len(groups) - 1),
        "df2": float(len(residual) - len(groups)),
        "p": float(p),
        "value": ratio,
        "passed": passed,
        "consequence": "none needed" if passed else "rely on the robust errors, not the classical",
    }


def _slopes(test: FTest | str, same: Row) -> Row:
    """Whether one slope on the baseline does for all conditions."""
    row = {**same, "check": "homogeneity of slopes", "test": "F of condition x baseline"}
    if isinstance(test, str):
        return {**row, "consequence": f"{_NO_FIT}{test}"}
    passed = bool(test.p >= LEVEL)
    does = (
        "contrasts with separate slopes, at the sample's mean baseline, stand in the table; "
        "a difference between conditions depends on the baseline"
    )
    return {
        **row,
        "statistic": test.statistic,
        "df1": test.df1,
        "df2": test.df2,
        "p": test.p,
        "passed": passed,
        "consequence": "none needed" if passed else does,
    }


def _influence(fit: Fit, contrasts: Sequence[Contrast], same: Row) -> Row:
    """Cook's distances, and how far one participant moves the contrasts."""
    distance, many = cooks_distance(fit), influential(fit)
    names = [str(name) for name in fit.sample.participant[many]]
    shown = ", ".join(names[:_MOST_NAMED]) + (" ..." if len(names) > _MOST_NAMED else "")
    said = f"above 4/n: {shown}, left out in the sensitivity table; " if names else ""
    ranges = []
    for contrast in contrasts:
        if not fit.sample.lacking(contrast):
            found = left_one_out(fit, contrast)
            if len(found):
                ranges.append(f"{contrast.term} {found.min():.4g} to {found.max():.4g}")
    return {
        **same,
        "check": "influence",
        "test": "Cook's distance (largest; value: participants above 4/n)",
        "statistic": float(distance.max()),
        "value": float(many.sum()),
        "passed": bool(distance.max() <= 1),
        "consequence": f"{said}leaving out one participant: {', '.join(ranges)}",
    }


def _of_baseline(sample: Sample, same: Row) -> list[Row]:
    """Whether the baselines differ, and whether change depends on the baseline."""
    return [_baseline_difference(sample, same), _baseline_and_change(sample, same)]


def _baseline_difference(sample: Sample, same: Row) -> Row:
    """Variance analysis of the baseline by condition."""
    row = {**same, "analysis": ANALYSIS, "check": "baseline difference", "test": "one-way ANOVA"}
    groups = [sample.baseline[sample.codes == code] for code in range(len(sample.conditions))]
    test, why = (
        anova(groups, False) if len(groups) > 1 else (NO_F_TEST, "fewer than two conditions")
    )
    if why:
        return {**row, "consequence": f"not checked: {why.removeprefix('not tested: ')}"}
    largest = max(
        abs(a.mean() - b.mean()) / (pooled_sd(a, b) or np.nan)
        for i, a in enumerate(groups)
        for b in groups[i + 1 :]
    )
    passed = bool(test.p >= LEVEL)
    does = "ANCOVA and the analysis of delta may disagree (Lord 1967): read both"
    return {
        **row,
        "statistic": test.statistic,
        "df1": test.df1,
        "df2": test.df2,
        "p": test.p,
        "value": float(largest),
        "passed": passed,
        "consequence": "none needed" if passed else does,
    }


def _nearly_flat(values: Array) -> bool:
    """Whether values differ by so little that a correlation with them would be rounding."""
    return bool(values.std() <= 1e-9 * np.abs(values).max())


def _baseline_and_change(sample: Sample, same: Row) -> Row:
    """Correlation of baseline and change: dependence on the initial value."""
    row = {**same, "analysis": "delta", "check": "baseline-change correlation", "test": "Pearson r"}
    if sample.n < 3 or _nearly_flat(sample.baseline) or _nearly_flat(sample.delta):
        return {**row, "consequence": "not checked: no spread, or fewer than 3 participants"}
    r, p = stats.pearsonr(sample.baseline, sample.delta)
    passed = bool(p >= LEVEL)
    does = "change depends on the initial value, which ANCOVA adjusts for and delta does not"
    return {
        **row,
        "statistic": float(r),
        "df2": float(sample.n - 2),
        "p": float(p),
        "value": float(r),
        "passed": passed,
        "consequence": "none needed" if passed else does,
    }
