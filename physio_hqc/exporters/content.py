"""What an export is written from: a session's content, apart from its file.

Every exporter writes from `Content` and from nothing else, so that de-identification is one change
of it, before any byte is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.session import Session, Stream
from physio_hqc.session.format import UNKNOWN_T0


@dataclass(frozen=True)
class StreamContent:
    """One stream: what is known about it, and its samples, read when they are asked for.

    Attributes
    ----------
    name, modality, units : str
    sfreq : float
        Nominal rate in Hz; 0 for an irregular stream.
    measured_sfreq : float
        Rate as measured, in Hz; 0 for an irregular stream.
    channels : tuple of str
    device : dict
        Facts about the device, plain data.
    scale, offset : float or ndarray, shape (C,)
        physical = stored * scale + offset.
    n_samples : int
    segments : DataFrame
        Gap-free segments of a regular stream: start, stop (sample indices), t_start, t_end (s),
        sfreq (Hz), reason.
    """

    name: str
    modality: str
    units: str
    sfreq: float
    measured_sfreq: float
    channels: tuple[str, ...]
    device: dict[str, Any]
    scale: float | NDArray[np.float64]
    offset: float | NDArray[np.float64]
    n_samples: int
    segments: pd.DataFrame
    _stream: Stream = field(repr=False)

    @property
    def samples(self) -> NDArray[np.float64]:
        """All samples in physical units, shape (N,) or (N, C)."""
        return self._stream.samples

    @property
    def stored(self) -> NDArray[Any]:
        """All samples as stored, in the device's own dtype, shape (N,) or (N, C)."""
        return self._stream.stored

    @property
    def times(self) -> NDArray[np.float64]:
        """Times of all samples, shape (N,), in s since the session's start."""
        return self._stream.times


@dataclass(frozen=True)
class Content:
    """A session apart from its file.

    Attributes
    ----------
    name : str
        What files made from it are called.
    session_id, participant_id, condition, dyad_id, role : str
    protocol : str
        YAML text, or "".
    t0_unix_ns : int or None
        Start in ns since 1970 (UTC); None where it is not known.
    software : str
        What wrote the session file.
    streams : mapping of str to StreamContent
    events : DataFrame
        onset, duration (s; NaN while open), kind, label, source, payload (dict).
    deidentified : bool
        Whether ids are replaced, dates shifted and free text dropped.
    """

    name: str
    session_id: str
    participant_id: str
    condition: str
    dyad_id: str
    role: str
    protocol: str
    t0_unix_ns: int | None
    software: str
    streams: Mapping[str, StreamContent]
    events: pd.DataFrame
    deidentified: bool = False


def read_content(session: Session) -> Content:
    """Take the content of an open session; samples are read when they are asked for.

    Parameters
    ----------
    session : Session
        It must stay open as long as samples are asked for.

    Returns
    -------
    Content

    Raises
    ------
    SessionFileError
        If the file is damaged.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from physio_hqc import open_session
    >>> from physio_hqc.simulate import simulate_session
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "p01.h5"
    >>> _ = simulate_session(path, time_scale=0.05, streams=["ecg"])
    >>> with open_session(path) as session:
    ...     content = read_content(session)
    ...     content.name, content.streams["ecg"].units, content.streams["ecg"].stored.dtype
    ('p01', 'mV', dtype('int16'))
    """
    known = session.t0_unix_ns != UNKNOWN_T0
    return Content(
        name=session.name,
        session_id=session.session_id,
        participant_id=session.participant_id,
        condition=session.condition,
        dyad_id=session.dyad_id,
        role=session.role,
        protocol=session.protocol,
        t0_unix_ns=session.t0_unix_ns if known else None,
        software=session.software,
        streams={name: _stream_content(stream) for name, stream in session.streams.items()},
        events=session.events,
    )


def _stream_content(stream: Stream) -> StreamContent:
    return StreamContent(
        name=stream.name,
        modality=stream.modality,
        units=stream.units,
        sfreq=stream.sfreq,
        measured_sfreq=stream.measured_sfreq,
        channels=stream.channels,
        device=dict(stream.device),
        scale=stream.scale,
        offset=stream.offset,
        n_samples=stream.n_samples,
        segments=stream.segments,
        _stream=stream,
    )
