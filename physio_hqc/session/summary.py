"""A session at a glance, as plain data that JSON can hold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from physio_hqc.session.format import BlockFlag
from physio_hqc.session.reader import Session, Stream

_CHUNK = 1 << 20


def summarize(session: Session) -> dict[str, Any]:
    """Streams, rates, gaps, clocks and events of a session.

    Parameters
    ----------
    session : Session

    Returns
    -------
    dict
        JSON-ready: strings, numbers, lists, dicts; unknown numbers are None. Seconds and Hz;
        `range` in the stream's units, one [lowest, highest] per channel; `missing` and `constant`
        are shares from 0 to 1.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from physio_hqc.session import SessionWriter, open_session
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "p01.h5"
    >>> with SessionWriter(path, participant_id="P01") as writer:
    ...     writer.add_stream("eda", modality="eda", units="µS", sfreq=4.0)
    ...     writer.append_segment("eda", [5.0, 5.1, 5.2, 5.1], t_start=0.0)
    >>> with open_session(path) as session:
    ...     streams = summarize(session)["streams"]
    >>> streams[0]["name"], streams[0]["n_samples"], streams[0]["range"]
    ('eda', 4, [[5.0, 5.2]])
    """
    events = session.events
    return {
        "name": session.name,
        "session_id": session.session_id,
        "participant_id": session.participant_id,
        "condition": session.condition,
        "dyad_id": session.dyad_id,
        "role": session.role,
        "created_utc": session.created_utc,
        "t0_unix_ns": session.t0_unix_ns or None,
        "software": session.software,
        "closed": session.closed,
        "recording": session.recording,
        "duration_s": round(session.duration, 6),
        "notes": import_notes(session),
        "streams": [_stream(stream) for stream in session.streams.values()],
        "events": [
            {
                "onset_s": float(row.onset),
                "duration_s": _number(row.duration),
                "kind": row.kind,
                "label": row.label,
                "source": row.source,
                "payload": row.payload,
            }
            for row in events.itertuples(index=False)
        ],
    }


def import_notes(session: Session) -> list[str]:
    r"""What the importer noted when it made this session: losses, assumptions, renamed channels.

    The notes stand in the device facts of the streams, which are the file's and may be anything.

    Parameters
    ----------
    session : Session

    Returns
    -------
    list of str
        Each note once; empty for a session that was recorded or simulated.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from physio_hqc import import_recording, open_session
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.csv").write_text("time (s),ECG (mV)\n0,1\n0.1,2\n0.2,3\n")
    >>> report = import_recording(folder / "a.csv", folder / "a.h5")
    >>> with open_session(folder / "a.h5") as session:
    ...     import_notes(session)
    ['the file does not tell when it was recorded']
    """
    found = [stream.device.get("import_notes") for stream in session.streams.values()]
    notes = [str(note) for part in found if isinstance(part, list) for note in part]
    return list(dict.fromkeys(notes))


def _stream(stream: Stream) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "name": stream.name,
        "modality": stream.modality,
        "units": stream.units,
        "channels": list(stream.channels),
        "sfreq": stream.sfreq,
        "n_samples": stream.n_samples,
        "device": stream.device,
        **_values(stream),
    }
    if stream.sfreq:
        facts |= _time_base(stream)
    elif stream.n_samples:
        times = stream.times
        facts |= {"t_start_s": float(times[0]), "t_end_s": float(times[-1])}
    return facts


def _time_base(stream: Stream) -> dict[str, Any]:
    segments, base = stream.segments, stream.timebase
    gaps = segments["t_start"].to_numpy()[1:] - segments["t_end"].to_numpy()[:-1]
    flags = stream.blocks["flags"]
    return {
        "measured_sfreq": _number(stream.measured_sfreq),
        "t_start_s": _number(segments["t_start"].iloc[0]) if len(segments) else None,
        "t_end_s": _number(stream.t_end),
        "n_gaps": len(gaps),
        "gap_s": float(gaps.sum()),
        "gaps": [
            {"onset_s": float(onset), "duration_s": float(length), "reason": reason}
            for onset, length, reason in zip(
                segments["t_end"], gaps, segments["reason"][1:], strict=False
            )
        ],
        "drift_ppm": _number(base.drift_ppm),
        "delay_p95_s": _number(base.delay_p95_s),
        "n_clock_resets": base.n_resets,
        "n_reordered": base.n_reordered,
        "n_duplicates": base.n_duplicates
        + int(np.count_nonzero(flags & int(BlockFlag.DUPLICATE_DROPPED))),
        "n_saturated": int(np.count_nonzero(flags & int(BlockFlag.SATURATED))),
    }


def _values(stream: Stream) -> dict[str, Any]:
    """Range, missing share and constant share, read in pieces so that a day fits in memory."""
    n, width = stream.n_samples, len(stream.channels)
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    missing = constant = 0
    for start in range(0, n, _CHUNK):
        values = stream.physical(start, min(n, start + _CHUNK)).reshape(-1, width)
        known = np.isfinite(values)
        low = np.minimum(low, np.where(known, values, np.inf).min(axis=0))
        high = np.maximum(high, np.where(known, values, -np.inf).max(axis=0))
        missing += int(np.count_nonzero(~known.all(axis=1)))
        constant += int(np.count_nonzero((np.diff(values, axis=0) == 0).all(axis=1)))
    return {
        "range": [[_number(a), _number(b)] for a, b in zip(low, high, strict=True)],
        "missing": missing / n if n else None,
        "constant": constant / n if n else None,
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
