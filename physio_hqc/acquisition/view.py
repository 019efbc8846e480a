"""What a running recording looks like at one moment: plain data for screens and scripts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from physio_hqc.acquisition.source import SourceState

RecordingState = Literal["preflight", "running", "finished"]


@dataclass(frozen=True)
class StreamView:
    """One stream at one moment. Unknown numbers are None."""

    name: str
    source: str
    modality: str
    units: str
    sfreq: float
    """Nominal rate in Hz; 0 where values come at irregular times."""
    n_samples: int = 0
    rate: float | None = None
    """Rate over the last seconds in Hz (values a minute for an irregular stream)."""
    value: str = ""
    """Last value as people read it: ``72 /min``, ``128/82``, ``4.31 µS``."""
    age_s: float | None = None
    """Seconds since the last sample arrived."""
    lag_s: float | None = None
    """How much later than the fastest packet of this clock samples arrive now."""
    quality: float | None = None
    quality_reason: str = ""
    n_gaps: int = 0
    gap_s: float = 0.0
    alive: bool = False
    problems: tuple[str, ...] = ()
    """What pre-flight has against this stream; empty when all is well."""


@dataclass(frozen=True)
class SourceView:
    """One source at one moment."""

    name: str
    state: SourceState = "searching"
    text: str = ""
    battery: int | None = None
    contact: bool | None = None
    serial: str = ""
    troubles: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PhaseView:
    """Where the protocol stands."""

    name: str
    label: str
    number: int
    of: int
    elapsed_s: float
    left_s: float
    """Negative when the time is over and the phase waits for the experimenter."""
    manual: bool
    instructions: str = ""
    next_label: str = ""
    cuff_in_s: float | None = None
    """Seconds until the next cuff reading of this phase is due; None if none is left."""
    cuff_due: bool = False
    """A reading is due now and has not arrived yet."""


@dataclass(frozen=True)
class Alert:
    """Something the experimenter should know; `urgent` ones are shown very large."""

    text: str
    urgent: bool = False
    since_s: float = 0.0
    """Session time at which it began, where that is known."""


@dataclass(frozen=True)
class RecordingView:
    """A recording at one moment."""

    state: RecordingState
    t: float
    """Seconds since the session's start."""
    file: str
    participant_id: str = ""
    condition: str = ""
    protocol: str = ""
    phase: PhaseView | None = None
    streams: tuple[StreamView, ...] = ()
    sources: tuple[SourceView, ...] = ()
    alerts: tuple[Alert, ...] = ()
    armed_s: float = 0.0
    """How long pre-flight has lasted."""
    ready: bool = False
    """Everything flows: the protocol may start."""
    waiting_for: tuple[str, ...] = ()
    """Why it may not, one sentence each."""
    open_windows: tuple[tuple[str, float], ...] = ()
    """Label and onset of interaction windows that are open."""
    interactions: tuple[str, ...] = ()
    """Labels of interaction windows that the protocol expects."""
    ratings_due: tuple[str, ...] = ()
    """Names of rating scales that wait for an answer."""
    log: tuple[str, ...] = ()
    """The last things that happened, newest last."""
    strip: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """The last seconds of the ECG in mV, evenly sampled; NaN in gaps."""
    strip_sfreq: float = 0.0
    file_bytes: int = 0
    free_bytes: int | None = None
