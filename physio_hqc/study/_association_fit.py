"""Fit one regression of reactivity on a rating: mixed model, or least squares over persons."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

WITHIN, BETWEEN = "rating_within", "rating_between"

_ZERO_VARIANCE = 1e-6
"""Ratio to the residual variance below which a random effect counts as absent. Below 1e-10
statsmodels puts zeros for its inverse, and effects that are constant in a group come out as 0
(statsmodels issue 10239), so that such a fit is repeated without the random effect."""

_TRIED_RATIOS = tuple(np.geomspace(1e-4, 1e3, 43))
_WITHOUT = "flag: variance between {}s is estimated as 0, fitted without it"
_NEAR_ZERO = 0.05
"""Ratio below which a second optimizer is asked."""

_ONE_LEVERAGE = 1 - 1e-9


@dataclass(frozen=True)
class Design:
    """What a model is fitted to.

    Attributes
    ----------
    y : ndarray, shape (n,)
        Outcome.
    columns : DataFrame
        One numeric column per predictor, without the intercept.
    person, dyad : ndarray, shape (n,)
        Labels; `dyad` is None where persons do not come in twos.
    """

    y: NDArray[np.float64]
    columns: pd.DataFrame
    person: NDArray[np.object_]
    dyad: NDArray[np.object_] | None = None


@dataclass(frozen=True)
class Fit:
    """Estimates, standard errors and degrees of freedom by column, with what there is to say."""

    estimate: dict[str, float]
    se: dict[str, float]
    df: dict[str, float]
    notes: list[str] = field(default_factory=list)
    left_out: tuple[str, ...] = ()


def independent_columns(
    columns: pd.DataFrame, first: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Columns without those that repeat the others and the intercept; `first` are judged last.

    Parameters
    ----------
    columns : DataFrame
        Numeric predictors.
    first : sequence of str
        Columns that go when covariates explain them completely.

    Returns
    -------
    DataFrame
        Columns that are left, in their order.
    list of str
        Names of the others.
    """
    if columns.empty:
        return columns.iloc[:, :0], []
    order = [name for name in columns if name not in first]
    order += [name for name in columns if name in first]
    basis = np.ones((len(columns), 1)) / np.sqrt(max(len(columns), 1))
    kept: list[str] = []
    for name in order:
        column = columns[name].to_numpy(np.float64)
        centered = column - column.mean()
        rest = centered - basis @ (basis.T @ centered)
        rest -= basis @ (basis.T @ rest)
        size = float(np.linalg.norm(rest))
        if size > 1e-7 * max(float(np.linalg.norm(centered)), 1e-12 * len(column)) and size > 1e-12:
            basis = np.column_stack([basis, rest / size])
            kept.append(name)
    names = [name for name in columns if name in kept]
    return columns[names], [name for name in columns if name not in kept]


def between_within_df(design: Design) -> dict[str, float]:
    """Degrees of freedom of every column by the level at which it varies.

    A column that varies within persons has ``n - persons - columns of that level``, one that
    varies between persons only ``persons - columns of that level - 1`` (the intercept); with
    dyads the levels are three, and a column that varies within dyads has
    ``persons - dyads - columns of that level`` (Pinheiro & Bates 2000, section 2.4.2).

    Parameters
    ----------
    design : Design
        Predictors and groups.

    Returns
    -------
    dict of str to float
    """
    groups = [design.person] if design.dyad is None else [design.person, design.dyad]
    counts = [len(design.y), *(len(set(group)) for group in groups)]
    level = {name: _level(design.columns[name], groups) for name in design.columns}
    size = {n: sum(found == n for found in level.values()) for n in range(len(counts))}
    top = len(counts) - 1
    return {
        name: float(counts[n] - (counts[n + 1] if n < top else 1) - size[n])
        for name, n in level.items()
    }


def fit_mixed(design: Design) -> Fit:
    """REML fit with a random intercept per person (and per dyad).

    Parameters
    ----------
    design : Design
        Independent predictors.

    Returns
    -------
    Fit
        NaN estimates with a note where no fit was found.
    """
    frame, scales = _scaled(design)
    notes: list[str] = []
    parts: tuple[str, ...] = ("person",) if design.dyad is None else ("dyad", "person")
    if len(parts) == 1 and _best_without(frame, parts[0]):
        notes.append(_WITHOUT.format("participant"))
        parts = ()
    while parts:
        result = _reml(frame, parts, notes)
        if result is None:
            nothing = dict.fromkeys(design.columns, float("nan"))
            return Fit(nothing, nothing, between_within_df(design), notes)
        absent = [name for name, ratio in _ratios(result, parts).items() if ratio < _ZERO_VARIANCE]
        if not absent:
            break
        label = "participant" if absent[-1] == "person" else absent[-1]
        notes.append(_WITHOUT.format(label))
        parts = tuple(name for name in parts if name != absent[-1])
    if not parts:
        result = _least_squares(frame)
    errors = result.bse.to_dict()
    if parts and not np.isfinite([errors[f"x{i}"] for i in range(len(scales))]).all():
        # The Hessian of the variances is not definite: they are taken as given instead.
        errors = _errors_given_variances(frame, _ratios(result, parts), float(result.scale))
    return _unscaled(design, result.params, errors, scales, notes)


def fit_persons(design: Design) -> Fit:
    """Least squares over persons with HC3 standard errors; persons with leverage 1 are left out.

    Where dyads have both members, errors allow for their likeness (bias-reduced, by dyad), with
    dyads instead of persons in the degrees of freedom.

    Parameters
    ----------
    design : Design
        One row per person.

    Returns
    -------
    Fit
    """
    notes: list[str] = []
    exog = np.column_stack([np.ones(len(design.y)), design.columns.to_numpy(np.float64)])
    leverage = np.einsum("ij,ij->i", exog @ np.linalg.pinv(exog.T @ exog), exog)
    alone = leverage > _ONE_LEVERAGE
    left_out = tuple(str(name) for name in design.person[alone])
    if left_out:
        notes.append(f"flag: alone in a cell, left out: {', '.join(left_out)}")
        columns = design.columns[~alone]
        columns, _ = independent_columns(columns, (WITHIN, BETWEEN))
        dyad = None if design.dyad is None else design.dyad[~alone]
        design = Design(design.y[~alone], columns, design.person[~alone], dyad)
    frame, scales = _scaled(design)
    result = _least_squares(frame, "HC3") if design.dyad is None else _by_dyad(frame)
    fit = _unscaled(design, result.params, result.bse.to_dict(), scales, notes)
    df = float(frame["dyad"].nunique() - design.columns.shape[1] - 1)
    return Fit(fit.estimate, fit.se, dict.fromkeys(design.columns, df), notes, left_out)


def _by_dyad(frame: pd.DataFrame) -> Any:
    """Least squares whose errors allow for likeness within dyads, corrected for few of them."""
    from statsmodels.genmod.generalized_estimating_equations import GEE

    model = GEE.from_formula(_formula(frame), "dyad", data=frame)
    return model.fit(cov_type="bias_reduced")


def _level(column: pd.Series, groups: list[NDArray[np.object_]]) -> int:
    """0: varies within the first groups, 1: varies between them only, and so on."""
    level = 0
    for group in groups:
        spread = column.groupby(group).agg(np.ptp)
        if float(spread.max()) > 1e-9 * max(float(column.abs().max()), 1e-300):
            break
        level += 1
    return level


def _scaled(design: Design) -> tuple[pd.DataFrame, dict[str, float]]:
    """Frame y, x0, x1, ... with spread 1, and the scale of each predictor's coefficient."""
    sd_y = float(np.std(design.y)) or 1.0
    data: dict[str, Any] = {"y": (design.y - design.y.mean()) / sd_y}
    scales = {}
    for index, name in enumerate(design.columns):
        column = design.columns[name].to_numpy(np.float64)
        sd = float(np.std(column)) or 1.0
        data[f"x{index}"] = (column - column.mean()) / sd
        scales[name] = sd_y / sd
    data["person"] = pd.factorize(design.person)[0]
    data["dyad"] = data["person"] if design.dyad is None else pd.factorize(design.dyad)[0]
    return pd.DataFrame(data), scales


def _formula(frame: pd.DataFrame) -> str:
    """Formula of a scaled frame."""
    return "y ~ " + " + ".join(["1", *(name for name in frame if str(name).startswith("x"))])


def _reml(frame: pd.DataFrame, parts: tuple[str, ...], notes: list[str]) -> Any:
    """Best of the fits tried, or None; the reasons of failures go into the notes.

    Near a variance of 0 gradients lead astray: statsmodels' first optimizers stop beside the edge
    and say that they converged. There Powell's method, which needs none, gets its turn.
    """
    from statsmodels.regression.mixed_linear_model import MixedLM

    components = {"person": "0 + C(person)"} if parts == ("dyad", "person") else None
    model = MixedLM.from_formula(
        _formula(frame), frame, groups=frame[parts[0]], re_formula="1", vc_formula=components
    )
    found: list[Any] = []
    said: list[str] = []
    for method in ("bfgs", "powell"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                result = model.fit(reml=True, method=[method])
            except (np.linalg.LinAlgError, ValueError, FloatingPointError) as error:
                said.append(" ".join(str(error).split()))
                continue
        said += [" ".join(str(entry.message).split()) for entry in caught]
        if np.isfinite(result.llf) and np.isfinite(result.params).all():
            found.append(result)
            clear = min(_ratios(result, parts).values()) > _NEAR_ZERO
            if result.converged and clear and not caught:
                return result
    if not found:
        why = "; ".join(dict.fromkeys(said)) or "no finite likelihood"
        notes.append(f"the mixed model could not be fitted ({why})")
        return None
    best = max(found, key=lambda result: (round(float(result.llf), 6), bool(result.converged)))
    if not best.converged:
        notes.append("flag: the mixed model did not converge: " + "; ".join(dict.fromkeys(said)))
    return best


def _best_without(frame: pd.DataFrame, part: str) -> bool:
    """Whether the restricted likelihood is highest without any variance between groups."""
    exog = frame[[name for name in frame if str(name).startswith("x")]].to_numpy()
    table = np.column_stack([np.ones(len(frame)), exog, frame["y"]])
    size = np.bincount(frame[part]).astype(np.float64)
    sums = np.zeros((len(size), table.shape[1]))
    np.add.at(sums, frame[part].to_numpy(), table)
    free = len(table) - table.shape[1] + 1

    def likelihood(ratio: float) -> float:
        shrink = ratio / (1 + ratio * size)
        cross = table.T @ table - (sums * shrink[:, None]).T @ sums
        inner, mixed = cross[:-1, :-1], cross[:-1, -1]
        rest = cross[-1, -1] - mixed @ np.linalg.solve(inner, mixed)
        spread = np.log1p(ratio * size).sum() + np.linalg.slogdet(inner)[1]
        return -0.5 * float(free * np.log(max(rest, 1e-300)) + spread)

    none = likelihood(0.0)
    return all(likelihood(ratio) < none for ratio in _TRIED_RATIOS)


def _ratios(result: Any, parts: tuple[str, ...]) -> dict[str, float]:
    """Variance of every random effect relative to the residual variance."""
    ratios = {parts[0]: float(np.asarray(result.cov_re_unscaled)[0, 0])}
    if len(parts) == 2:
        ratios[parts[1]] = float(np.asarray(result.vcomp)[0]) / float(result.scale)
    return ratios


def _errors_given_variances(
    frame: pd.DataFrame, ratios: dict[str, float], scale: float
) -> dict[str, float]:
    """Standard errors of generalised least squares with the variances that were estimated."""
    names = [name for name in frame if str(name).startswith("x")]
    exog = np.column_stack([np.ones(len(frame)), frame[names].to_numpy()])
    covariance = np.eye(len(frame))
    for part, ratio in ratios.items():
        label = frame[part].to_numpy()
        covariance += ratio * (label[:, None] == label[None, :])
    inverse = np.linalg.inv(exog.T @ np.linalg.solve(covariance, exog))
    errors = np.sqrt(scale * np.diag(inverse))[1:]
    return dict(zip(map(str, names), map(float, errors), strict=True))


def _least_squares(frame: pd.DataFrame, cov_type: str = "nonrobust") -> Any:
    """Least squares fit of a scaled frame."""
    from statsmodels.regression.linear_model import OLS

    return OLS.from_formula(_formula(frame), frame).fit(cov_type=cov_type)


def _unscaled(
    design: Design,
    params: pd.Series,
    errors: dict[str, float],
    scales: dict[str, float],
    notes: list[str],
) -> Fit:
    """Estimates and standard errors in the units of outcome and predictors."""
    estimate = {}
    se = {}
    for index, name in enumerate(design.columns):
        estimate[name] = float(params[f"x{index}"]) * scales[name]
        se[name] = float(errors[f"x{index}"]) * scales[name]
    return Fit(estimate, se, between_within_df(design), notes)
