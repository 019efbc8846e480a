"""Files of a BIDS data set, which is untrusted input: names, inheritance of sidecars, limits."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from physio_hqc.errors import RecordingError
from physio_hqc.importers._limits import most_unpacked

_MAX_JSON: Final = 20_000_000
_MAX_TABLE: Final = 200_000_000
_MAX_COLUMNS: Final = 1000
_MAX_FILES: Final = 20_000
_MAX_LEVELS: Final = 6
_PIECE: Final = 1 << 22
_LONGEST_LINE: Final = 1 << 16
_NAMES: Final = ("sub-*_physio.tsv.gz", "sub-*_task-*_events.tsv")
_DESCRIPTION: Final = "dataset_description.json"


def is_bids(path: Path) -> bool:
    """Tell whether a path is a physio file, or the folder of a participant or session."""
    if path.is_dir():
        return any(
            next(iter(path.glob(f"{depth}{name}")), None) is not None
            for depth in ("", "*/", "*/*/")
            for name in _NAMES
        )
    if not path.name.endswith("_physio.tsv.gz") or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


@dataclass(frozen=True)
class BidsName:
    """What a file name says.

    Attributes
    ----------
    entities : dict of str to str
        Such as ``{"sub": "01", "task": "rest"}``.
    suffix : str
        Such as ``"physio"``.
    """

    entities: dict[str, str]
    suffix: str


def parse_name(name: str) -> BidsName | None:
    """Read the entities of a file name, or None where it is not named as BIDS says.

    Examples
    --------
    >>> parse_name("sub-01_task-rest_physio.tsv.gz")
    BidsName(entities={'sub': '01', 'task': 'rest'}, suffix='physio')
    >>> parse_name("notes.txt") is None
    True
    """
    stem = name.split(".", 1)[0]
    *parts, suffix = stem.split("_")
    pairs = [part.split("-", 1) for part in parts]
    if not re.fullmatch(r"[A-Za-z0-9]+", suffix) or any(len(pair) != 2 for pair in pairs):
        return None
    if not pairs and suffix not in ("physio", "events"):
        return None
    return BidsName({pair[0]: pair[1] for pair in pairs}, suffix)


class Dataset:
    """A data set, and nothing outside its folder.

    Parameters
    ----------
    source : Path
        A file or folder in it.
    """

    def __init__(self, source: Path) -> None:
        here = source.absolute() if source.is_dir() else source.absolute().parent
        above = [here, *here.parents][:_MAX_LEVELS]
        self.root = next((folder for folder in above if (folder / _DESCRIPTION).is_file()), here)
        self._resolved = self.root.resolve()

    def inside(self, path: Path) -> Path:
        """Return the path, if neither it nor a link on its way leaves the data set."""
        if not path.resolve().is_relative_to(self._resolved):
            raise RecordingError(f"{path} is a link that leaves the data set: not followed")
        return path

    def files(self, folder: Path, suffix: str, ending: str) -> list[Path]:
        """Files of a suffix in a folder and below, sorted."""
        found = []
        for number, path in enumerate(folder.rglob(f"*{ending}")):
            if number > _MAX_FILES:
                raise RecordingError(f"{folder} holds too many files for one participant")
            name = parse_name(path.name)
            if name is not None and name.suffix == suffix and path.is_file():
                found.append(self.inside(path))
        return sorted(found)

    def sidecar(self, data: Path) -> dict[str, Any]:
        """Metadata of a file: what applies to it from the root down, the nearest one counts."""
        name = parse_name(data.name)
        if name is None:
            return {}
        here = data.absolute().parent
        levels = [here, *here.parents][:_MAX_LEVELS]
        if self.root in levels:
            levels = levels[: levels.index(self.root) + 1]
        merged: dict[str, Any] = {}
        for folder in reversed(levels):
            applying = []
            for path in sorted(folder.glob(f"*{name.suffix}.json")):
                other = parse_name(path.name)
                if (
                    other is not None
                    and other.suffix == name.suffix
                    and other.entities.items() <= name.entities.items()
                ):
                    applying.append((len(other.entities), path))
            for _, path in sorted(applying):
                merged |= self.read_json(path)
        return merged

    def read_json(self, path: Path) -> dict[str, Any]:
        """Read a JSON object within the limits."""
        self.inside(path)
        if path.stat().st_size > _MAX_JSON:
            raise RecordingError(f"{path}: too large for a sidecar ({_MAX_JSON} bytes at most)")
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise RecordingError(f"{path}: no JSON that can be read") from error
        if not isinstance(content, dict):
            raise RecordingError(f"{path}: holds no JSON object")
        return content

    def read_table(self, path: Path) -> tuple[list[str], list[list[str]]]:
        """Read header and rows of a TSV file; every row has as many cells as the header."""
        self.inside(path)
        if path.stat().st_size > _MAX_TABLE:
            raise RecordingError(f"{path}: too large for a table of events")
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise RecordingError(f"{path}: not UTF-8 text") from error
        lines = [line.split("\t") for line in text.split("\n") if line.strip("\r")]
        if not lines:
            return [], []
        lines = [[cell.strip("\r") for cell in line] for line in lines]
        header, rows = lines[0], lines[1:]
        if len(header) > _MAX_COLUMNS or len(set(header)) < len(header):
            raise RecordingError(f"{path}, line 1: its column names make no sense")
        for number, row in enumerate(rows, 2):
            if len(row) != len(header):
                raise RecordingError(
                    f"{path}, line {number}: {len(row)} cells, but the header has {len(header)}"
                )
        return header, rows

    def read_samples(self, path: Path, columns: list[str]) -> tuple[NDArray[np.float64], bool]:
        """Read a compressed table of numbers, and whether it had a header all the same.

        Returns
        -------
        ndarray, shape (n, C)
            NaN for ``n/a``.
        """
        self.inside(path)
        # Numbers take far longer to read than to unpack: what unpacks to too much is not begun.
        for _ in _pieces(path):
            pass
        parts: list[NDArray[np.float64]] = []
        line, header = 1, False
        for text in _pieces(path):
            rows = text.split("\n")[:-1] if text.endswith("\n") else text.split("\n")
            if line == 1 and rows and [c.strip() for c in rows[0].split("\t")] == columns:
                header = True
                rows = rows[1:]
                line += 1
            parts.append(_numbers(path, rows, line, len(columns)))
            line += len(rows)
        if not parts:
            return np.zeros((0, len(columns))), header
        return np.concatenate(parts), header


def _pieces(path: Path) -> Iterator[str]:
    """Unpack whole lines, some megabytes at a time, and no more than a recording may hold."""
    limit = most_unpacked(path.stat().st_size)
    unpacker, done, rest = zlib.decompressobj(31), 0, b""
    with path.open("rb") as file:
        packed = file.read(_PIECE)
        while packed:
            data = unpacker.decompress(packed, _PIECE)
            packed = unpacker.unconsumed_tail
            if unpacker.eof:
                packed = unpacker.unused_data
                if packed.strip(b"\0"):
                    unpacker = zlib.decompressobj(31)  # several members are one file
                else:
                    packed = b""
            if not packed and not (unpacker.eof and not file.peek(1)):
                packed = file.read(_PIECE)
            done += len(data)
            if done > limit:
                raise RecordingError(f"{path}: unpacks to more than {limit} bytes: refused")
            rest += data
            end = rest.rfind(b"\n") + 1
            if end:
                yield rest[:end].decode("ascii").replace("\r", "")
                rest = rest[end:]
            elif len(rest) > _LONGEST_LINE:
                raise RecordingError(f"{path}: a line of it has no end")
    if not unpacker.eof:
        raise RecordingError(f"{path}: cut short: the compressed samples do not end")
    if rest.strip():
        yield rest.decode("ascii").replace("\r", "")


def _numbers(path: Path, rows: list[str], first_line: int, n_columns: int) -> NDArray[np.float64]:
    """Read rows of numbers."""
    cells: list[str] = []
    for number, row in enumerate(rows, first_line):
        if row.count("\t") != n_columns - 1:
            raise RecordingError(
                f"{path}, line {number}: {row.count(chr(9)) + 1} cells, but its sidecar names "
                f"{n_columns} columns"
            )
        cells += row.split("\t")
    try:
        values = [_number(cell) for cell in cells]
    except ValueError as error:
        raise RecordingError(f"{path}, lines from {first_line}: {error}") from error
    return np.array(values, dtype=np.float64).reshape(-1, n_columns)


def _number(cell: str) -> float:
    # Python's own reading takes the nearest double, and underscores, which are none of BIDS.
    if "_" in cell:
        raise ValueError(f"{cell[:40]!r} is no number")
    return math.nan if cell == "n/a" else float(cell)
