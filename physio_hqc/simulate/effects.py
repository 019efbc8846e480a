"""What a condition does to the body, phase by phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from physio_hqc.errors import SignalError
from physio_hqc.simulate.person import Person


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

    def change(self, role: str, person: Person) -> PhaseChange:
        """Return the change of one person in a phase of the given role."""
        if role == "recovery":
            return self.recovery
        share = {"preparation": 0.5, "task": 1.0}.get(role)
        if share is None:
            return PhaseChange()
        change = self.task if role == "task" else self.preparation
        return PhaseChange(
            sbp=change.sbp + share * person.sbp_reactivity,
            dbp=change.dbp + share * person.dbp_reactivity,
            hr=change.hr + share * person.hr_reactivity,
            rmssd_ratio=change.rmssd_ratio,
            brs_ratio=change.brs_ratio,
            scl=change.scl,
            scr_rate=change.scr_rate,
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
