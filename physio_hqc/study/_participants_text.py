"""Hand-made tables of text: separators, encodings and the habits of spreadsheet programs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from physio_hqc.errors import StudyError

_MAX_BYTES = 50_000_000
_SEPARATOR_LINE = re.compile(r'^"?sep=(?P<mark>[,;\t|])"?\s*$', re.IGNORECASE)
_TEXT_FORMULA = re.compile(r'^="?(?P<text>[^"]*)"?$')
_BLANKS = re.compile(r"[\s\u00a0\u2007\u202f\ufeff\u200b]+")
_MISSING = {"", "na", "n/a", "#n/a", "nan", "null", ".", "-", "–"}
_DECIMAL_COMMA = re.compile(r"^[+-]?\d+,\d+$")


@dataclass(frozen=True)
class TextTable:
    """A table whose cells are text, and where each row stands in its source.

    Attributes
    ----------
    frame : DataFrame
        Cells as text without blanks around them, "" where empty; columns as written.
    name : str
        File name, or "table" words for a DataFrame; begins every error message.
    rows : list of str
        Place of each row: "line 7" of a file, "row 6" of a DataFrame.
    """

    frame: pd.DataFrame
    name: str
    rows: list[str]

    def where(self, position: int) -> str:
        """Beginning of a message about one row."""
        return f"{self.name}, {self.rows[position]}"


def read_text_table(source: str | Path | pd.DataFrame, what: str) -> TextTable:
    """Read a file (comma, semicolon, tab or bar separated) or take a DataFrame as text.

    Parameters
    ----------
    source : str, Path or DataFrame
        UTF-8, UTF-16 or Windows text, with or without byte order mark and ``sep=;`` line.
    what : str
        What the table is for, in messages: "participants".

    Returns
    -------
    TextTable

    Raises
    ------
    StudyError
        No such file, a spreadsheet or other binary file, no header, no rows, a row that is longer
        than the header, a column without or with the name of another.
    """
    if isinstance(source, pd.DataFrame):
        return _from_frame(source, what)
    path = Path(source)
    try:
        if not path.is_file():
            raise StudyError(f"{source}: no such file; give the path of a {what} table (CSV)")
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise StudyError(f"{source}: cannot be read ({error.strerror or error})") from None
    if len(raw) > _MAX_BYTES:
        raise StudyError(f"{path.name}: larger than {_MAX_BYTES // 1_000_000} MB, refused")
    return _from_text(_decoded(raw, path.name), path.name, what)


def canonical(
    table: TextTable, aliases: Mapping[str, Iterable[str]]
) -> tuple[TextTable, dict[str, str]]:
    """Give columns the names that are meant, whatever their case and spelling.

    Parameters
    ----------
    table : TextTable
        As read.
    aliases : mapping of str to iterable of str
        Name to other words for it, in lower case with "_" for blanks. The name itself, if a
        column has it, goes before its aliases; those then stay as they are.

    Returns
    -------
    TextTable
        Columns renamed.
    dict of str to str
        New name to the name as written.

    Raises
    ------
    StudyError
        Two columns mean the same.
    """
    words = {column: header_word(column) for column in table.frame.columns}
    renamed: dict[str, str] = {}
    for name, others in aliases.items():
        exact = [column for column, word in words.items() if word == name]
        found = exact or [column for column, word in words.items() if word in set(others)]
        if len(found) > 1:
            pair = " and ".join(map(repr, found[:2]))
            raise StudyError(f"{table.name}: columns {pair} both mean {name}; keep one of them")
        if found:
            renamed[found[0]] = name
    frame = table.frame.rename(columns=renamed)
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise StudyError(f"{table.name}: two columns are called '{twice[0]}'; rename one of them")
    written = {new: old for old, new in renamed.items()}
    return TextTable(frame, table.name, table.rows), written


def header_word(name: str) -> str:
    """Header in lower case, "_" for blanks, dots and dashes, without a unit in brackets."""
    word = re.sub(r"[\[(].*?[\])]\s*$", "", name).strip().lower()
    return re.sub(r"[\s.\-_]+", "_", word).strip("_")


def is_missing(text: str) -> bool:
    """Whether a cell says that there is no value."""
    return text.lower() in _MISSING


def to_number(text: str) -> float | None:
    """Number a cell holds (decimal comma allowed), NaN where missing, None where it is no number.

    Examples
    --------
    >>> to_number("21,5"), to_number("n/a"), to_number("old")
    (21.5, nan, None)
    """
    if is_missing(text):
        return float("nan")
    word = text.replace(",", ".") if _DECIMAL_COMMA.match(text) else text
    if not re.match(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$", word):
        return None
    number = float(word)
    return number if np.isfinite(number) else None


def _from_frame(source: pd.DataFrame, what: str) -> TextTable:
    """Take a DataFrame as text; whole numbers lose their '.0'."""
    name = f"{what} table"
    if not len(source.columns):
        raise StudyError(f"{name}: it has no columns")
    columns = [_clean(str(column)) for column in source.columns]
    cells = [[_as_text(value) for value in source.iloc[:, i]] for i in range(len(columns))]
    frame = pd.DataFrame(dict(enumerate(cells)), dtype=object)
    frame.columns = pd.Index(columns, dtype=object)
    rows = [f"row {i + 1}" for i in range(len(source))]
    return _checked(TextTable(frame, name, rows), what)


def _as_text(value: object) -> str:
    """One cell of a DataFrame as text."""
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, float | np.floating):
        number = float(value)
        if np.isnan(number):
            return ""
        return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
    return _clean(str(value))


def _decoded(raw: bytes, name: str) -> str:
    """Text of a file, or what is wrong with it."""
    if raw.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise StudyError(f"{name}: this is a workbook, not text; save the sheet as CSV")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\x00" in text:
            break
        return text
    raise StudyError(f"{name}: not text; save the table as CSV in UTF-8")


def _from_text(text: str, name: str, what: str) -> TextTable:
    """Split text into cells."""
    lines = re.split(r"\r\n|\r|\n", text)
    first = next((i for i, line in enumerate(lines) if line.strip()), None)
    if first is None:
        raise StudyError(f"{name}: the file is empty; the first line names the columns")
    stated = _SEPARATOR_LINE.match(lines[first].strip("\ufeff"))
    mark = stated["mark"] if stated else _separator(lines[first])
    skipped = first + 1 if stated else first
    rest = "\n".join(lines[skipped:])
    reader = csv.reader(io.StringIO(rest), delimiter=mark, skipinitialspace=True, strict=True)
    cells: list[list[str]] = []
    places: list[int] = []
    begins = skipped + 1
    try:
        for row in reader:
            clean = [_clean(cell) for cell in row]
            if any(clean):
                cells.append(clean)
                places.append(begins)
            begins = skipped + 1 + reader.line_num
    except csv.Error as error:
        raise StudyError(f"{name}, line {begins}: cannot be read ({error})") from None
    if not cells:
        raise StudyError(f"{name}: the file is empty; the first line names the columns")
    header, body = cells[0], cells[1:]
    return _checked(_aligned(header, body, places[1:], name), what)


def _separator(header: str) -> str:
    """Mark that separates most names of the header line; quoted ones do not count."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max(";\t,|", key=lambda mark: (bare.count(mark), mark == ","))


def _aligned(header: list[str], body: list[list[str]], places: list[int], name: str) -> TextTable:
    """Rows as long as the header; short ones end in empty cells."""
    width = len(header)
    for row, place in zip(body, places, strict=True):
        if any(row[width:]):
            raise StudyError(
                f"{name}, line {place}: {len(row)} values for {width} columns; put values that "
                "hold the separator in quotes, and write decimals with a point"
            )
    filled = [(row + [""] * width)[:width] for row in body]
    frame = pd.DataFrame(filled, columns=range(width), dtype=object)
    frame.columns = pd.Index(header, dtype=object)
    return TextTable(frame, name, [f"line {place}" for place in places])


def _checked(table: TextTable, what: str) -> TextTable:
    """Table without nameless empty columns and empty rows; names must be there and differ."""
    named = np.array([bool(column) for column in table.frame.columns], dtype=bool)
    nameless = table.frame.loc[:, ~named]
    if (nameless != "").to_numpy().any():
        number = int(np.flatnonzero(~named)[0]) + 1
        raise StudyError(f"{table.name}: column {number} has values but no name; name it")
    frame = table.frame.loc[:, named]
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise StudyError(f"{table.name}: two columns are called '{twice[0]}'; rename one of them")
    filled = (frame != "").any(axis=1).to_numpy(dtype=bool)
    rows = [row for row, keep in zip(table.rows, filled, strict=True) if keep]
    if not rows:
        raise StudyError(f"{table.name}: no row below the header; give one row per {_one(what)}")
    return TextTable(frame[filled].reset_index(drop=True), table.name, rows)


def _one(what: str) -> str:
    """Singular of what a table holds."""
    return what.removesuffix("s")


def _clean(text: str) -> str:
    """Text of a cell without blanks around it and without the dress of a text formula."""
    bare = _BLANKS.sub(" ", text).strip()
    formula = _TEXT_FORMULA.match(bare)
    return formula["text"].strip() if formula else bare
