"""Who is simulated: resting physiology and how strongly this person reacts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from physio_hqc.errors import SignalError

SEXES = ("female", "male")

# mmHg: between people of one sex; by how much men rest higher; how diastolic follows systolic.
SBP_REACTIVITY_SD = 4.0
SEX_RESTING = 8.0
DBP_PER_SBP = 0.45
# Between people: of ln RMSSD, tonic skin conductance (µS), responses per minute.
RMSSD_REACTIVITY_SD = 0.15
REACTIVITY_SD = (RMSSD_REACTIVITY_SD, 0.4, 1.0)

_LIMITS = {
    "age": (5.0, 110.0),
    "sbp": (70.0, 220.0),
    "dbp": (35.0, 140.0),
    "hr": (35.0, 150.0),
    "rmssd": (2.0, 200.0),
    "brs": (0.5, 80.0),
    "scl": (0.2, 40.0),
    "scr_rate": (0.0, 15.0),
    "scr_amplitude": (0.02, 3.0),
    "breathing_hz": (0.16, 0.45),
    "speech_breathing_hz": (0.05, 0.14),
    "r_amplitude": (0.05, 5.0),
    "pulse_arrival_s": (0.08, 0.35),
}


@dataclass(frozen=True)
class Person:
    """A participant's resting values and personal reactivity.

    Attributes
    ----------
    sex : {"female", "male"}
    age : float
        Years.
    sbp, dbp : float
        Resting systolic and diastolic pressure, mmHg.
    hr : float
        Resting heart rate, 1/min.
    rmssd : float
        Resting RMSSD, ms. The simulated intervals are scaled to meet it.
    brs : float
        Baroreflex gain at rest, ms/mmHg: how much longer the interval that begins with a beat
        gets per mmHg by which the systolic pressure of that beat lies above its slow level.
    scl : float
        Resting tonic skin conductance, µS.
    scr_rate : float
        Skin conductance responses per minute at rest.
    scr_amplitude : float
        Median amplitude of a response, µS.
    breathing_hz, speech_breathing_hz : float
        Breaths per second when silent and when speaking.
    r_amplitude : float
        Height of the R peak, mV.
    pulse_arrival_s : float
        Time from R peak to the foot of the pressure pulse at resting pressure, s.
    sbp_reactivity, dbp_reactivity, hr_reactivity : float
        What this person's change in a task phase has on top of the condition's (mmHg, mmHg,
        1/min); half of it applies while preparing.
    rmssd_reactivity, scl_reactivity, scr_reactivity : float
        The same for the natural logarithm of RMSSD, for tonic skin conductance (µS) and for
        responses per minute.

    Raises
    ------
    SignalError
        If a value lies outside what the simulator can render.

    Examples
    --------
    >>> Person(sex="male", rmssd=25.0).rmssd
    25.0
    """

    sex: str = "female"
    age: float = 21.0
    sbp: float = 116.0
    dbp: float = 72.0
    hr: float = 70.0
    rmssd: float = 38.0
    brs: float = 14.0
    scl: float = 5.0
    scr_rate: float = 2.8
    scr_amplitude: float = 0.2
    breathing_hz: float = 0.25
    speech_breathing_hz: float = 0.115
    r_amplitude: float = 1.1
    pulse_arrival_s: float = 0.2
    sbp_reactivity: float = 0.0
    dbp_reactivity: float = 0.0
    hr_reactivity: float = 0.0
    rmssd_reactivity: float = 0.0
    scl_reactivity: float = 0.0
    scr_reactivity: float = 0.0

    def __post_init__(self) -> None:
        if self.sex not in SEXES:
            raise SignalError(f"Person: sex {self.sex!r} is not known; use one of {SEXES}.")
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise SignalError(f"Person: {name} {value} lies outside {low:g} to {high:g}.")
        if self.sbp - self.dbp < 20.0:
            raise SignalError(
                f"Person: sbp {self.sbp} and dbp {self.dbp} are less than 20 mmHg apart."
            )


def _between(rng: np.random.Generator, mean: float, sd: float, low: float, high: float) -> float:
    """Draw a normal value kept inside limits, rounded so that tables stay readable."""
    return round(float(np.clip(rng.normal(mean, sd), low, high)), 4)


def _log_between(
    rng: np.random.Generator, median: float, sd_log: float, low: float, high: float
) -> float:
    """Draw a log-normal value kept inside limits."""
    return round(float(np.clip(median * np.exp(rng.normal(0.0, sd_log)), low, high)), 4)


def draw_person(
    rng: np.random.Generator | int = 0,
    *,
    sex_effect: float = 4.0,
    fixed: Mapping[str, Any] | None = None,
) -> Person:
    """Draw a student-aged participant at random.

    Men rest at a pressure 8 mmHg higher and a heart rate 3/min lower than women; RMSSD is
    log-normal around 38 ms at 70/min and falls with the square of the heart rate (a choice of
    this simulator), and the baroreflex gain follows RMSSD with some scatter.

    Parameters
    ----------
    rng : numpy.random.Generator or int
        Source of randomness, or a seed.
    sex_effect : float
        By how many mmHg men's systolic reactivity exceeds women's.
    fixed : mapping, optional
        Fields of :class:`Person` to set instead of drawing. The other values are those that
        would have been drawn anyway, except that a given ``sex``, ``sbp``, ``hr`` or ``rmssd``
        also moves what depends on it.

    Returns
    -------
    Person

    Raises
    ------
    SignalError
        If `fixed` names no field of :class:`Person`, or a value is impossible.

    Examples
    --------
    >>> draw_person(3) == draw_person(3)
    True
    >>> draw_person(3, fixed={"rmssd": 20.0}).rmssd
    20.0
    """
    fixed = dict(fixed or {})
    unknown = sorted(set(fixed) - {field.name for field in fields(Person)})
    if unknown:
        raise SignalError(f"draw_person: {unknown[0]!r} is no field of Person.")
    rng = np.random.default_rng(rng)
    sex = fixed.get("sex", SEXES[int(rng.integers(2))])
    male = sex == "male"
    age = _between(rng, 21.5, 2.5, 18.0, 35.0)
    drawn_sbp = _between(rng, 120.0 if male else 112.0, 8.0, 95.0, 145.0)
    sbp = float(np.clip(fixed.get("sbp", drawn_sbp), *_LIMITS["sbp"]))
    dbp = round(float(np.clip(72 + DBP_PER_SBP * (sbp - 116) + rng.normal(0, 5), 45, sbp - 22)), 4)
    hr = _between(rng, 69.0 if male else 72.0, 8.0, 50.0, 95.0)
    # Short intervals leave little room to vary: without this, a fast heart may swing absurdly.
    median_rmssd = 38.0 * (70.0 / float(fixed.get("hr", hr))) ** 2
    drawn_rmssd = _log_between(rng, median_rmssd, 0.35, 10.0, 90.0)
    rmssd = float(fixed.get("rmssd", drawn_rmssd))
    brs = 14.0 * (rmssd / 38.0) ** 0.7 * float(np.exp(rng.normal(0.0, 0.2)))
    person = Person(
        sex=sex if sex in SEXES else SEXES[0],
        age=age,
        sbp=sbp,
        dbp=dbp,
        hr=hr,
        rmssd=float(np.clip(rmssd, *_LIMITS["rmssd"])),
        brs=round(float(np.clip(brs, 3.0, 40.0)), 4),
        scl=_log_between(rng, 5.0, 0.35, 1.5, 14.0),
        scr_rate=_log_between(rng, 2.8, 0.25, 1.2, 5.0),
        scr_amplitude=_log_between(rng, 0.2, 0.3, 0.08, 0.6),
        breathing_hz=_between(rng, 0.25, 0.025, 0.19, 0.32),
        speech_breathing_hz=_between(rng, 0.115, 0.008, 0.095, 0.13),
        r_amplitude=_between(rng, 1.1, 0.2, 0.6, 1.8),
        pulse_arrival_s=_between(rng, 0.2, 0.012, 0.16, 0.24),
        sbp_reactivity=round(
            rng.normal(sex_effect * (0.5 if male else -0.5), SBP_REACTIVITY_SD), 4
        ),
        dbp_reactivity=round(rng.normal(0.0, 3.0), 4),
        hr_reactivity=round(rng.normal(0.0, 4.0), 4),
    )
    return replace(person, **fixed)


def reacting_person(person: Person, rng: np.random.Generator) -> Person:
    """Return a person whose vagal withdrawal and sweating are personal too.

    Examples
    --------
    >>> reacting_person(Person(), np.random.default_rng(1)).rmssd_reactivity
    0.0518
    """
    rmssd, scl, scr = (rng.standard_normal(3) * REACTIVITY_SD).tolist()
    return replace(
        person,
        rmssd_reactivity=round(rmssd, 4),
        scl_reactivity=round(scl, 4),
        scr_reactivity=round(scr, 4),
    )


def changed_person(person: Person, *, sbp: float = 0.0, sbp_reactivity: float = 0.0) -> Person:
    """Return a person whose resting pressure or reactivity lies higher, mmHg.

    Diastolic pressure moves by 0.45 of what systolic pressure does, as between people; both stay
    within what the simulator can render.

    Examples
    --------
    >>> changed_person(Person(), sbp=10.0).dbp
    76.5
    """
    if not sbp and not sbp_reactivity:
        return person
    moved = float(np.clip(person.sbp + sbp, 85.0, 200.0))
    dbp = person.dbp + DBP_PER_SBP * (moved - person.sbp)
    return replace(
        person,
        sbp=round(moved, 4),
        dbp=round(float(np.clip(dbp, 40.0, moved - 22.0)), 4),
        sbp_reactivity=round(person.sbp_reactivity + sbp_reactivity, 4),
    )
