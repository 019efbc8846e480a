"""What a batch is to process: session files below a folder, vendor files of a mapping table."""

from __future__ import annotations

import csv
import difflib
import io
import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from physio_hqc.errors import ConfigError, OutputError, PhysioError, SessionFileError
from physio_hqc.protocol import load_protocol

IMPORTED = "imported"
RESERVED = (IMPORTED, "study", "batch.csv", "batch.json")
MAPPING_COLUMNS = (
    *("source", "session", "participant", "condition", "dyad", "role"),
    *("map", "events", "protocol", "sfreq"),
)
_MAX_MAPPING_BYTES = 50_000_000
_NAME = re.compile(r"[^/\\:*?\"<>|]{1,150}")


@dataclass(frozen=True)
class Vendor:
    """How a vendor file is imported, as ``physio-hqc import`` knows it; `protocol` is YAML."""

    participant: str = ""
    condition: str = ""
    dyad: str = ""
    role: str = ""
    channel_map: tuple[tuple[str, str], ...] = ()
    events: Path | None = None
    protocol: str = ""
    sfreq: float | None = None


@dataclass(frozen=True)
class Source:
    """One session to process.

    Attributes
    ----------
    session : str
        Its name: the folder of its results.
    path : Path
        Session file or vendor recording, absolute.
    label : str
        The same for tables: relative to the folder, or as the mapping has it.
    vendor : Vendor or None
        How to import it; None for a session file.
    """

    session: str
    path: Path
    label: str
    vendor: Vendor | None = None


def find_sources(folder: Path, out: Path, mapping: Path | None) -> list[Source]:
    """List what is to be processed, by session name.

    Parameters
    ----------
    folder : Path
        Every ``*.h5`` below it is a session, but for hidden files and folders, for what lies in
        `out`, and for what the mapping names. Links to folders are not followed.
    out : Path
        Folder of the results.
    mapping : Path or None
        Table of vendor files.

    Returns
    -------
    list of Source

    Raises
    ------
    SessionFileError
        If the folder is missing or holds nothing to process.
    ConfigError
        If the mapping is wrong.
    OutputError
        If two sources have the same session name, or one the name of something else.
    """
    if folder.is_file():
        raise SessionFileError(f"{folder} is a file: give the folder of the session files")
    if not folder.is_dir():
        raise SessionFileError(f"{folder}: no such folder; give the folder of the session files")
    vendors = [] if mapping is None else list(_read_mapping(mapping, folder))
    taken = {os.path.realpath(source.path) for source in vendors}
    sessions = [
        Source(path.stem, path, printable(path.relative_to(folder).as_posix()))
        for path in _session_files(folder, out)
        if os.path.realpath(path) not in taken
    ]
    found = sorted([*sessions, *vendors], key=lambda source: (source.session, source.label))
    if not found:
        raise SessionFileError(
            f"{folder}: no session files (*.h5) below it; vendor files need a --mapping table"
        )
    _refuse_names(found)
    return found


def printable(text: str) -> str:
    """One line that UTF-8 can hold."""
    return " ".join(text.encode("utf-8", "replace").decode("utf-8").split())


def _session_files(folder: Path, out: Path) -> Iterator[Path]:
    """Session files below the folder, not those that a batch left in its own."""
    results = os.path.realpath(out)

    def refuse(error: OSError) -> None:
        raise SessionFileError(f"{error.filename}: {error.strerror or 'cannot be read'}") from error

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(Path(place, name)) != results
        )
        for name in sorted(files):
            if name.endswith(".h5") and not name.startswith("."):
                yield Path(place, name)


def _refuse_names(found: Iterable[Source]) -> None:
    """Every session needs a folder of its own in the results."""
    seen: dict[str, Source] = {}
    for source in found:
        if source.session in RESERVED:
            raise OutputError(
                f"{source.label}: a session may not be called {source.session!r}, because the "
                "results hold something of that name: rename it"
            )
        if source.session in seen:
            raise OutputError(
                f"{seen[source.session].label} and {source.label} are both the session "
                f"{source.session!r}: rename one"
            )
        seen[source.session] = source


def _read_mapping(table: Path, folder: Path) -> Iterator[Source]:
    """Read the table of vendor files."""
    rows = _rows(table)
    columns = _columns(table, next(rows, (1, []))[1])
    for line, cells in rows:
        where = f"{table}, line {line}"
        if len(cells) > len(columns):
            raise ConfigError(
                f"{where}: {len(cells)} cells, but the header has {len(columns)} columns"
            )
        row = dict(zip(columns, cells, strict=False))
        yield _source(row, where, table.absolute().parent, folder)


def _rows(table: Path) -> Iterator[tuple[int, list[str]]]:
    """Lines that hold something, numbered; what separates cells is seen from the first."""
    try:
        with table.open("rb") as file:
            raw = file.read(_MAX_MAPPING_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{table}: {error.strerror or 'cannot be read'}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{table}: not UTF-8 text (save it as CSV UTF-8)") from error
    if len(raw) > _MAX_MAPPING_BYTES or "\x00" in text:
        raise ConfigError(f"{table}: no table of text, or larger than 50 MB")
    header = text.lstrip().split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count))
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise ConfigError(f"{table}, line {reader.line_num}: {error}") from error


def _columns(table: Path, header: list[str]) -> list[str]:
    names = [cell.lower() for cell in header]
    for name, written in zip(names, header, strict=True):
        if name not in MAPPING_COLUMNS:
            near = difflib.get_close_matches(name, MAPPING_COLUMNS, 1, cutoff=0.0)[0]
            raise ConfigError(
                f"{table}, line 1: unknown column {written!r}; did you mean {near!r}? Known: "
                f"{', '.join(MAPPING_COLUMNS)}"
            )
        if names.count(name) > 1:
            raise ConfigError(f"{table}, line 1: the column {name!r} appears twice")
    if "source" not in names:
        raise ConfigError(f"{table}, line 1: the column 'source' is missing")
    return names


def _source(row: dict[str, str], where: str, base: Path, folder: Path) -> Source:
    """Check one row."""
    path = _inside(base, row["source"], where, "source")
    session = row.get("session") or path.stem
    # Signs that nothing shows would make two names look alike, or a name other than it is.
    plain = session.isprintable() and session == printable(session)
    if not (plain and _NAME.fullmatch(session)) or session.startswith("."):
        raise ConfigError(
            f"{where}: the session name {session!r} cannot be the name of a folder: use letters, "
            "digits, - and _"
        )
    root = Path(os.path.normpath(folder))
    label = path.relative_to(root).as_posix() if path.is_relative_to(root) else row["source"]
    events = row.get("events", "")
    vendor = Vendor(
        participant=row.get("participant", ""),
        condition=row.get("condition", ""),
        dyad=row.get("dyad", ""),
        role=row.get("role", ""),
        channel_map=_channel_map(row.get("map", ""), where),
        events=_inside(base, events, where, "events") if events else None,
        protocol=_protocol(row.get("protocol", ""), where, base),
        sfreq=_rate(row.get("sfreq", ""), where),
    )
    return Source(session, path, printable(label), vendor)


def _inside(base: Path, text: str, where: str, column: str) -> Path:
    """Path of a cell: relative ones stay in the folder of the mapping."""
    if not text:
        raise ConfigError(f"{where}: {column} is empty")
    path = Path(os.path.normpath(base / text))
    if not PurePath(text).is_absolute() and not path.is_relative_to(os.path.normpath(base)):
        raise ConfigError(
            f"{where}: {column} {text!r} leaves the folder of the mapping: write it as an absolute "
            "path if that is meant"
        )
    return path


def _channel_map(text: str, where: str) -> tuple[tuple[str, str], ...]:
    """Read ``CH=stream; CH2=stream2``."""
    pairs = []
    for part in filter(str.strip, text.split(";")):
        channel, _, stream = (piece.strip() for piece in part.rpartition("="))
        if not channel or not stream:
            raise ConfigError(f"{where}: map {part.strip()!r}: write it as CHANNEL=stream")
        pairs.append((channel, stream))
    return tuple(pairs)


def _protocol(text: str, where: str, base: Path) -> str:
    """YAML of the protocol that a row names, or points to beside the mapping."""
    if not text:
        return ""
    is_file = text.lower().endswith((".yaml", ".yml"))
    try:
        return load_protocol(_inside(base, text, where, "protocol") if is_file else text).to_yaml()
    except PhysioError as error:
        raise ConfigError(f"{where}: protocol: {error}") from error


def _rate(text: str, where: str) -> float | None:
    if not text:
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not math.isfinite(rate) or rate <= 0:
        raise ConfigError(f"{where}: sfreq {text!r} is no rate in Hz")
    return rate
