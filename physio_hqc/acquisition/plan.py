"""What is to be recorded, and how it went."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from physio_hqc.acquisition.source import Source
from physio_hqc.protocol import Protocol


@dataclass(frozen=True)
class RecordingPlan:
    """What is recorded, of whom, from what, and where it goes.

    Attributes
    ----------
    out : Path
        Session file to make; it must not exist.
    protocol : Protocol
    sources : tuple of Source
    participant_id, condition, dyad_id, role : str
    begin : {"auto", "key"}
        Whether the protocol starts as soon as everything flows, or when the experimenter says so.
    override_after_s : float, optional
        Start the protocol after this time in pre-flight even though something is missing, which
        is recorded; for sessions that nobody watches.
    wait_for_ratings : bool
        Whether the recording goes on after the last phase until the ratings that the protocol
        asks for are entered.
    """

    out: Path
    protocol: Protocol
    sources: tuple[Source, ...]
    participant_id: str = ""
    condition: str = ""
    dyad_id: str = ""
    role: str = ""
    begin: Literal["auto", "key"] = "auto"
    override_after_s: float | None = None
    wait_for_ratings: bool = False


@dataclass(frozen=True)
class RecordingResult:
    """How a recording ended.

    Attributes
    ----------
    path : Path
    complete : bool
        Whether the protocol ran to its end.
    reason : str
        Why the recording ended.
    duration_s : float
    n_samples : dict of str to int
        Samples received per stream.
    troubles : dict of str to int
        What went wrong and was survived, counted.
    """

    path: Path
    complete: bool
    reason: str
    duration_s: float
    n_samples: dict[str, int] = field(default_factory=dict)
    troubles: dict[str, int] = field(default_factory=dict)
