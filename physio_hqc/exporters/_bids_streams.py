"""Streams in a BIDS data set: regular ones as physio files, irregular ones as events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from physio_hqc.errors import OutputError
from physio_hqc.exporters._bids_names import letters
from physio_hqc.exporters._bids_tables import (
    OURS,
    number_cell,
    write_json,
    write_samples,
    write_table,
)
from physio_hqc.exporters.content import StreamContent

_UNITS: Final = {"µS": "uS", "μS": "uS", "µV": "uV", "μV": "uV", "°C": "oC"}
"""BIDS recommends the ASCII spelling of CMIXF for units; the session's own is kept beside it."""

_COLUMNS: Final = {"ecg": "cardiac", "ppg": "cardiac", "resp": "respiratory"}
"""Columns for which BIDS has a name."""

_RESERVED: Final = ("onset", "duration", "timestamp", "channel")

_MEANING: Final = {
    "ecg": "Electrocardiogram.",
    "bp": "Continuous arterial pressure.",
    "cuff": "Reading of an upper-arm cuff.",
    "eda": "Skin conductance.",
    "rr": "Interval between two heart beats, as the device sent it; it ends at the onset.",
    "ppg": "Continuous pulse measurement (photoplethysmogram).",
    "resp": "Continuous breathing measurement.",
    "acc": "Acceleration, in units of the standard gravity where the unit is g.",
    "temp": "Temperature.",
    "other": "A channel that was recorded along.",
}
_CUFF: Final = {
    "SBP": "Systolic pressure.",
    "DBP": "Diastolic pressure.",
    "MAP": "Mean arterial pressure.",
    "HR": "Heart rate that the cuff sent.",
}
_DEVICE: Final = {
    "Manufacturer": ("manufacturer", "maker", "vendor"),
    "ManufacturersModelName": ("model", "name", "device"),
    "DeviceSerialNumber": ("serial", "serial_number"),
    "SoftwareVersions": ("firmware", "software", "version"),
}


@dataclass(frozen=True)
class Names:
    """File names of one session: entities before and after what tells its files apart."""

    participant: str
    session: str
    task: str

    @property
    def who(self) -> str:
        """Entities of the participant, and of the session where there are several."""
        return f"{self.participant}_{self.session}" if self.session else self.participant

    def file(self, suffix: str, **entities: str) -> str:
        """Name a file of the session; an entity that is empty is left out."""
        order = ("acq", "recording", "desc")
        more = "".join(f"_{name}-{entities[name]}" for name in order if entities.get(name))
        return f"{self.who}_task-{self.task}{more}_{suffix}"


def write_stream(
    folder: Path, names: Names, label: str, stream: StreamContent, about: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """Write a stream and its sidecar; return the data files' names and notices."""
    if stream.sfreq > 0 and not stream.n_samples:
        # A recording without a row is an error in BIDS; that it was planned stands in the events.
        return [], [f"stream {stream.name} holds no samples and has no recording"]
    samples = stream.samples
    values = samples[:, np.newaxis] if samples.ndim == 1 else samples
    if stream.sfreq == 0:
        return _write_readings(folder, names, label, stream, values, about), []
    places = even_places(stream)
    columns = _column_names(stream)
    units = _units(stream)
    start = float(stream.segments["t_start"].iloc[0])
    sidecar: dict[str, Any] = {
        # For people; to the last bit, rates and times stand in our own part below.
        "SamplingFrequency": float(f"{stream.measured_sfreq:.12g}"),
        "StartTime": round(start, 9) + 0.0,
        "Columns": columns,
        "PhysioType": "generic",
        **{key: value for key, value in about.items() if key != "Instructions"},
        **_device(stream.device),
    }
    for name, unit, channel in zip(columns, units, stream.channels, strict=True):
        sidecar[name] = {"Description": _describe(stream, channel), "Units": unit}
    sidecar[OURS] = {"Stream": {**stream_facts(stream), "segments": _segments(stream, places)}}
    file = names.file("physio.tsv.gz", recording=label)
    write_samples(folder / file, values, places)
    write_json(folder / names.file("physio.json", recording=label), sidecar)
    return [file], _notices(stream, places, start)


def even_places(stream: StreamContent) -> NDArray[np.int64]:
    """Return the row of every sample: consecutive in a segment, which begins at its nearest row.

    At the rate as measured over the whole stream no row is left free inside a segment and no
    sample is shown twice; the exact times stand in the sidecar.

    Raises
    ------
    OutputError
        If the stream is almost only gap.
    """
    rows = stream.segments
    n = (rows["stop"] - rows["start"]).to_numpy(dtype=np.int64)
    start_s = rows["t_start"].to_numpy(dtype=np.float64)
    first = np.rint((start_s - start_s[0]) * stream.measured_sfreq)
    if first[-1] + n[-1] > 50 * n.sum() + 10_000_000:
        raise OutputError(f"stream {stream.name!r} is almost only gap: cut the session first")
    # A row holds one sample: a segment that would begin inside the one before begins behind it.
    before = np.concatenate([[0], np.cumsum(n)[:-1]])
    free = np.maximum.accumulate(first.astype(np.int64) - before)
    return np.repeat(free, n) + np.arange(n.sum())


def _notices(stream: StreamContent, places: NDArray[np.int64], start: float) -> list[str]:
    """Say where the even rows are off the measured times by more than a sample."""
    ends = [*stream.segments["start"], *(stream.segments["stop"] - 1)]
    index = np.unique(np.array(ends, dtype=np.int64))
    even = start + places[index] / stream.measured_sfreq
    off = float(np.abs(even - stream.times[index]).max())
    if off * stream.measured_sfreq <= 1.0:
        return []
    said = (
        f"stream {stream.name}: its device's rate changed, so that the even rows of the file are "
        f"up to {off * 1000:.3g} ms off; the exact times stand in the sidecar"
    )
    return [said]


def _write_readings(
    folder: Path,
    names: Names,
    label: str,
    stream: StreamContent,
    values: NDArray[np.float64],
    about: Mapping[str, Any],
) -> list[str]:
    """Write an irregular stream: every sample is an event."""
    # With a mark of its own: "rr" alone might be taken for an event's kind.
    columns = [f"{stream.modality}_value"] if values.shape[1] == 1 else _column_names(stream)
    cells = {
        "onset": [number_cell(time) for time in stream.times.tolist()],
        "duration": ["0.0"] * len(values),
        "trial_type": [stream.modality] * len(values),
    }
    sidecar: dict[str, Any] = {
        **{key: value for key, value in about.items() if key != "SoftwareVersions"},
        **_device(stream.device),
        "onset": {"Description": "Time since the session's start.", "Units": "s"},
        "duration": {"Description": "Readings and beats are moments: 0.", "Units": "s"},
        "trial_type": {
            "Description": "What was read.",
            "Levels": {stream.modality: _MEANING[stream.modality]},
        },
    }
    for k, (name, unit, channel) in enumerate(
        zip(columns, _units(stream), stream.channels, strict=True)
    ):
        cells[name] = [number_cell(value) for value in values[:, k].tolist()]
        sidecar[name] = {"Description": _describe(stream, channel), "Units": unit}
    sidecar[OURS] = {"Stream": {**stream_facts(stream), "columns": columns}}
    file = names.file("events.tsv", acq=label)
    write_table(folder / file, cells)
    write_json(folder / names.file("events.json", acq=label), sidecar)
    return [file]


def _column_names(stream: StreamContent) -> list[str]:
    """Name the columns: as BIDS does where it has a name, else after the channels."""
    if len(stream.channels) == 1 and stream.modality in _COLUMNS:
        return [_COLUMNS[stream.modality]]
    names: list[str] = []
    for number, channel in enumerate(stream.channels, 1):
        name = letters(channel) or f"channel{number}"
        if stream.modality != "cuff":
            # Lower case in front: other keys of a sidecar begin with a capital.
            name = f"{name[0].lower()}{name[1:]}"
        names.append(f"{name}_{number}" if name in (*names, *_RESERVED) else name)
    return names


def _units(stream: StreamContent) -> list[str]:
    parts = stream.units.split(",")
    units = parts if len(parts) == len(stream.channels) else [stream.units] * len(stream.channels)
    return [_UNITS.get(unit, unit) or "arbitrary" for unit in units]


def _describe(stream: StreamContent, channel: str) -> str:
    if stream.modality == "cuff" and channel in _CUFF:
        return _CUFF[channel]
    meaning = _MEANING[stream.modality]
    return meaning if len(stream.channels) == 1 else f"{meaning} Channel {channel}."


def _device(device: Mapping[str, Any]) -> dict[str, str]:
    """Return what BIDS has keys for."""
    found = {}
    for key, names in _DEVICE.items():
        value = next((device[name] for name in names if device.get(name)), None)
        if isinstance(value, str | int):
            found[key] = str(value)
    return found


def stream_facts(stream: StreamContent) -> dict[str, Any]:
    """Return what restores the stream as the session has it."""
    return {
        "name": stream.name,
        "modality": stream.modality,
        "units": stream.units,
        "sfreq": stream.sfreq,
        "channels": list(stream.channels),
        "dtype": stream.stored.dtype.newbyteorder("=").name,
        "scale": np.asarray(stream.scale).tolist(),
        "offset": np.asarray(stream.offset).tolist(),
        "device": stream.device,
    }


def _segments(stream: StreamContent, places: NDArray[np.int64]) -> dict[str, Any]:
    """Return the gap-free segments: first row, samples, time of the first, rate, why it begins."""
    rows = stream.segments
    start = rows["start"].to_numpy(dtype=np.int64)
    return {
        "row": places[np.minimum(start, len(places) - 1)].tolist(),
        "n": (rows["stop"] - rows["start"]).tolist(),
        "t_start": rows["t_start"].tolist(),
        "sfreq": rows["sfreq"].tolist(),
        "reason": rows["reason"].tolist(),
    }
