"""A session as a folder of tables: a CSV per stream, events.csv, session.json."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import physio_hqc
from physio_hqc.errors import OutputError
from physio_hqc.exporters._companion import plain, stream_told
from physio_hqc.exporters.content import Content, StreamContent
from physio_hqc.files import replaced_folder
from physio_hqc.importers.csv_folder import EVENTS, FORMAT, SESSION, VERSION

_ROWS_AT_ONCE: Final = 1 << 16
_EVENT_COLUMNS: Final = {
    "onset": ("seconds since the session's start", "s"),
    "duration": ("length; empty while it is open", "s"),
    "kind": ("phase, interaction, marker, rating, note or system", ""),
    "label": ("what it is called", ""),
    "source": ("who or what tagged it", ""),
    "payload": ("everything else, as JSON", ""),
}


def write_csv(content: Content, path: Path) -> tuple[list[Path], list[str]]:
    """Write a session as a folder of tables, which importing reads back.

    Parameters
    ----------
    content : Content
    path : Path
        The folder. Replaced if it exists, once the new one is whole.

    Returns
    -------
    paths : list of Path
        The folder.
    notices : list of str

    Raises
    ------
    OutputError
        If the folder cannot be written.

    Notes
    -----
    ``<stream>.csv`` has ``time_s`` and a column per channel, with its unit in brackets; a row per
    sample, none in gaps. ``<stream>.json`` and ``events.json`` explain the columns.
    ``session.json`` holds who was recorded, when, by what protocol, and the measured time base.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from physio_hqc import open_session
    >>> from physio_hqc.exporters.content import read_content
    >>> from physio_hqc.simulate import simulate_session
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = simulate_session(folder / "p01.h5", time_scale=0.05, streams=["eda"])
    >>> with open_session(folder / "p01.h5") as session:
    ...     paths, notices = write_csv(read_content(session), folder / "p01")
    >>> sorted(file.name for file in paths[0].iterdir())
    ['eda.csv', 'eda.json', 'events.csv', 'events.json', 'session.json']
    """
    if not any(stream.n_samples for stream in content.streams.values()):
        raise OutputError(f"{content.name} holds no samples: there is nothing to export")
    clash = {"events", "session"} & {name.lower() for name in content.streams}
    if clash:
        raise OutputError(f"a stream called {clash.pop()!r} would take that table's name")
    with replaced_folder(path) as folder:
        for stream in content.streams.values():
            _write_stream(stream, folder)
        _write_events(content, folder)
        _write_json(folder / SESSION, _about(content))
    return [path], []


def _about(content: Content) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "exported_by": f"physio_hqc {physio_hqc.__version__}",
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
        "streams": [stream_told(stream) for stream in content.streams.values()],
    }


def _write_stream(stream: StreamContent, folder: Path) -> None:
    units = stream.units.split(",")
    n = len(stream.channels)
    units = [u.strip() for u in units] if len(units) == n else [stream.units] * n
    names = [
        f"{channel} [{unit}]" if unit else channel
        for channel, unit in zip(stream.channels, units, strict=True)
    ]
    with (folder / f"{stream.name}.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(["time_s", *names])
        times, samples = (
            stream.times,
            stream.samples.reshape(stream.n_samples, len(stream.channels)),
        )
        for start in range(0, stream.n_samples, _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            file.write(_lines(times[rows], samples[rows]))
    told = {"time_s": {"Description": "seconds since the session's start", "Units": "s"}}
    for name, unit in zip(names, units, strict=True):
        told[name] = {"Description": f"{stream.modality} of stream {stream.name}", "Units": unit}
    _write_json(folder / f"{stream.name}.json", told)


def _lines(times: NDArray[np.float64], samples: NDArray[np.float64]) -> str:
    """Rows of a table; fifteen digits, and nothing where there is no number."""
    form = ",".join(["%.9f", *["%.15g"] * samples.shape[1]])
    text = "\n".join([form % row for row in zip(times.tolist(), *samples.T.tolist(), strict=True)])
    if not np.isfinite(samples).all():
        text = text.replace("-inf", "").replace("inf", "").replace("nan", "")
    return f"{text}\n"


def _write_events(content: Content, folder: Path) -> None:
    with (folder / EVENTS).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_EVENT_COLUMNS)
        for row in content.events.to_dict("records"):
            duration = float(row["duration"])
            payload = plain(row["payload"])
            writer.writerow(
                [
                    repr(float(row["onset"])),
                    "" if math.isnan(duration) else repr(duration),
                    row["kind"],
                    row["label"],
                    row["source"],
                    json.dumps(payload, ensure_ascii=False) if payload else "",
                ]
            )
    told = {k: {"Description": what, "Units": unit} for k, (what, unit) in _EVENT_COLUMNS.items()}
    _write_json(folder / "events.json", told)


def _write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(f"{text}\n", encoding="utf-8")
