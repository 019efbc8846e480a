"""Cells, tables and sidecars of a BIDS data set, and the events of a session as one of them."""

from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

OURS: Final = "PhysioHqc"
"""Key of a sidecar under which stands what BIDS has no word for, so that nothing is lost."""

MISSING: Final = "n/a"
_ROWS: Final = 1 << 16
_OWN_COLUMNS: Final = ("onset", "duration", "trial_type", "kind", "label", "source", "extra")
_TAKEN: Final = {*_OWN_COLUMNS, "response_time", "stim_file", "channel", "sample", "value_type"}
_COLUMN: Final = re.compile(r"[a-z][A-Za-z0-9_]{0,63}")
_MOST_COLUMNS: Final = 50

KINDS: Final = {
    "phase": "A stretch of the protocol.",
    "interaction": "A tagged stretch of contact between two people.",
    "marker": "A moment or stretch that was marked.",
    "rating": "An answer on a rating scale.",
    "note": "A remark of the experimenter.",
    "system": "A notice of the recording program.",
}


def number_cell(value: float) -> str:
    """Write a number with as many digits as it takes to read it back exactly."""
    return MISSING if math.isnan(value) else repr(float(value))


def text_cell(text: str) -> str:
    """Write a text into one cell: no tabs, no line breaks, nothing that means missing."""
    clean = "".join(sign if sign.isprintable() else " " for sign in text).strip()
    return clean or MISSING


def is_exact(text: str) -> bool:
    """Whether a text can be read back from a cell as it was."""
    return text != MISSING and text_cell(text) == text and not text.startswith('"')


def write_table(path: Path, columns: Mapping[str, Sequence[str]]) -> None:
    """Write cells as a TSV file with a header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("\t".join(columns) + "\n")
        for row in zip(*columns.values(), strict=True):
            file.write("\t".join(row) + "\n")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a sidecar; the same content gives the same bytes."""
    text = json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    path.write_bytes(text.encode("utf-8", "replace") + b"\n")


def plain(value: Any) -> Any:
    """Turn facts into what JSON knows."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def write_samples(path: Path, samples: NDArray[np.float64], places: NDArray[np.int64]) -> None:
    """Write samples (N, C) at their rows of a compressed TSV file, ``n/a`` in all others."""
    n = int(places[-1]) + 1 if len(places) else 0
    nothing = "\t".join([MISSING] * samples.shape[1])
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
        for start in range(0, n, _ROWS):
            stop = min(start + _ROWS, n)
            a, b = np.searchsorted(places, [start, stop])
            rows = [nothing] * (stop - start)
            lines = _lines(samples[a:b])
            for place, line in zip((places[a:b] - start).tolist(), lines, strict=True):
                rows[place] = line
            file.write(("\n".join(rows) + "\n").encode("ascii"))


def _lines(samples: NDArray[np.float64]) -> Iterator[str]:
    columns = [map(_sample, samples[:, k].tolist()) for k in range(samples.shape[1])]
    return map("\t".join, zip(*columns, strict=True))


def _sample(value: float) -> str:
    return repr(value) if value == value else MISSING


# --- events ------------------------------------------------------------------------------------


def event_cells(events: pd.DataFrame) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Turn the events of a session into cells, and say which format each payload column has.

    What a cell cannot hold exactly stands in the column ``extra`` as JSON.
    """
    payloads: list[dict[str, Any]] = [dict(payload) for payload in events["payload"]]
    formats = _payload_formats(payloads)
    extras: list[dict[str, Any]] = [{} for _ in payloads]
    cells: dict[str, list[str]] = {
        "onset": [number_cell(value) for value in events["onset"].tolist()],
        "duration": [number_cell(value) for value in events["duration"].tolist()],
        "trial_type": [
            text_cell(kind if kind in ("note", "system") else label)
            for kind, label in zip(events["kind"], events["label"], strict=True)
        ],
    }
    for name in ("kind", "label", "source"):
        cells[name] = [
            _text(text, name, extra) for text, extra in zip(events[name], extras, strict=True)
        ]
    for name, form in formats.items():
        cells[name] = [_taken(payload, name, form) for payload in payloads]
    for payload, extra in zip(payloads, extras, strict=True):
        if payload:
            extra["payload"] = payload
    if any(extras):
        cells["extra"] = [_json_cell(extra) if extra else MISSING for extra in extras]
    return cells, formats


def _text(text: str, name: str, extra: dict[str, Any]) -> str:
    if text and not is_exact(text):
        extra[name] = text
    return text_cell(text)


def _json_cell(content: Any) -> str:
    return json.dumps(content, ensure_ascii=True, separators=(",", ":"), sort_keys=True)


def _payload_formats(payloads: list[dict[str, Any]]) -> dict[str, str]:
    """Payload keys that become columns, with the format of most of their values."""
    formats: dict[str, str] = {}
    for payload in payloads:
        for name, value in payload.items():
            form = _format(value)
            if not form or name in formats or name in _TAKEN or not _COLUMN.fullmatch(name):
                continue
            formats[name] = form
    return dict(sorted(formats.items())[:_MOST_COLUMNS])


def _format(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number" if math.isfinite(value) else ""
    return "string" if isinstance(value, str) else ""


def _taken(payload: dict[str, Any], name: str, form: str) -> str:
    """Take a value out of a payload as a cell; it stays where the cell would not be exact."""
    value = payload.get(name)
    if _format(value) != form or (form == "string" and not is_exact(str(value))):
        return MISSING
    if form == "number" and isinstance(value, int) and abs(value) >= 10**300:
        return MISSING
    del payload[name]
    return str(value).lower() if form == "boolean" else str(value)


def event_dictionary(cells: Mapping[str, Sequence[str]], formats: Mapping[str, str]) -> Any:
    """Describe the columns of the events."""
    kinds = sorted(set(cells["kind"]) - {MISSING})
    entries: dict[str, Any] = {
        "onset": {
            "Description": "Start of the event since the session's start, the zero of StartTime "
            "of the recordings.",
            "Units": "s",
        },
        "duration": {
            "Description": "Length of the event; 0 for a moment, n/a where it was not ended.",
            "Units": "s",
        },
        "trial_type": {
            "Description": "Label of the event; the kind for notes and notices.",
            "Levels": {
                value: f"{kind}: {value}"
                for value, kind in sorted(
                    dict(zip(cells["trial_type"], cells["kind"], strict=True)).items()
                )
                if value != MISSING
            },
        },
        "kind": {
            "Description": "What kind of event it is.",
            "Levels": {kind: KINDS.get(kind, kind) for kind in kinds},
        },
        "label": {"Description": "What was tagged."},
        "source": {"Description": "Who or what tagged it."},
    }
    for name, form in formats.items():
        entries[name] = {"Description": f"Told with the event: {name}.", "Format": form}
    if "extra" in cells:
        entries["extra"] = {
            "Description": "What the other columns cannot hold as it is, as JSON.",
        }
    return entries
