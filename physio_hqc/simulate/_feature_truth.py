"""What is true of a study at the level of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physio_hqc.simulate._assignment import contrasts_of
from physio_hqc.simulate._feature_laws import DERIVED, Law
from physio_hqc.simulate._feature_values import (
    Design,
    Group,
    Measured,
    Settings,
    own_sd,
    person_weight,
    planted_course,
    reliability,
    resting_shift,
)

LN_RMSSD = "HRV_lnRMSSD"

Table = dict[str, dict[str, dict[str, float]]]


def feature_truth(
    settings: Settings,
    design: Design,
    group: Group,
    measured: Mapping[str, Measured],
    taking_part: NDArray[np.bool_],
) -> dict[str, Any]:
    """Return expected and drawn changes, their contrasts, and what the analysis has to expect."""
    expected = {m.law.feature: _expected(settings, design, group, m.law) for m in measured.values()}
    drawn = {m.law.feature: _drawn(design, group, m, taking_part) for m in measured.values()}
    if {"sbp", "dbp"} <= set(measured):
        for table in (expected, drawn):
            _derive(table)
    if "rmssd" in measured:
        ln = measured["rmssd"]
        expected[LN_RMSSD] = _expected_ln(settings, design, group, ln.law)
        drawn[LN_RMSSD] = _drawn(design, group, replace(ln, true=np.log(ln.true)), taking_part)
    rest = {
        m.law.feature: {
            name: float(resting_shift(settings, _one(group, number), m.law)[0])
            for number, name in enumerate(group.conditions)
        }
        for m in measured.values()
    }
    trust = {m.law.feature: reliability(design, m.law) for m in measured.values()}
    pairs = contrasts_of(group.conditions)
    contrasts = _contrasts(expected, pairs)
    return {
        "conditions": list(group.conditions),
        "changes": expected,
        "contrasts": contrasts,
        "ancova_contrasts": _with_regression(contrasts, rest, trust, pairs),
        "drawn_changes": drawn,
        "drawn_contrasts": _contrasts(drawn, pairs),
        "resting_shift": rest,
        "reliability": trust,
        "residual_sd": {
            m.law.feature: _residual_sd(settings, design, group, m.law)
            for m in measured.values()
            if not m.law.multiplies
        },
    }


def _one(group: Group, number: int) -> Group:
    """Return a group of one person in one condition."""
    return Group(group.conditions, np.array([number]), np.zeros(1))


def _expected(
    settings: Settings, design: Design, group: Group, law: Law
) -> dict[str, dict[str, float]]:
    """Return the expected change of every phase by condition."""
    found: dict[str, dict[str, float]] = {}
    for name in group.conditions:
        course = planted_course(settings, design, name, law)
        if law.multiplies:
            course = law.rest * (course - 1.0)
        means = design.means(law.source, course[None, :])[0]
        for stretch, mean in zip(design.stretches, means, strict=True):
            if stretch.role != "baseline":
                found.setdefault(stretch.name, {})[name] = float(mean)
    return found


def _expected_ln(
    settings: Settings, design: Design, group: Group, law: Law
) -> dict[str, dict[str, float]]:
    """Return the expected change of a logarithm, of what varies by factors with a mean of 1."""
    found: dict[str, dict[str, float]] = {}
    own = own_sd(design, law)
    for name in group.conditions:
        ratio = settings.sd_ratio.get(name, 1.0)
        weight = person_weight(settings, design, name, law)
        course = np.log(planted_course(settings, design, name, law))
        # The logarithm of a log-normal factor of mean 1 lies half its variance below 0.
        course -= 0.5 * ratio**2 * ((weight * law.reactivity_sd) ** 2 + own**2)
        course -= 0.5 * (ratio**2 - 1.0) * law.error_sd**2
        means = design.means(law.source, course[None, :])[0]
        for stretch, mean in zip(design.stretches, means, strict=True):
            if stretch.role != "baseline":
                found.setdefault(stretch.name, {})[name] = float(mean)
    return found


def _drawn(
    design: Design, group: Group, measured: Measured, taking_part: NDArray[np.bool_]
) -> dict[str, dict[str, float]]:
    """Return the mean true change of those who took part, by phase and condition."""
    means = design.means(measured.law.source, measured.true)
    resting = [k for k, s in enumerate(design.stretches) if s.role == "baseline"]
    change = means - means[:, resting].mean(axis=1, keepdims=True)
    found: dict[str, dict[str, float]] = {}
    for number, name in enumerate(group.conditions):
        inside = taking_part & (group.condition == number)
        for k, stretch in enumerate(design.stretches):
            if k not in resting:
                mean = float(change[inside, k].mean()) if inside.any() else float("nan")
                found.setdefault(stretch.name, {})[name] = mean
    return found


def _derive(table: Table) -> None:
    """Add what follows from systolic and diastolic pressure."""
    sbp, dbp = table["CUFF_SBP_Mean"], table["CUFF_DBP_Mean"]
    for feature, (first, second) in DERIVED.items():
        table[feature] = {
            window: {name: first * sbp[window][name] + second * dbp[window][name] for name in by}
            for window, by in sbp.items()
        }


def _contrasts(table: Table, pairs: Sequence[tuple[str, str]]) -> Table:
    """Return the differences between conditions."""
    return {
        feature: {
            window: {f"{a} - {b}": by[a] - by[b] for a, b in pairs}
            for window, by in windows.items()
        }
        for feature, windows in table.items()
    }


def _with_regression(
    contrasts: Table,
    rest: Mapping[str, Mapping[str, float]],
    trust: Mapping[str, float],
    pairs: Sequence[tuple[str, str]],
) -> Table:
    """Return what an ANCOVA on the observed baseline estimates.

    Where conditions truly differ at rest, the observed baseline, being less than perfectly
    reliable, takes out only its reliable share: (1 - reliability) of the difference stays.
    """
    return {
        feature: {
            window: {
                f"{a} - {b}": by[f"{a} - {b}"]
                + (1.0 - trust[feature]) * (rest[feature][a] - rest[feature][b])
                for a, b in pairs
            }
            for window, by in windows.items()
        }
        for feature, windows in contrasts.items()
        if feature in rest
    }


def _residual_sd(
    settings: Settings, design: Design, group: Group, law: Law
) -> dict[str, dict[str, float]]:
    """Return the SD of a phase mean given the observed baseline and sex, with all readings."""
    counts = np.bincount(design.phase[law.source], minlength=len(design.stretches))
    trust = reliability(design, law)
    found: dict[str, dict[str, float]] = {}
    for name in group.conditions:
        ratio = settings.sd_ratio.get(name, 1.0)
        weight = design.means(law.source, person_weight(settings, design, name, law)[None, :])[0]
        for k, stretch in enumerate(design.stretches):
            if stretch.role == "baseline" or not counts[k]:
                continue
            own = (ratio * law.phase_sd) ** 2 + (ratio * law.error_sd) ** 2 / counts[k]
            person = (ratio * weight[k] * law.reactivity_sd) ** 2
            level = (1 + settings.initial_value * weight[k]) ** 2 * law.rest_sd**2 * (1 - trust)
            found.setdefault(stretch.name, {})[name] = float(np.sqrt(own + person + level))
    return found
