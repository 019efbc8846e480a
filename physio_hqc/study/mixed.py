"""Mixed model of condition by phase over the readings, and its robust counterpart."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ._design import Contrast, Design, Sample, lacking
from ._effect_size import NO_EFFECT_SIZE, standardized
from ._inference import combine, f_test
from ._readings import Readings, readings_of_courses, readings_of_sample
from ._tables import Row, joined
from .ancova import refused_contrast, refused_rows, size_columns

Array = NDArray[np.float64]

ANALYSIS = "mixed model"
OMNIBUS = "condition x phase"
# Below this share of the residual variance statsmodels' fixed effects are no longer dependable.
_SINGULAR = 1e-7
_BY_PHASE, _INTERCEPT = "0 + C(phase)", "1"


@dataclass(frozen=True, eq=False)
class MixedFit:
    """Coefficients of a model of condition by phase, and how they are tested."""

    readings: Readings
    errors: str
    params: Array
    cov: Array
    df: float
    model: str
    notes: tuple[str, ...]

    def interaction(self, condition: str, phase: int) -> Array:
        """Combination that is the change of a condition beyond that of the first one (p,)."""
        row = np.zeros(len(self.params))
        code = self.readings.conditions.index(condition)
        if code:
            row[_interaction_column(self.readings, code, phase)] = 1
        return row

    def change(self, condition: str, phase: int) -> Array:
        """Combination that is the change of a condition from baseline to a phase (p,)."""
        row = self.interaction(condition, phase)
        row[len(self.readings.conditions) + phase - 1] = 1
        return row


def _interaction_column(readings: Readings, code: int, phase: int) -> int:
    """Column of a condition by phase coefficient."""
    k, m = len(readings.conditions), len(readings.phases)
    return k + (m - 1) + (phase - 1) * (k - 1) + (code - 1)


def design_matrix(readings: Readings) -> Array:
    """Columns of ``C(condition) * C(phase)`` and the covariates (rows, p)."""
    conditions = np.eye(len(readings.conditions))[readings.codes[readings.person]][:, 1:]
    phases = np.eye(len(readings.phases))[readings.phase][:, 1:]
    both = (phases[:, :, None] * conditions[:, None, :]).reshape(len(phases), -1)
    covariates = [item.columns[readings.person] for item in readings.covariates]
    return np.column_stack([np.ones(len(phases)), conditions, phases, both, *covariates])


def _formula(readings: Readings) -> str:
    """The fixed part as a formula."""
    terms = ["C(condition) * C(phase, Treatment('baseline'))"]
    return "value ~ " + " + ".join([*terms, *(item.formula for item in readings.covariates)])


def _df(readings: Readings) -> float:
    """Between-person degrees of freedom: persons, conditions and covariates."""
    covariates = sum(item.columns.shape[1] for item in readings.covariates)
    return float(readings.n - len(readings.conditions) - covariates)


def fit_mixed(readings: Readings) -> MixedFit | str:
    """Restricted maximum likelihood fit, or why there is none.

    Several readings per participant and phase: every participant has a level of their own in every
    phase (unstructured). One value per phase: a random intercept, for baseline and one phase.
    """
    from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams

    design, df = design_matrix(readings), _df(readings)
    why = _cannot(readings, design, df)
    if why:
        return why
    by_phase = bool((readings.per_cell() > 1).any())
    m = len(readings.phases)
    effects = np.eye(m)[readings.phase] if by_phase else np.ones((len(readings.value), 1))
    scale = float(readings.value.std())
    value = (readings.value - readings.value.mean()) / scale
    start_cov, residual = _start(replace(readings, value=value), by_phase)
    params = MixedLMParams.from_components(
        fe_params=np.linalg.lstsq(design, value, rcond=None)[0], cov_re=start_cov / residual
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = MixedLM(value, design, groups=readings.person, exog_re=effects)
            result = model.fit(reml=True, method=["lbfgs", "bfgs"], start_params=params)
        except (np.linalg.LinAlgError, ValueError) as error:
            return f"the fit failed ({error})"
    why = _unusable(result, caught)
    if why:
        return why
    p = design.shape[1]
    coefficients = scale * np.asarray(result.fe_params, dtype=np.float64)
    coefficients[0] += readings.value.mean()
    random = _BY_PHASE if by_phase else _INTERCEPT
    return MixedFit(
        readings=readings,
        errors="classical",
        params=coefficients,
        cov=scale**2 * np.asarray(result.cov_params(), dtype=np.float64)[:p, :p],
        df=df,
        model=f"mixedlm({_formula(readings)!r}, groups=participant, re_formula={random!r})"
        f".fit(reml=True), t with {df:g} df; rows: {readings.source}",
        notes=_said(caught),
    )


def _cannot(readings: Readings, design: Array, df: float) -> str:
    """Why no model of these readings can be fitted."""
    if df < 1:
        return f"{readings.n} participants are too few for this model"
    if np.ptp(readings.value) == 0:
        return "every reading is the same"
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return "a covariate is a combination of the other terms"
    return ""


def _start(readings: Readings, by_phase: bool) -> tuple[Array, float]:
    """Moment estimates of the random effects' covariance and the residual variance."""
    means, counts = readings.means(), readings.per_cell()
    m = len(readings.phases)
    levels = np.full((readings.n, m), np.nan)
    levels[means.person, means.phase] = means.value
    for code in range(len(readings.conditions)):
        rows = readings.codes == code
        levels[rows] -= np.nanmean(levels[rows], axis=0)
    if not by_phase:
        cov = np.cov(levels[np.isfinite(levels).all(axis=1)], rowvar=False)
        between = max(float(cov[0, 1]), 0.05 * float(np.trace(cov)) / 2)
        return np.array([[between]]), max(float(np.trace(cov)) / 2 - between, 1e-4)
    within = readings.value - means.value[_cell_of(readings, means)]
    residual = max(float((within**2).sum()) / max(len(within) - len(means.value), 1), 1e-6)
    noise = residual * np.diag(
        (1 / np.where(counts > 0, counts, np.nan)).T.mean(axis=1, where=counts.T > 0)
    )
    cov = np.asarray(pd.DataFrame(levels).cov(), dtype=np.float64) - noise
    values, vectors = np.linalg.eigh(np.where(np.isfinite(cov), cov, 0.0))
    floor = 0.02 * max(float(values.max()), residual)
    return vectors @ np.diag(np.maximum(values, floor)) @ vectors.T, residual


def _cell_of(readings: Readings, means: Readings) -> NDArray[np.intp]:
    """Position of every reading's participant and phase among the phase means."""
    m = len(readings.phases)
    found: NDArray[np.intp] = np.searchsorted(
        means.person * m + means.phase, readings.person * m + readings.phase
    )
    return found


def _unusable(result: Any, caught: Sequence[warnings.WarningMessage]) -> str:
    """Why a fit is not used: it did not converge, or its covariance collapsed."""
    if not result.converged:
        return "the fit did not converge"
    if any("not positive definite" in str(item.message) for item in caught):
        return "the likelihood has no clear maximum (its Hessian is not positive definite)"
    spread = np.linalg.eigvalsh(np.atleast_2d(result.cov_re)) / float(result.scale)
    if not np.isfinite(spread).all() or spread.min() < _SINGULAR:
        return "the covariance of the random effects is singular"
    errors = np.asarray(result.bse_fe, dtype=np.float64)
    return "" if np.isfinite(errors).all() and (errors > 0).all() else "it has no standard errors"


def _said(caught: Sequence[warnings.WarningMessage]) -> tuple[str, ...]:
    """What statsmodels warned of."""
    return tuple(dict.fromkeys(f"statsmodels: {item.message}" for item in caught))


def fit_gee(readings: Readings) -> MixedFit | str:
    """Generalized estimating equations on phase means: independence, bias-reduced errors."""
    import statsmodels.api as sm

    readings = readings.means()
    design = design_matrix(readings)
    groups, df, who = readings.person, _df(readings), "participant"
    dyads = readings.dyads
    notes: tuple[str, ...] = ()
    if dyads is not None and len(np.unique(dyads)) < len(dyads):
        codes = np.unique(dyads, return_inverse=True)[1]
        groups, who = codes[readings.person], "dyad"
        df -= readings.n - (int(codes.max()) + 1)
        notes = ("errors allow for likeness within dyads",)
    why = _cannot(readings, design, df)
    if why:
        return why
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = sm.GEE(readings.value, design, groups=groups).fit(cov_type="bias_reduced")
        except (np.linalg.LinAlgError, ValueError) as error:
            return f"the fit failed ({error})"
    cov = np.asarray(result.cov_params(), dtype=np.float64)
    if not np.isfinite(cov).all():
        return "it has no standard errors"
    return MixedFit(
        readings=readings,
        errors="robust",
        params=np.asarray(result.params, dtype=np.float64),
        cov=cov,
        df=df,
        model=f"gee({_formula(readings)!r}, groups={who}, cov_struct=Independence())"
        f".fit(cov_type='bias_reduced'), t with {df:g} df; rows: {readings.source}, "
        "mean per participant and phase",
        notes=(*notes, *_said(caught)),
    )


def mixed_rows(
    design: Design,
    courses: pd.DataFrame | None,
    outcome: str,
    samples: Mapping[str, Sample],
    *,
    errors: str = "robust",
    alpha: float = 0.05,
) -> list[Row]:
    """Rows of the mixed model and its robust counterpart.

    Over the readings of all phases at once where courses carry them; else, and where that model
    does not converge, over baseline and value of one window at a time.
    """
    readings = readings_of_courses(design, courses, outcome)
    rows: list[Row] = []
    for name, fit in (("classical", fit_mixed), ("robust", fit_gee)):
        found = readings if isinstance(readings, str) else fit(readings)
        if isinstance(found, MixedFit):
            rows += _rows(found, samples, design.contrasts, name == errors, alpha)
            continue
        reason = f"one value per phase: {found}"
        for sample in samples.values():
            rows += _window_rows(sample, fit, name, design, errors, alpha, reason)
    return rows


def _window_rows(
    sample: Sample,
    fit: Callable[[Readings], MixedFit | str],
    name: str,
    design: Design,
    errors: str,
    alpha: float,
    reason: str,
) -> list[Row]:
    """Rows of one window, from one value per phase."""
    found: MixedFit | str = "fewer than two conditions have two participants"
    if len(sample.conditions) >= 2:
        found = fit(readings_of_sample(sample))
    if isinstance(found, MixedFit):
        found = replace(found, notes=(reason, *found.notes))
        return _rows(found, {sample.window: sample}, design.contrasts, name == errors, alpha)
    return _refused(sample, design.contrasts, name, name == errors, joined(found, reason))


def _refused(
    sample: Sample, contrasts: Sequence[Contrast], errors: str, primary: bool, why: str
) -> list[Row]:
    """Rows of a model that could not be fitted."""
    return refused_rows(sample, contrasts, ANALYSIS, errors, primary, why, OMNIBUS)


def _rows(
    fit: MixedFit,
    samples: Mapping[str, Sample],
    contrasts: Sequence[Contrast],
    primary: bool,
    alpha: float,
) -> list[Row]:
    """Omnibus test, change per condition, and contrasts of a fit."""
    readings = fit.readings
    first = next(iter(samples.values()))
    unit = next((item.unit for item in samples.values() if item.unit), "")
    same = {
        "outcome": f"ln {first.outcome}" if first.log else first.outcome,
        "unit": unit,
        "window": ", ".join(readings.phases[1:]),
        "analysis": ANALYSIS,
        "errors": fit.errors,
        "primary": primary,
        "n": readings.n,
        "n_by_condition": readings.n_by_condition,
        "model": fit.model,
        "note": joined(fit.notes, readings.notes),
    }
    rows = [_omnibus(fit, same)]
    for phase, window in enumerate(readings.phases[1:], start=1):
        rows += _changes(fit, phase, {**same, "window": window}, alpha)
        rows += [
            _contrast(fit, phase, item, samples[window], {**same, "window": window}, alpha)
            for item in contrasts
        ]
    return rows


def _omnibus(fit: MixedFit, same: Row) -> Row:
    """Wald F test of condition by phase."""
    k, m = len(fit.readings.conditions), len(fit.readings.phases)
    first = k + m - 1
    block = np.eye(len(fit.params))[first : first + (k - 1) * (m - 1)]
    test = f_test(fit.params, fit.cov, block, fit.df)
    return {
        **same,
        "kind": "omnibus",
        "term": OMNIBUS,
        "df1": test.df1,
        "df2": test.df2,
        "statistic": test.statistic,
        "statistic_name": "F",
        "p": test.p,
    }


def _changes(fit: MixedFit, phase: int, same: Row, alpha: float) -> list[Row]:
    """Change from baseline of every condition."""
    names = fit.readings.conditions
    combinations = np.array([fit.change(name, phase) for name in names])
    found = combine(fit.params, fit.cov, combinations, fit.df, alpha)
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
        for i, name in enumerate(names)
    ]


def _contrast(
    fit: MixedFit, phase: int, contrast: Contrast, sample: Sample, same: Row, alpha: float
) -> Row:
    """Difference of two conditions in their change from baseline."""
    why = lacking(contrast, fit.readings.conditions, fit.readings.counts)
    if why:
        return refused_contrast(same, contrast, why)
    combination = fit.interaction(contrast.first, phase) - fit.interaction(contrast.second, phase)
    found = combine(fit.params, fit.cov, combination[None, :], fit.df, alpha)
    size = NO_EFFECT_SIZE
    if not sample.lacking(contrast):
        first, second = (sample.delta[sample.members(n)] for n in (contrast.first, contrast.second))
        size = standardized(
            float(found.estimate[0]), float(found.se[0]), first, second, alpha, fit.df
        )
    return {
        **same,
        "kind": "contrast",
        "term": contrast.term,
        "estimate": found.estimate[0],
        "se": found.se[0],
        "df2": found.df[0],
        "statistic": found.statistic[0],
        "statistic_name": "t",
        "p": found.p[0],
        "ci_low": found.low[0],
        "ci_high": found.high[0],
        **size_columns(size),
    }
