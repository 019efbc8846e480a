"""Analysis of covariance: the level in a window by condition, with the baseline as covariate."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._design import Contrast, Sample, dyad_caution, facts, has_dyads, note_of
from ._effect_size import EffectSize, standardized
from ._inference import Estimates, FTest, SmallSample, combine, f_test, is_flat
from ._tables import Row

Array = NDArray[np.float64]

ANALYSIS = "ANCOVA"
SLOPES = "condition x baseline"
_FULL_LEVERAGE = 1 - 1e-9
# A residual sum of squares this small beside the total one is rounding.
_NO_RESIDUAL = 1e-18


@dataclass(frozen=True, eq=False)
class Fit:
    """An ordinary least squares fit of a sample.

    ``design`` (n, p): intercept at the sample's means, a column per condition but the first, the
    baseline, the covariates. ``terms`` says which columns each term has.
    """

    sample: Sample
    result: Any
    design: Array
    terms: dict[str, tuple[int, ...]]
    labels: tuple[str, ...]
    formula: str
    notes: tuple[str, ...]

    @property
    def params(self) -> Array:
        """Coefficients (p,)."""
        return np.asarray(self.result.params, dtype=np.float64)

    @property
    def df(self) -> int:
        """Residual degrees of freedom."""
        return int(self.design.shape[0] - self.design.shape[1])

    def mean_of(self, condition: str) -> Array:
        """Combination that is the adjusted mean of a condition (p,)."""
        row = np.zeros(self.design.shape[1])
        row[0] = 1
        code = self.sample.conditions.index(condition)
        if code:
            row[self.terms["condition"][code - 1]] = 1
        return row

    def block(self, term: str) -> Array:
        """Combinations that pick the coefficients of a term (k, p)."""
        block: Array = np.eye(self.design.shape[1])[list(self.terms[term])]
        return block


@dataclass(frozen=True, eq=False)
class Errors:
    """A covariance of the coefficients and how combinations are tested with it."""

    name: str
    cov: Array
    small: SmallSample | None
    df: float
    option: str
    note: str = ""

    def estimates(self, params: Array, combinations: Array, alpha: float) -> Estimates:
        """Test combinations by t."""
        df: float | Array = self.df
        if self.small is not None:
            df = self.small.satterthwaite(combinations)
        return combine(params, self.cov, combinations, df, alpha)

    def test(self, params: Array, combinations: Array) -> FTest:
        """F test of all combinations at once."""
        if self.small is not None:
            return self.small.approximate_hotelling(params, self.cov, combinations)
        return f_test(params, self.cov, combinations, self.df)


def fit_sample(sample: Sample, *, separate_slopes: bool = False) -> Fit | str:
    """Fit the model, or say why it cannot be fitted.

    With separate slopes every condition has its own coefficient of the baseline, and the
    coefficients of the conditions compare them at the sample's mean baseline.
    """
    import statsmodels.api as sm

    if len(sample.conditions) < 2:
        return "fewer than two conditions have two participants"
    names, blocks, formula, notes = _terms(sample, separate_slopes)
    design, kept = _full_rank(blocks)
    gone = [name for name in names if name not in kept]
    if "condition" in gone:
        return "conditions cannot be told apart"
    notes += [f"{name} is a combination of the other terms: not in the model" for name in gone]
    terms, at = {}, 1
    for name in names:
        if name in kept:
            width = blocks[name].shape[1]
            terms[name] = tuple(range(at, at + width))
            at += width
    if len(design) <= design.shape[1]:
        return f"{len(design)} participants, needs more than the {design.shape[1]} coefficients"
    if is_flat(sample.value):
        return "every participant has the same value"
    labels = _labels(sample, terms)
    text = "value ~ " + " + ".join(formula[name] for name in names if name in kept)
    if sample.log:
        text = text.replace("value", "log(value)").replace("baseline", "log(baseline)")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = sm.OLS(sample.value, design).fit()
    if result.model.rank < design.shape[1]:
        return "the terms of the model can hardly be told apart"
    notes += [f"statsmodels: {item.message}" for item in caught]
    total = ((sample.value - sample.value.mean()) ** 2).sum()
    if result.ssr <= _NO_RESIDUAL * max(total, (sample.value**2).sum()):
        return "the model leaves no residual: there is no error to test against"
    return Fit(sample, result, design, terms, labels, text, tuple(notes))


def _terms(
    sample: Sample, separate_slopes: bool
) -> tuple[list[str], dict[str, Array], dict[str, str], list[str]]:
    """Terms of the model in their order, their columns and how a formula writes them."""
    width = len(sample.conditions)
    blocks = {"condition": np.eye(width)[sample.codes][:, 1:]}
    formula = {"condition": "C(condition)"}
    notes: list[str] = []
    if not is_flat(sample.baseline):
        blocks["baseline"] = (sample.baseline - sample.baseline.mean())[:, None]
        formula["baseline"] = "baseline"
        if separate_slopes:
            blocks[SLOPES] = blocks["condition"] * blocks["baseline"]
            formula[SLOPES] = "C(condition):center(baseline)"
    else:
        notes.append("baseline is the same for everybody: not in the model")
    for covariate in sample.covariates:
        if np.ptp(covariate.columns, axis=0).max() == 0:
            notes.append(f"{covariate.name} is the same for everybody: not in the model")
            continue
        blocks[covariate.name] = covariate.columns
        formula[covariate.name] = covariate.formula
    return list(blocks), blocks, formula, notes


def _full_rank(blocks: dict[str, Array]) -> tuple[Array, list[str]]:
    """Design matrix of the terms that add something, and their names."""
    n = len(next(iter(blocks.values())))
    everything = np.column_stack([np.ones(n), *blocks.values()])
    if np.linalg.matrix_rank(_scaled(everything)) == everything.shape[1]:
        return everything, list(blocks)
    design: Array = np.ones((n, 1))
    kept: list[str] = []
    for name, block in blocks.items():
        wider = np.column_stack([design, block])
        if np.linalg.matrix_rank(_scaled(wider)) == wider.shape[1]:
            design, kept = wider, [*kept, name]
    return design, kept


def _scaled(design: Array) -> Array:
    """Columns at unit length, so that rank does not depend on units."""
    length = np.sqrt((design**2).sum(axis=0))
    scaled: Array = design / np.where(length > 0, length, 1)
    return scaled


def _labels(sample: Sample, terms: dict[str, tuple[int, ...]]) -> tuple[str, ...]:
    """What stands in the column `term` for the columns after those of the conditions."""
    labels: list[str] = []
    for name in terms:
        if name == "baseline":
            labels.append("baseline")
        if name == SLOPES:
            labels += [f"baseline x {condition}" for condition in sample.conditions[1:]]
        for covariate in sample.covariates:
            if covariate.name == name:
                labels += covariate.labels
    return tuple(labels)


def classical_errors(fit: Fit) -> Errors:
    """Equal variances, residual degrees of freedom."""
    cov = np.asarray(fit.result.cov_params())
    caution = dyad_caution(fit.sample.dyads)
    return Errors("classical", cov, None, fit.df, ".fit()", caution)


def robust_errors(fit: Fit, name: str = "robust") -> Errors | str:
    """Errors that hold under unequal variances, and within dyads where there are any."""
    dyads = fit.sample.dyads
    if dyads is not None and has_dyads(dyads):
        return _dyad_errors(fit, dyads, name)
    small = SmallSample.of(fit.design, np.asarray(fit.result.resid), fit.sample.codes)
    if small.largest_leverage > _FULL_LEVERAGE:
        return "a coefficient rests on a single participant: no robust error"
    cov = np.asarray(fit.result.get_robustcov_results("HC2").cov_params())
    option = ".fit(cov_type='HC2'), t and F with Welch-Satterthwaite df (df2)"
    return Errors(name, cov, small, np.nan, option)


def _dyad_errors(fit: Fit, dyads: NDArray[np.int64], name: str) -> Errors | str:
    """Errors that allow for likeness within dyads (Mancl & DeRouen)."""
    import statsmodels.api as sm

    groups = np.unique(dyads, return_inverse=True)[1]
    df = int(groups.max()) + 1 - fit.design.shape[1]
    if df < 1:
        return f"{groups.max() + 1} dyads, needs more than the {fit.design.shape[1]} coefficients"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = sm.GEE(fit.sample.value, fit.design, groups=groups).fit(
                cov_type="bias_reduced"
            )
        except np.linalg.LinAlgError:
            return "a coefficient rests on a single dyad: no robust error"
    note = "; ".join(dict.fromkeys(str(item.message) for item in caught))
    return Errors(
        name,
        np.asarray(result.cov_params()),
        None,
        df,
        "as GEE(groups=dyad, cov_struct=Independence()).fit(cov_type='bias_reduced'), "
        "t with dyads - coefficients df",
        "; ".join(filter(None, ["errors allow for likeness within dyads", note])),
    )


def ancova_rows(
    sample: Sample, contrasts: Sequence[Contrast], *, errors: str = "robust", alpha: float = 0.05
) -> tuple[list[Row], Fit | str]:
    """Rows with classical and robust errors, and the fit or why there is none."""
    fit = fit_sample(sample)
    if isinstance(fit, str):
        rows = [
            row
            for name in ("classical", "robust")
            for row in refused_rows(sample, contrasts, ANALYSIS, name, name == errors, fit)
        ]
        return rows, fit
    rows = []
    for made in (classical_errors(fit), robust_errors(fit)):
        if isinstance(made, str):
            rows += refused_rows(sample, contrasts, ANALYSIS, "robust", errors == "robust", made)
        else:
            rows += rows_of(fit, made, contrasts, alpha, made.name == errors)
    return rows, fit


def slopes_rows(sample: Sample, contrasts: Sequence[Contrast], alpha: float) -> list[Row]:
    """Rows with a slope of the baseline per condition, compared at the sample's mean baseline."""
    name = "robust: separate slopes"
    fit = fit_sample(sample, separate_slopes=True)
    made = fit if isinstance(fit, str) else robust_errors(fit, name)
    if isinstance(made, str) or isinstance(fit, str):
        return refused_rows(sample, contrasts, ANALYSIS, name, False, str(made))
    return rows_of(fit, made, contrasts, alpha, False)


def huber_rows(fit: Fit, contrasts: Sequence[Contrast], alpha: float) -> list[Row]:
    """Rows of Huber's M-estimates, which give outlying residuals less weight."""
    import statsmodels.api as sm

    name = "robust: Huber"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = sm.RLM(fit.sample.value, fit.design, M=sm.robust.norms.HuberT()).fit()
        except (np.linalg.LinAlgError, ValueError, ZeroDivisionError) as error:
            why = f"Huber's estimates failed ({error})"
            return refused_rows(fit.sample, contrasts, ANALYSIS, name, False, why)
    notes = (*fit.notes, *dict.fromkeys(f"statsmodels: {item.message}" for item in caught))
    option = ", M=HuberT()).fit(), t with residual df"
    caution = dyad_caution(fit.sample.dyads)
    errors = Errors(name, np.asarray(result.cov_params()), None, fit.df, option, caution)
    rows = rows_of(replace(fit, result=result, notes=notes), errors, contrasts, alpha, False)
    return [{**row, "model": f"rlm({fit.formula!r}{option}"} for row in rows]


def rows_of(
    fit: Fit,
    errors: Errors,
    contrasts: Sequence[Contrast],
    alpha: float,
    primary: bool,
) -> list[Row]:
    """Omnibus test, covariates, adjusted means and contrasts of a fit with one kind of errors."""
    sample = fit.sample
    same = {
        **facts(sample),
        "analysis": ANALYSIS,
        "errors": errors.name,
        "primary": primary,
        "model": f"ols({fit.formula!r}){errors.option}",
        "note": note_of(sample, *fit.notes, errors.note),
    }
    rows = [_omnibus(fit, errors, same)]
    rows += _covariates(fit, errors, same, alpha)
    rows += _adjusted_means(fit, errors, same, alpha)
    return rows + _contrasts(fit, errors, same, contrasts, alpha)


def _omnibus(fit: Fit, errors: Errors, same: Row) -> Row:
    """The test of all conditions."""
    test = errors.test(fit.params, fit.block("condition"))
    return {
        **same,
        "kind": "omnibus",
        "term": "condition",
        "df1": test.df1,
        "df2": test.df2,
        "statistic": test.statistic,
        "statistic_name": "F",
        "p": test.p,
        "partial_eta2": _partial_eta2(fit, "condition"),
    }


def _partial_eta2(fit: Fit, term: str) -> float:
    """Share of what a term explains in what the others leave, from sums of squares (type II)."""
    combinations = fit.block(term)
    values = combinations @ fit.params
    inverse = np.linalg.inv(fit.design.T @ fit.design)
    explained = float(values @ np.linalg.solve(combinations @ inverse @ combinations.T, values))
    return explained / (explained + float(getattr(fit.result, "ssr", np.nan)))


def _covariates(fit: Fit, errors: Errors, same: Row, alpha: float) -> list[Row]:
    """Coefficients of baseline and covariates."""
    first = 1 + len(fit.terms["condition"])
    if first == fit.design.shape[1]:
        return []
    rows = np.eye(fit.design.shape[1])[first:]
    found = errors.estimates(fit.params, rows, alpha)
    return [
        {**same, "kind": "covariate", "term": label, **_t(found, i)}
        for i, label in enumerate(fit.labels)
    ]


def _t(found: Estimates, i: int) -> Row:
    """One estimate as columns of the table."""
    return {
        "estimate": found.estimate[i],
        "se": found.se[i],
        "df2": found.df[i],
        "statistic": found.statistic[i],
        "statistic_name": "t",
        "p": found.p[i],
        "ci_low": found.low[i],
        "ci_high": found.high[i],
    }


def _adjusted_means(fit: Fit, errors: Errors, same: Row, alpha: float) -> list[Row]:
    """Mean of every condition at the sample's mean baseline and covariates."""
    names = fit.sample.conditions
    found = errors.estimates(fit.params, np.array([fit.mean_of(name) for name in names]), alpha)
    blank = {"statistic": np.nan, "statistic_name": "", "p": np.nan}
    return [
        {**same, "kind": "adjusted mean", "term": name, **_t(found, i), **blank}
        for i, name in enumerate(names)
    ]


def _contrasts(
    fit: Fit, errors: Errors, same: Row, contrasts: Sequence[Contrast], alpha: float
) -> list[Row]:
    """The planned contrasts; one that cannot be tested says why."""
    usable = [item for item in contrasts if not fit.sample.lacking(item)]
    rows = {}
    if usable:
        combinations = np.array([fit.mean_of(c.first) - fit.mean_of(c.second) for c in usable])
        found = errors.estimates(fit.params, combinations, alpha)
        for i, contrast in enumerate(usable):
            size = effect_size(fit.sample, contrast, found, i, alpha)
            rows[contrast.term] = {**same, "kind": "contrast", **_t(found, i), **size_columns(size)}
    return [
        {**rows[item.term], "term": item.term}
        if item.term in rows
        else refused_contrast(same, item, fit.sample.lacking(item))
        for item in contrasts
    ]


def effect_size(
    sample: Sample, contrast: Contrast, found: Estimates, i: int, alpha: float
) -> EffectSize:
    """An adjusted difference in standard deviations of change."""
    delta = sample.delta
    first, second = delta[sample.members(contrast.first)], delta[sample.members(contrast.second)]
    return standardized(
        float(found.estimate[i]), float(found.se[i]), first, second, alpha, float(found.df[i])
    )


def size_columns(size: EffectSize) -> Row:
    """An effect size as columns of the table."""
    return {"hedges_g": size.g, "g_low": size.low, "g_high": size.high}


def refused_contrast(same: Row, contrast: Contrast, why: str) -> Row:
    """A contrast that cannot be tested, and why."""
    note = "; ".join(filter(None, [f"not tested: {why}", same.get("note", "")]))
    return {**same, "kind": "contrast", "term": contrast.term, "statistic_name": "t", "note": note}


def refused_rows(
    sample: Sample,
    contrasts: Sequence[Contrast],
    analysis: str,
    errors: str,
    primary: bool,
    why: str,
    omnibus: str = "condition",
) -> list[Row]:
    """The rows of an analysis that could not be done, and why."""
    same = {
        **facts(sample),
        "analysis": analysis,
        "errors": errors,
        "primary": primary,
        "note": note_of(sample),
    }
    note = "; ".join(filter(None, [f"not tested: {why}", same["note"]]))
    first = {**same, "kind": "omnibus", "term": omnibus, "statistic_name": "F", "note": note}
    return [first] + [
        refused_contrast(same, item, sample.lacking(item) or why) for item in contrasts
    ]
