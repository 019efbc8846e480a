"""A session as an MNE object."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from physio_hqc.errors import SessionFileError
from physio_hqc.session.format import UNKNOWN_T0

if TYPE_CHECKING:
    import mne
    import pandas as pd

    from physio_hqc.session.reader import Session, Stream

_MNE_TYPES = {"ecg": "ecg", "eda": "gsr", "resp": "resp", "temp": "temperature"}
_TO_SI = {("ecg", "mV"): 1e-3, ("ecg", "µV"): 1e-6, ("eda", "µS"): 1e-6}
# A grid may hold gaps and be finer than its streams, but not out of all proportion to them.
_MOST_PER_VALUE = 50
_ALWAYS_ALLOWED = 10_000_000


class Shown(Protocol):
    """What is needed of a stream to show it on the common axis."""

    name: str
    modality: str
    units: str
    channels: tuple[str, ...]

    @property
    def n_samples(self) -> int:
        """Samples held."""

    @property
    def measured_sfreq(self) -> float:
        """Rate in Hz."""

    @property
    def t_end(self) -> float:
        """Time of the last sample in s."""

    def filled(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Times and samples, NaN in gaps."""


def to_mne_raw(session: Session, streams: list[str] | None, sfreq: float | None) -> mne.io.RawArray:
    """Bring regular streams onto one axis; see :meth:`Session.to_mne_raw`."""
    t0 = None if session.t0_unix_ns == UNKNOWN_T0 else session.t0_unix_ns
    return raw_of(_choose(session, streams), session.events, session.duration, t0, sfreq)


def raw_of(
    chosen: Sequence[Shown],
    events: pd.DataFrame,
    duration: float,
    t0_unix_ns: int | None,
    sfreq: float | None = None,
) -> mne.io.RawArray:
    """Bring streams onto one axis, with the events as annotations.

    Parameters
    ----------
    chosen : sequence of Stream
        Regular streams with samples.
    events : DataFrame
        As `Session.events`; an open one lasts until `duration`, in s.
    t0_unix_ns : int or None
        Time of second 0; None where it is not known.
    sfreq : float, optional
        Rate of the axis in Hz; the highest measured one by default.
    """
    import mne

    rate = max(s.measured_sfreq for s in chosen) if sfreq is None else float(sfreq)
    if not (math.isfinite(rate) and rate > 0):
        raise SessionFileError(f"a rate of {rate} Hz makes no sense")
    stop = max(s.t_end for s in chosen)
    held = sum(s.n_samples * max(len(s.channels), 1) for s in chosen)
    n_rows = sum(max(len(s.channels), 1) for s in chosen)
    if not stop * rate * n_rows <= _MOST_PER_VALUE * held + _ALWAYS_ALLOWED:
        raise SessionFileError(
            f"{stop:.4g} s at {rate:.4g} Hz are far more than the {held} values held: refused; "
            "give a lower rate, or look at the times"
        )
    times = np.arange(int(np.floor(stop * rate + 1e-6)) + 1) / rate
    names, kinds, rows = [], [], []
    gaps: list[tuple[float, float, list[str]]] = []
    for stream in chosen:
        t, values = stream.filled()
        factor = _TO_SI.get((stream.modality, stream.units), 1.0)
        columns = values.reshape(len(values), -1)
        # Capitals: MNE takes a channel called "ecg" for the channel type.
        labels = [stream.name.upper()]
        if columns.shape[1] > 1:
            labels = [f"{stream.name.upper()}_{channel}" for channel in stream.channels]
        for label, column in zip(labels, columns.T, strict=True):
            on_grid = _interpolated(times, t, column * factor)
            gaps += [(a, b, [label]) for a, b in _holes(times, on_grid, rate)]
            names.append(label)
            kinds.append(_MNE_TYPES.get(stream.modality, "misc"))
            rows.append(np.nan_to_num(on_grid))
    info = mne.create_info(names, rate, kinds)
    raw = mne.io.RawArray(np.array(rows), info, verbose="error")
    start = None
    if t0_unix_ns is not None:
        epoch = datetime.fromtimestamp(0, tz=UTC)
        start = epoch + timedelta(microseconds=t0_unix_ns // 1000)
    raw.set_meas_date(start)
    raw.set_annotations(_annotations(events, duration, gaps, start), verbose="error")
    return raw


def _choose(session: Session, names: list[str] | None) -> list[Stream]:
    if names is None:
        chosen = [s for s in session.streams.values() if s.sfreq and s.n_samples]
    else:
        unknown = [name for name in names if name not in session.streams]
        if unknown:
            known = ", ".join(session.streams)
            raise SessionFileError(
                f"no stream {unknown[0]!r} in {session.path} (there are {known})"
            )
        chosen = [session.streams[name] for name in names]
        if any(not s.sfreq for s in chosen):
            raise SessionFileError("an irregular stream has no place in an MNE Raw; leave it out")
    if not chosen:
        raise SessionFileError(f"{session.path} has no regular stream with samples")
    return chosen


def _interpolated(
    times: NDArray[np.float64], t: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Linear interpolation; NaN where the nearest sample is missing."""
    known = np.isfinite(values)
    if not known.any():
        return np.full(times.size, np.nan)
    result = np.interp(times, t[known], values[known])
    position = np.interp(times, t, np.arange(t.size))
    half = 0.5 * (t[-1] - t[0]) / max(t.size - 1, 1) + 1e-9
    outside = (times < t[0] - half) | (times > t[-1] + half)
    result[outside | ~known[np.rint(position).astype(np.int64)]] = np.nan
    return result


def _holes(
    times: NDArray[np.float64], values: NDArray[np.float64], rate: float
) -> list[tuple[float, float]]:
    """Onset and duration of the stretches without samples."""
    edges = np.flatnonzero(np.diff(np.isnan(values).astype(int), prepend=0, append=0))
    starts, stops = edges[::2], edges[1::2]
    return [(float(times[a]), float((b - a) / rate)) for a, b in zip(starts, stops, strict=True)]


def _annotations(
    events: pd.DataFrame,
    stop: float,
    gaps: list[tuple[float, float, list[str]]],
    start: datetime | None,
) -> mne.Annotations:
    import mne

    duration = events["duration"].fillna(stop - events["onset"])
    onsets = [*events["onset"], *(gap[0] for gap in gaps)]
    durations = [*duration, *(gap[1] for gap in gaps)]
    labels = [
        f"{kind}/{label}" for kind, label in zip(events["kind"], events["label"], strict=True)
    ]
    channels: list[list[str]] = [[] for _ in labels] + [gap[2] for gap in gaps]
    return mne.Annotations(
        onsets, durations, [*labels, *("BAD_gap" for _ in gaps)], orig_time=start, ch_names=channels
    )
