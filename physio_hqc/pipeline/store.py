"""The folder of results of one session: written whole or not at all, and read back."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from physio_hqc.errors import OutputError
from physio_hqc.files import exchange_folders, hidden_sibling, locked, remove_folder
from physio_hqc.pipeline.result import TABLES, SessionResult
from physio_hqc.pipeline.schema import COLUMNS, Column, conform, data_dictionary
from physio_hqc.session._untrusted import plain_json

PROVENANCE = "provenance.json"
REPORT = "report.html"
_FLOAT_FORMAT = "%.10g"
_ROWS_AT_ONCE = 20_000
_MAX_JSON_BYTES = 50_000_000


@dataclass(frozen=True)
class Layout:
    """What a folder of results holds beside its provenance.

    Attributes
    ----------
    columns : mapping of str to tuple of Column
        The tables and their columns.
    derived : tuple of str
        Files that others make from the tables, such as reports. They tell of the old numbers, so
        new results take their place.
    folders : mapping of str to pattern
        Folders of such files, and what the names of ours look like; other files in them stay.
    """

    columns: Mapping[str, tuple[Column, ...]] = field(default_factory=lambda: COLUMNS)
    derived: tuple[str, ...] = (REPORT,)
    folders: Mapping[str, re.Pattern[str]] = field(default_factory=dict)

    @property
    def files(self) -> set[str]:
        """Names of everything that is ours in the folder."""
        tables = (f"{name}{end}" for name in self.columns for end in (".csv", ".json"))
        return {PROVENANCE, *self.derived, *tables}


SESSION = Layout({name: COLUMNS[name] for name in TABLES})


def write_results(
    folder: Path,
    tables: Mapping[str, pd.DataFrame],
    provenance: Mapping[str, Any],
    layout: Layout = SESSION,
    finish: Callable[[Path], object] | None = None,
) -> dict[str, Any]:
    """Write tables, data dictionaries and provenance as one folder that replaces the old one.

    Everything is written into a hidden sibling, which then takes the folder's name. Whoever
    interrupts this finds the old folder or the new one. Files of other names in the old folder
    are carried over; a report in it is not, because it tells of other numbers.

    Parameters
    ----------
    folder : Path
        Folder of the session's results; made, with its parents, where it does not exist.
    tables : mapping of str to DataFrame
        One per table of the layout.
    provenance : mapping
        What the numbers came from, as plain data.
    layout : Layout
        What the folder holds; the results of one session by default.
    finish : callable, optional
        Called with the new folder before it takes its place, to add what is derived.

    Returns
    -------
    dict
        The provenance as written: with name, number of rows and checksum of every table.

    Raises
    ------
    OutputError
        If the folder cannot be written, or holds something that is no result.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            return _replace(folder, tables, provenance, layout, finish)
    except OSError as error:
        raise OutputError(
            f"{folder}: results cannot be written ({error.strerror or error}); "
            "choose a folder that you may write to"
        ) from error


def load_result(folder: str | os.PathLike[str], tables: Sequence[str] = TABLES) -> SessionResult:
    """Read back what processing a session left.

    Parameters
    ----------
    folder : path-like
        Folder of one session's results, such as ``derivatives/p01``.
    tables : sequence of str
        Names of the tables to read; all by default. Those of beats are the large ones.

    Returns
    -------
    SessionResult
        With `up_to_date` True, the tables asked for as they were written, and no traces.

    Raises
    ------
    OutputError
        If the folder is missing, incomplete, or was changed since it was written.

    Examples
    --------
    >>> load_result("no/such/folder")
    Traceback (most recent call last):
    ...
    physio_hqc.errors.OutputError: no/such/folder holds no results: process the session first
    """
    path = Path(folder)
    provenance = read_provenance(path)
    if provenance is None:
        raise OutputError(f"{path} holds no results: process the session first")
    facts = provenance.get("input", {})
    if not isinstance(facts, dict):
        raise OutputError(f"{path / PROVENANCE} tells of no session: process the session again")
    read = {name: _read_table(path, name, provenance) for name in dict.fromkeys(tables)}
    windows = read["windows"] if "windows" in read else _read_table(path, "windows", provenance)
    return SessionResult(
        name=path.name,
        path=Path(str(facts.get("file", ""))),
        out_dir=path,
        up_to_date=True,
        tables=read,
        windows=windows,
        provenance=provenance,
    )


def stored_provenance(folder: Path) -> dict[str, Any] | None:
    """Provenance of results that are whole and unchanged, or None."""
    restore(folder)
    provenance = read_provenance(folder)
    if provenance is None:
        return None
    try:
        whole = all(
            _checksum(folder / f"{name}.csv") == _recorded(provenance, name) for name in TABLES
        )
        whole &= all((folder / f"{name}.json").is_file() for name in TABLES)
    except OSError:
        return None
    return provenance if whole else None


def restore(folder: Path) -> None:
    """Give the old results their name back if a run was killed between the two renames."""
    old = hidden_sibling(folder, "old")
    if old.is_dir() and not folder.exists():
        try:
            with locked(folder):
                if old.is_dir() and not folder.exists():
                    old.rename(folder)
        except OSError:
            return


def _replace(
    folder: Path,
    tables: Mapping[str, pd.DataFrame],
    provenance: Mapping[str, Any],
    layout: Layout,
    finish: Callable[[Path], object] | None,
) -> dict[str, Any]:
    """Write the new folder beside the old one and exchange them; the lock is held."""
    new, old = hidden_sibling(folder, "new"), hidden_sibling(folder, "old")
    if old.is_dir() and not folder.exists():
        old.rename(folder)
    for leftover in (new, old):
        remove_folder(leftover)
    others = _foreign(folder, layout)
    try:
        new.mkdir()
        written = _write_files(new, tables, provenance, layout)
        if finish is not None:
            finish(new)
        for other in others:
            _copy(other, new / other.relative_to(folder))
        exchange_folders(folder, new, old)
    finally:
        remove_folder(new)
        if folder.exists():
            remove_folder(old)
    return written


def _foreign(folder: Path, layout: Layout) -> list[Path]:
    """List what else lies in the results folder; refuse a folder that never held results."""
    if not folder.exists():
        return []
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file: results need a folder of that name")
    entries = sorted(folder.iterdir())
    if entries and not (folder / PROVENANCE).is_file():
        raise OutputError(
            f"{folder} holds files but no results: choose another output folder, or empty it"
        )
    inside = [
        entry
        for name, ours in layout.folders.items()
        if (folder / name).is_dir() and not (folder / name).is_symlink()
        for entry in sorted((folder / name).iterdir())
        if not ours.fullmatch(entry.name)
    ]
    outside = [e for e in entries if e.name not in layout.files and e.name not in layout.folders]
    return [*outside, *inside]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target, follow_symlinks=False)


def _write_files(
    folder: Path,
    tables: Mapping[str, pd.DataFrame],
    provenance: Mapping[str, Any],
    layout: Layout,
) -> dict[str, Any]:
    """Write all files of a results folder; provenance last."""
    listing = {}
    for name, columns in layout.columns.items():
        table = conform(tables[name], columns)
        path = folder / f"{name}.csv"
        _write_csv(path, table)
        _write_json(folder / f"{name}.json", data_dictionary(columns))
        listing[path.name] = {"rows": len(table), "sha256": _checksum(path)}
    written = {**provenance, "tables": listing}
    _write_json(folder / PROVENANCE, written)
    return written


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table, some thousand rows at a time; formatting a whole column is what takes time."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.columns)
        for start in range(0, len(table), _ROWS_AT_ONCE):
            rows = table.iloc[start : start + _ROWS_AT_ONCE]
            writer.writerows(zip(*(_as_text(rows[name]) for name in rows), strict=True))


def _as_text(column: pd.Series) -> list[Any]:
    """Values of a column as they stand in a file; nothing for a missing number."""
    values: list[Any] = column.tolist()
    if column.dtype.kind != "f":
        return values
    return ["" if math.isnan(value) else _FLOAT_FORMAT % value for value in values]


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def read_provenance(folder: Path) -> dict[str, Any] | None:
    """Content of provenance.json, or None where there is none that can be read."""
    path = folder / PROVENANCE
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            return None
        content = plain_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _recorded(provenance: Mapping[str, Any], name: str) -> Any:
    """Checksum of a table as provenance has it."""
    listing = provenance.get("tables")
    entry = listing.get(f"{name}.csv") if isinstance(listing, dict) else None
    return entry.get("sha256") if isinstance(entry, dict) else None


def _read_table(folder: Path, name: str, provenance: Mapping[str, Any]) -> pd.DataFrame:
    """Read one table with the types it was written with."""
    path = folder / f"{name}.csv"
    try:
        if _checksum(path) != _recorded(provenance, name):
            raise OutputError(f"{path} was changed after it was written: process the session again")
        table = pd.read_csv(
            path,
            dtype={column.name: str for column in COLUMNS[name] if column.dtype == "text"},
            na_values={column.name: [""] for column in COLUMNS[name] if column.dtype == "number"},
            keep_default_na=False,
            float_precision="round_trip",
            encoding="utf-8",
            low_memory=False,
        )
        if not isinstance(table.index, pd.RangeIndex):
            raise OutputError(f"{path}: rows are longer than the header; process the session again")
        return conform(table, COLUMNS[name])
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}; process the session again") from error
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        # Its checksum fits, and yet it is not what was written.
        detail = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise OutputError(
            f"{path} is no table of results ({detail}); process the session again"
        ) from error


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
