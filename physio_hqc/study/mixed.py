"""Mixed model of condition by phase over the readings, with classical and robust errors.

Both rows are the same estimate, by restricted maximum likelihood: people who lack a phase stay in
with what they have, which is right where missing is at random given what is in the model
(condition, covariates, the readings that are there). Robust errors come from a sandwich by
participant. Equations on whoever has a phase would compare other people at baseline than in it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ._design import Contrast, Design, Sample, dyad_caution, has_dyads, lacking
from ._effect_size import NO_EFFECT_SIZE, standardized
from ._inference import combine, f_test
from ._readings import Readings, readings_of_courses, readings_of_sample
from ._sandwich import sandwich, satterthwaite
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
    """Coefficients of a model of condition by phase, and how they are tested.

    ``levels`` (m, m) is the covariance of the people's levels in the phases, ``residual`` the
    variance of a reading around them; ``fewer`` what dyads take from the degrees of freedom;
    ``rows`` says what the formula is fitted to. Robust errors keep the ``influence`` of every
    cluster (clusters, p) and its condition, ``strata``.
    """

    readings: Readings
    errors: str
    params: Array
    cov: Array
    model: str
    notes: tuple[str, ...]
    levels: Array | None = None
    residual: float = np.nan
    fewer: dict[int, int] | None = None
    rows: str = ""
    influence: Array | None = None
    strata: NDArray[np.intp] | None = None

    def df_of(self, combinations: Array, phase: int) -> Array:
        """Degrees of freedom of combinations (k, p): Satterthwaite's where errors are robust."""
        most = self.df(phase)
        if self.influence is None or self.strata is None:
            return np.full(len(combinations), most)
        own = [satterthwaite(self.influence, row, self.strata) for row in combinations]
        return np.minimum(own, most)

    def df(self, phase: int | None = None) -> float:
        """Between-person degrees of freedom; of whoever has a phase, of all for none."""
        fewer = self.fewer or {}
        return _df(self.readings, phase) - fewer.get(-1 if phase is None else phase, 0)

    def formula(self, df: float) -> str:
        """Formula text with its degrees of freedom."""
        degrees = f"{df:g}" if self.influence is None else "Satterthwaite"
        return f"{self.model}, t with {degrees} df; rows: {self.rows}"

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


def _df(readings: Readings, phase: int | None = None) -> float:
    """Between-person degrees of freedom: persons (with a phase), conditions and covariates."""
    covariates = sum(item.columns.shape[1] for item in readings.covariates)
    n = readings.n if phase is None else int(readings.present()[:, phase].sum())
    return float(n - len(readings.conditions) - covariates)


def fit_mixed(readings: Readings) -> MixedFit | str:
    """Restricted maximum likelihood fit, or why there is none.

    Several readings per participant and phase: every participant has a level of their own in every
    phase (unstructured). One value per phase: a random intercept, for baseline and one phase.
    """
    from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams

    design = design_matrix(readings)
    why = _cannot(readings, design)
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
    levels = scale**2 * np.atleast_2d(np.asarray(result.cov_re, dtype=np.float64))
    return MixedFit(
        readings=readings,
        errors="classical",
        params=coefficients,
        cov=scale**2 * np.asarray(result.cov_params(), dtype=np.float64)[:p, :p],
        model=f"mixedlm({_formula(readings)!r}, groups=participant, re_formula={random!r})"
        ".fit(reml=True)",
        notes=_said(caught),
        levels=levels if by_phase else np.full((m, m), levels[0, 0]),
        residual=scale**2 * float(result.scale),
        rows=readings.source,
    )


def _cannot(readings: Readings, design: Array) -> str:
    """Why no model of these readings can be fitted."""
    if min(_df(readings, phase) for phase in range(len(readings.phases))) < 1:
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


def with_sandwich(fit: MixedFit) -> MixedFit | str:
    """The same estimate with errors that are robust by participant, or by dyad."""
    if fit.levels is None:
        return "there is no covariance of the participants' levels"
    readings = fit.readings.means()
    counts = fit.readings.per_cell()[readings.person, readings.phase]
    groups, who, fewer = _clusters(readings)
    if _fewest(readings, fewer) < 1:
        return f"{int(groups.max()) + 1} dyads are too few for this model"
    design = design_matrix(readings)
    try:
        influence = sandwich(
            design,
            readings.value - design @ fit.params,
            readings.person,
            readings.phase,
            between=fit.levels,
            within=fit.residual / counts,
            groups=groups,
        )
    except np.linalg.LinAlgError as error:
        return f"the sandwich failed ({error})"
    if influence is None or not np.isfinite(influence).all():
        return f"a coefficient rests on a single {who}: no robust error"
    notes = fit.notes if not fewer else (*fit.notes, "errors allow for likeness within dyads")
    return replace(
        fit,
        errors="robust",
        cov=influence.T @ influence,
        model=f"{fit.model}, sandwich by {who} (CR2)",
        notes=notes,
        fewer=fewer,
        influence=influence,
        strata=_strata(readings, groups),
    )


def _strata(readings: Readings, groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """Condition of every cluster; a dyad with members in two is a stratum of its own kind."""
    of = np.zeros((int(groups.max()) + 1, len(readings.conditions)), dtype=np.intp)
    np.maximum.at(of, (groups, readings.codes), 1)
    return np.asarray(np.unique(of, axis=0, return_inverse=True)[1], dtype=np.intp).ravel()


def _clusters(readings: Readings) -> tuple[NDArray[np.intp], str, dict[int, int]]:
    """Cluster of every person, its name, and persons beyond the first of a dyad (by phase)."""
    dyads = readings.dyads
    if dyads is None or not has_dyads(dyads):
        return np.arange(readings.n), "participant", {}
    groups = np.unique(dyads, return_inverse=True)[1].astype(np.intp)
    present = readings.present()
    fewer = {-1: readings.n - len(np.unique(groups))}
    for phase in range(len(readings.phases)):
        there = groups[present[:, phase]]
        fewer[phase] = len(there) - len(np.unique(there))
    return groups, "dyad", fewer


def _fewest(readings: Readings, fewer: Mapping[int, int]) -> float:
    """Smallest degrees of freedom of any phase."""
    phases = range(len(readings.phases))
    return min(_df(readings, phase) - fewer.get(phase, 0) for phase in phases)


def fit_gee(readings: Readings) -> MixedFit | str:
    """Generalized estimating equations on two complete values: independence, bias-reduced errors.

    Only for people who have both values, where it is the difference of their mean changes.
    """
    import statsmodels.api as sm

    readings = readings.means()
    design = design_matrix(readings)
    groups, who, fewer = _clusters(readings)
    why = _cannot(readings, design)
    if not why and _fewest(readings, fewer) < 1:
        why = f"{int(groups.max()) + 1} dyads are too few for this model"
    if why:
        return why
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = sm.GEE(readings.value, design, groups=groups[readings.person]).fit(
                cov_type="bias_reduced"
            )
        except (np.linalg.LinAlgError, ValueError) as error:
            return f"the fit failed ({error})"
    cov = np.asarray(result.cov_params(), dtype=np.float64)
    if not np.isfinite(cov).all():
        return "it has no standard errors"
    notes = ("errors allow for likeness within dyads",) if fewer else ()
    return MixedFit(
        readings=readings,
        errors="robust",
        params=np.asarray(result.params, dtype=np.float64),
        cov=cov,
        model=f"gee({_formula(readings)!r}, groups={who}, cov_struct=Independence())"
        ".fit(cov_type='bias_reduced')",
        notes=(*notes, *_said(caught)),
        fewer=fewer,
        rows=f"{readings.source}, mean per participant and phase",
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
    """Rows of the mixed model with classical and with robust errors.

    Over the readings of all phases at once where courses carry them; else, and where that model
    does not converge, over baseline and value of one window at a time.
    """
    readings = readings_of_courses(design, courses, outcome)
    found = readings if isinstance(readings, str) else fit_mixed(readings)
    if isinstance(found, MixedFit):
        return _both(found, samples, design.contrasts, errors, alpha)
    rows: list[Row] = []
    for sample in samples.values():
        rows += _window_rows(sample, design, errors, alpha, f"one value per phase: {found}")
    return sorted(rows, key=lambda row: row["errors"] != "classical")


def _both(
    fit: MixedFit,
    samples: Mapping[str, Sample],
    contrasts: Sequence[Contrast],
    errors: str,
    alpha: float,
) -> list[Row]:
    """Rows of a fit with classical errors, and with robust ones."""
    caution = dyad_caution(fit.readings.dyads)
    plain = replace(fit, notes=(*fit.notes, caution))
    rows = _rows(plain, samples, contrasts, errors == "classical", alpha)
    robust = with_sandwich(fit)
    if isinstance(robust, MixedFit):
        return rows + _rows(robust, samples, contrasts, errors == "robust", alpha)
    for sample in samples.values():
        rows += _refused(sample, contrasts, "robust", errors == "robust", robust)
    return rows


def _window_rows(
    sample: Sample, design: Design, errors: str, alpha: float, reason: str
) -> list[Row]:
    """Rows of one window, from one value per phase of whoever has both."""
    contrasts = design.contrasts
    if len(sample.conditions) < 2:
        why = joined("fewer than two conditions have two participants", reason)
        return [
            row
            for name in ("classical", "robust")
            for row in _refused(sample, contrasts, name, name == errors, why)
        ]
    readings = readings_of_sample(sample)
    found = fit_mixed(readings)
    if isinstance(found, MixedFit):
        found = replace(found, notes=(reason, *found.notes))
        return _both(found, {sample.window: sample}, contrasts, errors, alpha)
    rows = _refused(sample, contrasts, "classical", errors == "classical", joined(found, reason))
    robust = fit_gee(readings)
    if isinstance(robust, str):
        why = joined(robust, reason)
        return rows + _refused(sample, contrasts, "robust", errors == "robust", why)
    only = f"no mixed model ({found}): people with baseline and {sample.window} only"
    robust = replace(robust, notes=(only, reason, *robust.notes))
    return rows + _rows(robust, {sample.window: sample}, contrasts, errors == "robust", alpha)


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
        "model": fit.formula(_smallest_df(fit)),
        "note": joined(fit.notes, readings.notes),
    }
    rows = [_omnibus(fit, same)]
    for phase, window in enumerate(readings.phases[1:], start=1):
        here = {**same, "window": window, **_there(fit, phase)}
        rows += _changes(fit, phase, here, alpha)
        rows += [_contrast(fit, phase, item, samples[window], here, alpha) for item in contrasts]
    return rows


def _smallest_df(fit: MixedFit) -> float:
    """Degrees of freedom of the phase that the fewest people have."""
    return min(fit.df(phase) for phase in range(1, len(fit.readings.phases)))


def _there(fit: MixedFit, phase: int) -> Row:
    """Who has a phase, what it rests on, and who is in the model without it."""
    readings = fit.readings
    counts = readings.counts_in(phase)
    absent = {name: readings.counts[name] - counts[name] for name in readings.conditions}
    n = sum(counts[name] for name in readings.conditions)
    note = ""
    if n < readings.n:
        who = ", ".join(f"{name} {count}" for name, count in absent.items() if count)
        note = (
            f"{readings.n - n} without {readings.phases[phase]} stay in the model by the phases "
            f"they have ({who})"
        )
    return {
        "n": n,
        "n_by_condition": ", ".join(f"{name} {count}" for name, count in counts.items()),
        "model": fit.formula(fit.df(phase)),
        "note": joined(fit.notes, readings.notes_in(phase), note, readings.notes),
    }


def _omnibus(fit: MixedFit, same: Row) -> Row:
    """Wald F test of condition by phase."""
    k, m = len(fit.readings.conditions), len(fit.readings.phases)
    first = k + m - 1
    block = np.eye(len(fit.params))[first : first + (k - 1) * (m - 1)]
    test = f_test(fit.params, fit.cov, block, _smallest_df(fit))
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
    df = fit.df_of(combinations, phase)
    found = combine(fit.params, fit.cov, combinations, df, alpha)
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
    df = fit.df_of(combination[None, :], phase)
    found = combine(fit.params, fit.cov, combination[None, :], df, alpha)
    size = NO_EFFECT_SIZE
    if not sample.lacking(contrast):
        first, second = (sample.delta[sample.members(n)] for n in (contrast.first, contrast.second))
        size = standardized(
            float(found.estimate[0]), float(found.se[0]), first, second, alpha, float(df[0])
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
