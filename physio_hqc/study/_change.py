"""Analysis of change scores: variance analysis and t tests, for equal and for any variances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ._design import Contrast, Sample, dyad_caution, facts, note_of
from ._effect_size import of_two_samples, standardized
from ._inference import NO_F_TEST, FTest, is_flat, t_tests
from ._tables import Row
from .ancova import refused_contrast, refused_rows, size_columns

Array = NDArray[np.float64]

ANALYSIS = "delta"
_MODELS = {
    "classical": "f_oneway(delta of every condition); ttest_ind(equal_var=True)",
    "robust": "welch_anova(dv='delta', between='condition'); ttest_ind(equal_var=False)",
}


def change_rows(
    sample: Sample, contrasts: Sequence[Contrast], *, errors: str = "robust", alpha: float = 0.05
) -> list[Row]:
    """Rows of the analysis of change scores with classical and robust (Welch) errors."""
    why = ""
    if len(sample.conditions) < 2:
        why = "fewer than two conditions have two participants"
    groups = {name: sample.delta[sample.members(name)] for name in sample.conditions}
    rows: list[Row] = []
    for name in ("classical", "robust"):
        if why:
            rows += refused_rows(sample, contrasts, ANALYSIS, name, name == errors, why)
        else:
            rows += _rows(sample, groups, contrasts, name, name == errors, alpha)
    return rows


def _rows(
    sample: Sample,
    groups: dict[str, Array],
    contrasts: Sequence[Contrast],
    errors: str,
    primary: bool,
    alpha: float,
) -> list[Row]:
    """Omnibus test and contrasts with one kind of errors."""
    same = {
        **facts(sample),
        "analysis": ANALYSIS,
        "errors": errors,
        "primary": primary,
        "model": _MODELS[errors],
        "note": note_of(sample, dyad_caution(sample.dyads)),
    }
    return [
        _omnibus(groups, errors == "robust", same),
        *_means(groups, same, alpha),
        *(_contrast(sample, groups, item, errors == "robust", same, alpha) for item in contrasts),
    ]


def _omnibus(groups: dict[str, Array], welch: bool, same: Row) -> Row:
    """Variance analysis of change."""
    test, why = anova(list(groups.values()), welch)
    explained = sum(len(g) * (g.mean() - _all(groups).mean()) ** 2 for g in groups.values())
    total = ((_all(groups) - _all(groups).mean()) ** 2).sum()
    return {
        **same,
        "kind": "omnibus",
        "term": "condition",
        "df1": test.df1,
        "df2": test.df2,
        "statistic": test.statistic,
        "statistic_name": "F",
        "p": test.p,
        "partial_eta2": explained / total if total > 0 else np.nan,
        "note": "; ".join(filter(None, [why, same["note"]])),
    }


def _all(groups: dict[str, Array]) -> Array:
    """All groups as one array."""
    return np.concatenate(list(groups.values()))


def anova(groups: Sequence[Array], welch: bool) -> tuple[FTest, str]:
    """One-way variance analysis, or Welch's; with the reason where it cannot be done."""
    from statsmodels.stats.oneway import anova_oneway

    variances = np.array([group.var(ddof=1) for group in groups])
    if welch and (variances <= 0).any():
        return NO_F_TEST, "not tested: a condition has no variance"
    if not variances.sum() > 0 or is_flat(np.concatenate(list(groups))):
        return NO_F_TEST, "not tested: no variance within conditions"
    use_var = "unequal" if welch else "equal"
    found = anova_oneway(list(groups), use_var=use_var, welch_correction=True)
    df1, df2 = (float(df) for df in found.df)
    return FTest(float(found.statistic), df1, df2, float(found.pvalue)), ""


def _means(groups: dict[str, Array], same: Row, alpha: float) -> list[Row]:
    """Mean change of every condition; classical with the pooled standard deviation."""
    sizes = np.array([len(group) for group in groups.values()])
    variances = np.array([group.var(ddof=1) for group in groups.values()])
    df: Array = sizes - 1.0
    if same["errors"] == "classical":
        variances = np.full(len(sizes), (df * variances).sum() / df.sum())
        df = np.full(len(sizes), df.sum())
    means = np.array([group.mean() for group in groups.values()])
    found = t_tests(means, np.sqrt(variances / sizes), df, alpha)
    return [
        {
            **same,
            "kind": "adjusted mean",
            "term": name,
            "estimate": found.estimate[i],
            "se": found.se[i],
            "df2": found.df[i],
            "ci_low": found.low[i],
            "ci_high": found.high[i],
        }
        for i, name in enumerate(groups)
    ]


def _contrast(
    sample: Sample,
    groups: dict[str, Array],
    contrast: Contrast,
    welch: bool,
    same: Row,
    alpha: float,
) -> Row:
    """Test one contrast by t, pooled over its two conditions or Welch's."""
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

    why = sample.lacking(contrast)
    if why:
        return refused_contrast(same, contrast, why)
    first, second = groups[contrast.first], groups[contrast.second]
    if is_flat(first) and is_flat(second):
        return refused_contrast(same, contrast, "no variance within conditions")
    compared = CompareMeans(DescrStatsW(first), DescrStatsW(second))
    use_var = "unequal" if welch else "pooled"
    statistic, p, df = compared.ttest_ind(usevar=use_var)
    low, high = compared.tconfint_diff(alpha=alpha, usevar=use_var)
    estimate = float(first.mean() - second.mean())
    se = float(compared.std_meandiff_separatevar if welch else compared.std_meandiff_pooledvar)
    size = (
        standardized(estimate, se, first, second, alpha, float(df))
        if welch
        else of_two_samples(first, second, alpha)
    )
    return {
        **same,
        "kind": "contrast",
        "term": contrast.term,
        "estimate": estimate,
        "se": se,
        "df2": float(df),
        "statistic": float(statistic),
        "statistic_name": "t",
        "p": float(p),
        "ci_low": float(low),
        "ci_high": float(high),
        **size_columns(size),
    }
