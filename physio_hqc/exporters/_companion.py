"""All that EDF+ has no field for, as JSON in annotations of its own."""

from __future__ import annotations

import json
import math
import zlib
from typing import Any

import numpy as np

from physio_hqc.exporters._edf_signals import Digital
from physio_hqc.exporters._grid import stretches_of
from physio_hqc.exporters.content import Content, StreamContent
from physio_hqc.importers._edf_companion import LABEL, VERSION

_PIECE = 400
"""Bytes in one annotation: other readers cut longer ones (EDFlib at 512)."""


def companion_texts(document: dict[str, Any]) -> list[str]:
    """Cut the document into texts of annotations, in ASCII and without blanks at their ends."""
    text = json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    # A blank stands only within texts; readers strip those at the ends of annotations.
    data = text.replace(" ", "\\u0020")
    pieces = [data[k : k + _PIECE] for k in range(0, len(data), _PIECE)]
    mark = f"{zlib.crc32(data.encode()):08x}"
    return [f"{LABEL} {k}/{len(pieces)} {mark} {piece}" for k, piece in enumerate(pieces, 1)]


def companion(
    content: Content, signals: dict[str, tuple[int, list[Digital]]], origin_s: float
) -> dict[str, Any]:
    """Describe a session; `signals` gives first signal and digital channels of each stream."""
    return {
        "version": VERSION,
        "origin_s": origin_s,
        "session": {
            "session_id": content.session_id,
            "participant_id": content.participant_id,
            "condition": content.condition,
            "dyad_id": content.dyad_id,
            "role": content.role,
            "protocol": content.protocol,
            "t0_unix_ns": content.t0_unix_ns,
            "software": content.software,
            "deidentified": content.deidentified,
        },
        "streams": [
            _stream(stream, *signals.get(name, (None, [])))
            for name, stream in content.streams.items()
        ],
        "events": [_event(row) for row in content.events.to_dict("records")],
    }


def _stream(stream: StreamContent, first: int | None, digital: list[Digital]) -> dict[str, Any]:
    told = stream_told(stream)
    if not stream.sfreq:
        return told | {"times": stream.times.tolist(), "values": plain(stream.stored.tolist())}
    return told | {
        "first_signal": first,
        "digital": [[d.gain, d.shift, d.is_exact] for d in digital],
    }


def stream_told(stream: StreamContent) -> dict[str, Any]:
    """Describe a stream but for its values."""
    return {
        "name": stream.name,
        "modality": stream.modality,
        "units": stream.units,
        "sfreq": stream.sfreq,
        "channels": list(stream.channels),
        "device": plain(stream.device),
        "dtype": np.dtype(stream.stored.dtype).newbyteorder("=").name,
        "scale": np.asarray(stream.scale).tolist(),
        "offset": np.asarray(stream.offset).tolist(),
        "segments": [[s.n, s.t_start, s.sfreq] for s in stretches_of(stream)],
    }


def _event(row: dict[Any, Any]) -> list[Any]:
    duration = float(row["duration"])
    return [
        float(row["onset"]),
        None if math.isnan(duration) else duration,
        str(row["kind"]),
        str(row["label"]),
        str(row["source"]),
        plain(row["payload"]),
    ]


def plain(value: Any) -> Any:
    """Replace what JSON has no number for (NaN, infinity) by null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
