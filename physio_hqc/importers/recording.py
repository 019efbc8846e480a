"""What a vendor file holds, before it becomes a session: plain data that every reader returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Segment:
    """A gap-free stretch of one channel.

    Attributes
    ----------
    t_start : float
        Time of the first sample, in seconds since the start of the recording.
    samples : ndarray, shape (n,) or (n, C)
        Stored values, in the file's own number type where that loses nothing.
    sfreq : float or None
        True rate of this stretch in Hz, where it differs from the nominal one.
    """

    t_start: float
    samples: NDArray[Any]
    sfreq: float | None = None


@dataclass(frozen=True)
class Channel:
    """One channel as the file names it; physical value = stored value * scale + offset, in `units`.

    Attributes
    ----------
    name : str
        The channel's name in the file.
    units : str
        The unit as the file states it ("" where it states none).
    sfreq : float
        Nominal rate in Hz; 0 for an irregular channel, whose `times` are then set.
    segments : tuple of Segment
        Gap-free stretches in ascending time. An irregular channel has exactly one.
    scale, offset : float, or ndarray of shape (C,)
        From stored to physical values in `units`.
    modality : str or None
        Set only where the format itself says what the channel is (an Empatica EDA file);
        None leaves it to recognition by name and unit.
    components : tuple of str
        Names of the C columns of a multi-column channel ("x", "y", "z").
    times : ndarray, shape (n,), or None
        Sample times of an irregular channel, in seconds since the start of the recording.
    device : dict
        Whatever the file says of the device: maker, model, serial number, transfer function.
    stream : str
        Set only where the file was exported from a session and says which stream this was: it
        comes back under that name, as it was, also without samples.
    dtype : str
        Number type of that stream, where no segment tells it.
    """

    name: str
    units: str
    sfreq: float
    segments: tuple[Segment, ...]
    scale: float | NDArray[np.float64] = 1.0
    offset: float | NDArray[np.float64] = 0.0
    modality: str | None = None
    components: tuple[str, ...] = ()
    times: NDArray[np.float64] | None = None
    device: dict[str, Any] = field(default_factory=dict)
    stream: str = ""
    dtype: str = ""


@dataclass(frozen=True)
class Marker:
    """Something the file tags in time: a marker, an annotation, a button press, a journal.

    A `source` of None stands for the file itself; `duration` is NaN where the end is not known.
    """

    onset: float
    label: str
    kind: str = "marker"
    duration: float = 0.0
    payload: dict[str, Any] = field(default_factory=dict)
    source: str | None = None


@dataclass(frozen=True)
class Recording:
    """All that was read from one source.

    Attributes
    ----------
    source : Path
        The file or folder.
    format : str
        Short name of the format ("acqknowledge", "xdf", ...).
    channels : tuple of Channel
    markers : tuple of Marker
    t0_unix_ns : int or None
        Wall-clock time of second 0, where the file tells it.
    participant_id, condition, dyad_id, role, protocol, session_id : str
        Where the file tells it, else "".
    notes : tuple of str
        Anything a user should know: lost frames, ignored columns, clock resets.
    """

    source: Path
    format: str
    channels: tuple[Channel, ...]
    markers: tuple[Marker, ...] = ()
    t0_unix_ns: int | None = None
    participant_id: str = ""
    notes: tuple[str, ...] = ()
    condition: str = ""
    dyad_id: str = ""
    role: str = ""
    protocol: str = ""
    session_id: str = ""
