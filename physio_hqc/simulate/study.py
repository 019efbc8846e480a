"""A simulated study: many sessions, their truth, and the table of participants."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from physio_hqc.errors import OutputError, PhysioError, SignalError
from physio_hqc.parallel import run_parallel
from physio_hqc.protocol import Protocol
from physio_hqc.simulate._assignment import assign, cells, check_conditions
from physio_hqc.simulate.effects import ConditionEffect, effects_for
from physio_hqc.simulate.noise import Noise
from physio_hqc.simulate.participant import as_protocol
from physio_hqc.simulate.person import (
    SBP_REACTIVITY_SD,
    SEX_RESTING,
    Person,
    changed_person,
    draw_person,
    reacting_person,
)
from physio_hqc.simulate.ratings import draw_answers, draw_quality
from physio_hqc.simulate.session import WITH_CONFEDERATE, SimulatedSession, simulate_session
from physio_hqc.simulate.study_truth import (
    STUDY_TRUTH,
    StudyTruth,
    save_study_truth,
    study_truth,
)

Progress = Callable[[int, int, Path], None]

PARTICIPANT_COLUMNS = ("id", "sex", "age", "condition", "session")
COVARIATE_COLUMNS = ("bmi", "sleep_h")
LAB_COLUMNS = (
    *("waist_hip", "total_cholesterol", "hdl", "hba1c", "cortisol"),
    *("norepinephrine", "epinephrine", "dhea_s"),
)

# Median (women, men) and SD of the logarithm: of the order of young adults, our choice.
_LAB = {
    "waist_hip": (0.76, 0.84, 0.06),
    "total_cholesterol": (175.0, 170.0, 0.18),
    "hdl": (57.0, 48.0, 0.22),
    "hba1c": (5.1, 5.1, 0.06),
    "cortisol": (17.0, 15.0, 0.45),
    "norepinephrine": (24.0, 24.0, 0.4),
    "epinephrine": (2.4, 2.4, 0.5),
    "dhea_s": (190.0, 280.0, 0.4),
}
_PURPOSES = ("ratings", "covariates", "laboratory")


@dataclass(frozen=True, eq=False)
class SimulatedStudy:
    """A simulated study.

    Attributes
    ----------
    out_dir : Path
    sessions : tuple of SimulatedSession
        In the order of the participants; missing sessions are left out.
    participants_csv : Path
        Columns id, sex, age, condition, session (file name; empty where missing), with `dyads`
        dyad, and covariates.
    ratings_csv : Path
        Columns participant, window, and the items of the scale ``hqc``: whole numbers from 1 to
        7, empty where not answered.
    truth_path : Path
        ``study_truth.json``; read it with :func:`load_study_truth`.
    truth : StudyTruth
    """

    out_dir: Path
    sessions: tuple[SimulatedSession, ...]
    participants_csv: Path
    ratings_csv: Path
    truth_path: Path
    truth: StudyTruth


@dataclass(frozen=True)
class _Plan:
    """One participant before being simulated."""

    participant_id: str
    condition: str
    seed: int
    person: Person
    reactivity: float
    missing: bool
    poor: bool
    dyad: str
    role: str


@dataclass(frozen=True)
class _Who:
    """What is asked of the people that take part."""

    sex_effect: float
    sex_interaction: Mapping[str, float]
    sex_resting: float
    resting_shift: Mapping[str, float]
    missing_share: float
    poor_share: float
    dyads: bool


def simulate_study(
    out_dir: str | os.PathLike[str],
    n_per_condition: int | Mapping[str, int],
    *,
    seed: int = 0,
    conditions: Sequence[str] | None = None,
    effects: str | Path | Mapping[str, ConditionEffect] | None = None,
    sex_effect: float = 4.0,
    sex_interaction: Mapping[str, float] | None = None,
    sex_resting: float = SEX_RESTING,
    resting_shift: Mapping[str, float] | None = None,
    rating_effect: float = -2.0,
    rating_missing: float = 0.02,
    missing_share: float = 0.0,
    poor_share: float = 0.0,
    dyads: bool = False,
    laboratory: bool = False,
    protocol: str | Path | Protocol = "lepore_1993",
    time_scale: float = 1.0,
    jobs: int = 1,
    progress: Progress | None = None,
    **session_options: Any,
) -> SimulatedStudy:
    """Simulate a study: one session per participant, in balanced random order.

    Participants P001, P002, ... are assigned in blocks that hold every condition once, and sexes
    alternate within a condition. Each session has its own seed, derived from `seed`; ratings,
    covariates and laboratory values have generators of their own, so that they change no session.

    Parameters
    ----------
    out_dir : path-like
        Folder for the session files and their truth, participants.csv, ratings.csv and
        study_truth.json; made if needed.
    n_per_condition : int or mapping
        Participants per condition; a mapping from condition to number for unequal cells.
    seed : int
    conditions : sequence of str, optional
        Conditions of the protocol; all of them by default.
    effects : str, Path or mapping, optional
        Name or file for :func:`load_effects` (``"none"``), or effects by condition, in place of
        the defaults.
    sex_effect : float
        By how many mmHg men's systolic reactivity exceeds women's.
    sex_interaction : mapping, optional
        Condition to mmHg by which it does so there in addition.
    sex_resting : float
        By how many mmHg men's systolic pressure at rest exceeds women's.
    resting_shift : mapping, optional
        Condition to mmHg by which its people rest at a higher systolic pressure: a true
        difference at baseline (diastolic: 0.45 of it).
    rating_effect : float
        mmHg of systolic reactivity per SD of the quality of the connection among people in the
        same condition; from -4 to 4, negative where a better connection goes with less.
    rating_missing : float
        Share of rating items that are not answered, 0 to 1.
    missing_share : float
        Share of participants without a session, 0 to 1, chosen at random.
    poor_share : float
        Share of the sessions recorded with ``Noise.poor()``, 0 to 1.
    dyads : bool
        Pair the participants of a condition, in their order, as the two sides (A and B) of a
        dyad; for protocols of two participants, those that list interactions.
    laboratory : bool
        Add laboratory values to participants.csv (`LAB_COLUMNS`: µg/g creatinine for cortisol and
        catecholamines, mg/dL for lipids, µg/dL for DHEA-S, % for HbA1c); unrelated to the rest.
    protocol : str, Path or Protocol
        Shipped name, file, or protocol.
    time_scale : float
        Factor on all times of the protocol.
    jobs : int
        Processes to use.
    progress : callable, optional
        Called with (sessions done, sessions in all, path) after each session.
    **session_options
        Passed to :func:`simulate_session`: noise, streams, rates, ...

    Returns
    -------
    SimulatedStudy

    Raises
    ------
    OutputError
        If the folder or a file cannot be written, or a session exists already.
    ConfigError, SignalError
        As :func:`simulate_session`, and if effects, numbers or shares make no sense.

    Examples
    --------
    >>> import tempfile
    >>> study = simulate_study(tempfile.mkdtemp(), 1, seed=3, time_scale=0.02)
    >>> [session.path.name for session in study.sessions]
    ['P001.h5', 'P002.h5', 'P003.h5']
    """
    design = as_protocol(protocol, time_scale)
    names = _conditions(conditions, design)
    counts = cells(n_per_condition, names)
    shares = {"missing_share": missing_share, "poor_share": poor_share}
    _check(shares | {"rating_missing": rating_missing}, jobs, dyads, design)
    for name, given in (("sex_interaction", sex_interaction), ("resting_shift", resting_shift)):
        check_conditions(given, names, name)
    what = effects_for(effects, names)
    who = _Who(
        sex_effect=sex_effect,
        sex_interaction=sex_interaction or {},
        sex_resting=sex_resting,
        resting_shift=resting_shift or {},
        dyads=dyads,
        **shares,
    )
    plans = _plan(counts, seed, who)
    quality = _quality(plans, seed, rating_effect)
    folder = _folder(out_dir)
    options = {**session_options, "protocol": design}
    calls = [_call(plan, folder, what, options) for plan in plans if not plan.missing]
    sessions = _simulate_all(calls, jobs, progress)
    settings = {
        "seed": int(seed),
        "conditions": names,
        "n_per_condition": counts,
        **asdict(who),
        "rating_effect": rating_effect,
        "rating_missing": rating_missing,
        "protocol": design.name,
        "time_scale": time_scale,
        "effects": {name: asdict(effect) for name, effect in what.items()},
    }
    truths = [(made.path.stem, made.truth) for made in sessions]
    truth = study_truth(design, names, what, truths, quality, settings)
    return SimulatedStudy(
        folder,
        tuple(sessions),
        _write_participants(folder / "participants.csv", plans, seed, dyads, laboratory),
        _write_ratings(folder / "ratings.csv", plans, design, quality, seed, rating_missing),
        save_study_truth(folder / STUDY_TRUTH, truth),
        truth,
    )


def _conditions(conditions: Sequence[str] | None, design: Protocol) -> list[str]:
    """Return the conditions of the study."""
    if isinstance(conditions, str):
        raise SignalError("conditions must be a list of different names.")
    if conditions is not None:
        return list(conditions)
    found = [entry.label for entry in design.conditions]
    if not found:
        raise SignalError(f"protocol {design.name} has no conditions; name those of the study.")
    return found


def _check(shares: Mapping[str, float], jobs: int, dyads: bool, design: Protocol) -> None:
    """Refuse numbers that make no sense."""
    for name, share in shares.items():
        if not 0.0 <= share <= 1.0:
            raise SignalError(f"{name} must lie between 0 and 1, not {share}.")
    if jobs < 1:
        raise SignalError(f"jobs must be at least 1, not {jobs}.")
    if dyads and not design.interactions:
        raise SignalError(
            f"dyads: protocol {design.name} has one participant a session; choose one that lists "
            "interactions, such as dyad_conversation."
        )


def _folder(out_dir: str | os.PathLike[str]) -> Path:
    """Return the folder, made if needed."""
    folder = Path(out_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: the folder cannot be made ({error.strerror}).") from error
    return folder


def _simulate_all(
    calls: Sequence[dict[str, Any]], jobs: int, progress: Progress | None
) -> list[SimulatedSession]:
    """Simulate every session; the first error ends it."""
    done = 0

    def count(number: int, session: SimulatedSession | PhysioError) -> None:
        nonlocal done
        if isinstance(session, PhysioError):
            raise session
        done += 1
        if progress is not None:
            progress(done, len(calls), calls[number]["path"])

    return run_parallel(_simulate, [(call,) for call in calls], jobs, count)


def _plan(counts: Mapping[str, int], seed: int, who: _Who) -> list[_Plan]:
    """Decide who takes part, in which condition, with which seed."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise SignalError(f"seed must be a whole number not below 0, not {seed!r}.")
    total = sum(counts.values())
    design, *own = np.random.SeedSequence(int(seed)).spawn(total + 1)
    rng = np.random.default_rng(design)
    order = assign(counts, rng)
    missing = set(rng.permutation(total)[: round(who.missing_share * total)].tolist())
    poor = set(rng.permutation(total)[: round(who.poor_share * total)].tolist())
    dyads = _dyads([condition for condition, _ in order]) if who.dyads else [("", "")] * total
    plans = []
    for number, ((condition, sex), child) in enumerate(zip(order, own, strict=True)):
        person_seed, session_seed = (int(state) for state in child.generate_state(2))
        person = draw_person(person_seed, sex_effect=who.sex_effect, fixed={"sex": sex})
        person = reacting_person(person, np.random.default_rng(child.spawn(1)[0]))
        side = 0.5 if sex == "male" else -0.5
        plans.append(
            _Plan(
                participant_id=f"P{number + 1:03d}",
                condition=condition,
                seed=session_seed,
                person=changed_person(
                    person,
                    sbp=side * (who.sex_resting - SEX_RESTING)
                    + who.resting_shift.get(condition, 0.0),
                    sbp_reactivity=side * who.sex_interaction.get(condition, 0.0),
                ),
                reactivity=person.sbp_reactivity - side * who.sex_effect,
                missing=number in missing,
                poor=number in poor,
                dyad=dyads[number][0],
                role=dyads[number][1],
            )
        )
    return plans


def _dyads(conditions: Sequence[str]) -> list[tuple[str, str]]:
    """Return dyad and side of everybody; whoever is left over has none."""
    found = [("", "")] * len(conditions)
    waiting: dict[str, int] = {}
    count = 0
    for number, condition in enumerate(conditions):
        if condition not in waiting:
            waiting[condition] = number
            continue
        count += 1
        found[waiting.pop(condition)] = (f"D{count:03d}", "A")
        found[number] = (f"D{count:03d}", "B")
    return found


def _generator(seed: int, purpose: str) -> np.random.Generator:
    """Return a generator that shares nothing with those of the sessions."""
    key = (10_000_000 + _PURPOSES.index(purpose),)
    return np.random.default_rng(np.random.SeedSequence(int(seed), spawn_key=key))


def _quality(plans: Sequence[_Plan], seed: int, rating_effect: float) -> pd.DataFrame:
    """Draw the quality of everybody's connection."""
    drawn = draw_quality(
        [plan.condition for plan in plans],
        np.array([plan.reactivity for plan in plans]),
        reactivity_sd=SBP_REACTIVITY_SD,
        rating_effect=rating_effect,
        rng=_generator(seed, "ratings"),
    )
    return pd.DataFrame(
        {
            "participant": [plan.participant_id for plan in plans],
            "condition": [plan.condition for plan in plans],
            "quality": drawn,
        }
    )


def _call(
    plan: _Plan,
    folder: Path,
    effects: Mapping[str, ConditionEffect],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the arguments of simulate_session for one participant."""
    call = {
        **options,
        "path": folder / f"{plan.participant_id}.h5",
        "seed": plan.seed,
        "condition": plan.condition,
        "participant_id": plan.participant_id,
        "person": plan.person,
        "effect": effects[plan.condition],
    }
    if plan.dyad:
        call |= {"dyad_id": plan.dyad, "role": plan.role}
    if plan.poor:
        call["noise"] = Noise.poor()
    return call


def _simulate(call: dict[str, Any]) -> SimulatedSession:
    """Simulate one session; a function of its own so that processes can run it."""
    return simulate_session(**call)


def _write_participants(
    path: Path, plans: Sequence[_Plan], seed: int, dyads: bool, laboratory: bool
) -> Path:
    """Write participants.csv."""
    columns: dict[str, Sequence[Any]] = {
        "id": [plan.participant_id for plan in plans],
        "sex": [plan.person.sex for plan in plans],
        "age": [plan.person.age for plan in plans],
        "condition": [plan.condition for plan in plans],
        "session": ["" if plan.missing else f"{plan.participant_id}.h5" for plan in plans],
    }
    if dyads:
        columns["dyad"] = [plan.dyad for plan in plans]
    columns |= _covariates(plans, _generator(seed, "covariates"))
    if laboratory:
        columns |= _laboratory(plans, _generator(seed, "laboratory"))
    return _write_csv(path, list(columns), list(zip(*columns.values(), strict=True)))


def _covariates(plans: Sequence[_Plan], rng: np.random.Generator) -> dict[str, list[float]]:
    """Draw body mass index, which goes with resting pressure, and hours slept."""
    z = rng.standard_normal((len(plans), 2))
    sbp = np.array([plan.person.sbp for plan in plans])
    bmi = np.clip(22.5 + 0.1 * (sbp - 116.0) + 2.6 * z[:, 0], 17.0, 36.0)
    sleep = np.clip(7.2 + 0.9 * z[:, 1], 3.0, 11.0)
    values = (np.round(bmi, 1).tolist(), (np.round(2.0 * sleep) / 2.0).tolist())
    return dict(zip(COVARIATE_COLUMNS, values, strict=True))


def _laboratory(plans: Sequence[_Plan], rng: np.random.Generator) -> dict[str, list[float]]:
    """Draw laboratory values, log-normal around the median of the sex."""
    male = np.array([plan.person.sex == "male" for plan in plans])
    found = {}
    for name in LAB_COLUMNS:
        women, men, spread = _LAB[name]
        values = np.where(male, men, women) * np.exp(spread * rng.standard_normal(len(plans)))
        found[name] = np.round(values, 2).tolist()
    return found


def _write_ratings(
    path: Path,
    plans: Sequence[_Plan],
    design: Protocol,
    quality: pd.DataFrame,
    seed: int,
    missing_share: float,
) -> Path:
    """Write ratings.csv: the time with the confederate, or the task of those who have none."""
    tasks = [phase.name for phase in design.phases if phase.role == "task"]
    together = sum(phase.role in ("preparation", "task") for phase in design.phases)
    shared = [f"with_confederate_{k + 1}" if k else "with_confederate" for k in range(together)]
    windows = [shared if plan.condition in WITH_CONFEDERATE else tasks for plan in plans]
    rng = np.random.default_rng(_generator(seed, "ratings").integers(2**63))
    table = draw_answers(
        [plan.participant_id for plan in plans],
        windows,
        quality["quality"].to_numpy(),
        missing_share=missing_share,
        rng=rng,
    )
    here = {plan.participant_id for plan in plans if not plan.missing}
    table = table[table["participant"].isin(here)]
    filled = table.astype(object).where(table.notna(), "")
    return _write_csv(path, list(table.columns), filled.to_numpy().tolist())


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    """Write a table."""
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}).") from error
    return path
