"""A simulated session: the session file and, beside it, its truth."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physio_hqc.errors import OutputError, SignalError
from physio_hqc.files import new_file
from physio_hqc.protocol import Protocol, RatingScale
from physio_hqc.session import SessionWriter
from physio_hqc.simulate._courses import FloatArray, Stretch
from physio_hqc.simulate.effects import ConditionEffect
from physio_hqc.simulate.noise import Noise, draw_artifacts, kept_stretches
from physio_hqc.simulate.participant import (
    as_protocol,
    generator,
    simulate_truth,
    stretches_of,
)
from physio_hqc.simulate.person import Person
from physio_hqc.simulate.render import (
    render_ecg,
    render_eda,
    render_pressure,
    render_respiration,
    sample_count,
)
from physio_hqc.simulate.truth import SimulatedTruth, save_truth, truth_path_for

# Second 0 of every simulated session, unless another is asked for: 2024-01-15 09:00 UTC.
T0_UNIX_NS = 1_705_309_200_000_000_000

STREAMS = ("ecg", "bp", "cuff", "eda", "resp")
WITH_CONFEDERATE = ("support", "nonsupport")

_SOURCE = "simulator"
_DTYPES = {"ecg": "int16", "bp": "int16", "eda": "float32", "resp": "float32"}
_SCALES = {"ecg": 0.0005, "bp": 0.01, "eda": 1.0, "resp": 1.0}
_UNITS = {"ecg": "mV", "bp": "mmHg", "eda": "µS", "resp": "a.u."}
_RENDER = {
    "ecg": render_ecg,
    "bp": render_pressure,
    "eda": render_eda,
    "resp": render_respiration,
}
_CUFF_CHANNELS = ("SBP", "DBP", "MAP", "HR")
_STRAIN_WORDS = ("stress", "strain", "effort", "anxi", "tense")


@dataclass(frozen=True, eq=False)
class SimulatedSession:
    """A simulated session file and the truth behind it.

    Attributes
    ----------
    path : Path
        The session file.
    truth_path : Path
        ``<stem>_truth.npz`` beside it; read it with :func:`load_truth`.
    truth : SimulatedTruth
    """

    path: Path
    truth_path: Path
    truth: SimulatedTruth


def simulate_session(
    path: str | os.PathLike[str],
    *,
    seed: int = 0,
    protocol: str | Path | Protocol = "lepore_1993",
    condition: str = "support",
    participant_id: str = "P01",
    dyad_id: str = "",
    role: str = "",
    person: Person | None = None,
    effect: ConditionEffect | None = None,
    noise: Noise | None = None,
    streams: Sequence[str] = ("ecg", "bp", "cuff", "eda"),
    ecg_sfreq: float = 250.0,
    bp_sfreq: float = 100.0,
    eda_sfreq: float = 32.0,
    resp_sfreq: float = 25.0,
    time_scale: float = 1.0,
    cuff_error_mmhg: float = 2.0,
    t0_unix_ns: int = T0_UNIX_NS,
    overwrite: bool = False,
) -> SimulatedSession:
    """Simulate one participant and write the session file, with the truth beside it.

    The file holds the streams asked for, the phases of the protocol, the ratings it asks for,
    and interaction windows: the time with the confederate while preparing and speaking in the
    conditions ``support`` and ``nonsupport``, or what the protocol lists as interactions.

    Parameters
    ----------
    path : path-like
        Session file to write; it appears only when it is complete.
    seed : int
        Same seed and parameters, same samples, same truth, same session id.
    protocol : str, Path or Protocol
        Shipped name, file, or protocol.
    condition : str
        One of the protocol's conditions.
    participant_id, dyad_id, role : str
    person : Person, optional
        Drawn from the seed by default.
    effect : ConditionEffect, optional
        The condition's default effect if not given.
    noise : Noise, optional
        A good laboratory recording by default; ``Noise.none()`` for none at all.
    streams : sequence of str
        Any of ``ecg bp cuff eda resp``.
    ecg_sfreq, bp_sfreq, eda_sfreq, resp_sfreq : float
        Hz.
    time_scale : float
        Factor on all times of the protocol, to shorten a session.
    cuff_error_mmhg : float
        Standard deviation of the error of a cuff reading. A reading is the mean over the 30 s
        after it was started, rounded to whole numbers.
    t0_unix_ns : int
        Wall-clock time of second 0; a fixed date by default, so that files are reproducible.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    SimulatedSession

    Raises
    ------
    OutputError
        If the file exists already or cannot be written.
    ConfigError
        If the protocol or the condition is unknown.
    SignalError
        If another parameter makes no sense.

    References
    ----------
    Lepore, Allen & Evans (1993), doi 10.1097/00006842-199311000-00007: the experiment.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> simulated = simulate_session(folder / "p01.h5", seed=7, time_scale=0.05)
    >>> simulated.truth_path.name
    'p01_truth.npz'
    >>> from physio_hqc import open_session
    >>> with open_session(simulated.path) as session:
    ...     print(sorted(session.streams), session.condition)
    ['bp', 'cuff', 'ecg', 'eda'] support
    """
    target = new_file(path, overwrite=overwrite)
    new_file(truth_path_for(target), overwrite=True)
    rates = {"ecg": ecg_sfreq, "bp": bp_sfreq, "eda": eda_sfreq, "resp": resp_sfreq}
    wanted = _checked_streams(streams)
    design = as_protocol(protocol, time_scale)
    truth = simulate_truth(
        seed=seed,
        protocol=design,
        condition=condition,
        participant_id=participant_id,
        person=person,
        effect=effect,
        cuff_error_mmhg=cuff_error_mmhg,
    )
    for name in wanted:
        if name in rates:
            sample_count(truth.duration_s, rates[name])
    disturbed = Noise() if noise is None else noise
    truth = _with_artifacts(truth, disturbed, wanted)
    with (
        _disk_errors(target),
        SessionWriter(
            target,
            participant_id=participant_id,
            condition=condition,
            dyad_id=dyad_id,
            role=role,
            protocol=design.to_yaml(),
            t0_unix_ns=t0_unix_ns,
            session_id=_session_id(seed),
            overwrite=overwrite,
            atomic=True,
        ) as writer,
    ):
        _write_streams(writer, truth, wanted, rates, disturbed)
        _write_events(writer, truth, design)
    return SimulatedSession(target, save_truth(truth_path_for(target), truth), truth)


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    """Say in one line why the session could not be written."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{target} cannot be written ({reason}); choose another place") from error


def _checked_streams(streams: Iterable[str]) -> tuple[str, ...]:
    """Return the streams asked for, in the usual order."""
    asked = [streams] if isinstance(streams, str) else list(streams)
    unknown = [name for name in asked if name not in STREAMS]
    if unknown:
        raise SignalError(f"stream {unknown[0]!r} cannot be simulated; choose from {STREAMS}.")
    if not asked:
        raise SignalError(f"no stream was asked for; choose from {STREAMS}.")
    return tuple(name for name in STREAMS if name in asked)


def _session_id(seed: int) -> str:
    """Return a session id that follows from the seed."""
    return str(uuid.UUID(bytes=generator(seed, "identity").bytes(16), version=4))


def _with_artifacts(
    truth: SimulatedTruth, noise: Noise, streams: tuple[str, ...]
) -> SimulatedTruth:
    """Return the truth with the disturbances of this recording."""
    drawn = draw_artifacts(noise, truth.duration_s, streams, generator(truth.seed, "noise"))
    return replace(
        truth,
        artifact_onset_s=drawn.onset_s,
        artifact_offset_s=drawn.offset_s,
        artifact_stream=drawn.stream,
        artifact_kind=drawn.kind,
    )


def _write_streams(
    writer: SessionWriter,
    truth: SimulatedTruth,
    streams: tuple[str, ...],
    rates: dict[str, float],
    noise: Noise,
) -> None:
    """Declare all streams, then render and write one after the other."""
    device: dict[str, Any] = {"name": "simulator", "seed": truth.seed, "noise": asdict(noise)}
    for name in streams:
        if name == "cuff":
            writer.add_stream(
                name,
                modality="cuff",
                units="mmHg,mmHg,mmHg,1/min",
                sfreq=0.0,
                dtype="float32",
                channels=_CUFF_CHANNELS,
                device={"name": "simulator", "seed": truth.seed},
                compress=True,
            )
            continue
        writer.add_stream(
            name,
            modality=name,
            units=_UNITS[name],
            sfreq=rates[name],
            dtype=_DTYPES[name],
            scale=_SCALES[name],
            device=device,
            compress=True,
        )
    for name in streams:
        if name == "cuff":
            writer.append_irregular(name, truth.cuff_times_s, truth.cuff)
            continue
        stored = _stored(name, _RENDER[name](truth, rates[name], noise))
        gaps = truth.artifacts(name, "dropout")
        for first, last in kept_stretches(len(stored), rates[name], gaps).tolist():
            writer.append_segment(name, stored[first:last], first / rates[name])


def _stored(name: str, values: FloatArray) -> NDArray[Any]:
    """Return physical values in the number type of their stream."""
    dtype = np.dtype(_DTYPES[name])
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values / _SCALES[name]), limits.min, limits.max).astype(dtype)


def _write_events(writer: SessionWriter, truth: SimulatedTruth, design: Protocol) -> None:
    """Write phases, interaction windows and ratings."""
    stretches = stretches_of(design)
    for stretch in stretches:
        writer.add_event(
            stretch.onset, "phase", stretch.name, duration=stretch.duration, source=_SOURCE
        )
    for onset, duration, label, payload in _interactions(design, stretches, truth.condition):
        writer.add_event(
            onset, "interaction", label, duration=duration, source=_SOURCE, payload=payload
        )
    rng = generator(truth.seed, "ratings")
    scales = {scale.name: scale for scale in design.ratings}
    for stretch, phase in zip(stretches, design.phases, strict=True):
        change = truth.effect.change(stretch.role, truth.person).sbp
        for name in phase.ratings:
            payload = {
                "value": _rating(scales[name], change, rng),
                "phase": stretch.name,
                "min": scales[name].min,
                "max": scales[name].max,
            }
            writer.add_event(stretch.offset, "rating", name, source=_SOURCE, payload=payload)


def _interactions(
    design: Protocol, stretches: Sequence[Stretch], condition: str
) -> list[tuple[float, float, str, dict[str, Any]]]:
    """Return onset, duration, label and payload of the interaction windows."""
    found: list[tuple[float, float, str, dict[str, Any]]] = []
    if condition in WITH_CONFEDERATE:
        payload = {"condition": condition, "partner": "confederate"}
        return [
            (stretch.onset, stretch.duration, "with_confederate", payload)
            for stretch in stretches
            if stretch.role in ("preparation", "task")
        ]
    for stretch in stretches:
        if stretch.role != "task":
            continue
        slot = stretch.duration / max(len(design.interactions), 1)
        for number, interaction in enumerate(design.interactions):
            onset = stretch.onset + (number + 0.25) * slot
            found.append((onset, 0.5 * slot, interaction.label, {"condition": condition}))
    return found


def _rating(scale: RatingScale, sbp_change: float, rng: np.random.Generator) -> float:
    """Rate a phase: strain rises with the systolic change, everything else falls with it."""
    strain = 0.05 + sbp_change / 35.0
    feeling = strain if any(word in scale.name.lower() for word in _STRAIN_WORDS) else 1 - strain
    share = float(np.clip(feeling + 0.12 * rng.standard_normal(), 0.0, 1.0))
    return float(np.clip(round(scale.min + (scale.max - scale.min) * share), scale.min, scale.max))
