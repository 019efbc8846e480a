"""AcqKnowledge files (.acq, BIOPAC), read through bioread."""

from __future__ import annotations

import math
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from physio_hqc.errors import RecordingError
from physio_hqc.importers._limits import BoundedFile, most_unpacked
from physio_hqc.importers.recording import Channel, Marker, Recording, Segment

_MAX_CHANNELS: Final = 512
_MAX_PATTERN: Final = 4_000_000
_MAX_MARKERS: Final = 20_000
_JOURNAL_PART: Final = 1000  # characters; at 4 bytes each they still fit an event's payload


def read(path: Path) -> Recording:
    """Read an AcqKnowledge file, version 3 to 5, compressed or not.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Recording
        Each channel at its own rate (base rate / divider), integers as stored. Event markers
        become markers, the journal becomes notes; several appended segments are set apart in time
        where the file tells when each began.

    Raises
    ------
    RecordingError
        If the headers make no sense or the samples are cut short.
    """
    from bioread.data_reader import DataReader
    from bioread.reader import Reader

    notes: list[str] = []
    content = path.read_bytes()
    _check_counts(path, content)
    headers = Reader.read_headers(BoundedFile(content, str(path)))
    _check_sizes(headers, path, content)
    datafile = headers.datafile
    DataReader(headers.acq_file, datafile, headers.data_start_offset).read_data()
    base_rate = float(datafile.samples_per_second)
    if datafile.event_markers is None:
        notes.append("the event markers could not be read")
    events = list(datafile.event_markers or [])
    positions = _positions(events, notes)
    cuts = _appended(events, positions, base_rate, notes)
    version = headers.version_string
    channels = tuple(
        _channel(channel, base_rate, cuts, f"AcqKnowledge (file format {version})")
        for channel in datafile.channels
        if channel.raw_data is not None and len(channel.raw_data)
    )
    names = {channel.order_num: channel.name for channel in datafile.channels}
    markers = [
        _marker(event, index, base_rate, cuts, names)
        for event, index in zip(events[:_MAX_MARKERS], positions, strict=False)
    ]
    markers += _journal(datafile.journal)
    return Recording(
        source=path,
        format="acqknowledge",
        channels=channels,
        markers=tuple(sorted(markers, key=lambda marker: marker.onset)),
        t0_unix_ns=_start_time(events, positions, notes),
        notes=tuple(notes),
    )


def _check_counts(path: Path, content: bytes) -> None:
    """Refuse absurd counts before bioread walks through them."""
    from bioread.header_reader import GraphHeaderReader

    graph = GraphHeaderReader.bootstrap(BoundedFile(content, str(path)))
    if not 1 <= graph.channel_count <= _MAX_CHANNELS:
        raise RecordingError(f"{path}: {graph.channel_count} channels make no sense")
    if not (math.isfinite(graph.sample_time) and graph.sample_time > 0):
        raise RecordingError(f"{path}: a sample interval of {graph.sample_time} ms makes no sense")


def _check_sizes(headers: Any, path: Path, content: bytes) -> None:
    """Compare what the headers promise with the size of the file, before memory is taken."""
    if headers.datafile is None:
        raise RecordingError(
            f"{path}: its headers cannot be read as AcqKnowledge (damaged or cut short?)"
        )
    size = len(content)
    dividers = [int(header.frequency_divider) for header in headers.channel_headers]
    counts = [int(header.point_count) for header in headers.channel_headers]
    if min(dividers) < 1 or min(counts) < 0:
        raise RecordingError(
            f"{path}: rate dividers from {min(dividers)}, lengths from {min(counts)} make no sense"
        )
    if headers.is_compressed:
        _check_compressed(headers, path, content)
        return
    if math.lcm(*dividers) * len(dividers) > _MAX_PATTERN:
        raise RecordingError(f"{path}: rate dividers {dividers} make no sense")
    needed = sum(
        count * channel.sample_size
        for count, channel in zip(counts, headers.datafile.channels, strict=True)
    )
    present = size - int(headers.data_start_offset)
    if needed > present:
        raise RecordingError(
            f"{path}: cut short: {max(0, present)} of {needed} bytes of samples are there"
        )


def _check_compressed(headers: Any, path: Path, content: bytes) -> None:
    size, promised_in_all = len(content), 0
    blocks = headers.channel_compression_headers
    if len(blocks) != len(headers.channel_headers):
        raise RecordingError(f"{path}: cut short: the compressed samples are not there")
    for block in blocks:
        begin, length = int(block.compressed_data_offset), int(block.compressed_data_len)
        promised = int(block.uncompressed_data_len)
        if begin < 0 or length < 0 or begin + length > size:
            raise RecordingError(f"{path}: cut short: the compressed samples end beyond the file")
        promised_in_all += promised
        if promised < 0 or promised_in_all > most_unpacked(size):
            raise RecordingError(f"{path}: {length} bytes cannot hold {promised} bytes of samples")
        # The promise is tried before the samples are unpacked in earnest.
        held = zlib.decompressobj().decompress(content[begin : begin + length], promised + 1)
        if len(held) > promised:
            raise RecordingError(
                f"{path}: more samples are packed than the {promised} bytes stated"
            )


def _positions(events: list[Any], notes: list[str]) -> list[int]:
    """Return each marker's sample at the base rate; second 0 is where the first segment begins.

    The beginning of a file can be cut off after recording; AcqKnowledge then counts from the cut,
    markers before it are negative, and the field is read without its sign.
    """
    found = [int(event.sample_index) for event in events]
    signed = [index - 2**32 if index >= 2**31 else index for index in found]
    begins = [i for event, i in zip(events, signed, strict=True) if _is_append(event)]
    shift = -min(0, *begins) if begins else 0
    if shift:
        notes.append(f"the markers count from sample {shift}; they are counted from the first")
    early = sum(index + shift < 0 for index in signed)
    if early:
        notes.append(f"{early} markers lie before the first sample and are put at second 0")
    return [index + shift for index in signed]


def _appended(
    events: list[Any], positions: list[int], base_rate: float, notes: list[str]
) -> list[tuple[int, float]]:
    """Return (sample at the base rate, start in s) of each recorded segment."""
    pairs = zip(events, positions, strict=True)
    appends = sorted(
        ((index, event) for event, index in pairs if _is_append(event) and index >= 0),
        key=lambda pair: pair[0],
    )
    cuts = [(0, 0.0)]
    later = [(index, event) for index, event in appends if index > 0]
    if not later:
        return cuts
    first = next((event for index, event in appends if index == 0), None)
    began = first.date_created_utc if first is not None else None
    for index, event in later:
        sample, start = cuts[-1]
        end = start + (index - sample) / base_rate
        created = event.date_created_utc
        since = (created - began).total_seconds() if created and began else -1.0
        if since < end - 0.05:
            notes.append(f"the pause before {event.text or 'a segment'!r} has no known length")
            since = end
        cuts.append((index, max(since, end)))
    notes.append(f"{len(cuts)} segments were appended to each other")
    return cuts


def _is_append(event: Any) -> bool:
    """Tell whether a marker was set by the program where a segment begins."""
    if event.type_code is not None:
        return str(event.type_code).strip() == "apnd"
    return re.fullmatch(r"Segment \d+", event.text or "") is not None


def _channel(
    channel: Any, base_rate: float, cuts: list[tuple[int, float]], software: str
) -> Channel:
    stored: NDArray[Any] = channel.raw_data.astype(channel.raw_data.dtype.newbyteorder("="))
    divider = int(channel.frequency_divider)
    firsts = [-(-sample // divider) for sample, _ in cuts] + [len(stored)]
    segments = tuple(
        # A slow channel's first sample of a segment can come later than the segment itself.
        Segment(start + (a * divider - sample) / base_rate, stored[a:b])
        for (sample, start), a, b in zip(cuts, firsts, firsts[1:], strict=False)
        if b > a
    )
    return Channel(
        name=channel.name.strip(),
        units=channel.units.strip(),
        sfreq=base_rate / divider,
        segments=segments,
        scale=float(channel.raw_scale_factor),
        offset=float(channel.raw_offset),
        device={"maker": "BIOPAC", "software": software, "channel_number": int(channel.order_num)},
    )


def _marker(
    event: Any, index: int, base_rate: float, cuts: list[tuple[int, float]], names: dict[int, str]
) -> Marker:
    k = int(np.searchsorted([sample for sample, _ in cuts], index, side="right")) - 1
    sample, start = cuts[max(0, k)]
    payload: dict[str, Any] = {"sample_index": index}
    if event.type_code is not None:
        payload |= {"type_code": str(event.type_code).strip(), "type": event.type}
    if event.date_created_utc is not None:
        payload["created_utc"] = event.date_created_utc.isoformat()
    if event.channel_number in names:
        payload["channel"] = names[event.channel_number]
    if _is_append(event):
        payload["segment_start"] = True
    text = (event.text or "").strip()
    return Marker(
        onset=max(0.0, start + (index - sample) / base_rate),
        label=text or str(payload.get("type", "marker")),
        payload=payload,
    )


def _start_time(events: list[Any], positions: list[int], notes: list[str]) -> int | None:
    """Return when the first segment was begun; the format has no other start time."""
    pairs = zip(events, positions, strict=True)
    at_start = [e for e, index in pairs if _is_append(e) and index == 0 and e.date_created_utc]
    dated = at_start or [event for event in events if event.date_created_utc is not None]
    if not dated:
        notes.append("the file does not state when the recording began")
        return None
    if not at_start:
        notes.append("the start is taken from the marker that was created first")
    earliest: float = min(event.date_created_utc.timestamp() for event in dated)
    return round(earliest * 1000) * 10**6


class _PlainText(HTMLParser):
    """Text of a journal, which newer versions keep as HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag in ("style", "script"):
            self._hidden += 1
        elif tag in ("p", "br", "div", "li", "tr"):
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "script"):
            self._hidden = max(0, self._hidden - 1)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


def _plain_text(journal: str) -> str:
    r"""Return a journal without its HTML.

    Examples
    --------
    >>> _plain_text("<html><style>p {}</style><p>Two&nbsp;lines</p><p>of text</p></html>")
    'Two lines\nof text'
    """
    text = journal
    if "<html" in journal[:500].lower():
        parser = _PlainText()
        parser.feed(journal)
        parser.close()
        text = "".join(parser.parts)
    lines = [re.sub(r"[\x00-\x1f\x7f\xa0]", " ", line).strip() for line in text.splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _journal(journal: str | None) -> list[Marker]:
    """Return the journal as notes at the start, in parts that an event can hold."""
    text = _plain_text(journal or "")
    parts = [text[i : i + _JOURNAL_PART] for i in range(0, len(text), _JOURNAL_PART)]
    return [
        Marker(
            0.0,
            "journal" if len(parts) == 1 else f"journal {i} of {len(parts)}",
            kind="note",
            payload={"text": part},
        )
        for i, part in enumerate(parts, start=1)
    ]
