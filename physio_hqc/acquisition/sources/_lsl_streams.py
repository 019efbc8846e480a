"""What an LSL outlet becomes: streams of a session, or markers.

The rules are those of the XDF importer, so that a stream is called the same whether it was
recorded here or imported from a LabRecorder file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from physio_hqc.acquisition.source import StreamInfo
from physio_hqc.errors import RecordingError
from physio_hqc.importers import xdf
from physio_hqc.importers.channels import (
    Conversion,
    free_name,
    recognize,
    safe_stream_name,
    session_conversion,
)
from physio_hqc.session.format import MAX_CHANNELS

_LONGEST_TEXT: Final = 3000
_MOST_ENTRIES: Final = 4096
"""Children of an XML node to walk: what comes over the network is bounded."""


@dataclass(frozen=True)
class Outlet:
    """How an outlet describes itself; `dtype` is "" for text, `labels` has one dict a channel."""

    name: str
    kind: str
    source_id: str
    hostname: str
    uid: str
    sfreq: float
    dtype: str
    labels: tuple[dict[str, str], ...]
    device: dict[str, Any] = field(default_factory=dict)

    identity: tuple[Any, ...] = ()

    @property
    def is_marker(self) -> bool:
        """Text, or single numbers of a marker type without a rate."""
        of_marker_type = self.kind.lower() in xdf._MARKER_TYPES
        return not self.dtype or (self.sfreq == 0 and of_marker_type and len(self.labels) == 1)


@dataclass(frozen=True)
class Part:
    """A stream, and the columns of the outlet's samples that belong to it."""

    info: StreamInfo
    columns: tuple[int, ...]


def identity_of(info: Any) -> tuple[Any, ...]:
    """What stays the same when the program behind an outlet is started again."""
    return (
        info.name(),
        info.type(),
        info.source_id(),
        info.hostname(),
        info.channel_count(),
        info.channel_format(),
    )


def describe(info: Any) -> Outlet:
    """Read the description of an outlet from a `pylsl.StreamInfo`.

    Raises
    ------
    RecordingError
        If it states what no session can hold.
    """
    name, count = info.name(), int(info.channel_count())
    sfreq = float(info.nominal_srate())
    if not 1 <= count <= MAX_CHANNELS:
        raise RecordingError(f"LSL stream {name!r} has {count} channels; 1 to {MAX_CHANNELS} fit")
    if not 0 <= sfreq <= 1e6:
        raise RecordingError(f"LSL stream {name!r} states a rate of {sfreq:g} Hz")
    about = {
        "name": name,
        "type": info.type(),
        "source_id": info.source_id(),
        "hostname": info.hostname(),
        "manufacturer": info.desc().child("acquisition").child_value("manufacturer")
        or info.desc().child_value("manufacturer"),
        "serial": info.desc().child("acquisition").child_value("serial_number"),
    }
    return Outlet(
        name=name,
        kind=info.type(),
        source_id=info.source_id(),
        hostname=info.hostname(),
        uid=info.uid(),
        sfreq=sfreq,
        dtype=_dtype(info),
        labels=_labels(info, count),
        device={key: value for key, value in about.items() if value},
        identity=identity_of(info),
    )


def _dtype(info: Any) -> str:
    """Number type of an outlet, "" for text."""
    import pylsl

    known = {
        pylsl.cf_string: "",
        pylsl.cf_float32: "float32",
        pylsl.cf_double64: "float64",
        pylsl.cf_int8: "int8",
        pylsl.cf_int16: "int16",
        pylsl.cf_int32: "int32",
        pylsl.cf_int64: "int64",
    }
    if info.channel_format() not in known:
        raise RecordingError(f"LSL stream {info.name()!r} has a number type that LSL does not know")
    return known[info.channel_format()]


def _labels(info: Any, count: int) -> tuple[dict[str, str], ...]:
    """Label, unit and type per channel; empty where the outlet describes another number."""
    found: list[dict[str, str]] = []
    entry = info.desc().child("channels").child("channel")
    while not entry.empty() and len(found) < _MOST_ENTRIES:
        found.append({key: entry.child_value(key).strip() for key in ("label", "unit", "type")})
        entry = entry.next_sibling("channel")
    return tuple(found) if len(found) == count else ({},) * count


def parts_of(outlet: Outlet, taken: set[str]) -> tuple[Part, ...]:
    """Decide which streams a numeric outlet becomes; `taken` gets the names that were given.

    Columns that are recognized become streams of their own, with the session's unit by scale and
    offset; the axes of an accelerometer stay together, and so do the columns that nobody knows.
    """
    modalities = [_recognized(outlet, column) for column in range(len(outlet.labels))]
    groups: dict[object, list[int]] = {}
    for column, modality in enumerate(modalities):
        together = modality in ("acc", None)
        groups.setdefault(modality if together else (modality, column), []).append(column)
    return tuple(_part(outlet, modalities[c[0]], c, taken) for c in groups.values())


def _recognized(outlet: Outlet, column: int) -> str | None:
    """Modality of a column by its type, or by its label and unit; None where they do not say."""
    label = outlet.labels[column]
    name, unit = label.get("label", "") or outlet.name, label.get("unit", "")
    kind = (label.get("type", "") or outlet.kind).lower()
    if outlet.sfreq == 0:
        return recognize(name, unit, 0.0)
    stated = xdf._modality(xdf._MODALITIES.get(kind), unit)
    return stated if stated not in (None, "rr") else recognize(name, unit, outlet.sfreq)


def _part(outlet: Outlet, modality: str | None, columns: list[int], taken: set[str]) -> Part:
    labels = [outlet.labels[column] for column in columns]
    plain = outlet.name if len(outlet.labels) == 1 else labels[0].get("label", "") or outlet.name
    name = (
        free_name(modality, taken)
        if modality
        else safe_stream_name(plain if len(columns) == 1 else outlet.name, taken)
    )
    taken.add(name)
    units = [label.get("unit", "") for label in labels]
    steps = [_step(unit, modality) for unit in units]
    channels = tuple(
        label.get("label", "") or (name if len(columns) == 1 else str(column + 1))
        for label, column in zip(labels, columns, strict=True)
    )
    targets = [step.target.replace(",", " ") for step in steps]
    info = StreamInfo(
        name=name,
        modality=modality or "other",
        units=targets[0] if len(set(targets)) == 1 else ",".join(targets),
        sfreq=outlet.sfreq,
        dtype=outlet.dtype,
        channels=channels,
        scale=_one_or_all([step.factor for step in steps]),
        offset=_one_or_all([step.shift for step in steps]),
        device=outlet.device,
        awaited=outlet.sfreq > 0 or modality == "rr",
    )
    return Part(info, tuple(columns))


def _step(unit: str, modality: str | None) -> Conversion:
    step = session_conversion(unit, modality) if modality else None
    return step or Conversion(unit, unit, 1.0)


def _one_or_all(numbers: list[float]) -> float | tuple[float, ...]:
    return numbers[0] if len(set(numbers)) == 1 else tuple(numbers)


def marker_of(outlet: Outlet, row: Any) -> tuple[str, dict[str, Any]]:
    """Label and payload of the event that one sample of a marker stream becomes."""
    texts = [
        value.decode("utf-8", "replace").strip() if isinstance(value, bytes) else value
        for value in row
    ]
    words = [xdf._marker_text(value) for value in texts]
    label = ", ".join(word for word in words if word) or outlet.name
    payload: dict[str, Any] = {"stream": outlet.name[:256]}
    if len(words) > 1 and len(label.encode()) <= _LONGEST_TEXT:
        payload["values"] = words
    if len(label.encode()) > _LONGEST_TEXT:
        payload["cut_from_characters"] = len(label)
        label = label.encode()[:_LONGEST_TEXT].decode("utf-8", "ignore")
    return label, payload
