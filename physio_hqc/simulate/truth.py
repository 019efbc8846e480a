"""What is true of a simulated session: the yardstick for everything that measures it."""

from __future__ import annotations

import json
import os
import zipfile
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physio_hqc.errors import OutputError, SessionFileError
from physio_hqc.files import hidden_sibling
from physio_hqc.simulate.effects import ConditionEffect, PhaseChange
from physio_hqc.simulate.person import Person

FloatArray = NDArray[np.float64]

TRUTH_FORMAT = "physio-hqc/truth"
TRUTH_VERSION = 1


@dataclass(frozen=True)
class PhaseTruth:
    """What was true in one phase.

    Attributes
    ----------
    name, role : str
        As the protocol has them.
    speech : bool
        Whether the participant speaks.
    onset, offset : float
        s since session start.
    n_beats : int
        R peaks in [onset, offset).
    hr : float
        60 / mean RR interval, 1/min.
    rmssd, sdnn : float
        Of the intervals between beats of the phase, ms.
    sbp, dbp, map : float
        Means over the pulses of those beats, mmHg.
    brs : float
        Mean baroreflex gain over those beats, ms/mmHg.
    scl : float
        Mean tonic level, µS.
    scr_n : int
        Responses whose onset lies in the phase.
    breathing_hz : float
        Breaths per second.
    rsa : float
        Mean over the breaths of the phase of how far breathing swings the intervals, from the
        shortest to the longest, ms; NaN in truths saved before it was kept.
    """

    name: str
    role: str
    speech: bool
    onset: float
    offset: float
    n_beats: int
    hr: float
    rmssd: float
    sdnn: float
    sbp: float
    dbp: float
    map: float
    brs: float
    scl: float
    scr_n: int
    breathing_hz: float
    rsa: float = float("nan")


@dataclass(frozen=True, eq=False)
class SimulatedTruth:
    """The truth behind one simulated session; arrays of one group have one length.

    Attributes
    ----------
    participant_id, condition : str
    seed : int
    person : Person
        Who was simulated.
    effect : ConditionEffect
        What the condition did.
    duration_s : float
    phases : tuple of PhaseTruth
    beat_times_s : ndarray, shape (k,)
        R peaks, s.
    rr_s : ndarray, shape (k,)
        Interval that ends at the beat, s; NaN for the first.
    foot_s, systole_s : ndarray, shape (k,)
        Times of the lowest and highest pressure of the pulse that each beat causes, s.
    sbp, dbp, map : ndarray, shape (k,)
        Pressure at ``systole_s``, at ``foot_s``, and averaged from foot to next foot, mmHg.
    brs_gain : ndarray, shape (k,)
        Baroreflex gain at each beat, ms/mmHg: it acts on the interval that begins there.
    breath_rr_s : ndarray, shape (k,)
        How much breathing alone lengthens the interval that begins at each beat, s; NaN in
        truths saved before it was kept.
    scr_onset_s, scr_peak_s, scr_amplitude : ndarray, shape (s,)
        Skin conductance responses: s, s, µS.
    grid_s : ndarray, shape (g,)
        Times of the slow courses, once a second.
    tonic_us : ndarray, shape (g,)
        Tonic skin conductance, µS.
    breath_cycles : ndarray, shape (g,)
        Breaths since the start; linear between grid points. ``sin(2 pi cycles)`` is the chest.
    hr_level, sbp_level, dbp_level : ndarray, shape (g,)
        The slow course on which waves and variability ride, 1/min and mmHg.
    cuff_times_s : ndarray, shape (c,)
        When each cuff reading was taken, s.
    cuff, cuff_true : ndarray, shape (c, 4)
        SBP, DBP, MAP, HR as the device read them and as they were.
    artifact_onset_s, artifact_offset_s : ndarray, shape (a,)
        Disturbed stretches, s.
    artifact_stream, artifact_kind : ndarray of str, shape (a,)
        The stream, and ``motion``, ``electrode_pop``, ``dropout`` or ``calibration``.
    """

    participant_id: str
    condition: str
    seed: int
    person: Person
    effect: ConditionEffect
    duration_s: float
    phases: tuple[PhaseTruth, ...]
    beat_times_s: FloatArray
    rr_s: FloatArray
    foot_s: FloatArray
    systole_s: FloatArray
    sbp: FloatArray
    dbp: FloatArray
    map: FloatArray
    brs_gain: FloatArray
    breath_rr_s: FloatArray
    scr_onset_s: FloatArray
    scr_peak_s: FloatArray
    scr_amplitude: FloatArray
    grid_s: FloatArray
    tonic_us: FloatArray
    breath_cycles: FloatArray
    hr_level: FloatArray
    sbp_level: FloatArray
    dbp_level: FloatArray
    cuff_times_s: FloatArray
    cuff: FloatArray
    cuff_true: FloatArray
    artifact_onset_s: FloatArray
    artifact_offset_s: FloatArray
    artifact_stream: NDArray[np.str_]
    artifact_kind: NDArray[np.str_]

    def phase(self, name: str) -> PhaseTruth:
        """Return the truth of the phase of that name.

        Raises
        ------
        KeyError
            If the session has no such phase.
        """
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise KeyError(name)

    def artifacts(self, stream: str, kind: str | None = None) -> FloatArray:
        """Return the disturbed stretches of a stream as onset and offset, shape (a, 2), s."""
        wanted = self.artifact_stream == stream
        if kind is not None:
            wanted &= self.artifact_kind == kind
        return np.column_stack([self.artifact_onset_s[wanted], self.artifact_offset_s[wanted]])


_HEAD = ("participant_id", "condition", "seed", "person", "effect", "duration_s", "phases")
_ARRAYS = tuple(field.name for field in fields(SimulatedTruth) if field.name not in _HEAD)
# Arrays, one value a beat, that truths saved by the first versions do not hold.
_LATER = ("breath_rr_s",)


def truth_path_for(session_path: str | os.PathLike[str]) -> Path:
    """Return where the truth of a simulated session lies: beside it, as ``<stem>_truth.npz``.

    Parameters
    ----------
    session_path : path-like
        The session file.

    Returns
    -------
    Path

    Examples
    --------
    >>> truth_path_for("study/P001.h5").name
    'P001_truth.npz'
    """
    path = Path(session_path)
    return path.with_name(f"{path.stem}_truth.npz")


def save_truth(path: str | os.PathLike[str], truth: SimulatedTruth) -> Path:
    """Save the truth as a compressed .npz of plain arrays and one JSON text, no pickles.

    Parameters
    ----------
    path : path-like
        File to write; an existing one is replaced in one step.
    truth : SimulatedTruth

    Returns
    -------
    Path

    Raises
    ------
    OutputError
        If the file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from physio_hqc.simulate import load_truth, save_truth, simulate_truth
    >>> truth = simulate_truth(seed=1, time_scale=0.05)
    >>> path = save_truth(pathlib.Path(tempfile.mkdtemp()) / "p01_truth.npz", truth)
    >>> bool((load_truth(path).beat_times_s == truth.beat_times_s).all())
    True
    """
    target = Path(path)
    head = {
        "format": TRUTH_FORMAT,
        "version": TRUTH_VERSION,
        **{name: getattr(truth, name) for name in ("participant_id", "condition", "seed")},
        "duration_s": truth.duration_s,
        "person": asdict(truth.person),
        "effect": asdict(truth.effect),
        "phases": [asdict(phase) for phase in truth.phases],
    }
    arrays: dict[str, Any] = {name: getattr(truth, name) for name in _ARRAYS}
    hidden = hidden_sibling(target, f"{os.getpid()}.part")
    try:
        with hidden.open("wb") as file:
            np.savez_compressed(file, head=np.array(json.dumps(head)), **arrays)
        hidden.replace(target)
    except OSError as error:
        raise OutputError(f"{target}: the truth cannot be written ({error.strerror})") from error
    finally:
        with suppress(OSError):
            hidden.unlink(missing_ok=True)
    return target


def load_truth(path: str | os.PathLike[str]) -> SimulatedTruth:
    """Read the truth of a simulated session.

    Parameters
    ----------
    path : path-like
        The ``_truth.npz`` file, or the session file beside which it lies.

    Returns
    -------
    SimulatedTruth

    Raises
    ------
    SessionFileError
        If the file is missing or is no truth file.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from physio_hqc.simulate import save_truth, simulate_truth
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> truth = simulate_truth(seed=1, time_scale=0.05)
    >>> path = save_truth(folder / "p01_truth.npz", truth)
    >>> bool((load_truth(path).beat_times_s == truth.beat_times_s).all())
    True
    """
    source = Path(path)
    if source.suffix != ".npz":
        source = truth_path_for(source)
    try:
        with source.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            head = json.loads(str(stored["head"]))
            arrays = {name: stored[name] for name in _ARRAYS if name not in _LATER}
            for name in _LATER:
                absent = np.full_like(arrays["beat_times_s"], np.nan)
                arrays[name] = stored.get(name, absent)
    except FileNotFoundError as error:
        raise SessionFileError(
            f"{source}: no truth lies here; is the session simulated?"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise SessionFileError(
            f"{source}: this is no truth file of a simulated session."
        ) from error
    return _assemble(head, arrays, source)


def _assemble(head: Any, arrays: dict[str, Any], source: Path) -> SimulatedTruth:
    """Build the truth from what a file held."""
    try:
        if head["format"] != TRUTH_FORMAT or head["version"] > TRUTH_VERSION:
            raise SessionFileError(
                f"{source}: format {head['format']} version {head['version']} is not known here."
            )
        return SimulatedTruth(
            participant_id=head["participant_id"],
            condition=head["condition"],
            seed=head["seed"],
            person=Person(**head["person"]),
            effect=_effect(head["effect"]),
            duration_s=head["duration_s"],
            phases=tuple(PhaseTruth(**phase) for phase in head["phases"]),
            **arrays,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise SessionFileError(
            f"{source}: this is no truth file of a simulated session."
        ) from error


def _effect(head: dict[str, Any]) -> ConditionEffect:
    """Build a condition effect from its JSON form."""
    changes = {name: PhaseChange(**head[name]) for name in ("preparation", "task", "recovery")}
    return ConditionEffect(recovery_s=head["recovery_s"], **changes)
