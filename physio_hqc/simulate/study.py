"""A simulated study: many sessions, their truth, and the table of participants."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from physio_hqc.errors import OutputError, PhysioError, SignalError
from physio_hqc.parallel import run_parallel
from physio_hqc.simulate.effects import ConditionEffect
from physio_hqc.simulate.noise import Noise
from physio_hqc.simulate.person import SEXES, Person, draw_person
from physio_hqc.simulate.session import SimulatedSession, simulate_session

Progress = Callable[[int, int, Path], None]

PARTICIPANT_COLUMNS = ("id", "sex", "age", "condition", "session")


@dataclass(frozen=True, eq=False)
class SimulatedStudy:
    """A simulated study.

    Attributes
    ----------
    out_dir : Path
    sessions : tuple of SimulatedSession
        In the order of the participants; missing sessions are left out.
    participants_csv : Path
        Columns id, sex, age, condition, session (file name; empty where missing).
    """

    out_dir: Path
    sessions: tuple[SimulatedSession, ...]
    participants_csv: Path


@dataclass(frozen=True)
class _Plan:
    """One participant before being simulated."""

    participant_id: str
    condition: str
    seed: int
    person: Person
    missing: bool
    poor: bool


def simulate_study(
    out_dir: str | os.PathLike[str],
    n_per_condition: int | Mapping[str, int],
    *,
    seed: int = 0,
    conditions: Sequence[str] = ("alone", "support", "nonsupport"),
    effects: Mapping[str, ConditionEffect] | None = None,
    sex_effect: float = 4.0,
    missing_share: float = 0.0,
    poor_share: float = 0.0,
    jobs: int = 1,
    progress: Progress | None = None,
    **session_options: Any,
) -> SimulatedStudy:
    """Simulate a study: one session per participant, in balanced random order.

    Participants P001, P002, ... are assigned in blocks that hold every condition once, and sexes
    alternate within a condition. Each session has its own seed, derived from `seed`.

    Parameters
    ----------
    out_dir : path-like
        Folder for the session files, their truth and participants.csv; made if needed.
    n_per_condition : int or mapping
        Participants per condition; a mapping from condition to number for unequal cells.
    seed : int
    conditions : sequence of str
        Conditions of the protocol.
    effects : mapping, optional
        Effects by condition, in place of the defaults.
    sex_effect : float
        By how many mmHg men's systolic reactivity exceeds women's.
    missing_share : float
        Share of participants without a session, 0 to 1, chosen at random.
    poor_share : float
        Share of the sessions recorded with ``Noise.poor()``, 0 to 1.
    jobs : int
        Processes to use.
    progress : callable, optional
        Called with (sessions done, sessions in all, path) after each session.
    **session_options
        Passed to :func:`simulate_session`: protocol, time_scale, noise, streams, rates, ...

    Returns
    -------
    SimulatedStudy

    Raises
    ------
    OutputError
        If the folder or a file cannot be written, or a session exists already.
    ConfigError, SignalError
        As :func:`simulate_session`, and if numbers or shares make no sense.

    Examples
    --------
    >>> import tempfile
    >>> study = simulate_study(tempfile.mkdtemp(), 1, seed=3, time_scale=0.02)
    >>> [session.path.name for session in study.sessions]
    ['P001.h5', 'P002.h5', 'P003.h5']
    """
    counts = _counts(n_per_condition, conditions)
    for name, share in (("missing_share", missing_share), ("poor_share", poor_share)):
        if not 0.0 <= share <= 1.0:
            raise SignalError(f"{name} must lie between 0 and 1, not {share}.")
    if jobs < 1:
        raise SignalError(f"jobs must be at least 1, not {jobs}.")
    folder = Path(out_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: the folder cannot be made ({error.strerror}).") from error
    plans = _plan(counts, seed, sex_effect, missing_share, poor_share)
    calls = [
        _call(plan, folder, effects or {}, session_options) for plan in plans if not plan.missing
    ]
    done = 0

    def count(number: int, session: SimulatedSession | PhysioError) -> None:
        nonlocal done
        if isinstance(session, PhysioError):
            raise session
        done += 1
        if progress is not None:
            progress(done, len(calls), calls[number]["path"])

    sessions = run_parallel(_simulate, [(call,) for call in calls], jobs, count)
    table = _write_participants(folder / "participants.csv", plans)
    return SimulatedStudy(folder, tuple(sessions), table)


def _counts(n_per_condition: int | Mapping[str, int], conditions: Sequence[str]) -> dict[str, int]:
    """Return how many participants each condition gets."""
    if isinstance(conditions, str) or not conditions or len(set(conditions)) != len(conditions):
        raise SignalError("conditions must be a list of different names.")
    if isinstance(n_per_condition, Mapping):
        unknown = sorted(set(n_per_condition) - set(conditions))
        if unknown:
            raise SignalError(f"n_per_condition names {unknown[0]!r}, which is no condition.")
        counts = {name: int(n_per_condition.get(name, 0)) for name in conditions}
    else:
        counts = dict.fromkeys(conditions, int(n_per_condition))
    if min(counts.values()) < 0 or sum(counts.values()) == 0:
        raise SignalError("n_per_condition must not be negative, and somebody must take part.")
    return counts


def _plan(
    counts: Mapping[str, int],
    seed: int,
    sex_effect: float,
    missing_share: float,
    poor_share: float,
) -> list[_Plan]:
    """Decide who takes part, in which condition, with which seed."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise SignalError(f"seed must be a whole number not below 0, not {seed!r}.")
    total = sum(counts.values())
    design, *own = np.random.SeedSequence(int(seed)).spawn(total + 1)
    rng = np.random.default_rng(design)
    first_sex = {name: int(rng.integers(2)) for name in counts}
    order: list[tuple[str, str]] = []
    for block in range(max(counts.values())):
        names = [name for name, count in counts.items() if count > block]
        order += [
            (names[i], SEXES[(first_sex[names[i]] + block) % 2])
            for i in rng.permutation(len(names))
        ]
    missing = set(rng.permutation(total)[: round(missing_share * total)].tolist())
    poor = set(rng.permutation(total)[: round(poor_share * total)].tolist())
    plans = []
    for number, ((condition, sex), child) in enumerate(zip(order, own, strict=True)):
        person_seed, session_seed = (int(state) for state in child.generate_state(2))
        person = draw_person(person_seed, sex_effect=sex_effect, fixed={"sex": sex})
        plans.append(
            _Plan(
                participant_id=f"P{number + 1:03d}",
                condition=condition,
                seed=session_seed,
                person=person,
                missing=number in missing,
                poor=number in poor,
            )
        )
    return plans


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
        "effect": effects.get(plan.condition),
    }
    if plan.poor:
        call["noise"] = Noise.poor()
    return call


def _simulate(call: dict[str, Any]) -> SimulatedSession:
    """Simulate one session; a function of its own so that processes can run it."""
    return simulate_session(**call)


def _write_participants(path: Path, plans: Sequence[_Plan]) -> Path:
    """Write participants.csv."""
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(PARTICIPANT_COLUMNS)
            writer.writerows(
                (
                    plan.participant_id,
                    plan.person.sex,
                    plan.person.age,
                    plan.condition,
                    "" if plan.missing else f"{plan.participant_id}.h5",
                )
                for plan in plans
            )
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}).") from error
    return path
