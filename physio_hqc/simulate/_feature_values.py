"""Draw the readings and minutes of everybody: arrays of people by times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from physio_hqc.protocol import Protocol
from physio_hqc.simulate._courses import Stretch
from physio_hqc.simulate._feature_laws import (
    LAWS,
    REACTIVITY_ROOT,
    REST_ROOT,
    SHARES,
    TRAITS,
    FloatArray,
    Law,
    standard,
    trait_of,
)
from physio_hqc.simulate.effects import ConditionEffect, PhaseChange
from physio_hqc.simulate.participant import stretches_of

MINUTE_S = 60.0
DBP_PER_SBP_SHIFT = 0.45

# A task begins stronger than it goes on; the phase mean stays what was planted.
_OPENING, _OPENING_S = 0.25, 120.0
_STREAMS = (
    *("assignment", "rest", "reactivity", "errors", "missing", "sessions", "age", "ratings"),
)


def stream(seed: int, purpose: str, *more: int) -> np.random.Generator:
    """Return the generator for one purpose, so that no option disturbs another's numbers."""
    key = (_STREAMS.index(purpose), *more)
    return np.random.default_rng(np.random.SeedSequence(int(seed), spawn_key=key))


@dataclass(frozen=True, eq=False)
class Settings:
    """Options of a study, checked."""

    seed: int
    effects: Mapping[str, ConditionEffect]
    laws: Mapping[str, Law]
    sex_effect: float
    sex_interaction: Mapping[str, float]
    resting_shift: Mapping[str, float]
    imbalance: Mapping[str, float]
    sd_ratio: Mapping[str, float]
    initial_value: float
    tails: float | None
    missing_readings: float


@dataclass(frozen=True, eq=False)
class Design:
    """When the cuff inflates, which minutes there are, and in which phase they lie."""

    stretches: tuple[Stretch, ...]
    times: Mapping[str, FloatArray]
    phase: Mapping[str, NDArray[np.intp]]

    @classmethod
    def of(cls, protocol: Protocol) -> Design:
        """Lay out a protocol: cuff readings where it has them, whole minutes of every phase."""
        stretches = stretches_of(protocol)
        cuff = [
            (stretch.onset + due, number)
            for number, (stretch, phase) in enumerate(zip(stretches, protocol.phases, strict=True))
            for due in phase.cuff_at_s
        ]
        minutes = [
            (stretch.onset + MINUTE_S * (k + 0.5), number)
            for number, stretch in enumerate(stretches)
            for k in range(int(stretch.duration // MINUTE_S))
        ]
        times = {"cuff": cuff, "sliding": minutes}
        return cls(
            stretches,
            {name: np.array([at for at, _ in found]) for name, found in times.items()},
            {name: np.array([p for _, p in found], dtype=np.intp) for name, found in times.items()},
        )

    def since(self, source: str) -> FloatArray:
        """Return the time of each reading since its phase began, s."""
        onsets = np.array([stretch.onset for stretch in self.stretches])
        return np.asarray(self.times[source] - onsets[self.phase[source]])

    def means(self, source: str, values: FloatArray) -> FloatArray:
        """Return the mean of values (n, times) in every phase, leaving NaN out: (n, phases)."""
        inside = self.phase[source][:, None] == np.arange(len(self.stretches))
        present = np.isfinite(values)
        sums = np.where(present, values, 0.0) @ inside
        counts = present @ inside.astype(np.float64)
        means: FloatArray = np.full_like(sums, np.nan)
        np.divide(sums, counts, out=means, where=counts > 0)
        return means


@dataclass(frozen=True, eq=False)
class Group:
    """The participants: condition (number) and sex (+0.5 men, -0.5 women), shape (n,)."""

    conditions: tuple[str, ...]
    condition: NDArray[np.intp]
    sex: FloatArray

    def by_condition(self, given: Mapping[str, float], default: float) -> FloatArray:
        """Return each participant's value of something given per condition."""
        values = np.array([given.get(name, default) for name in self.conditions])
        return np.asarray(values[self.condition])


@dataclass(frozen=True, eq=False)
class Measured:
    """One measure of everybody.

    Attributes
    ----------
    law : Law
    rest : ndarray, shape (n,)
        True resting level.
    true : ndarray, shape (n, times)
        True level at every reading or minute.
    observed : ndarray, shape (n, times)
        With error, NaN where missing.
    """

    law: Law
    rest: FloatArray
    true: FloatArray
    observed: FloatArray


def measure(settings: Settings, design: Design, group: Group, law: Law) -> Measured:
    """Draw one measure of everybody: resting level, change, errors, what is missing."""
    tails = None if law.multiplies else settings.tails
    number = LAWS.index(next(entry for entry in LAWS if entry.name == law.name))
    n, times = len(group.sex), design.times[law.source]
    rest, apart = _rest(settings, group, law)
    person, own = _person(settings, design, group, law, apart)
    changes = np.array([planted_course(settings, design, name, law) for name in group.conditions])
    change = changes[group.condition]
    weight = np.array([person_weight(settings, design, name, law) for name in group.conditions])
    weight = weight[group.condition]
    phase = design.phase[law.source]
    error = law.error_sd * standard(stream(settings.seed, "errors", number), (n, len(times)), tails)
    ratio = group.by_condition(settings.sd_ratio, 1.0)[:, None]
    resting = np.array([s.role == "baseline" for s in design.stretches])[phase]
    error = np.where(resting, error, ratio * error)
    if law.multiplies:
        part = weight * person[:, None] + own[:, phase]
        part -= 0.5 * ratio**2 * ((weight * law.reactivity_sd) ** 2 + own_sd(design, law) ** 2)
        true = rest[:, None] * change * np.exp(part)
        observed = true * np.exp(error - 0.5 * (np.where(resting, 1.0, ratio) * law.error_sd) ** 2)
    else:
        true = rest[:, None] + change + weight * person[:, None] + own[:, phase]
        observed = true + error
    if law.name == "sbp":
        true, observed = _imbalanced(settings, design, group, law, true, observed)
        rest = rest + reliability(design, law) * group.by_condition(settings.imbalance, 0.0)
    lost = stream(settings.seed, "missing", int(law.source == "cuff")).random((n, len(times)))
    observed = np.where(lost < settings.missing_readings, np.nan, observed)
    return Measured(law, rest, true, observed)


def _rest(settings: Settings, group: Group, law: Law) -> tuple[FloatArray, FloatArray]:
    """Return true resting levels, and how far each lies from what is expected of everybody."""
    tails = None if law.multiplies else settings.tails
    traits = standard(stream(settings.seed, "rest"), (len(group.sex), len(TRAITS)), tails)
    z = (traits @ REST_ROOT.T)[:, trait_of(law)]
    if law.multiplies:
        level = law.rest * np.exp(law.rest_sd * z - 0.5 * law.rest_sd**2)
        return level, level - law.rest
    apart = law.rest_sd * z + law.sex_rest * group.sex
    return law.rest + apart + resting_shift(settings, group, law), apart


def resting_shift(settings: Settings, group: Group, law: Law) -> FloatArray:
    """Return by how much the condition's people truly rest higher."""
    share = {"sbp": 1.0, "dbp": DBP_PER_SBP_SHIFT}.get(law.name, 0.0)
    return share * group.by_condition(settings.resting_shift, 0.0)


def _person(
    settings: Settings, design: Design, group: Group, law: Law, apart: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return each person's task reactivity, and what each phase has of its own (n, phases)."""
    tails = None if law.multiplies else settings.tails
    rng = stream(settings.seed, "reactivity")
    n = len(group.sex)
    traits = standard(rng, (n, len(TRAITS)), tails) @ REACTIVITY_ROOT.T
    ratio = group.by_condition(settings.sd_ratio, 1.0)
    person = ratio * law.reactivity_sd * traits[:, trait_of(law)]
    own = standard(rng, (n, len(design.stretches), len(TRAITS)), tails)[:, :, trait_of(law)]
    own = ratio[:, None] * own * _own_by_phase(design, law)
    if law.name == "sbp":
        extra = group.by_condition(settings.sex_interaction, 0.0)
        person = person + group.sex * (settings.sex_effect + extra)
    if not law.multiplies:
        person = person + settings.initial_value * apart
    return person, own


def _own_by_phase(design: Design, law: Law) -> FloatArray:
    """Return the SD of what a phase has of its own; rest defines the level and has none."""
    return np.array([0.0 if s.role == "baseline" else law.phase_sd for s in design.stretches])


def own_sd(design: Design, law: Law) -> FloatArray:
    """Return the same at every reading."""
    return np.asarray(_own_by_phase(design, law)[design.phase[law.source]])


def _imbalanced(
    settings: Settings,
    design: Design,
    group: Group,
    law: Law,
    true: FloatArray,
    observed: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Move the observed baseline of conditions as chance would.

    True level and error of a baseline are jointly normal: given that the observed mean lies d
    higher, the true level lies reliability * d higher, and the errors the rest of it. What
    follows from the true level, all later phases, moves with it.
    """
    shift = group.by_condition(settings.imbalance, 0.0)[:, None]
    if not shift.any():
        return true, observed
    share = reliability(design, law)
    resting = np.array([s.role == "baseline" for s in design.stretches])[design.phase[law.source]]
    return true + share * shift, observed + np.where(resting, 1.0, share) * shift


def reliability(design: Design, law: Law) -> float:
    """Return the share of the variance of observed baselines, within sex, that is true.

    It is that of complete baselines.
    """
    resting = [k for k, s in enumerate(design.stretches) if s.role == "baseline"]
    n = int(np.isin(design.phase[law.source], resting).sum())
    return law.rest_sd**2 / (law.rest_sd**2 + law.error_sd**2 / n) if n else float("nan")


def _size(change: PhaseChange, law: Law) -> float:
    """Return the change of a measure; its logarithm where effects are factors."""
    if law.multiplies:
        return float(np.log(change.rmssd_ratio))
    return float({"ecg_hr": change.hr}.get(law.name, getattr(change, law.name, 0.0)))


def _shape(since: FloatArray) -> FloatArray:
    """Return the course of a task around its mean of 1."""
    fall = np.exp(-since / _OPENING_S)
    shape: FloatArray = 1.0 + _OPENING * (fall - fall.mean())
    return shape


def person_weight(settings: Settings, design: Design, condition: str, law: Law) -> FloatArray:
    """Return how much of a person's task reactivity shows at every reading, shape (times,)."""
    since, phase = design.since(law.source), design.phase[law.source]
    weight = np.zeros(len(since))
    last = 0.0
    for number, stretch in enumerate(design.stretches):
        at = phase == number
        if stretch.role == "recovery":
            tau = settings.effects[condition].recovery_s
            weight[at] = last * np.exp(-since[at] / tau)
            last *= float(np.exp(-stretch.duration / tau))
            continue
        last = SHARES.get(stretch.role, 0.0)
        weight[at] = last if law.multiplies else last * _shaped(since[at], stretch)
    return weight


def planted_course(settings: Settings, design: Design, condition: str, law: Law) -> FloatArray:
    """Return the expected change at every reading, shape (times,): a factor where effects are.

    The mean over the readings of a preparation or task is what was planted. In recovery what was
    left of the phase before falls exponentially to the planted level.
    """
    since, phase = design.since(law.source), design.phase[law.source]
    effect = settings.effects[condition]
    course = np.zeros(len(since))
    last = 0.0
    for number, stretch in enumerate(design.stretches):
        at = phase == number
        size = _size(effect.planted(stretch.role), law)
        if stretch.role == "recovery":
            fall = np.exp(-since[at] / effect.recovery_s)
            course[at] = size + (last - size) * fall
            last = size + (last - size) * float(np.exp(-stretch.duration / effect.recovery_s))
            continue
        last = size
        course[at] = size if law.multiplies else size * _shaped(since[at], stretch)
    return np.exp(course) if law.multiplies else course


def _shaped(since: FloatArray, stretch: Stretch) -> FloatArray | float:
    """Return the course of a preparation or task around its mean of 1; 1 elsewhere."""
    return _shape(since) if stretch.role in SHARES and len(since) else 1.0
