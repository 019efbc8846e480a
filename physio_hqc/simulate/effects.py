"""What a condition does to the body, phase by phase."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import Field

from physio_hqc.config import ConfigModel, Name, Text, find_config, load_config, nearest
from physio_hqc.errors import ConfigError, SignalError
from physio_hqc.simulate.person import Person

PERSONAL_SHARE: Mapping[str, float] = MappingProxyType({"preparation": 0.5, "task": 1.0})
"""How much of a person's own reactivity shows in a phase of a role."""

Number = Annotated[float, Field(allow_inf_nan=False)]
Factor = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class PhaseChange:
    """Change of a phase against the resting values of the same person.

    In preparation and task phases the changes are means over the phase; in recovery they are
    the level that the body settles at.

    Attributes
    ----------
    sbp, dbp : float
        mmHg.
    hr : float
        1/min.
    rmssd_ratio, brs_ratio : float
        Factors on RMSSD and on the baroreflex gain.
    scl : float
        µS.
    scr_rate : float
        Additional skin conductance responses per minute.
    """

    sbp: float = 0.0
    dbp: float = 0.0
    hr: float = 0.0
    rmssd_ratio: float = 1.0
    brs_ratio: float = 1.0
    scl: float = 0.0
    scr_rate: float = 0.0

    def __post_init__(self) -> None:
        if self.rmssd_ratio <= 0 or self.brs_ratio <= 0:
            raise SignalError("PhaseChange: rmssd_ratio and brs_ratio must be above 0.")


@dataclass(frozen=True)
class ConditionEffect:
    """What one condition does in each kind of phase.

    Attributes
    ----------
    preparation, task, recovery : PhaseChange
        Changes in phases of that role; baseline and other phases rest.
    recovery_s : float
        Time constant of the return in recovery, s (at most a third of the phase).
    """

    preparation: PhaseChange = PhaseChange()
    task: PhaseChange = PhaseChange()
    recovery: PhaseChange = PhaseChange()
    recovery_s: float = 60.0

    def __post_init__(self) -> None:
        if not self.recovery_s > 0:
            raise SignalError("ConditionEffect: recovery_s must be above 0.")

    def planted(self, role: str) -> PhaseChange:
        """Return what the condition does in a phase of the given role, whoever it is."""
        known = {"preparation": self.preparation, "task": self.task, "recovery": self.recovery}
        return known.get(role, PhaseChange())

    def change(self, role: str, person: Person) -> PhaseChange:
        """Return the change of one person in a phase of the given role."""
        if role == "recovery":
            return self.recovery
        share = PERSONAL_SHARE.get(role)
        if share is None:
            return PhaseChange()
        change = self.task if role == "task" else self.preparation
        return PhaseChange(
            sbp=change.sbp + share * person.sbp_reactivity,
            dbp=change.dbp + share * person.dbp_reactivity,
            hr=change.hr + share * person.hr_reactivity,
            rmssd_ratio=change.rmssd_ratio * math.exp(share * person.rmssd_reactivity),
            brs_ratio=change.brs_ratio,
            scl=change.scl + share * person.scl_reactivity,
            scr_rate=change.scr_rate + share * person.scr_reactivity,
        )


# Directions after Lepore, Allen & Evans (1993), doi 10.1097/00006842-199311000-00007; the sizes
# are of the order that speech tasks produce, since the cell means of the paper were not at hand.
_LEPORE = {
    "support": ConditionEffect(
        preparation=PhaseChange(6.0, 4.0, 5.0, 0.92, 0.95, 0.6, 2.0),
        task=PhaseChange(12.0, 8.0, 9.0, 0.80, 0.90, 1.0, 4.0),
        recovery=PhaseChange(0.0, 0.0, 0.0, 1.0, 1.0, 0.2, 0.0),
        recovery_s=45.0,
    ),
    "alone": ConditionEffect(
        preparation=PhaseChange(9.0, 6.0, 8.0, 0.85, 0.90, 0.9, 3.0),
        task=PhaseChange(18.0, 12.0, 13.0, 0.65, 0.80, 1.6, 5.0),
        recovery=PhaseChange(1.0, 0.5, 0.5, 0.97, 1.0, 0.3, 0.5),
        recovery_s=60.0,
    ),
    "nonsupport": ConditionEffect(
        preparation=PhaseChange(14.0, 9.0, 12.0, 0.75, 0.85, 1.4, 4.0),
        task=PhaseChange(26.0, 17.0, 19.0, 0.50, 0.70, 2.4, 7.0),
        recovery=PhaseChange(3.0, 2.0, 2.0, 0.92, 0.95, 0.5, 1.0),
        recovery_s=90.0,
    ),
}

# Conditions of the other protocols borrow the effect that resembles them.
EFFECTS: Mapping[str, ConditionEffect] = MappingProxyType(
    {
        **_LEPORE,
        "stress": _LEPORE["nonsupport"],
        "control": _LEPORE["support"],
        "strangers": _LEPORE["alone"],
        "acquainted": _LEPORE["support"],
    }
)


def effect_of(condition: str) -> ConditionEffect:
    """Return the default effect of a condition; conditions without one behave like ``alone``.

    Parameters
    ----------
    condition : str
        Name of the condition.

    Returns
    -------
    ConditionEffect

    References
    ----------
    Lepore, Allen & Evans (1993), doi 10.1097/00006842-199311000-00007: directions.

    Examples
    --------
    >>> effect_of("nonsupport").task.sbp > effect_of("alone").task.sbp
    True
    """
    return EFFECTS.get(condition, EFFECTS["alone"])


class _Change(ConfigModel):
    """A phase change as a file writes it."""

    sbp: Number = Field(default=0.0, description="Systolic pressure, mmHg.")
    dbp: Number = Field(default=0.0, description="Diastolic pressure, mmHg.")
    hr: Number = Field(default=0.0, description="Heart rate, 1/min.")
    rmssd_ratio: Factor = Field(default=1.0, description="Factor on RMSSD.")
    brs_ratio: Factor = Field(default=1.0, description="Factor on the baroreflex gain.")
    scl: Number = Field(default=0.0, description="Skin conductance level, µS.")
    scr_rate: Number = Field(default=0.0, description="Responses per minute on top.")


class _Effect(ConfigModel):
    """A condition's effect as a file writes it."""

    preparation: _Change = Field(default=_Change(), description="While preparing.")
    task: _Change = Field(default=_Change(), description="In the task.")
    recovery: _Change = Field(default=_Change(), description="What the body settles at.")
    recovery_s: Factor = Field(default=60.0, description="Time constant of the return, s.")

    def effect(self) -> ConditionEffect:
        """Return it as what the simulator uses."""
        changes = {
            name: PhaseChange(**getattr(self, name).model_dump())
            for name in ("preparation", "task", "recovery")
        }
        return ConditionEffect(recovery_s=self.recovery_s, **changes)


class EffectsFile(ConfigModel):
    """What every condition of a simulated study does, from ``configs/effects/*.yaml``."""

    name: Name = Field(description="Name of these effects.")
    title: Text = Field(default="", description="One line that says what they are.")
    conditions: dict[Name, _Effect] = Field(default={}, description="Effect by condition.")
    others: _Effect | None = Field(default=None, description="Effect of every other condition.")


def load_effects(name_or_path: str | Path, conditions: Sequence[str]) -> dict[str, ConditionEffect]:
    """Read the effects of the conditions of a study.

    Parameters
    ----------
    name_or_path : str or Path
        ``lepore``, ``none``, ``reverse``, or a YAML file.
    conditions : sequence of str
        The conditions of the study.

    Returns
    -------
    dict of str to ConditionEffect
        One for every condition.

    Raises
    ------
    ConfigError
        If the file is wrong, names a condition that does not exist, or leaves one without an
        effect.

    Examples
    --------
    >>> effects = load_effects("none", ["alone", "support"])
    >>> effects["alone"] == effects["support"]
    True
    """
    path = find_config("effects", name_or_path)
    stated = load_config("effects", name_or_path, EffectsFile)
    if stated.others is None:
        lacking = [name for name in conditions if name not in stated.conditions]
        if lacking:
            known = nearest(lacking[0], stated.conditions)
            raise ConfigError(
                f"{path.name}: conditions: no effect of {lacking[0]!r} and no 'others'; {known}"
            )
    else:
        unknown = [name for name in stated.conditions if name not in conditions]
        if unknown and set(stated.conditions).isdisjoint(conditions):
            raise ConfigError(
                f"{path.name}: conditions: {unknown[0]!r} is no condition of this study; "
                f"{nearest(unknown[0], conditions)}"
            )
    found = {name: entry.effect() for name, entry in stated.conditions.items()}
    others = stated.others.effect() if stated.others else None
    return {name: found.get(name) or others or ConditionEffect() for name in conditions}


def effects_for(
    effects: str | Path | Mapping[str, ConditionEffect] | None, conditions: Sequence[str]
) -> dict[str, ConditionEffect]:
    """Return the effect of every condition: as given, from a file, or the defaults.

    Parameters
    ----------
    effects : str, Path, mapping or None
        Name or file for :func:`load_effects`, or effects by condition; a condition that a mapping
        leaves out keeps its default.
    conditions : sequence of str

    Returns
    -------
    dict of str to ConditionEffect

    Raises
    ------
    ConfigError
        As :func:`load_effects`.
    SignalError
        If the mapping names something that is no condition.

    Examples
    --------
    >>> effects_for(None, ["support"])["support"] == effect_of("support")
    True
    """
    if isinstance(effects, str | Path):
        return load_effects(effects, conditions)
    unknown = sorted(set(effects or {}) - set(conditions))
    if unknown:
        raise SignalError(
            f"effects: {unknown[0]!r} is no condition; {nearest(unknown[0], conditions)}"
        )
    return {name: (effects or {}).get(name) or effect_of(name) for name in conditions}
