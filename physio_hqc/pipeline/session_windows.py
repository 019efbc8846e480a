"""Windows of one session, in a fixed order, and which of them are its baseline."""

from __future__ import annotations

import numpy as np
import pandas as pd

from physio_hqc.pipeline.config import PipelineConfig
from physio_hqc.protocol import Protocol, derive_windows, parse_protocol
from physio_hqc.protocol.models import last_window_name
from physio_hqc.session import Session, Stream

_KINDS = ("phase", "phase_last", "interaction", "sliding")


def protocol_of(session: Session, fallback: Protocol | None) -> Protocol | None:
    """Protocol that the session carries, else the configuration's, else None."""
    if session.protocol.strip():
        return parse_protocol(session.protocol, source=f"{session.path.name}: protocol")
    return fallback


def windows_of(
    session: Session, protocol: Protocol | None, config: PipelineConfig, notices: list[str]
) -> pd.DataFrame:
    """Derive the windows of a session, ordered by onset, kind and name.

    A session in which nothing is tagged gets one window, ``whole``.
    """
    windows = derive_windows(session.events, protocol, rules=config.windows, t_end=session.duration)
    notices += [f"no window: {text}" for text in windows.attrs["dropped"]]
    windows.attrs = {}
    if windows.empty:
        notices.append("no phase and no interaction window is tagged: one window, 'whole'")
        return _whole(session)
    rank = windows["kind"].map({kind: number for number, kind in enumerate(_KINDS)})
    order = np.lexsort((np.arange(len(windows)), rank, windows["onset"]))
    return windows.iloc[order].reset_index(drop=True)


def baseline_windows(
    windows: pd.DataFrame, protocol: Protocol | None, config: PipelineConfig, notices: list[str]
) -> list[str]:
    """Names of the windows that reactivity is taken against; none, with a notice, if unknown."""
    phases = windows[windows["kind"] == "phase"]
    asked = config.reactivity.baseline_window
    if asked is not None:
        names = [asked]
    elif protocol is None:
        is_rest = (phases["role"] == "baseline") | (phases["label"].str.casefold() == "baseline")
        names = phases.loc[is_rest, "window"].tolist()
    else:
        names = phases.loc[phases["phase"] == protocol.baseline.phase, "window"].tolist()
        if protocol.baseline.last_s is not None:
            names = [last_window_name(name, protocol.baseline.last_s) for name in names]
    found = [name for name in names if (windows["window"] == name).any()]
    if not found:
        missing = f"the window '{asked}' does not exist" if asked else "no baseline is tagged"
        notices.append(f"no reactivity: {missing}")
    return found


def _whole(session: Session) -> pd.DataFrame:
    """Return the one window from the first to after the last sample."""
    used = [stream for stream in session.streams.values() if stream.n_samples]
    onset = min((_first_time(stream) for stream in used), default=0.0)
    # Half-open: the last sample must lie before the end.
    ends = [stream.t_end + (1 / stream.sfreq if stream.sfreq else 1e-3) for stream in used]
    offset = max(ends, default=onset)
    return pd.DataFrame(
        {
            "window": ["whole"],
            "kind": ["phase"],
            "label": ["whole"],
            "onset": [onset],
            "duration": [offset - onset],
            "phase": ["whole"],
            "role": [""],
            "speech": [False],
        }
    )


def _first_time(stream: Stream) -> float:
    """Time of the first sample of a stream that has samples."""
    if stream.sfreq == 0:
        return float(stream.times[0])
    return float(stream.segments["t_start"].iloc[0])
