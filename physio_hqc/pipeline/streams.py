"""Which stream of a session is processed, and its samples in the units that processing needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.importers.channels import conversion, session_conversion
from physio_hqc.session import Session, Stream
from physio_hqc.signals._clock import Clock

FloatArray = NDArray[np.float64]

PROCESSED = ("ecg", "rr", "bp", "cuff", "eda", "resp")
"""Modalities that become features; the others stay in the session file."""

_CUFF_UNITS = {"SBP": "mmHg", "DBP": "mmHg", "MAP": "mmHg", "HR": "1/min"}
# The beats of an ECG do not depend on its scale; a pressure or a conductance in unknown units
# would give numbers of no meaning.
_SCALE_FREE = ("ecg",)


@dataclass(frozen=True)
class Signal:
    """One regular stream on an even index, read piece by piece.

    Attributes
    ----------
    stream : Stream
    clock : Clock
        Session times of the places of the index.
    factor : float
        From the stream's unit to the session's unit of its modality.
    """

    stream: Stream
    clock: Clock
    factor: float

    @property
    def name(self) -> str:
        """Name of the stream."""
        return self.stream.name

    @property
    def sfreq(self) -> float:
        """Rate in Hz, as measured."""
        return self.clock.rate

    def pieces(self) -> Iterator[FloatArray]:
        """Samples in the session's unit, some minutes at a time; NaN where they are missing."""
        for samples in self.stream.filled_pieces():
            values = samples if samples.ndim == 1 else samples[:, 0]
            yield values if self.factor == 1.0 else values * self.factor

    def thinned(self, least_hz: float) -> tuple[FloatArray, Clock]:
        """All samples at once, averaged down to ``least_hz`` and more, and their clock.

        What is slow needs no more, and a day of it at 2000 Hz must not stand in memory. A mean
        over a missing sample is missing.
        """
        step = max(1, int(self.sfreq / least_hz + 1e-9))
        values = np.empty(self.clock.n // step)
        rest, at = np.empty(0), 0
        for piece in self.pieces():
            waiting = np.concatenate([rest, piece]) if rest.size else piece
            whole = waiting.size - waiting.size % step
            means = _means(waiting[:whole], step)
            values[at : at + means.size] = means
            at += means.size
            rest = waiting[whole:].copy()
        middle = (self.clock.index - (step - 1) / 2) / step
        return values, Clock(values.size, self.sfreq / step, middle, self.clock.times_s)


def _means(x: FloatArray, step: int) -> FloatArray:
    """Mean of every ``step`` samples; NaN where one is missing, infinite ones being missing."""
    x = np.where(np.isfinite(x), x, np.nan)
    with np.errstate(over="ignore"):
        means: FloatArray = x.reshape(-1, step).mean(axis=1)
    return means


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


def open_signal(stream: Stream, notices: list[str]) -> Signal:
    """Prepare a regular stream for reading on an even index, in the session's unit.

    Parameters
    ----------
    stream : Stream
    notices : list of str
        Grows by what had to be decided.
    """
    if len(stream.channels) > 1:
        notices.append(
            f"stream '{stream.name}' has {len(stream.channels)} channels: "
            f"'{stream.channels[0]}' is processed"
        )
    grid = stream.grid
    clock = Clock(grid.n, stream.measured_sfreq, grid.knot_index.astype(np.float64), grid.knot_s)
    return Signal(stream, clock, _factor(stream, notices))


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
