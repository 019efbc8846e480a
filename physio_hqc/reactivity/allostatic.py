"""The allostatic-load proxy: how many indicators lie in the quarter, or beyond the cut, of risk.

It is a proxy, and every row says of how many indicators: a session measures what stress systems
move, not the hormones that move it, and not their wear over years.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from physio_hqc.errors import StudyError
from physio_hqc.reactivity._cut_points import (
    Floats,
    Groups,
    Interval,
    Reference,
    is_fixed,
    published,
    reference,
    resampled,
)
from physio_hqc.reactivity._proxy_columns import ALLOSTATIC_COLUMNS
from physio_hqc.reactivity._proxy_indicators import (
    People,
    cut_points,
    indicators,
    score_reasons,
)
from physio_hqc.reactivity._proxy_models import CutRule, ProxyDefinition, load_proxy
from physio_hqc.reactivity._proxy_numbers import FLAG, Texts, numbers, screened
from physio_hqc.reactivity._proxy_values import normal_sex, words

_RULES = ("sample quartile", "cut points")
_MAX_BOOT = 100_000


def allostatic_proxy(
    values: pd.DataFrame,
    definition: ProxyDefinition | str | Path = "session",
    *,
    sex: bool | None = None,
    rule: CutRule | None = None,
    n_boot: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Score the allostatic-load proxy of every participant.

    Parameters
    ----------
    values : DataFrame
        One row per participant: participant (or id), one column per component in its unit, and
        sex where cut points go by it; as :func:`proxy_values` returns it, with its reasons.
    definition : ProxyDefinition, str or Path
        The proxy, or the name or path that :func:`load_proxy` takes.
    sex : bool, optional
        Whether sample quartiles, means and standard deviations are taken within each sex; as the
        definition says if absent. Participants whose sex is unknown then have no score.
    rule : {"sample quartile", "cut points"}, optional
        As the definition says if absent. With cut points, a component without a published one
        keeps its sample quartile; every row and ``attrs["cut_points"]`` say so.
    n_boot : int
        Resamples behind the intervals; 0 for none.
    seed : int
        Of the resampling.

    Returns
    -------
    DataFrame
        One row per participant in the order of `values`, columns `ALLOSTATIC_COLUMNS`.

        - count: components beyond the cut point, of the ``n_components`` that the participant has;
          ``proportion = count / n_components`` compares participants that lack different ones.
        - z_sum: sum of the z-scores (n - 1), those of protective components reversed; only for
          participants who have every component that has a z-score in this sample. ``z_mean`` is
          their mean over those that the participant has.
        - count_low, count_high, z_low, z_high: 95 % percentile interval of count and z_mean.
        - missing, at_risk: names of components.
        - reason: why a score is NaN; a caution begins with ``flag:``.

        ``attrs["cut_points"]`` (DataFrame, columns `CUT_POINT_COLUMNS`) holds what values were
        compared with; `n` is the number of values of the sample. Take it out (``attrs.pop``)
        before tables are put below each other: pandas compares what tables carry.

    Raises
    ------
    StudyError
        If a column is missing, a participant appears twice, or an argument makes no sense.
    ConfigError
        If the definition does not exist or is wrong.

    Notes
    -----
    The sample quartile is the third (first, for protective components) quartile by linear
    interpolation, and only values beyond it count: a value equal to it does not. Nothing is
    imputed. Below the definition's ``min_share`` of components there is no score. A component
    with fewer than ``min_n`` values, or whose values are all equal, is left out.

    The interval says how far a score depends on who else was in the sample: participants are drawn
    with replacement (within sex, where cut points go by sex), quartiles, means and standard
    deviations are taken from the draw, and this participant is scored with them. It holds no
    measurement error. A count by published cut points alone has none.

    References
    ----------
    Seeman T. E. et al. (1997). Archives of Internal Medicine 157, 2259.
    doi:10.1001/archinte.1997.00440400111013.
    Juster R.-P., McEwen B. S., Lupien S. J. (2010). Neuroscience and Biobehavioral Reviews 35, 2.
    doi:10.1016/j.neubiorev.2009.10.002.

    Examples
    --------
    >>> import pandas as pd
    >>> from physio_hqc.reactivity import allostatic_proxy
    >>> values = pd.DataFrame({
    ...     "participant": list("abcde"),
    ...     "resting_sbp": [118, 130, 124, 142, 112], "resting_dbp": [76, 85, 80, 92, 70],
    ...     "resting_hr": [62, 75, 68, 81, 58], "resting_rmssd": [45, 28, 38, 20, 60],
    ...     "resting_scl": float("nan"), "recovery_failure": float("nan")})
    >>> proxy = allostatic_proxy(values, n_boot=200)
    >>> proxy["count"].tolist()
    [0.0, 0.0, 0.0, 4.0, 0.0]
    >>> proxy["label"][3]
    'allostatic-load proxy (4 of 6 indicators)'
    """
    model = definition if isinstance(definition, ProxyDefinition) else load_proxy(definition)
    used_rule = model.rule if rule is None else rule
    by_sex = model.sex_specific if sex is None else sex
    _check(values, model, used_rule, by_sex, n_boot, seed)
    people = _read(values, model, by_sex)
    # Who stands where in the table must not change a resample.
    order = np.argsort(people.names, kind="stable")
    scores = _score(people.taken(order), model, used_rule, n_boot, seed)
    table = scores.table.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)
    table.attrs["cut_points"] = scores.cut_points
    return table


@dataclass(frozen=True)
class _Scores:
    """What comes out: one row per participant, and one per cut point."""

    table: pd.DataFrame
    cut_points: pd.DataFrame


def _check(
    values: pd.DataFrame, model: ProxyDefinition, rule: str, by_sex: bool, n_boot: int, seed: int
) -> None:
    """Refuse arguments that make no sense."""
    if not isinstance(values, pd.DataFrame):
        raise StudyError(f"values is a {type(values).__name__}: pass a DataFrame")
    if rule not in _RULES:
        raise StudyError(f"rule is {rule!r}: pass 'sample quartile' or 'cut points'")
    if rule == "cut points" and not any(component.has_cut for component in model.components):
        raise StudyError(f"proxy {model.name} has no published cut point; use 'sample quartile'")
    if not isinstance(by_sex, bool):
        raise StudyError("sex: pass True or False; the sexes themselves are a column of values")
    if not isinstance(n_boot, int | np.integer) or not 0 <= n_boot <= _MAX_BOOT:
        raise StudyError(f"n_boot is {n_boot}: pass a whole number from 0 to {_MAX_BOOT}")
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise StudyError(f"seed is {seed}: pass a whole number from 0")
    needed = [component.name for component in model.components]
    lacking = [name for name in needed if name not in values.columns]
    if lacking:
        raise StudyError(
            f"values: there is no column {lacking[0]!r} for proxy {model.name}; give it empty "
            "where it was not measured"
        )
    if by_sex and "sex" not in values.columns:
        raise StudyError("values: there is no column 'sex'; cut points by sex need it")


def _read(values: pd.DataFrame, model: ProxyDefinition, by_sex: bool) -> People:
    """Names, sexes and usable values of the participants."""
    key = next((name for name in ("participant", "id") if name in values.columns), None)
    if key is None:
        raise StudyError("values: there is no column 'participant'; pass one row per participant")
    names = pd.Series(words(values[key]), dtype=object)
    if (names == "").any():
        raise StudyError(f"values, row {int((names == '').argmax()) + 1}: {key} is empty")
    if names.duplicated().any():
        twice = names[names.duplicated()].iloc[0]
        raise StudyError(f"values: participant {twice!r} appears twice; keep one row of each")
    sexes = (
        [normal_sex(word) for word in words(values["sex"])]
        if "sex" in values
        else [""] * len(values)
    )
    x = np.full((len(values), len(model.components)), np.nan)
    texts = np.full(x.shape, "", dtype=object)
    for j, component in enumerate(model.components):
        found, why = screened(*numbers(values[component.name]), component)
        given = _given_reasons(values, component.name, names)
        caution = np.array([text.startswith(FLAG) for text in given], dtype=bool)
        # A reason that came with the value says more than that the cell is empty.
        use = np.where(np.isnan(found), (why == "empty") & (given != "") & ~caution, caution)
        x[:, j], texts[:, j] = found, np.where(use, given, why)
    return People(names.to_numpy(str), sexes, x, texts, _groups(sexes, by_sex), by_sex)


def _given_reasons(values: pd.DataFrame, component: str, names: pd.Series) -> Texts:
    """Reasons that :func:`proxy_values` left, found by participant: rows may have moved since."""
    known = values.attrs.get("reasons", {}).get(component, [])
    owners = values.attrs.get("participants", [])
    by_name = dict(zip(owners, known, strict=True)) if len(owners) == len(known) else {}
    return np.array([by_name.get(name, "") for name in names], dtype=object)


def _groups(sexes: list[str], by_sex: bool) -> Groups:
    """Everybody in one group, or one group per sex."""
    if not by_sex:
        return Groups([""], np.zeros(len(sexes), dtype=np.int_))
    labels = sorted(set(sexes) - {""})
    return Groups(labels, np.array([labels.index(s) if s else -1 for s in sexes], dtype=np.int_))


def _score(people: People, model: ProxyDefinition, rule: str, n_boot: int, seed: int) -> _Scores:
    """Everything that is known about every participant."""
    min_n = model.min_per_sex if people.by_sex else model.min_n
    known = reference(people.x, people.groups, model, rule, min_n)
    fixed = published(model, rule, people.sexes)
    have = indicators(people, model, rule, known, fixed)
    k = len(model.components)
    need = max(1, int(np.ceil(model.min_share * k - 1e-9)))
    names = np.array([component.name for component in model.components], dtype=object)
    n_components, has_z = have.usable.sum(axis=1), np.isfinite(have.z)
    enough, enough_z = n_components >= need, has_z.sum(axis=1) >= need
    complete = enough_z & has_z[:, has_z.any(axis=0)].all(axis=1)
    z_sum = np.nansum(have.z, axis=1)
    table = pd.DataFrame(
        {
            "participant": people.names.astype(object),
            "proxy": model.name,
            "label": [f"allostatic-load proxy ({n} of {k} indicators)" for n in n_components],
            "rule": rule,
            "count": np.where(enough, have.risk.sum(axis=1), np.nan),
            "n_components": n_components,
            "n_defined": k,
            "proportion": np.where(
                enough, have.risk.sum(axis=1) / np.maximum(n_components, 1), np.nan
            ),
            "z_sum": np.where(complete, z_sum, np.nan),
            "z_mean": np.where(enough_z, z_sum / np.maximum(has_z.sum(axis=1), 1), np.nan),
            "missing": [", ".join(names[~row]) for row in have.usable],
            "at_risk": [", ".join(names[row]) for row in have.risk],
        }
    )
    interval, no_interval = _intervals(people, model, rule, known, fixed, n_boot, seed)
    scored = {"count": table["count"], "z": table["z_mean"]}
    for side in ("low", "high"):
        for score, column in scored.items():
            bound = pd.Series(getattr(interval, f"{score}_{side}"))
            table[f"{score}_{side}"] = bound.where(column.notna())
    table["reason"] = score_reasons(table, have, model, rule, need, no_interval)
    return _Scores(table[list(ALLOSTATIC_COLUMNS)], cut_points(people, model, rule, known))


def _intervals(
    people: People,
    model: ProxyDefinition,
    rule: str,
    known: Reference,
    fixed: Floats,
    n_boot: int,
    seed: int,
) -> tuple[Interval, str]:
    """Percentile intervals, and why there are none."""
    if n_boot:
        found = resampled(
            people.x, people.groups, model, rule, known, fixed, n_boot=n_boot, seed=seed
        )
        none = np.full(len(people.x), np.nan)
        if all(is_fixed(component, rule) for component in model.components):
            found = Interval(none, none, found.z_low, found.z_high, found.n)
            return found, "no interval of the count: published cut points are no estimates"
        return found, f"no interval: only {found.n} of {n_boot} resamples gave a score"
    none = np.full(len(people.x), np.nan)
    return Interval(none, none, none, none, 0), "no interval: n_boot is 0"
