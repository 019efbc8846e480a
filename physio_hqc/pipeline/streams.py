"""Which stream of a session is processed, and its samples in the units that processing needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.importers.channels import conversion, session_conversion
from physio_hqc.session import Session, Stream

FloatArray = NDArray[np.float64]

PROCESSED = ("ecg", "rr", "bp", "cuff", "eda")
"""Modalities that become features; the others stay in the session file."""

_CUFF_UNITS = {"SBP": "mmHg", "DBP": "mmHg", "MAP": "mmHg", "HR": "1/min"}
# The beats of an ECG do not depend on its scale; a pressure or a conductance in unknown units
# would give numbers of no meaning.
_SCALE_FREE = ("ecg",)


@dataclass(frozen=True)
class Signal:
    """Samples of one regular stream on an even grid, NaN where they are missing.

    Attributes
    ----------
    stream : str
        Name of the stream.
    sfreq : float
        Rate in Hz, as measured.
    times_s : ndarray, shape (n,)
        Session time of each sample in s.
    values : ndarray, shape (n,)
        In the session's unit of the modality.
    """

    stream: str
    sfreq: float
    times_s: FloatArray
    values: FloatArray

    def time_of(self, positions: FloatArray) -> FloatArray:
        """Session times in s of positions in samples (with fractions)."""
        if not self.times_s.size:
            return np.empty(0)
        times: FloatArray = np.interp(positions, np.arange(self.times_s.size), self.times_s)
        return times

    @cached_property
    def gaps(self) -> FloatArray:
        """Stretches without samples inside the signal: (g, 2) last and next sample, in s."""
        known = np.flatnonzero(np.isfinite(self.values))
        ends = np.flatnonzero(np.diff(known) > 1)
        return np.column_stack([self.times_s[known[ends]], self.times_s[known[ends + 1]]])


def choose_streams(session: Session, notices: list[str]) -> dict[str, Stream]:
    """Take the first stream with samples of every modality that is processed.

    Parameters
    ----------
    session : Session
    notices : list of str
        Grows by one line per stream that is left aside.

    Returns
    -------
    dict of str to Stream
        By modality. ``rr`` is left out where there is an ECG.
    """
    chosen: dict[str, Stream] = {}
    for name, stream in _in_order(session):
        modality = stream.modality
        if not stream.n_samples:
            notices.append(f"stream '{name}' is empty")
        elif problem := _unfit(stream):
            notices.append(f"stream '{name}' is left out: {problem}")
        elif modality in chosen:
            first = chosen[modality].name
            notices.append(f"stream '{name}' is left out: '{first}' is the {modality} processed")
        else:
            chosen[modality] = stream
    if "ecg" in chosen and "rr" in chosen:
        name = chosen.pop("rr").name
        notices.append(f"stream '{name}' is left out: beats come from '{chosen['ecg'].name}'")
    return chosen


def _in_order(session: Session) -> list[tuple[str, Stream]]:
    """Streams that are processed, by modality and then as the file has them."""
    return sorted(
        (
            (name, stream)
            for name, stream in session.streams.items()
            if stream.modality in PROCESSED
        ),
        key=lambda item: PROCESSED.index(item[1].modality),
    )


def _unfit(stream: Stream) -> str:
    """Why a stream cannot be processed, or an empty text."""
    modality, irregular = stream.modality, stream.sfreq == 0
    if modality in ("rr", "cuff") and not irregular:
        return f"{modality} values need times of their own, not a rate of {stream.sfreq:g} Hz"
    if modality not in ("rr", "cuff") and irregular:
        return f"{modality} needs an even sampling rate"
    if modality in _SCALE_FREE or modality == "cuff":
        return ""
    if session_conversion(_first_unit(stream), modality) is None:
        return f"its unit '{stream.units}' is none of {modality}; import it with its unit"
    return ""


def read_signal(stream: Stream, notices: list[str]) -> Signal:
    """Read a regular stream whole, gaps filled with NaN, in the session's unit.

    Parameters
    ----------
    stream : Stream
    notices : list of str
        Grows by what had to be decided.
    """
    times, values = stream.filled()
    values = _first_channel(stream, values, notices)
    return Signal(stream.name, stream.measured_sfreq, times, values * _factor(stream, notices))


def read_intervals(stream: Stream, notices: list[str]) -> tuple[FloatArray, FloatArray]:
    """Read an ``rr`` stream: time of each interval's end and its length, both in s.

    Intervals that are no number or not positive are left out.
    """
    times, values = stream.read()
    values = _first_channel(stream, values, notices) * _factor(stream, notices)
    known = np.isfinite(values) & (values > 0)
    return times[known], values[known]


def read_cuff(stream: Stream, notices: list[str]) -> pd.DataFrame:
    """Read cuff readings: time_s, SBP, DBP, MAP (mmHg), HR (1/min); NaN where not given."""
    times, values = stream.read()
    values = values.reshape(len(times), -1)
    units = [unit.strip() for unit in stream.units.split(",")]
    units = units * values.shape[1] if len(units) == 1 else units
    readings = pd.DataFrame({"time_s": times, **dict.fromkeys(_CUFF_UNITS, np.nan)})
    names = {name.casefold(): name for name in _CUFF_UNITS}
    for column, (channel, unit) in enumerate(zip(stream.channels, units, strict=False)):
        name = names.get(channel.casefold(), "")
        step = conversion(unit, _CUFF_UNITS[name]) if name else None
        if name and step is not None:
            readings[name] = values[:, column] * step.factor
        elif name == "HR":
            readings[name] = values[:, column]
        else:
            notices.append(
                f"stream '{stream.name}': channel '{channel}' in '{unit}' is no cuff value "
                "that is known"
            )
    return readings


def _first_unit(stream: Stream) -> str:
    return stream.units.split(",")[0].strip()


def _factor(stream: Stream, notices: list[str]) -> float:
    """Factor from the stream's unit to the session's unit of its modality."""
    step = session_conversion(_first_unit(stream), stream.modality)
    if step is None:
        notices.append(
            f"stream '{stream.name}': unit '{stream.units}' is not known; its beats do not depend "
            "on it"
        )
        return 1.0
    if step.factor != 1.0:
        notices.append(f"stream '{stream.name}': converted from {step.source} to {step.target}")
    return step.factor


def _first_channel(stream: Stream, values: FloatArray, notices: list[str]) -> FloatArray:
    if values.ndim == 1:
        return values
    if values.shape[1] > 1:
        notices.append(
            f"stream '{stream.name}' has {values.shape[1]} channels: "
            f"'{stream.channels[0]}' is processed"
        )
    return values[:, 0]
