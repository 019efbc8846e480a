"""A study at the level of features: readings and minutes drawn straight from their distribution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.config import nearest
from physio_hqc.errors import SignalError
from physio_hqc.protocol import Protocol
from physio_hqc.simulate._assignment import assign, cells, check_conditions
from physio_hqc.simulate._feature_frames import (
    Column,
    course_frame,
    cuff_frame,
    feature_frame,
    window_frame,
)
from physio_hqc.simulate._feature_laws import DERIVED, LAWS, FloatArray, Law
from physio_hqc.simulate._feature_truth import feature_truth
from physio_hqc.simulate._feature_values import (
    Design,
    Group,
    Measured,
    Settings,
    measure,
    stream,
)
from physio_hqc.simulate.effects import ConditionEffect, effects_for
from physio_hqc.simulate.participant import as_protocol

__all__ = ["FeatureStudy", "simulate_feature_study"]


@dataclass(frozen=True, eq=False)
class FeatureStudy:
    """A study whose features were drawn, not measured.

    Attributes
    ----------
    features : DataFrame
        Tidy features, one row per session, phase and feature, as ``features.csv``.
    courses : DataFrame
        Every cuff reading and every minute, one row each.
    cuff : DataFrame
        Cuff readings, one row each, columns SBP, DBP, MAP, HR.
    windows : DataFrame
        The phases of every session.
    participants : DataFrame
        Columns id, sex, age, condition, session (empty where the session is missing).
    truth : dict
        What is true, see :func:`simulate_feature_study`.
    """

    features: pd.DataFrame
    courses: pd.DataFrame
    cuff: pd.DataFrame
    windows: pd.DataFrame
    participants: pd.DataFrame
    truth: dict[str, Any]


def simulate_feature_study(
    n_per_condition: int | Mapping[str, int] = 30,
    *,
    seed: int = 0,
    conditions: Sequence[str] | None = None,
    effects: str | Path | Mapping[str, ConditionEffect] | None = None,
    protocol: str | Path | Protocol = "lepore_1993",
    measures: Sequence[str] | None = None,
    sex_effect: float = 4.0,
    sex_interaction: Mapping[str, float] | None = None,
    resting_shift: Mapping[str, float] | None = None,
    imbalance: Mapping[str, float] | None = None,
    sd_ratio: Mapping[str, float] | None = None,
    initial_value: float = 0.0,
    tails: float | None = None,
    missing_readings: float = 0.0,
    missing_share: float = 0.0,
    laws: Mapping[str, Mapping[str, float]] | None = None,
    courses: bool = True,
) -> FeatureStudy:
    """Simulate a study at the level of features, in milliseconds.

    A person i has a true resting level L. In condition c the level at a reading in a preparation
    or task phase p is ``L + d(c, p) s(t) + w(p) r + u + e``: the planted change d with a course
    s(t) whose mean over the readings is 1, the person's reactivity r (all of it in a task, half
    of it in preparation), a part u that the phase has of its own, and the error e of the reading.
    In recovery what the task left falls exponentially. RMSSD works the same way in logarithms;
    ln RMSSD is the mean of the logarithms of the minutes.
    A feature is the mean of the readings (or minutes) of a phase.

    Parameters
    ----------
    n_per_condition : int or mapping
        Participants per condition; a mapping for unequal cells.
    seed : int
        One option never changes the random numbers of another.
    conditions : sequence of str, optional
        Those of the protocol by default.
    effects : str, Path or mapping, optional
        Name or file for :func:`load_effects`, or effects by condition.
    protocol : str, Path or Protocol
        Phases and cuff times.
    measures : sequence of str, optional
        Any of ``sbp dbp hr ecg_hr rmssd scl``; all by default.
    sex_effect : float
        By how many mmHg men's systolic reactivity exceeds women's.
    sex_interaction : mapping, optional
        Condition to mmHg by which it exceeds women's there in addition.
    resting_shift : mapping, optional
        Condition to mmHg by which its people truly rest at a higher systolic pressure (diastolic:
        0.45 of it). An ANCOVA on observed baselines cannot remove all of it.
    imbalance : mapping, optional
        Condition to mmHg by which its observed systolic baseline is higher by chance, everybody
        coming from the same population: true level and error share it as they do by chance.
    sd_ratio : mapping, optional
        Condition to factor on everything that varies but resting level and baseline readings.
    initial_value : float
        Added task reactivity per unit by which a person rests above the mean.
    tails : float, optional
        Degrees of freedom (above 2) of Student's t in place of the normal distribution.
    missing_readings : float
        Share of cuff readings, and of minutes, missing at random.
    missing_share : float
        Share of participants without a session.
    laws : mapping, optional
        Replaces numbers, ``{"reactivity_sd": {"sbp": 5.0}}``. Numbers: rest, rest_sd, sex_rest,
        reactivity_sd, phase_sd, error_sd.
    courses : bool
        Make the table `courses` too, which takes half of the time; it is empty otherwise.

    Returns
    -------
    FeatureStudy
        Its truth: ``changes`` (feature, window, condition: expected change of the phase mean
        against baseline), ``contrasts`` (feature, window, "support - nonsupport", ...: their
        differences), ``ancova_contrasts`` (what an ANCOVA on observed, complete baselines
        estimates: differs where `resting_shift` is used), ``drawn_changes`` and
        ``drawn_contrasts`` (of the people who took part), ``resting_shift``, ``reliability`` (of
        complete baselines within sex) and ``residual_sd`` (feature, window, condition).

    Raises
    ------
    SignalError
        If a number or a name makes no sense.
    ConfigError
        If protocol or effects cannot be read.

    Examples
    --------
    >>> study = simulate_feature_study(30, seed=1, measures=["sbp"])
    >>> len(study.participants), study.features["feature"].unique().tolist()
    (90, ['CUFF_SBP_Mean', 'CUFF_N'])
    >>> study.truth["contrasts"]["CUFF_SBP_Mean"]["speech"]["support - nonsupport"]
    -14.0
    """
    design_file = as_protocol(protocol)
    names = _conditions(conditions, design_file)
    counts = cells(n_per_condition, names)
    chosen = _laws(measures, laws)
    settings = Settings(
        seed=_seed(seed),
        effects=effects_for(effects, names),
        laws=chosen,
        sex_effect=float(sex_effect),
        sex_interaction=_by_condition(sex_interaction, names, "sex_interaction"),
        resting_shift=_by_condition(resting_shift, names, "resting_shift"),
        imbalance=_by_condition(imbalance, names, "imbalance"),
        sd_ratio=_by_condition(sd_ratio, names, "sd_ratio", least=0.0),
        initial_value=float(initial_value),
        tails=_tails(tails),
        missing_readings=_share(missing_readings, "missing_readings"),
    )
    order = assign(counts, stream(settings.seed, "assignment"))
    group = Group(
        tuple(names),
        np.array([names.index(condition) for condition, _ in order], dtype=np.intp),
        np.array([0.5 if sex == "male" else -0.5 for _, sex in order]),
    )
    design = Design.of(design_file)
    measured = {law.name: measure(settings, design, group, law) for law in chosen.values()}
    missing = stream(settings.seed, "sessions").permutation(len(order))
    here = np.ones(len(order), dtype=bool)
    here[missing[: round(_share(missing_share, "missing_share") * len(order))]] = False
    return _assemble(settings, design, group, measured, here, courses)


def _assemble(
    settings: Settings,
    design: Design,
    group: Group,
    measured: Mapping[str, Measured],
    here: NDArray[np.bool_],
    courses: bool,
) -> FeatureStudy:
    """Put what was drawn into tables."""
    everybody = np.array([f"P{k + 1:03d}" for k in range(len(here))], dtype=object)
    labels = np.array(group.conditions, dtype=object)[group.condition]
    ids, of = everybody[here], labels[here]
    columns = _columns(measured, here)
    readings = _readings(measured, here, len(design.times["cuff"]))
    ages = np.clip(stream(settings.seed, "age").normal(21.5, 2.5, len(here)), 18.0, 35.0)
    participants = pd.DataFrame(
        {
            "id": everybody,
            "sex": np.where(group.sex > 0, "male", "female").astype(object),
            "age": np.round(ages, 1),
            "condition": labels,
            "session": np.where(here, everybody, "").astype(object),
        }
    )
    return FeatureStudy(
        features=feature_frame(design, columns, ids, of),
        courses=course_frame(design, columns if courses else [], ids, of),
        cuff=cuff_frame(design, readings, ids, of),
        windows=window_frame(design, ids, of),
        participants=participants,
        truth=feature_truth(settings, design, group, measured, here),
    )


def _columns(measured: Mapping[str, Measured], here: NDArray[np.bool_]) -> list[Column]:
    """Return the features of those who took part, with what follows from pressures."""
    found = [
        Column(m.law.feature, m.law.unit, m.law.source, m.observed[here]) for m in measured.values()
    ]
    if "rmssd" in measured:
        minutes = np.log(measured["rmssd"].observed[here])
        found.append(Column("HRV_lnRMSSD", "ln(ms)", "sliding", minutes))
    if {"sbp", "dbp"} <= set(measured):
        sbp, dbp = (measured[name].observed[here] for name in ("sbp", "dbp"))
        found += [
            Column(feature, "mmHg", "cuff", first * sbp + second * dbp)
            for feature, (first, second) in DERIVED.items()
        ]
    if {"sbp", "hr"} <= set(measured):
        product = measured["sbp"].observed[here] * measured["hr"].observed[here]
        found.append(Column("CUFF_RPP_Mean", "mmHg/min", "cuff", product))
    return found


def _readings(
    measured: Mapping[str, Measured], here: NDArray[np.bool_], times: int
) -> dict[str, FloatArray]:
    """Return the cuff readings of those who took part; NaN where a measure was not drawn."""
    nothing = np.full((int(here.sum()), times), np.nan)
    found = {
        column: measured[name].observed[here] if name in measured else nothing
        for column, name in (("SBP", "sbp"), ("DBP", "dbp"), ("HR", "hr"))
    }
    return {**found, "MAP": (found["SBP"] + 2.0 * found["DBP"]) / 3.0}


def _conditions(conditions: Sequence[str] | None, protocol: Protocol) -> Sequence[str]:
    """Return the conditions of the study."""
    if conditions is not None:
        return conditions if isinstance(conditions, str) else list(conditions)
    return [entry.label for entry in protocol.conditions] or ["alone"]


def _laws(
    measures: Sequence[str] | None, changes: Mapping[str, Mapping[str, float]] | None
) -> dict[str, Law]:
    """Return the laws of the measures asked for, some numbers replaced."""
    names = [law.name for law in LAWS]
    asked = names if measures is None else list(measures)
    for name in asked:
        if name not in names:
            raise SignalError(f"measures: {name!r} is not known; {nearest(str(name), names)}")
    if not asked:
        raise SignalError(f"measures: choose at least one of {', '.join(names)}")
    found = {law.name: law for law in LAWS}
    numbers = ("rest", "rest_sd", "sex_rest", "reactivity_sd", "phase_sd", "error_sd")
    for field, values in (changes or {}).items():
        if field not in numbers:
            raise SignalError(f"laws: {field!r} is not known; {nearest(field, numbers)}")
        for name, value in values.items():
            if name not in names:
                raise SignalError(f"laws: {field}: {name!r} is no measure; {nearest(name, names)}")
            if not np.isfinite(value) or (field.endswith("_sd") and value < 0):
                raise SignalError(f"laws: {field}: {name} is {value}, which makes no sense")
            found[name] = found[name].changed(field, float(value))
    return {name: found[name] for name in names if name in asked}


def _by_condition(
    given: Mapping[str, float] | None, conditions: Sequence[str], name: str, least: float = -np.inf
) -> dict[str, float]:
    """Return numbers by condition, checked."""
    check_conditions(given, conditions, name)
    for condition, value in (given or {}).items():
        if not np.isfinite(value) or value < least:
            raise SignalError(f"{name}: {condition} is {value}, which makes no sense")
    return {condition: float(value) for condition, value in (given or {}).items()}


def _share(value: float, name: str) -> float:
    """Return a share, checked."""
    if not 0.0 <= value <= 1.0:
        raise SignalError(f"{name} must lie between 0 and 1, not {value}.")
    return float(value)


def _tails(tails: float | None) -> float | None:
    """Return degrees of freedom for which a variance exists."""
    if tails is not None and not tails > 2:
        raise SignalError(f"tails must be above 2 degrees of freedom, not {tails}.")
    return tails


def _seed(seed: int) -> int:
    """Return the seed, checked."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise SignalError(f"seed must be a whole number not below 0, not {seed!r}.")
    return int(seed)
