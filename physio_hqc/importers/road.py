"""The road from a vendor file to a session file: recognize, map, convert, write."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from physio_hqc.errors import OutputError, RecordingError
from physio_hqc.files import new_file
from physio_hqc.importers.channels import (
    SESSION_UNITS,
    Conversion,
    free_name,
    modality_of_stream,
    parse_unit,
    recognize,
    safe_stream_name,
    session_conversion,
)
from physio_hqc.importers.events_csv import read_events
from physio_hqc.importers.formats import end_of, read_recording
from physio_hqc.importers.recording import Channel, Marker, Recording
from physio_hqc.session.format import EVENT_DTYPE, MAX_STREAMS, UNKNOWN_T0

IGNORE: Final = "ignore"
_MOST_NOTES: Final = 50
_BEATWISE: Final = ("rr", "cuff")
_WAVEFORMS: Final = ("ecg", "bp", "eda", "ppg", "resp")
# Vendors write years from 1 to 9999; a session's clock is a 64-bit count of nanoseconds.
_T0_RANGE: Final = (-(2**61), 2**62)


@dataclass(frozen=True)
class ImportedStream:
    """One stream of the new session and where it came from.

    Attributes
    ----------
    name : str
        Name of the stream in the session.
    source_channel : str
        Name of the channel in the file.
    modality, units : str
    sfreq : float
        Nominal rate in Hz; 0 for an irregular stream.
    n_samples : int
    factor : float
        What the file's values were multiplied by (1 where the unit stayed).
    recognized : bool
        False where the channel was kept as it is, because nobody said what it is.
    """

    name: str
    source_channel: str
    modality: str
    units: str
    sfreq: float
    n_samples: int
    factor: float
    recognized: bool


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes
    ----------
    path : Path
        The session file.
    source : Path
    format : str
    streams : tuple of ImportedStream
    unrecognized : tuple of str
        Channels kept under modality ``other``; map them with ``--map "CHANNEL=stream"``.
    ignored : tuple of str
        Channels left out because the channel map says so.
    n_events : int
    notes : tuple of str
        Everything else worth knowing.
    """

    path: Path
    source: Path
    format: str
    streams: tuple[ImportedStream, ...]
    unrecognized: tuple[str, ...]
    ignored: tuple[str, ...]
    n_events: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Plan:
    """What becomes of one channel."""

    channel: Channel
    stream: str
    modality: str
    step: Conversion
    recognized: bool


def import_recording(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    channel_map: Mapping[str, str] | None = None,
    events: str | os.PathLike[str] | None = None,
    participant_id: str = "",
    condition: str = "",
    dyad_id: str = "",
    role: str = "",
    protocol: str | None = None,
    sfreq: float | None = None,
    overwrite: bool = False,
) -> ImportReport:
    r"""Turn a vendor recording into a session file.

    Parameters
    ----------
    source : path-like
        File, folder (Empatica) or record name (WFDB); the format is told from the content.
    out : path-like, optional
        Session file to write; by default the source's name with ``.h5`` in the current folder.
    channel_map : mapping of str to str, optional
        Channel name in the file -> stream name (``ecg``, ``ecg_2``, ``bp``, ...) or ``ignore``.
        It overrides recognition.
    events : path-like, optional
        CSV with columns onset, duration, kind, label and any others (see
        :func:`~physio_hqc.importers.events_csv.read_events`).
    participant_id, condition, dyad_id, role : str
        Who was recorded, in which cell of the design.
    protocol : str, optional
        Protocol as YAML text, kept in the session.
    sfreq : float, optional
        Rate in Hz of a CSV table that states none.
    overwrite : bool
        Replace an existing session file.

    Returns
    -------
    ImportReport

    Raises
    ------
    RecordingError
        If the source cannot be read, or the map does not fit its channels.
    OutputError
        If the session file exists already or cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> rows = "\n".join(f"{i / 10},{i % 5}" for i in range(50))
    >>> _ = (folder / "p01.csv").write_text("time (s),ECG (mV)\n" + rows + "\n")
    >>> report = import_recording(folder / "p01.csv", folder / "p01.h5", participant_id="P01")
    >>> [(s.name, s.modality, s.units, s.sfreq, s.n_samples) for s in report.streams]
    [('ecg', 'ecg', 'mV', 10.0, 50)]
    """
    recording = read_recording(Path(source), sfreq)
    return write_recording(
        recording,
        out,
        channel_map=channel_map,
        events=events,
        participant_id=participant_id,
        condition=condition,
        dyad_id=dyad_id,
        role=role,
        protocol=protocol,
        overwrite=overwrite,
    )


def write_recording(
    recording: Recording,
    out: str | os.PathLike[str] | None = None,
    *,
    channel_map: Mapping[str, str] | None = None,
    events: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    **about: Any,
) -> ImportReport:
    """Write a recording that is read already; for the arguments see :func:`import_recording`."""
    added = read_events(Path(events)) if events is not None else ()
    target = _target(recording.source, out, overwrite=overwrite)
    notes = list(recording.notes)
    plans, ignored = _plan(recording, channel_map or {}, notes)
    _note_late_events(plans, added, notes)
    for key in ("participant_id", "condition", "dyad_id", "role", "protocol"):
        about[key] = about.get(key) or _clean(getattr(recording, key))
    about["session_id"] = recording.session_id or None
    about["t0_unix_ns"] = _t0(recording, notes)
    by_hand = Path(events).name if events is not None else ""
    tagged = [
        (marker, recording.source.name if marker.source is None else marker.source)
        for marker in recording.markers
    ]
    tagged = sorted(
        tagged + [(marker, by_hand) for marker in added], key=lambda pair: pair[0].onset
    )
    recording = replace(recording, notes=tuple(dict.fromkeys(notes)))
    try:
        _write(target, recording, plans, tagged, {**about, "overwrite": overwrite})
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{target} cannot be written ({reason}); choose another place") from error
    return ImportReport(
        path=target,
        source=recording.source,
        format=recording.format,
        streams=tuple(_stream_report(plan) for plan in plans),
        unrecognized=tuple(plan.channel.name for plan in plans if not plan.recognized),
        ignored=ignored,
        n_events=len(tagged),
        notes=recording.notes,
    )


def _target(source: Path, out: str | os.PathLike[str] | None, *, overwrite: bool) -> Path:
    """Return the session file's path, before any work is done for nothing."""
    target = Path(f"{source.resolve().stem}.h5") if out is None else Path(out)
    new_file(target, overwrite=True)
    if target.exists() and source.exists() and target.resolve() == source.resolve():
        raise OutputError(f"{target} is the recording itself: name another file with --out")
    return new_file(target, overwrite=overwrite)


def _t0(recording: Recording, notes: list[str]) -> int:
    t0 = recording.t0_unix_ns
    if t0 is not None and not _T0_RANGE[0] < t0 < _T0_RANGE[1]:
        notes.append("the start time in the file makes no sense and was left out")
        return UNKNOWN_T0
    if t0 is None:
        notes.append("the file does not tell when it was recorded")
        return UNKNOWN_T0
    return t0


def _note_late_events(plans: list[_Plan], added: tuple[Marker, ...], notes: list[str]) -> None:
    end = max((end_of(plan.channel) for plan in plans), default=0.0)
    late = sum(event.onset >= end for event in added)
    if late:
        notes.append(f"{late} events begin after the recording's end at {end:.1f} s")
    over = sum(event.onset < end < event.onset + event.duration - 0.5 for event in added)
    if over:
        notes.append(f"{over} events last beyond the recording's end at {end:.1f} s")


# --- what becomes of each channel --------------------------------------------------------------


def _plan(
    recording: Recording, channel_map: Mapping[str, str], notes: list[str]
) -> tuple[list[_Plan], tuple[str, ...]]:
    """Decide stream, modality and unit of every channel; mapped ones choose their names first."""
    channels = _with_unique_names(recording.channels, notes)
    mapped = _resolve_map(channel_map, [channel.name for channel in channels])
    kept = []
    for channel in channels:
        if mapped.get(channel.name) == IGNORE:
            continue
        if _n_samples(channel) or channel.stream:
            kept.append(channel)
        else:
            notes.append(f"{channel.name!r} holds no samples and was left out")
    if not kept:
        raise RecordingError(f"{recording.source}: no channel with samples is left to import")
    if len(kept) > MAX_STREAMS:
        raise RecordingError(
            f"{recording.source}: {len(kept)} channels; a session holds at most {MAX_STREAMS}"
        )
    taken = {stream for stream in mapped.values() if stream != IGNORE}
    plans = []
    for channel in kept:
        if channel.name in mapped:
            plans.append(_mapped(channel, mapped[channel.name], notes))
            continue
        if channel.stream and channel.stream not in taken:
            taken.add(channel.stream)
            plans.append(_restored(channel))
            continue
        plan = _recognized(channel, taken, notes)
        taken.add(plan.stream)
        plans.append(plan)
    return plans, tuple(name for name, stream in mapped.items() if stream == IGNORE)


def _n_samples(channel: Channel) -> int:
    return sum(len(segment.samples) for segment in channel.segments)


def _with_unique_names(channels: tuple[Channel, ...], notes: list[str]) -> list[Channel]:
    """Number channels that share a name, so that each can be mapped and told apart."""
    seen: set[str] = set()
    unique = []
    for channel in channels:
        plain = _clean(channel.name)
        name, number = plain, 2
        while name in seen:
            name, number = f"{plain} ({number})", number + 1
        if name != plain:
            notes.append(f"two channels are named {plain!r}: the later one is {name!r}")
        seen.add(name)
        components = tuple(_clean(column) for column in channel.components)
        units = _clean(channel.units)
        unique.append(replace(channel, name=name, units=units, components=components))
    return unique


def _resolve_map(channel_map: Mapping[str, str], names: list[str]) -> dict[str, str]:
    """Bring the keys of a channel map to the names in the file, and check its streams."""
    mapped: dict[str, str] = {}
    for key, stream in channel_map.items():
        name = _find_channel(key, names)
        if name in mapped:
            raise RecordingError(f"the channel {name!r} is mapped twice")
        if stream != IGNORE:
            modality_of_stream(stream)
            if stream in mapped.values():
                raise RecordingError(
                    f"two channels are mapped to {stream!r}: call one of them {stream}_2"
                )
        mapped[name] = stream
    return mapped


def _find_channel(key: str, names: list[str]) -> str:
    if key in names:
        return key
    folded = [name for name in names if name.strip().casefold() == key.strip().casefold()]
    if len(folded) == 1:
        return folded[0]
    if folded:
        raise RecordingError(f"channel {key!r} could be {' or '.join(map(repr, folded))}")
    by_lower = {name.lower(): name for name in names}
    near = [by_lower[n] for n in difflib.get_close_matches(key.lower(), by_lower, cutoff=0.4)]
    hint = ", ".join(map(repr, near or names[:8]))
    raise RecordingError(f"no channel is named {key!r} in this recording; nearest: {hint}")


def _mapped(channel: Channel, stream: str, notes: list[str]) -> _Plan:
    """Follow the user's word, unless the unit contradicts it."""
    modality = modality_of_stream(stream)
    if modality in _BEATWISE and channel.sfreq > 0:
        raise RecordingError(
            f"channel {channel.name!r} has a rate of {channel.sfreq:g} Hz; {modality} readings "
            f"carry their own times: it cannot be mapped to {stream!r}"
        )
    if modality in _WAVEFORMS and channel.sfreq == 0:
        raise RecordingError(
            f"channel {channel.name!r} has no constant rate: it cannot be mapped to {stream!r}"
        )
    step = session_conversion(channel.units, modality)
    if step is None:
        target = SESSION_UNITS[modality]
        if parse_unit(channel.units) is not None:
            raise RecordingError(
                f"channel {channel.name!r} is in {channel.units}, which cannot become {target}: "
                f"it cannot be mapped to {stream!r}"
            )
        stated = f"unit {channel.units!r} is not known" if channel.units else "no unit is stated"
        notes.append(f"{channel.name!r}: {stated}, its values are taken as {target}")
        step = Conversion(channel.units, target, 1.0)
    return _Plan(channel, stream, modality, step, recognized=True)


def _restored(channel: Channel) -> _Plan:
    """Take a stream back as it was exported."""
    same = Conversion(channel.units, channel.units, 1.0)
    return _Plan(channel, channel.stream, channel.modality or "other", same, recognized=True)


def _recognized(channel: Channel, taken: set[str], notes: list[str]) -> _Plan:
    """Go by name and unit; what they do not settle is kept as it is."""
    modality = channel.modality or recognize(channel.name, channel.units, channel.sfreq)
    step = None if modality in (None, "other") else _step(channel, str(modality))
    if modality is None or step is None:
        name = safe_stream_name(channel.name, taken)
        same = Conversion(channel.units, channel.units, 1.0)
        return _Plan(channel, name, "other", same, recognized=modality == "other")
    stream = free_name(modality, taken)
    if stream != modality:
        notes.append(f"another {modality} channel: {channel.name!r} becomes {stream!r}")
    return _Plan(channel, stream, modality, step, recognized=True)


def _step(channel: Channel, modality: str) -> Conversion | None:
    if "," in channel.units:  # one unit per column, as the reader set them
        return Conversion(channel.units, channel.units, 1.0)
    return session_conversion(channel.units, modality)


def _stream_report(plan: _Plan) -> ImportedStream:
    return ImportedStream(
        name=plan.stream,
        source_channel=plan.channel.name,
        modality=plan.modality,
        units=plan.step.target,
        sfreq=plan.channel.sfreq,
        n_samples=_n_samples(plan.channel),
        factor=plan.step.factor,
        recognized=plan.recognized,
    )


# --- writing -----------------------------------------------------------------------------------


def _write(
    target: Path,
    recording: Recording,
    plans: list[_Plan],
    events: list[tuple[Marker, str]],
    about: dict[str, Any],
) -> None:
    """Write the session; on any failure nothing is left behind."""
    from physio_hqc.session import SessionWriter

    with SessionWriter(target, atomic=True, **about) as writer:
        for plan in plans:
            channel = plan.channel
            writer.add_stream(
                plan.stream,
                modality=plan.modality,
                units=plan.step.target,
                sfreq=channel.sfreq,
                dtype=_storage(channel),
                channels=list(channel.components) or None,
                scale=channel.scale * plan.step.factor,
                offset=channel.offset * plan.step.factor + plan.step.shift,
                device=_device(plan, recording),
                compress=True,
            )
        for plan in plans:
            _write_samples(writer, plan)
        for marker, source in events:
            writer.add_event(
                marker.onset,
                marker.kind,
                _clean(marker.label),
                duration=marker.duration,
                source=source,
                payload=_payload(marker),
            )


def _storage(channel: Channel) -> np.dtype[Any]:
    """Return the number type that holds all segments, in this machine's byte order."""
    kinds = [segment.samples.dtype for segment in channel.segments]
    common = np.result_type(*kinds) if kinds else np.dtype(channel.dtype or np.float64)
    if common.kind not in "iuf":
        common = np.dtype(np.int8 if common.kind == "b" else np.float64)
    if common.itemsize > 8 or common == np.float16:
        common = np.dtype(np.float64)
    return common.newbyteorder("=")


def _write_samples(writer: Any, plan: _Plan) -> None:
    channel = plan.channel
    if not channel.segments:
        return
    if channel.times is not None:
        samples: NDArray[Any] = channel.segments[0].samples
        writer.append_irregular(plan.stream, channel.times, samples)
        return
    for segment in channel.segments:
        writer.append_segment(plan.stream, segment.samples, segment.t_start, sfreq=segment.sfreq)


def _device(plan: _Plan, recording: Recording) -> dict[str, Any]:
    """Return what is recorded about a stream's origin, as JSON can hold it."""
    if plan.channel.stream == plan.stream:  # exported from a session: its origin is known
        known: dict[str, Any] = _plain(plan.channel.device)
        return known
    origin: dict[str, Any] = {
        **_plain(plan.channel.device),
        "source_file": recording.source.name,
        "source_format": recording.format,
        "source_channel": plan.channel.name,
    }
    if plan.step.source != plan.step.target:
        origin["unit_conversion"] = plan.step.as_dict()
    if recording.notes:
        # Notes stay with the data: whoever opens the session later needs them as well.
        origin["import_notes"] = [_clean(note) for note in recording.notes[:_MOST_NOTES]]
    return origin


def _plain(value: Any) -> Any:
    """Turn what readers found in headers into what JSON knows."""
    if isinstance(value, Mapping):
        return {_clean(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float):
        return value
    return _clean(str(value))


def _clean(text: str) -> str:
    """Drop what no file can store: half characters (damaged text in a header) and NUL."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")


def _payload(marker: Marker) -> dict[str, Any]:
    """Return a payload that an event can hold; one that was held before stays as it is."""
    return marker.payload if marker.source is not None else _fit_payload(marker.payload)


def _fit_payload(payload: dict[str, Any]) -> dict[str, Any]:
    """Shorten long texts until an event can hold them."""
    plain: dict[str, Any] = _plain(payload)
    limit = EVENT_DTYPE["payload"].itemsize - 300  # the writer may add the uncut label
    length = 3000
    while len(json.dumps(plain, ensure_ascii=False).encode()) > limit and length > 8:
        plain = {
            key[:100]: value if isinstance(value, bool | int | float) else str(value)[:length]
            for key, value in list(plain.items())[:20]
        }
        length //= 2
    return plain
