"""What the numbers came from: versions, input, configuration, and facts about every stream."""

from __future__ import annotations

import hashlib
import json
import math
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import physio_hqc
from physio_hqc.errors import SessionFileError
from physio_hqc.pipeline.config import PipelineConfig
from physio_hqc.protocol import Protocol
from physio_hqc.session import Session, Stream

_LIBRARIES = ("numpy", "scipy", "pandas", "h5py", "neurokit2")
_MAX_GAPS = 100


def input_hash(path: Path) -> str:
    """SHA-256 of the session file.

    Raises
    ------
    SessionFileError
        If the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SessionFileError(f"{path}: {error.strerror or 'cannot be read'}") from error


def settings_of(config: PipelineConfig, fallback: Protocol | None) -> dict[str, Any]:
    """Everything beside the input that results depend on, as plain data."""
    return {
        "package": {"name": "physio-hqc", "version": physio_hqc.__version__},
        "config": config.model_dump(mode="json"),
        "config_protocol": None if fallback is None else fallback.to_yaml(),
    }


def fingerprint(sha256: str, settings: dict[str, Any]) -> str:
    """One text that changes whenever input, configuration or version do."""
    text = json.dumps({"input": sha256, **settings}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def software() -> dict[str, Any]:
    """Versions of Python and of the libraries that the numbers come from."""
    return {
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
    }


def session_facts(session: Session, sha256: str) -> dict[str, Any]:
    """Input file by name (not by place), who was recorded, and how long."""
    return {
        "file": session.path.name,
        "sha256": sha256,
        "session_id": session.session_id,
        "participant": session.participant_id,
        "condition": session.condition,
        "dyad": session.dyad_id,
        "role": session.role,
        "recorded_by": session.software,
        "closed": session.closed,
        "recording": session.recording,
        "started_utc": _started(session.t0_unix_ns),
        "duration_s": _number(session.duration),
    }


def stream_facts(stream: Stream, used: bool) -> dict[str, Any]:
    """Rates, length, gaps and clock of one stream."""
    facts: dict[str, Any] = {
        "modality": stream.modality,
        "processed": used,
        "units": stream.units,
        "channels": list(stream.channels),
        "n_samples": stream.n_samples,
        "nominal_sfreq_hz": _number(stream.sfreq),
        "device": stream.device,
    }
    if not stream.n_samples:
        return facts
    if stream.sfreq == 0:
        return {
            **facts,
            "t_start_s": _number(stream.times[0]),
            "t_end_s": _number(stream.t_end),
        }
    base, segments = stream.timebase, stream.segments
    return {
        **facts,
        "estimated_sfreq_hz": _number(stream.measured_sfreq),
        "t_start_s": _number(segments["t_start"].iloc[0]),
        "t_end_s": _number(stream.t_end),
        "clock_drift_ppm": _number(base.drift_ppm),
        "packets_repeated": base.n_duplicates,
        "packets_reordered": base.n_reordered,
        "clock_resets": base.n_resets,
        **_gap_facts(segments, stream.measured_sfreq),
    }


def window_facts(windows: pd.DataFrame) -> dict[str, Any]:
    """How many windows of each kind, and the phases by name."""
    counts = windows["kind"].value_counts()
    return {
        "n": len(windows),
        "by_kind": {str(kind): int(counts[kind]) for kind in sorted(counts.index)},
        "phases": [
            {"window": row.window, "onset": _number(row.onset), "duration": _number(row.duration)}
            for row in windows[windows["kind"] == "phase"].itertuples()
        ],
    }


def _gap_facts(segments: pd.DataFrame, sfreq: float) -> dict[str, Any]:
    """Gaps of at least one sample between the segments."""
    begin = segments["t_end"].to_numpy()[:-1]
    length = segments["t_start"].to_numpy()[1:] - begin
    real = length > 0.5 / sfreq
    listed = np.flatnonzero(real)[:_MAX_GAPS]
    return {
        "n_gaps": int(real.sum()),
        "gaps_total_s": _number(length[real].sum()),
        "gaps": [[_number(begin[k]), _number(length[k])] for k in listed.tolist()],
    }


def _started(t0_unix_ns: int) -> str | None:
    """Date and time of the start in UTC; None where the recording does not tell."""
    if not t0_unix_ns:
        return None
    return datetime.fromtimestamp(t0_unix_ns / 1e9, UTC).isoformat(timespec="seconds")


def _number(value: float) -> float | None:
    """Finite number rounded so that it reads well, or None."""
    number = float(value)
    return float(f"{number:.10g}") if math.isfinite(number) else None


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
