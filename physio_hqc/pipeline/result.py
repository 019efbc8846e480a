"""What processing one session leaves: plain data that the report and the study read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

TABLES = (
    "windows",
    "features",
    "beats",
    "pressure_beats",
    "cuff",
    "scr",
    "scr_latency",
    "breaths",
    "ratings",
    "quality",
    "reactivity",
)
"""Tables of a processed session; each becomes ``<name>.csv`` with a ``<name>.json`` dictionary."""


@dataclass(frozen=True)
class SessionResult:
    """One processed session.

    Attributes
    ----------
    name : str
        The session's name: the stem of its file, and the folder of its results.
    path : Path
        The session file.
    out_dir : Path or None
        Folder that holds the tables; None if they were not written.
    up_to_date : bool
        True if nothing was computed because input and configuration had not changed.
    tables : dict of str to DataFrame
        Every name of `TABLES`; a table without rows where the session lacks the stream.
    windows : DataFrame
        window, kind, label, onset, duration, phase, role, speech, breathing_in_hf.
    provenance : dict
        Versions, configuration, input hash, settings and counts per stream, notices.
    traces : dict of str to DataFrame
        For display, at most some 20 Hz: ``eda`` (time_s, eda, tonic, phasic in µS). Empty when
        `up_to_date`.
    """

    name: str
    path: Path
    out_dir: Path | None
    up_to_date: bool
    tables: dict[str, pd.DataFrame]
    windows: pd.DataFrame
    provenance: dict[str, Any]
    traces: dict[str, pd.DataFrame] = field(default_factory=dict)
