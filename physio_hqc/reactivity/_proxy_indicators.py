"""What every participant has of every component, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.reactivity._cut_points import (
    Floats,
    Groups,
    Reference,
    at_risk,
    is_fixed,
    transformed,
)
from physio_hqc.reactivity._proxy_columns import CUT_POINT_COLUMNS
from physio_hqc.reactivity._proxy_models import Component, ProxyDefinition
from physio_hqc.reactivity._proxy_numbers import FLAG


@dataclass(frozen=True)
class People:
    """Who is scored: names (n,), sexes (n,), values (n, k), texts (n, k)."""

    names: NDArray[np.str_]
    sexes: list[str]
    x: Floats
    texts: NDArray[np.object_]
    groups: Groups
    by_sex: bool

    def taken(self, order: NDArray[np.intp]) -> People:
        """The same people in another order."""
        groups = Groups(self.groups.labels, self.groups.codes[order])
        sexes = [self.sexes[index] for index in order]
        return People(
            self.names[order], sexes, self.x[order], self.texts[order], groups, self.by_sex
        )


@dataclass(frozen=True)
class Indicators:
    """What every participant (rows) has of every component (columns)."""

    cut: Floats
    z: Floats
    usable: NDArray[np.bool_]
    risk: NDArray[np.bool_]
    why: NDArray[np.object_]  # why a component is missing, or a caution
    z_why: list[list[str]]  # why a component has no z-score


def indicators(
    people: People, model: ProxyDefinition, rule: str, known: Reference, fixed: Floats
) -> Indicators:
    """Compare every value with its cut point, and standardize it."""
    codes = people.groups.codes
    cut, z = _of_group(known.cut, codes), np.full(people.x.shape, np.nan)
    mean, sd = _of_group(known.mean, codes), _of_group(known.sd, codes)
    risk = np.zeros(people.x.shape, dtype=bool)
    for j, component in enumerate(model.components):
        x = people.x[:, j]
        if is_fixed(component, rule):
            cut[:, j] = fixed[:, j]
        risk[:, j] = at_risk(x, cut[:, j], component, rule)
        sign = 1.0 if component.risk == "high" else -1.0
        z[:, j] = sign * (transformed(x, component) - mean[:, j]) / sd[:, j]
    why = people.texts.copy()
    for i, j in zip(*np.nonzero(np.isfinite(people.x) & np.isnan(cut)), strict=True):
        why[i, j] = _no_cut(people, known, int(i), int(j), is_fixed(model.components[j], rule))
    unknown = ["sex is not known"] * len(model.components)
    z_why = [known.z_why[g] if g >= 0 else unknown for g in codes]
    return Indicators(cut, z, np.isfinite(people.x) & np.isfinite(cut), risk, why, z_why)


def _of_group(statistics: Floats, codes: NDArray[np.int_]) -> Floats:
    """Statistics of the group of every participant; NaN for those of no group."""
    rows = np.full((len(codes), statistics.shape[1]), np.nan)
    rows[codes >= 0] = statistics[codes[codes >= 0]]
    return rows


def _no_cut(people: People, known: Reference, i: int, j: int, fixed: bool) -> str:
    """Why there is a value but nothing to compare it with."""
    sex, group = people.sexes[i], people.groups.codes[i]
    if fixed:
        return f"no published cut point for sex '{sex}'" if sex else "sex is not known"
    return known.cut_why[group][j] if group >= 0 else "sex is not known"


def _first_words(texts: list[str]) -> str:
    """Different texts, in their order."""
    return ", ".join(dict.fromkeys(filter(None, texts)))


def score_reasons(
    table: pd.DataFrame,
    have: Indicators,
    model: ProxyDefinition,
    rule: str,
    need: int,
    no_interval: str,
) -> list[str]:
    """Why scores are missing, then cautions, for every participant."""
    names = [component.name for component in model.components]
    quartiles = [c.name for c in model.components if rule == "cut points" and not c.has_cut]
    general = f"{FLAG}sample quartile, for want of a cut point: {', '.join(quartiles)}"
    texts = []
    for i, row in enumerate(table.itertuples()):
        lacking = [
            f"{name} ({have.why[i, j]})" for j, name in enumerate(names) if not have.usable[i, j]
        ]
        cautions = [
            f"{FLAG}no z-score of {name} ({have.z_why[i][j]})"
            for j, name in enumerate(names)
            if have.usable[i, j] and have.z_why[i][j] and not np.isnan(row.z_mean)
        ]
        cautions += [
            f"{FLAG}{name} {have.why[i, j].removeprefix(FLAG)}"
            for j, name in enumerate(names)
            if have.usable[i, j] and have.why[i, j]
        ]
        parts = [
            *_missing_scores(row, lacking, _first_words(have.z_why[i]), need, no_interval),
            *cautions,
        ]
        if quartiles and row.n_components:
            parts.append(general)
        texts.append("; ".join(parts))
    return texts


def _missing_scores(
    row: Any, lacking: list[str], z_why: str, need: int, no_interval: str
) -> list[str]:
    """Why count, z-scores and intervals of one participant are missing, or rest on less."""
    which = "missing " + ", ".join(lacking)
    if np.isnan(row.count):
        few = f"{row.n_components} of {row.n_defined} indicators, needs {need}: {which}"
        return [few]
    parts = []
    if np.isnan(row.z_mean):
        parts.append(f"no z-scores: {z_why or 'too few components have one'}")
    elif np.isnan(row.z_sum):
        parts.append("no z_sum: it needs every component that others have")
    if np.isnan(row.count_low) or (np.isnan(row.z_low) and not np.isnan(row.z_mean)):
        parts.append(no_interval)
    if lacking:
        parts.append(FLAG + which)
    return parts


def cut_points(people: People, model: ProxyDefinition, rule: str, known: Reference) -> pd.DataFrame:
    """What values were compared with: one row per component, and per sex where it matters."""
    rows: list[tuple[object, ...]] = []
    for j, component in enumerate(model.components):
        start = (component.name, component.risk)
        if is_fixed(component, rule):
            present = np.isfinite(people.x[:, j])
            rows += [
                (*start, *row, rule, "") for row in _published_rows(component, people, present)
            ]
            continue
        rows += [
            (*start, sex, known.cut[g, j], known.n[g, j], "sample quartile", known.cut_why[g][j])
            for g, sex in enumerate(people.groups.labels)
        ]
    columns = ["component", "direction", "sex", "cut", "n", "rule", "reason"]
    return pd.DataFrame(rows, columns=columns)[list(CUT_POINT_COLUMNS)]


def _published_rows(
    component: Component, people: People, present: NDArray[np.bool_]
) -> list[tuple[str, float | None, int]]:
    """Sex, cut point and number of values behind every published cut point of a component."""
    if component.cut_by_sex is None:
        return [("", component.cut, int(present.sum()))]
    sexes = np.array(people.sexes, dtype=object)
    by_sex = component.cut_by_sex.model_dump()
    return [(sex, cut, int((present & (sexes == sex)).sum())) for sex, cut in by_sex.items()]
