"""Reading a session file, which is untrusted input."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from physio_hqc.errors import SessionFileError
from physio_hqc.session._untrusted import attribute, checked_dataset, overlapping, plain_json
from physio_hqc.session.format import (
    BLOCK_DTYPE,
    EVENT_DTYPE,
    FORMAT,
    FORMAT_VERSION,
    GROWING,
    LIBVER,
    MAX_BLOCKS_RATIO,
    MAX_CHANNELS,
    MAX_EVENTS,
    MAX_EVENTS_RATIO,
    MAX_FACT_BYTES,
    MAX_ID_CHARACTERS,
    MAX_SFREQ,
    MAX_STREAMS,
    MAX_TIME_S,
    MIN_SFREQ,
    MIN_VALUES,
    MODALITIES,
    SIGNATURE,
    STREAM_NAME,
    SUPERBLOCK_BYTES,
    VALUES_PER_BYTE,
)
from physio_hqc.session.grid import EvenGrid, even_grid
from physio_hqc.session.locks import is_being_written
from physio_hqc.session.timebase import TimeBase, reconstruct

if TYPE_CHECKING:
    import mne
    import pandas as pd

_PROBE_S = 20.0
_ATTEMPTS = 5
_PAUSE_S = 0.05
_LONGEST_DETAIL = 300
_MOST_BEHIND = 1 << 26

PIECE = 1 << 18
"""Places in a piece of `Stream.filled_pieces`: four minutes at 1000 Hz, 2 MB a channel."""


def open_session(path: str | os.PathLike[str]) -> Session:
    """Open a session file for reading.

    A file that is still being recorded, or whose recorder died, opens too (`Session.closed` is
    then False).

    Parameters
    ----------
    path : path-like
        The session file.

    Returns
    -------
    Session
        To be used as a context manager, or closed.

    Raises
    ------
    SessionFileError
        If the file is missing, is no session, was written by a newer version, is truncated or
        damaged, or holds what no session may hold (external links, absurd sizes).

    Examples
    --------
    >>> from physio_hqc.session import SessionWriter
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "p01.h5"
    >>> with SessionWriter(path, participant_id="P01") as writer:
    ...     writer.add_stream("eda", modality="eda", units="µS", sfreq=4.0)
    ...     writer.append_segment("eda", [5.0, 5.1, 5.2, 5.1], t_start=0.0)
    >>> with open_session(path) as session:
    ...     times, values = session.streams["eda"].read(0.25, 0.75)
    >>> times, values
    (array([0.25, 0.5 ]), array([5.1, 5.2]))
    """
    return Session(Path(path))


class Session:
    """One recorded session, read lazily; made by :func:`open_session`.

    Attributes
    ----------
    path : Path
    name : str
        The file's stem: what its folder of results is called.
    session_id, participant_id, condition, dyad_id, role : str
    protocol : str
        The protocol as YAML text; empty if the file carries none.
    t0_unix_ns : int
        Wall-clock time of second 0; 0 where the recording does not tell.
    created_utc, software : str
    closed : bool
        False while it is being recorded, or after a recorder died.
    recording : bool
        Whether a recorder was writing it when it was opened. What is read stays as it was then.
    streams : dict of str to Stream

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from physio_hqc.session import SessionWriter, open_session
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "p01.h5"
    >>> with SessionWriter(path, participant_id="P01") as writer:
    ...     _ = writer.add_event(0.0, "phase", "baseline", duration=600.0)
    >>> with open_session(path) as session:
    ...     session.participant_id, session.windows(kind="phase")["label"].tolist()
    ('P01', ['baseline'])
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.stem
        self._file = _open_hdf5(path)
        try:
            with _damage(path):
                self._read_header()
        except BaseException:
            self._file.close()
            raise

    def _read_header(self) -> None:
        file = self._file
        if attribute(file, "format", "") != FORMAT:
            raise SessionFileError(
                f"{self.path} is an HDF5 file but no physio_hqc session; "
                f"vendor files become sessions by 'physio-hqc import'"
            )
        version = int(attribute(file, "format_version"))
        if version > FORMAT_VERSION:
            raise SessionFileError(
                f"{self.path} has session format version {version}; this release reads up to "
                f"{FORMAT_VERSION}: update physio_hqc"
            )
        if version < 1:
            raise SessionFileError(f"{self.path} has the impossible format version {version}")
        self.session_id = str(attribute(file, "session_id", ""))
        self.participant_id = str(attribute(file, "participant_id", ""))
        self.condition = str(attribute(file, "condition", ""))
        self.dyad_id = str(attribute(file, "dyad_id", ""))
        self.role = str(attribute(file, "role", ""))
        for name in ("session_id", "participant_id", "condition", "dyad_id", "role"):
            if len(getattr(self, name)) > MAX_ID_CHARACTERS:
                raise SessionFileError(f"{self.path}: its {name} is absurdly long: refused")
        self.protocol = str(attribute(file, "protocol", ""))
        self.created_utc = str(attribute(file, "created_utc", ""))
        self.software = str(attribute(file, "software", ""))
        self.t0_unix_ns = int(attribute(file, "t0_unix_ns"))
        if not -(2**63) <= self.t0_unix_ns < 2**63:
            raise SessionFileError(f"{self.path}: its start time makes no sense")
        self.closed = bool(attribute(file, "closed", False))
        self.recording = not self.closed and is_being_written(self.path)
        size = self.path.stat().st_size
        if self.closed:
            _refuse_tail(self.path, size)
        facts = _facts_of(self._file, self.path, size)
        root = _member(self._file, "streams", h5py.Group, self.path)
        if len(root) > MAX_STREAMS:
            raise SessionFileError(f"{self.path} claims {len(root)} streams: refused")
        self.streams: dict[str, Stream] = {}
        for name in root:
            if not STREAM_NAME.fullmatch(name):
                raise SessionFileError(f"{self.path}: {name[:80]!r} is no name of a stream")
            group = _member(root, name, h5py.Group, self.path)
            stream = Stream(group, name, self.path, size, whole=self.closed)
            stream.device |= facts.get(name, {})
            self.streams[name] = stream
        if sum(s.n_values for s in self.streams.values()) > max(MIN_VALUES, VALUES_PER_BYTE * size):
            raise SessionFileError(f"{self.path} claims more samples than a file of its size holds")
        self._event_rows = checked_dataset(
            _member(self._file, "events", h5py.Dataset, self.path),
            self.path,
            size,
            MAX_EVENTS_RATIO,
        )
        if self._event_rows.dtype != EVENT_DTYPE or self._event_rows.ndim != 1:
            raise SessionFileError(f"{self.path}: the events are not laid out as format 1 says")
        if len(self._event_rows) > MAX_EVENTS:
            raise SessionFileError(f"{self.path} claims {len(self._event_rows)} events: refused")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        streams = ", ".join(self.streams) or "no streams"
        return f"<Session {self.name}: {streams}; {self.duration:.1f} s>"

    def close(self) -> None:
        """Close the file; what was read stays usable."""
        self._file.close()

    @cached_property
    def duration(self) -> float:
        """Seconds from 0 to the last sample or the end of the last event; 0 if both lie before."""
        ends = [s.t_end for s in self.streams.values() if s.n_samples]
        rows = self.events
        if len(rows):
            ends.append(float((rows["onset"] + rows["duration"].fillna(0.0)).max()))
        return max([0.0, *ends])

    @cached_property
    def events(self) -> pd.DataFrame:
        """Events as a DataFrame: onset, duration (NaN while open), kind, label, source, payload.

        `payload` holds a dict per event. Rows stand in order of onset.
        """
        import pandas as pd

        with _damage(self.path):
            rows = self._stored_events()
            self._refuse_events(rows)
            table = pd.DataFrame(
                {
                    "onset": rows["onset"],
                    "duration": rows["duration"],
                    **{key: _texts(rows[key]) for key in ("kind", "label", "source")},
                    "payload": [_payload(text) for text in _texts(rows["payload"])],
                }
            )
        return table.sort_values("onset", kind="stable", ignore_index=True)

    def _stored_events(self) -> NDArray[np.void]:
        """Rows of the events; those that a dying recorder did not finish are left out."""
        if self.closed:
            rows: NDArray[np.void] = self._event_rows[:]
            return rows
        for attempt in range(_ATTEMPTS):
            try:
                rows = self._event_rows[:]
                break
            except OSError:
                # The recorder is ending an event at this moment.
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(_PAUSE_S)
                self._event_rows.id.refresh()
        told: NDArray[np.bool_] = (rows["kind"] != b"") & np.isfinite(rows["onset"])
        complete: NDArray[np.void] = rows[told]
        return complete

    def _refuse_events(self, rows: NDArray[np.void]) -> None:
        """Refuse events at no time, or of no length; NaN is the length of an open one."""
        duration = np.nan_to_num(rows["duration"], nan=0.0, posinf=np.inf, neginf=-np.inf)
        fine = (np.abs(rows["onset"]) <= MAX_TIME_S) & (duration >= 0) & (duration <= MAX_TIME_S)
        if not fine.all():
            k = int(np.argmin(fine))
            raise SessionFileError(
                f"{self.path}: event {k} at {rows['onset'][k]:g} s, {rows['duration'][k]:g} s "
                "long, makes no sense"
            )

    def windows(self, kind: str | None = None, label: str | None = None) -> pd.DataFrame:
        """Stretches tagged in the session: phases and interaction windows.

        Parameters
        ----------
        kind : {"phase", "interaction"}, optional
            Both by default.
        label : str, optional
            Only windows of this label.

        Returns
        -------
        DataFrame
            onset, duration (s), kind, label; one row per window [onset, onset + duration). A
            window still open ends with the session.
        """
        kinds = ("phase", "interaction") if kind is None else (kind,)
        rows = self.events
        rows = rows[rows["kind"].isin(kinds)]
        if label is not None:
            rows = rows[rows["label"] == label]
        rows = rows[["onset", "duration", "kind", "label"]].reset_index(drop=True)
        still_open = self.duration - rows["onset"]
        return rows.assign(duration=rows["duration"].fillna(still_open))

    def to_mne_raw(
        self, streams: list[str] | None = None, sfreq: float | None = None
    ) -> mne.io.RawArray:
        """Bring regular streams onto one time axis, as an MNE object with annotations.

        Parameters
        ----------
        streams : list of str, optional
            Names; every regular stream by default.
        sfreq : float, optional
            Rate in Hz of the common axis; the highest measured rate of the chosen streams by
            default. Streams of other rates are interpolated linearly: use `Stream.read` where
            the samples themselves matter.

        Returns
        -------
        mne.io.RawArray
            Channels are named as the streams, in capitals. ECG in V, EDA in S, temperature in
            °C; other modalities keep their numbers as channels of type ``misc``. Events are
            annotations ``kind/label``; samples in gaps are
            0 under an annotation ``BAD_gap``.

        Raises
        ------
        SessionFileError
            If no regular stream is chosen, or a name is unknown.
        """
        from physio_hqc.session.to_mne import to_mne_raw

        return to_mne_raw(self, streams, sfreq)


class Stream:
    """One signal of a session, read lazily.

    Attributes
    ----------
    name, modality, units : str
    sfreq : float
        Nominal rate in Hz; 0 for an irregular stream.
    channels : tuple of str
    scale, offset : float or ndarray, shape (C,)
        physical = stored * scale + offset.
    device : dict

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from physio_hqc.session import SessionWriter, open_session
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "p01.h5"
    >>> with SessionWriter(path) as writer:
    ...     writer.add_stream("eda", modality="eda", units="uS", sfreq=4)
    ...     writer.append_segment("eda", [5.0, 5.1, 5.2], t_start=10.0)
    >>> with open_session(path) as session:
    ...     eda = session.streams["eda"]
    ...     eda.units, eda.times.tolist(), eda.samples.tolist()
    ('µS', [10.0, 10.25, 10.5], [5.0, 5.1, 5.2])
    """

    def __init__(
        self, group: h5py.Group, name: str, path: Path, file_size: int, whole: bool
    ) -> None:
        self.name = name
        self._path = path
        self._whole = whole
        self.modality = str(attribute(group, "modality"))
        if self.modality not in MODALITIES:
            raise SessionFileError(
                f"{path}: stream {name!r} has the unknown modality {self.modality[:80]!r}"
            )
        self.units = str(attribute(group, "units"))
        self.sfreq = float(attribute(group, "sfreq"))
        if self.sfreq != 0 and not MIN_SFREQ <= self.sfreq <= MAX_SFREQ:
            raise SessionFileError(f"{path}: stream {name!r} claims {self.sfreq} Hz")
        self.channels: tuple[str, ...] = tuple(map(str, _json(attribute(group, "channels"), list)))
        if any(len(text) > MAX_ID_CHARACTERS for text in (*self.units.split(","), *self.channels)):
            raise SessionFileError(f"{path}: stream {name!r} has an absurdly long unit or channel")
        self.device: dict[str, Any] = _json(attribute(group, "device"), dict)
        self.scale = _numbers(attribute(group, "scale"))
        self.offset = _numbers(attribute(group, "offset"))
        # In this order: a recorder writes samples first, and then the rows that tell of them.
        self._blocks = checked_dataset(
            _member(group, "blocks", h5py.Dataset, path), path, file_size, MAX_BLOCKS_RATIO
        )
        self._n_rows = int(self._blocks.shape[0]) if self._blocks.ndim else 0
        self._times = None
        if self.sfreq == 0:
            self._times = checked_dataset(
                _member(group, "times", h5py.Dataset, path), path, file_size
            )
        self._samples = checked_dataset(
            _member(group, "samples", h5py.Dataset, path), path, file_size
        )
        self._check_layout()
        self._n_stored = int(self._samples.shape[0])
        n_times = 0 if self._times is None else int(self._times.shape[0])
        self.n_values = math.prod(self._samples.shape) + n_times

    def _check_layout(self) -> None:
        shape, where = self._samples.shape, f"{self._path}: stream {self.name!r}"
        if self._samples.dtype.kind not in "iuf" or len(shape) not in (1, 2):
            raise SessionFileError(f"{where} holds no numbers")
        n_channels = 1 if len(shape) == 1 else shape[1]
        if not 1 <= n_channels <= MAX_CHANNELS or n_channels != len(self.channels):
            raise SessionFileError(f"{where} has {n_channels} columns but other channel names")
        for value in (self.scale, self.offset):
            if np.size(value) not in (1, n_channels) or not np.isfinite(value).all():
                raise SessionFileError(f"{where} has a scale or offset that makes no sense")
        if self._blocks.dtype != BLOCK_DTYPE or self._blocks.ndim != 1:
            raise SessionFileError(f"{where}: its blocks are not laid out as format 1 says")
        if self._times is not None and (
            self._times.dtype.newbyteorder("=") != np.float64 or self._times.ndim != 1
        ):
            raise SessionFileError(f"{where}: its times are not laid out as format 1 says")

    def __repr__(self) -> str:
        rate = f"{self.sfreq:g} Hz" if self.sfreq else "irregular"
        return f"<Stream {self.name}: {self.modality} [{self.units}], {rate}, {self.n_samples}>"

    @cached_property
    def blocks(self) -> NDArray[np.void]:
        """Rows of the packets, as measured: first_sample, n_samples, times, flags."""
        with _damage(self._path):
            rows: NDArray[np.void] = self._blocks[: self._n_rows]
        first, n = rows["first_sample"], rows["n_samples"]
        # A recorder that died between the two writes leaves samples without a row: not counted.
        fine = (first >= 0) & (n >= 0) & (first <= self._n_stored) & (n <= self._n_stored)
        fine[fine] = first[fine] + n[fine] <= self._n_stored
        fine &= np.abs(rows["t_received"]) <= MAX_TIME_S
        if self._whole and not fine.all():
            raise SessionFileError(
                f"{self._path}: stream {self.name!r} has packets beyond its samples"
            )
        # Rows that were being written when it died are empty.
        rows = rows if self._whole else rows[fine & (n > 0)]
        if overlapping(rows):
            raise SessionFileError(
                f"{self._path}: stream {self.name!r} has packets that share their samples"
            )
        return rows

    @cached_property
    def _n_own(self) -> int:
        """Samples of an irregular stream that are complete: value, time, and row of the packet."""
        assert self._times is not None
        if self._whole:
            return self._n_stored
        rows = self.blocks
        told = int((rows["first_sample"] + rows["n_samples"]).max()) if len(rows) else 0
        return min(told, int(self._times.shape[0]))

    @cached_property
    def timebase(self) -> TimeBase:
        """Reconstructed times of a regular stream."""
        if self._times is not None:
            raise SessionFileError(f"stream {self.name!r} is irregular and carries its own times")
        base = reconstruct(self.blocks, self.sfreq)
        ends = base.times(base.n_samples - 1, base.n_samples) if base.n_samples else np.zeros(1)
        if not (np.abs([*base.segments["t_start"], *ends]) <= 2 * MAX_TIME_S).all():
            raise SessionFileError(
                f"{self._path}: stream {self.name!r} has times that make no sense"
            )
        return base

    @cached_property
    def _own_times(self) -> NDArray[np.float64]:
        assert self._times is not None
        with _damage(self._path):
            times = np.asarray(self._times[: self._n_own], dtype=np.float64)
        if len(times) < self._n_own or not (np.abs(times) <= MAX_TIME_S).all():
            raise SessionFileError(f"{self._path}: stream {self.name!r} has samples without times")
        return times

    @cached_property
    def _own_order(self) -> NDArray[np.int64]:
        return np.argsort(self._own_times, kind="stable")

    @property
    def n_samples(self) -> int:
        """Samples that are presented (repeated packets left out)."""
        return self._n_own if self._times is not None else self.timebase.n_samples

    @property
    def measured_sfreq(self) -> float:
        """Rate as measured in Hz; 0 for an irregular stream, the nominal one without samples."""
        if self._times is not None:
            return 0.0
        return self.timebase.measured_sfreq if self.n_samples else self.sfreq

    @property
    def t_end(self) -> float:
        """Time of the last sample in seconds; NaN without samples."""
        if not self.n_samples:
            return math.nan
        if self._times is not None:
            return float(self._own_times.max())
        return float(self.timebase.times(self.n_samples - 1, self.n_samples)[0])

    @property
    def samples(self) -> NDArray[np.float64]:
        """All samples in physical units, shape (N,) or (N, C)."""
        return self.physical(0, self.n_samples)

    @property
    def stored(self) -> NDArray[Any]:
        """All samples as the device gave them, in its own dtype; `samples` without the scale."""
        with _damage(self._path):
            raw: NDArray[Any] = self._stored(0, self.n_samples)
        return raw

    @property
    def times(self) -> NDArray[np.float64]:
        """Times of all samples, shape (N,), in seconds since the session's start."""
        if self._times is not None:
            return self._own_times[self._own_order]
        return self.timebase.times(0, self.n_samples)

    @cached_property
    def segments(self) -> pd.DataFrame:
        """Gap-free segments: start, stop (sample indices), t_start, t_end (s), sfreq, reason.

        `t_end` is the time at which the sample after the last would stand; `reason` tells why
        the segment begins ("" for the first). An irregular stream has none.
        """
        import pandas as pd

        rows = (
            self.timebase.segments
            if self._times is None
            else reconstruct(np.zeros(0, dtype=BLOCK_DTYPE), 1.0).segments
        )
        n = rows["stop"] - rows["start"]
        return pd.DataFrame(
            {
                "start": rows["start"],
                "stop": rows["stop"],
                "t_start": rows["t_start"],
                "t_end": rows["t_start"] + n * rows["period"],
                "sfreq": 1 / rows["period"],
                "reason": [str(reason) for reason in rows["reason"]],
            }
        )

    def index_range(self, tmin: float | None = None, tmax: float | None = None) -> tuple[int, int]:
        """Indices [start, stop) of the samples in [tmin, tmax) seconds."""
        if self._times is not None:
            times = self.times
            start = 0 if tmin is None else int(np.searchsorted(times, tmin, side="left"))
            stop = len(times) if tmax is None else int(np.searchsorted(times, tmax, side="left"))
        else:
            start = 0 if tmin is None else self.timebase.first_at_or_after(tmin)
            stop = self.n_samples if tmax is None else self.timebase.first_at_or_after(tmax)
        return start, max(start, stop)

    def read(
        self, tmin: float | None = None, tmax: float | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Read the samples in [tmin, tmax) and nothing else.

        Parameters
        ----------
        tmin, tmax : float, optional
            Seconds since the session's start; the whole stream by default.

        Returns
        -------
        times : ndarray, shape (n,)
            In seconds.
        samples : ndarray, shape (n,) or (n, C)
            In physical units.
        """
        start, stop = self.index_range(tmin, tmax)
        if self._times is not None:
            return self.times[start:stop], self.physical(start, stop)
        return self.timebase.times(start, stop), self.physical(start, stop)

    def filled(
        self, tmin: float | None = None, tmax: float | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Read as `read` does, with NaN samples in the gaps, so that the index is even in time.

        Returns
        -------
        times : ndarray, shape (n,)
            Strictly increasing; inside a gap evenly spread between its two ends.
        samples : ndarray, shape (n,) or (n, C)
            NaN where the stream has a gap.

        Raises
        ------
        SessionFileError
            For an irregular stream, or a gap so long that filling it would be absurd.
        """
        times, samples = self.read(tmin, tmax)
        if len(times) < 2:
            return times, samples
        period = 1 / self.measured_sfreq
        places = np.maximum(np.rint(np.diff(times) / period) - 1, 0.0)
        if not places.any():
            return times, samples
        self._check_gaps(len(times) + float(places.sum()), len(times))
        missing = places.astype(np.int64)
        total = len(times) + int(missing.sum())
        where = np.arange(len(times)) + np.append(0, np.cumsum(missing))
        full_times = np.interp(np.arange(total), where, times)
        full = np.full((total, *samples.shape[1:]), np.nan)
        full[where] = samples
        return full_times, full

    @cached_property
    def grid(self) -> EvenGrid:
        """Where the samples of a regular stream stand on the even index of `filled`."""
        return even_grid(self.timebase)

    def filled_pieces(self, length: int = PIECE) -> Iterator[NDArray[np.float64]]:
        """Read the even index of `filled` from its beginning, piece by piece.

        Parameters
        ----------
        length : int
            Places in a piece; rounded to whole chunks of the file, and less where a stream has
            many channels.

        Yields
        ------
        ndarray, shape (n,) or (n, C)
            In physical units; NaN in the gaps.

        Raises
        ------
        SessionFileError
            For an irregular stream, or gaps so long that filling them would be absurd.

        Examples
        --------
        >>> from physio_hqc.session import SessionWriter
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "p01.h5"
        >>> with SessionWriter(path) as writer:
        ...     writer.add_stream("eda", modality="eda", units="µS", sfreq=4.0)
        ...     writer.append_segment("eda", [5.0, 5.1], t_start=0.0)
        ...     writer.append_segment("eda", [5.2], t_start=1.0)
        >>> with open_session(path) as session:
        ...     next(session.streams["eda"].filled_pieces())
        array([5. , 5.1, nan, nan, 5.2])
        """
        grid = self.grid
        self._check_gaps(grid.n, self.n_samples)
        chunk = self._samples.chunks[0] if self._samples.chunks else 1
        rows = max(1, length // len(self.channels))
        rows -= rows % chunk if chunk < rows else 0
        for start in range(0, grid.n, rows):
            yield self._filled(start, min(start + rows, grid.n))

    def _filled(self, start: int, stop: int) -> NDArray[np.float64]:
        """Places [start, stop) of the even index, NaN where they hold no sample."""
        held, first = self.grid.held, self.grid.first_sample
        a, b = np.searchsorted(held[:, 1], start, side="right"), np.searchsorted(held[:, 0], stop)
        begin, end = np.maximum(held[a:b, 0], start), np.minimum(held[a:b, 1], stop)
        shift = first[a:b] - held[a:b, 0]
        if len(begin) == 1 and end[0] - begin[0] == stop - start:
            return self.physical(start + int(shift[0]), stop + int(shift[0]))
        values = np.full((stop - start, *self._samples.shape[1:]), np.nan)
        if len(begin):
            # One reading for all stretches of the piece: their samples follow each other.
            samples = self.physical(int(begin[0] + shift[0]), int(end[-1] + shift[-1]))
            places = np.zeros(stop - start, dtype=bool)
            for low, high in zip(begin.tolist(), end.tolist(), strict=True):
                places[low - start : high - start] = True
            values[places] = samples
        return values

    def _check_gaps(self, n_places: float, n_samples: int) -> None:
        """Refuse to fill what is almost only gap."""
        if n_places > 50 * n_samples + 10_000_000 / len(self.channels):
            raise SessionFileError(
                f"{self._path}: stream {self.name!r} is almost only gap: cut it first"
            )

    def physical(self, start: int, stop: int) -> NDArray[np.float64]:
        """Read samples [start, stop) of the presented order, in physical units."""
        with _damage(self._path):
            raw = self._stored(start, stop)
        # Damaged floats may be what no arithmetic can take.
        with np.errstate(invalid="ignore", over="ignore"):
            result: NDArray[np.float64] = raw.astype(np.float64) * self.scale + self.offset
        return result

    def _stored(self, start: int, stop: int) -> Any:
        """Stored samples in presented order."""
        if self._times is not None:
            return self._samples[: self._n_own][self._own_order[start:stop]]
        pieces = self.timebase.pieces
        if pieces is None:
            return self._samples[start:stop]
        ends = np.cumsum(pieces[:, 1] - pieces[:, 0])
        shift = pieces[:, 1] - ends
        first, last = np.searchsorted(ends, [start, stop], side="right")
        parts = [
            self._samples[max(a, start + move) : min(b, stop + move)]
            for (a, b), move in zip(pieces[first : last + 1], shift[first : last + 1], strict=True)
        ]
        return np.concatenate(parts) if parts else self._samples[:0]


def _open_hdf5(path: Path) -> h5py.File:
    if path.is_dir():
        raise SessionFileError(f"{path} is a folder, not a session file")
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "cannot be read"
        raise SessionFileError(f"{path}: {reason}") from error
    if size == 0:
        raise SessionFileError(f"{path} is empty")
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        text = str(error)
        if not is_marked_growing(path):
            if "truncated" in text or "eof" in text.lower():
                raise SessionFileError(
                    f"{path} is truncated: it is shorter than it says it is; take a whole copy, "
                    f"or save what is left: 'physio-hqc recover'"
                ) from error
            if "signature" in text:
                raise SessionFileError(
                    f"{path} is no session file (not HDF5); "
                    f"vendor files become sessions by 'physio-hqc import'"
                ) from error
            raise SessionFileError(
                f"{path} cannot be opened: {text.splitlines()[0]}; "
                f"'physio-hqc recover' saves what is left"
            ) from error
    return _open_growing(path)


def is_marked_growing(path: Path) -> bool:
    """Whether the file says of itself that it is being written and can be read meanwhile.

    Its length tells nothing then: HDF5 counts room that it has not written yet.
    """
    with path.open("rb") as file:
        start = file.read(SUPERBLOCK_BYTES)
    return (
        len(start) == SUPERBLOCK_BYTES and start[:8] == SIGNATURE and start[11] & GROWING == GROWING
    )


def _open_growing(path: Path) -> h5py.File:
    """Open a file that is being recorded, or whose recorder died.

    Reading such a file, HDF5 takes damage for a write in progress and waits for it to end, without
    limit. So another process walks the file first, and is stopped if it does not come back.
    """
    probe = [sys.executable, "-m", "physio_hqc.session.probe", str(path)]
    try:
        subprocess.run(probe, check=True, timeout=_PROBE_S, capture_output=True)
        return h5py.File(path, "r", libver=LIBVER, swmr=True, locking=False)
    except (subprocess.SubprocessError, OSError) as error:
        raise SessionFileError(
            f"{path} was not closed and is damaged: 'physio-hqc recover' saves what is left"
        ) from error


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn what HDF5 says of a damaged or hostile file into one clear line."""
    try:
        yield
    except SessionFileError as error:
        if str(path) in str(error):
            raise
        raise SessionFileError(f"{path}: {error}") from error
    except (
        OSError,
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        OverflowError,
        MemoryError,
        RecursionError,
    ) as error:
        # The text of an error may quote the file, which holds as much as it likes.
        detail = (str(error) or type(error).__name__).splitlines()[0][:_LONGEST_DETAIL]
        raise SessionFileError(f"{path} is damaged: {detail}") from error


def _refuse_tail(path: Path, size: int) -> None:
    """Refuse a file with far more behind its content than content: limits go by its size."""
    with path.open("rb") as file:
        start = file.read(SUPERBLOCK_BYTES)
    if start[:8] != SIGNATURE or start[8] not in (2, 3):
        return
    end = int.from_bytes(start[28:36], "little")
    if size > 2 * end + _MOST_BEHIND:
        raise SessionFileError(
            f"{path} goes on for {(size - end) / 1e6:.0f} MB behind its content: refused; "
            f"'physio-hqc recover' saves the content"
        )


def _member(group: h5py.Group, name: str, kind: type, path: Path) -> Any:
    """A member that lives in this very file: links to elsewhere are refused, not followed."""
    link = group.get(name, getlink=True)
    if link is None:
        raise SessionFileError(f"{path} lacks {group.name.rstrip('/')}/{name}: no whole session")
    if not isinstance(link, h5py.HardLink):
        raise SessionFileError(f"{path}: {name!r} is a link to elsewhere, which is not followed")
    member = group[name]
    if not isinstance(member, kind):
        raise SessionFileError(f"{path}: {name!r} is not what a session holds there")
    return member


def _facts_of(file: h5py.File, path: Path, size: int) -> dict[str, dict[str, Any]]:
    """Facts of the devices that were learned while recording, by stream."""
    if file.get("facts", getlink=True) is None:
        return {}
    lines = checked_dataset(_member(file, "facts", h5py.Dataset, path), path, size)
    if lines.dtype != np.uint8 or lines.ndim != 1 or len(lines) > MAX_FACT_BYTES:
        raise SessionFileError(f"{path}: the facts are not laid out as format 1 says")
    return learned_facts(bytes(lines[:]))


def learned_facts(lines: bytes) -> dict[str, dict[str, Any]]:
    """Facts of the devices from lines of JSON, by stream; the last one of a name counts."""
    facts: dict[str, dict[str, Any]] = {}
    for line in lines.split(b"\n"):
        try:
            entry = plain_json(line)
        except ValueError:
            # A line that a dying recorder did not finish.
            continue
        if isinstance(entry, dict) and isinstance(entry.get("device"), dict):
            facts.setdefault(str(entry.get("stream")), {}).update(entry["device"])
    return facts


def _texts(column: NDArray[np.bytes_]) -> list[str]:
    return [value.decode("utf-8", "replace") for value in column]


def _json(value: Any, kind: type) -> Any:
    content = plain_json(str(value))
    if not isinstance(content, kind):
        raise SessionFileError(f"an attribute holds {type(content).__name__}, not {kind.__name__}")
    return content


def _payload(text: str) -> dict[str, Any]:
    content = plain_json(text) if text else {}
    return content if isinstance(content, dict) else {"value": content}


def _numbers(value: Any) -> float | NDArray[np.float64]:
    numbers = np.asarray(value, dtype=np.float64)
    return float(numbers) if numbers.size == 1 else numbers
