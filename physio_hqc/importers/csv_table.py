"""Tables of numbers with a header row: comma, semicolon or tab separated text."""

from __future__ import annotations

import csv
import itertools
import re
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.errors import RecordingError
from physio_hqc.importers._triggers import trigger_markers
from physio_hqc.importers.channels import parse_unit, unit_in_name
from physio_hqc.importers.recording import Channel, Marker, Recording, Segment

_HEAD_BYTES = 1 << 18
_MAX_COLUMNS = 1000
_LONGEST_NAME = 300
_LONGEST_COMMENT = 10_000
_FREE_CELLS = 1 << 22
_MAX_RATE = 1e6
_JITTER_S = 0.02
"""Largest distance of a time stamp from an even grid that still counts as jitter, in seconds."""
_GAP_FACTOR = 1.5
_LOOSE_GAP_S = 1.0
_CLOCK_MIN_S = 3600.0
"""A column of hours:minutes:seconds that starts later than this shows the time of day."""
_CLOCK_MAX_S = 1e10
_UNIX_MIN_S = 1e8
"""Times above this many seconds (three years) are clock times, not time since the start."""

_NAMED_UNIT = re.compile(r"^(?P<name>.*?)\s*(?:\[(?P<a>[^\]]*)\]|\((?P<b>[^)]*)\))\s*$")
_TIME_NAME = re.compile(
    r"^(?:t|times?|time[ _]?stamps?|elapsed(?:[ _]time)?|seconds?|secs?|milliseconds?|"
    r"date[ _]?time|unix(?:[ _]?time)?(?:[ _]?stamp)?|epoch|utc|zeit|uhrzeit|clock)"
    r"(?:[ _](?P<unit>s|secs?|seconds?|ms|msec|milliseconds?|us|µs|ns|min))?$",
    re.IGNORECASE,
)
_STAMP_NAME = re.compile(r"time[ _]?stamp", re.IGNORECASE)
_DATE_NAME = re.compile(r"^(?:date|datum|day)$", re.IGNORECASE)
_OWN_CLOCK = re.compile(r"sensor|device", re.IGNORECASE)
_SECONDS_PER: dict[str, float] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "μs", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nanoseconds"), 1e-9),
    **dict.fromkeys(("min", "minutes"), 60.0),
    **dict.fromkeys(("h", "hours"), 3600.0),
}
_RATE_COMMENT = re.compile(
    r"^#\s*(?:sfreq|fs|sampl(?:ing|e)[ _](?:rate|frequency)|rate)\s*(?:[(\[]hz[)\]])?\s*[:=]+\s*"
    r"([0-9.eE+-]+)\s*(?:hz)?\s*$",
    re.IGNORECASE,
)
_LIST_COMMENT = re.compile(r"^#\s*(?P<what>labels|units)\s*[:=]+\s*(?P<cells>.+)$", re.IGNORECASE)
_SEPARATOR_LINE = re.compile(r'^"?sep=(?P<mark>[,;\t])"?[,;\t]*$', re.IGNORECASE)
_NO_UNIT = re.compile(
    r"^(?:no[ _]?units?|none|n/?a|-|[ui](?:8|12|14|16|24|32)|h+:m+(?::s+(?:\.m+)?)?)$",
    re.IGNORECASE,
)
_TRIGGER_NAME = re.compile(r"^(?:events?|markers?|triggers?|stim(?:ulus)?|codes?)$", re.IGNORECASE)
_NUMBER = re.compile(r"^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$")
_INFINITE = re.compile(r"^[+-]?inf(?:inity)?$", re.IGNORECASE)
_COMMA_NUMBER = re.compile(r"^[+-]?\d*,\d+(?:[eE][+-]?\d+)?$")
_CLOCK = re.compile(r"^(?:\d{1,3}:\d{2}:\d{2}(?:[.,]\d+)?|\d{1,5}:\d{2}[.,]\d+)$")
_INTERVAL_NAMES = {"rr", "rri", "ibi", "nn", "nni", "rr interval", "rr_interval", "rr intervals"}


@dataclass(frozen=True)
class _Column:
    """One column as the header names it."""

    name: str
    units: str


@dataclass(frozen=True)
class _Layout:
    """How the file is written: what comes before the table and how its cells are told apart."""

    encoding: str
    data_line: int  # first line of the table, from 0
    delimiter: str
    quote: str
    decimal: str
    columns: tuple[_Column, ...]
    n_fields: int
    sfreq: float | None


@dataclass(frozen=True)
class _TimeAxis:
    """Where the rows lie in time; `bounds` are the row ranges of the gap-free stretches."""

    times: NDArray[np.float64]
    sfreq: float
    bounds: tuple[tuple[int, int], ...]
    starts: tuple[float, ...]
    t0_unix_ns: int | None
    notes: tuple[str, ...]
    clock_s: float | None = None  # time of day of the first row, where that is all it tells


def sniff(path: Path) -> bool:
    """Tell whether a file looks like a table with a header row; never raises.

    Parameters
    ----------
    path : Path
        Any file.

    Returns
    -------
    bool
        True where the first row names columns and the next row holds a number.
    """
    try:
        if not path.is_file():
            return False
        encoding, lines = _head_lines(path)
        layout = _layout(path, encoding, lines)
    except (OSError, RecordingError, csv.Error, UnicodeError):
        return False
    row = _first_data_row(lines, layout)
    return any(_is_number(cell, layout.decimal) or _looks_like_time(cell) for cell in row)


def read(path: Path, sfreq: float | None = None) -> Recording:
    r"""Read a CSV, TSV or semicolon-separated table with a header row.

    The header names each column, with its unit in brackets (``ECG [mV]`` or ``ECG (mV)``). A column
    called time, t, timestamp, seconds, time_ms ... places the rows in time (seconds unless its
    header states another unit; UNIX times and ISO 8601 dates also set the wall clock). Without one
    the line ``# sfreq: 250`` before the header gives the rate, or a column of beat intervals adds
    up to the time. Rows that are evenly spaced make regular channels, cut where more than one and a
    half sample intervals are missing; other spacing makes irregular channels. A column filled in
    every so many rows is a slower channel. A text column that is empty but for a few rows holds
    markers; a column of codes named marker, event or trigger gives them too.

    Also understood: a row of units below the names (Shimmer, rdsamp), ``sep=;`` in the first line,
    single quotes, a date beside a column of clock times, names and rate in comments (BioSPPy).

    Parameters
    ----------
    path : Path
        The table; a decimal comma is understood where the cells are not separated by commas.
    sfreq : float, optional
        Rate in Hz of a table that has neither a time column nor a line that states it.

    Returns
    -------
    Recording
        One channel per numeric column (missing cells are NaN), markers from text columns.

    Raises
    ------
    RecordingError
        No header row, no way to tell the rate, time that runs back, a cell that is no number.

    Examples
    --------
    >>> import tempfile
    >>> from physio_hqc.importers.csv_table import read
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = Path(folder) / "eda.csv"
    ...     _ = table.write_text("time [s],EDA [uS]\n0.00,2.5\n0.25,2.6\n0.50,2.4\n")
    ...     channel = read(table).channels[0]
    >>> channel.name, channel.units, channel.sfreq, channel.segments[0].samples.tolist()
    ('EDA', 'uS', 4.0, [2.5, 2.6, 2.4])
    """
    try:
        if not path.is_file():
            raise RecordingError(f"{path}: no such file; give the path of a table")
        encoding, lines = _head_lines(path)
        layout = _layout(path, encoding, lines)
        layout = replace(layout, sfreq=layout.sfreq or sfreq)
        table = _load(path, layout)
        return _recording(path, layout, table)
    except RecordingError:
        raise
    except UnicodeError as error:
        raise RecordingError(f"{path}: not {encoding} text ({error}); save it as UTF-8") from error
    except (OSError, ValueError, OverflowError, csv.Error, MemoryError) as error:
        detail = " ".join(str(error).split())
        raise RecordingError(f"{path}: cannot be read as a table ({detail})") from error


# ---- the text around the table -------------------------------------------------------------------


def _head_lines(path: Path) -> tuple[str, list[str]]:
    """Encoding and first whole lines of a text file."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    whole = len(head) < _HEAD_BYTES
    if not head.strip():
        raise RecordingError(f"{path}: the file is empty")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif head.startswith(b"\xef\xbb\xbf"):
        encoding = "utf-8-sig"
    else:
        encoding = "utf-8" if _is_utf8(head) else "latin-1"
    text = head.decode(encoding, errors="ignore").removeprefix("\ufeff")
    if "\x00" in text:
        raise RecordingError(f"{path}: binary data, not a text table")
    lines = re.split(r"\r\n|\r|\n", text)
    if not whole and len(lines) > 1:
        lines.pop()
    return encoding, lines


def _is_utf8(head: bytes) -> bool:
    """Tell whether bytes are UTF-8, but for a character cut at the end."""
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3
    return True


def _layout(path: Path, encoding: str, lines: list[str]) -> _Layout:
    """Find the header row and how the cells below it are written."""
    top = _preamble(path, lines)
    if top.length >= len(lines):
        raise RecordingError(f"{path}: no table found; it needs a row of column names, then rows")
    header = lines[top.length]
    quote = "'" if header.lstrip().startswith("'") else '"'
    delimiter = top.separator or max("\t;,", key=lambda mark: len(_cells(header, mark, quote)))
    names = _cells(header, delimiter, quote)
    data_line, units = top.length + 1, top.units
    if len(top.labels) == len(names) and all(_is_number(name, ".") for name in names):
        names, data_line = top.labels, top.length  # the names stand in a comment
    _check_header(path, top.length + 1, names)
    below = lines[data_line] if data_line < len(lines) else ""
    second = [cell.strip() for cell in _cells(below, delimiter, quote)]
    if _is_unit_row(second):
        units, data_line = second, data_line + 1
    data = lines[data_line : data_line + 50]
    rows = [_cells(line, delimiter, quote) for line in data if line.strip()]
    cells = [cell.strip() for row in rows for cell in row]
    comma = any(_COMMA_NUMBER.match(cell) for cell in cells)
    pointed = any("." in cell and _NUMBER.match(cell) for cell in cells)
    return _Layout(
        encoding=encoding,
        data_line=data_line,
        delimiter=delimiter,
        quote=quote,
        decimal="," if delimiter != "," and comma and not pointed else ".",
        columns=_columns(names, units),
        n_fields=max(len(names), len(rows[0]) if rows else 0),
        sfreq=top.sfreq,
    )


@dataclass
class _Preamble:
    """What the lines above the header say; `length` is their number."""

    length: int = 0
    sfreq: float | None = None
    separator: str = ""
    labels: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=list)


def _preamble(path: Path, lines: list[str]) -> _Preamble:
    """Read blank lines, comments, and the line by which a spreadsheet names its separator."""
    top = _Preamble()
    for line in lines:
        text = line.strip()
        if text.startswith("#") and len(text) > _LONGEST_COMMENT:
            text = "#"  # says nothing, and takes no time
        if separator := _SEPARATOR_LINE.match(line.rstrip("\r\n ")):
            top.separator = separator["mark"]
        elif rate := _RATE_COMMENT.match(text):
            top.sfreq = _comment_rate(path, top.length + 1, rate[1])
        elif named := _LIST_COMMENT.match(text):
            cells = [cell.strip() for cell in re.split(r"[\t;,]", named["cells"])]
            setattr(top, named["what"].lower(), cells)
        elif text and not text.startswith("#"):
            break
        top.length += 1
    if len(top.units) == 1:
        top.units = top.units * len(top.labels)
    return top


def _is_unit_row(cells: list[str]) -> bool:
    """Tell whether the row below the names holds their units."""
    filled = [cell for cell in cells if cell]
    units = [cell for cell in filled if parse_unit(cell) or cell.lower() in _SECONDS_PER]
    return bool(units) and all(cell in units or _NO_UNIT.match(cell) for cell in filled)


def _cells(line: str, delimiter: str, quote: str = '"') -> list[str]:
    """Split one line, honoring quotes."""
    reader = csv.reader([line], delimiter=delimiter, quotechar=quote, skipinitialspace=True)
    return next(reader, [])


def _comment_rate(path: Path, line: int, text: str) -> float:
    """Rate stated in a comment line."""
    try:
        rate = float(text)
    except ValueError:
        rate = float("nan")
    if not 0 < rate <= _MAX_RATE:
        raise RecordingError(f"{path}: line {line}: '{text}' is no rate in Hz; e.g. '# sfreq: 250'")
    return rate


def _check_header(path: Path, line: int, names: list[str]) -> None:
    """Refuse a first row that holds data rather than names."""
    if len(names) > _MAX_COLUMNS:
        raise RecordingError(
            f"{path}: line {line}: {len(names)} columns; at most {_MAX_COLUMNS} can be imported"
        )
    longest = max(map(len, names), default=0)
    if longest > _LONGEST_NAME:
        raise RecordingError(
            f"{path}: line {line}: a column name of {longest} characters; "
            f"at most {_LONGEST_NAME} can be"
        )
    numeric = next((name for name in names if _is_number(name, ".")), None)
    if numeric is not None or not any(re.search(r"[^\W\d_]", name) for name in names):
        raise RecordingError(
            f"{path}: line {line}: no header row; the first row must name the columns, "
            "e.g. 'time [s],ECG [mV]'"
        )


def _columns(names: list[str], stated: list[str]) -> tuple[_Column, ...]:
    """Names and units from the header cells and the row of units, names made unique."""
    columns: list[_Column] = []
    seen: set[str] = set()
    for position, cell in enumerate(names, start=1):
        match = _NAMED_UNIT.match(cell.strip())
        name = (match["name"] if match else cell).strip()
        units = (match["a"] or match["b"] or "").strip() if match else ""
        if not units and position <= len(stated) and not _NO_UNIT.match(stated[position - 1]):
            units = stated[position - 1]
        name = name or f"column {position}"
        unique, count = name, 2
        while unique in seen:
            unique, count = f"{name} {count}", count + 1
        seen.add(unique)
        columns.append(_Column(unique, units))
    return tuple(columns)


def _is_number(cell: str, decimal: str) -> bool:
    """Tell whether a cell is a plain number."""
    text = cell.strip()
    return bool(_NUMBER.match(text) or (decimal == "," and _COMMA_NUMBER.match(text)))


def _looks_like_time(cell: str) -> bool:
    """Tell whether a cell is a date or clock time."""
    return bool(re.match(r"^\d{4}-\d{2}-\d{2}|^\d{1,3}:\d{2}:\d{2}", cell.strip()))


def _first_data_row(lines: list[str], layout: _Layout) -> list[str]:
    """Cells of the first row below the header; empty where there is none."""
    for line in lines[layout.data_line :]:
        if line.strip():
            row = _cells(line, layout.delimiter, layout.quote)
            return row if len(row) <= len(layout.columns) + 1 else []
    return []


# ---- the table -----------------------------------------------------------------------------------


def _load(path: Path, layout: _Layout) -> pd.DataFrame:
    """Read the rows below the header; columns are numbered from 0."""
    _check_cells(path, layout)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                path,
                sep=layout.delimiter,
                header=None,
                names=list(range(layout.n_fields)),
                index_col=False,
                skiprows=layout.data_line,
                quotechar=layout.quote,
                skip_blank_lines=False,
                skipinitialspace=True,
                encoding=layout.encoding,
                decimal=layout.decimal,
                float_precision="round_trip",
                low_memory=False,
                compression=None,  # the content decides, not the name
            )
    except pd.errors.ParserWarning as warning:  # it would drop cells
        raise RecordingError(
            f"{path}: rows have more cells than the header names; check the separator"
        ) from warning
    except pd.errors.EmptyDataError:
        raise RecordingError(f"{path}: no rows below the header") from None
    except pd.errors.ParserError as error:
        raise RecordingError(f"{path}: {_parser_detail(error)}") from error
    filled = np.flatnonzero(table.notna().any(axis=1).to_numpy())
    if filled.size == 0:
        raise RecordingError(f"{path}: no rows below the header")
    table = table.iloc[: filled[-1] + 1]
    for extra in range(len(layout.columns), layout.n_fields):
        rows = np.flatnonzero(table[extra].notna().to_numpy())
        if rows.size:
            raise RecordingError(
                f"{path}: line {_line(layout, int(rows[0]))} has more cells than the header names; "
                "check the separator and decimal mark"
            )
    return table


def _check_cells(path: Path, layout: _Layout) -> None:
    """Refuse a table of many columns and short rows: every missing cell would take memory."""
    if layout.n_fields > _MAX_COLUMNS:
        raise RecordingError(
            f"{path}: line {layout.data_line + 1} has {layout.n_fields} cells; "
            f"at most {_MAX_COLUMNS} columns can be imported"
        )
    rows, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            rows += max(block.count(b"\n"), block.count(b"\r"))
    if rows * layout.n_fields > max(_FREE_CELLS, 2 * size):
        raise RecordingError(
            f"{path}: {rows} rows are too short for {layout.n_fields} columns; check the separator"
        )


def _parser_detail(error: Exception) -> str:
    """Say what the parser found in one line with the line number first."""
    match = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
    if match:
        return f"line {match[2]} has {match[3]} cells, the header names {match[1]}"
    return "cannot be read as a table (" + " ".join(str(error).split()) + ")"


def _line(layout: _Layout, row: int) -> int:
    """Line number in the file of a table row."""
    return layout.data_line + 1 + row


def _numbers(values: pd.Series, decimal: str) -> tuple[pd.Series, NDArray[np.bool_]]:
    """Column as numbers, and which of its cells hold something that is none."""
    if values.dtype.kind == "b":
        return values.astype("int64"), np.zeros(len(values), dtype=bool)
    if values.dtype.kind == "u":
        values = values.astype("float64")
    if values.dtype.kind in "if":
        return values, np.zeros(len(values), dtype=bool)
    text = values.astype("string").str.strip()
    if decimal == ",":
        text = text.str.replace(",", ".", regex=False)
    # Not pandas.to_numeric: an exponent such as 1e9999999999 makes it crash the interpreter.
    number = pd.Series([_float(cell) for cell in text.fillna("").tolist()], index=values.index)
    bad = (text.notna() & (text != "") & number.isna()).to_numpy(dtype=bool, na_value=False)
    return number, bad


def _shown(cell: Any) -> str:
    """Start of a cell for a message, on one line."""
    return " ".join(str(cell).split())[:40]


def _float(cell: str) -> float:
    """Return a plain number, NaN where the cell is none."""
    return float(cell) if _NUMBER.match(cell) or _INFINITE.match(cell) else float("nan")


def _recording(path: Path, layout: _Layout, table: pd.DataFrame) -> Recording:
    """Columns to channels and markers on one time axis."""
    time_columns = _time_columns(layout, table)
    if not time_columns and layout.sfreq is None:
        layout = _with_interval_unit(layout, table)
    axis = _time_axis(path, layout, table, time_columns)
    notes = list(axis.notes)
    left_out = [*time_columns[1:], *_date_and_index_columns(layout, table)]
    t0 = _wall_clock(table, axis, left_out)
    notes += [
        f"column '{layout.columns[index].name}' tells the time or the row a second time "
        "and was left out"
        for index in left_out
    ]
    channels: list[Channel] = []
    markers: list[Marker] = []
    for index, column in enumerate(layout.columns):
        if index in time_columns or index in left_out:
            continue
        values = table[index]
        if not values.notna().any():
            if not column.name.startswith("column "):
                notes.append(f"column '{column.name}' is empty and was left out")
            continue
        numbers, bad = _numbers(values, layout.decimal)
        if not bad.any():
            channel = _channel(column, numbers, axis, notes)
            channels += [channel] if channel else []
            if channel and _TRIGGER_NAME.match(column.name):
                markers += _code_markers(channel)
        else:
            markers += _text_markers(path, layout, index, values, bad, axis.times)
    if not channels and not markers:
        raise RecordingError(f"{path}: no column but time holds values")
    return Recording(
        source=path,
        format="csv",
        channels=tuple(channels),
        markers=tuple(sorted(markers, key=lambda marker: marker.onset)),
        t0_unix_ns=t0,
        notes=tuple(notes),
    )


def _channel(
    column: _Column, numbers: pd.Series, axis: _TimeAxis, notes: list[str]
) -> Channel | None:
    """One numeric column as a channel."""
    samples: NDArray[Any] = numbers.to_numpy()
    if samples.dtype.kind == "f":
        infinite = np.isinf(samples)
        if infinite.any():
            samples = np.where(infinite, np.nan, samples)
            notes.append(f"column '{column.name}': {infinite.sum()} infinite values are missing")
    if axis.sfreq == 0 or column.name.lower() in _INTERVAL_NAMES:
        # A missing cell of an irregular column is no reading at all.
        kept = ~np.isnan(samples) if samples.dtype.kind == "f" else np.ones(len(samples), bool)
        if not kept.any():
            return None
        times = axis.times[kept]
        segment = Segment(t_start=float(times[0]), samples=samples[kept])
        return Channel(
            name=column.name, units=column.units, sfreq=0.0, segments=(segment,), times=times
        )
    step, row = _every(samples) if len(axis.bounds) == 1 else (1, 0)
    if step > 1:
        start = axis.starts[0] + row / axis.sfreq
        part = Segment(t_start=start, samples=samples[row::step])
        return Channel(column.name, column.units, axis.sfreq / step, segments=(part,))
    segments = tuple(
        Segment(t_start=start, samples=samples[first:last])
        for start, (first, last) in zip(axis.starts, axis.bounds, strict=True)
    )
    return Channel(name=column.name, units=column.units, sfreq=axis.sfreq, segments=segments)


def _every(samples: NDArray[Any]) -> tuple[int, int]:
    """Step and first row of a column that is filled in every so many rows: a slower channel.

    Examples
    --------
    >>> _every(np.array([np.nan, 1, np.nan, np.nan, 2, np.nan, np.nan, 3]))
    (3, 1)
    """
    if samples.dtype.kind != "f":
        return 1, 0
    rows = np.flatnonzero(~np.isnan(samples))
    if len(rows) < 3:
        return 1, 0
    step, row = int(rows[1] - rows[0]), int(rows[0])
    even = row < step and bool((np.diff(rows) == step).all())
    return (step, row) if even else (1, 0)


def _code_markers(channel: Channel) -> list[Marker]:
    """Markers from a column of codes that is zero or empty most of the time."""
    filled = [np.nan_to_num(part.samples) for part in channel.segments]
    codes = np.concatenate(filled)
    whole = bool((codes == np.rint(codes)).all() and np.abs(codes).max(initial=0) < 2**31)
    if not whole or np.mean(codes != 0) > 0.5 or channel.sfreq == 0:
        return []
    parts = zip(channel.segments, filled, strict=True)
    return trigger_markers(
        replace(channel, segments=tuple(replace(part, samples=codes) for part, codes in parts))
    )


def _text_markers(
    path: Path,
    layout: _Layout,
    index: int,
    values: pd.Series,
    bad: NDArray[np.bool_],
    times: NDArray[np.float64],
) -> list[Marker]:
    """Markers from a column that is empty but for a few texts."""
    column = layout.columns[index]
    text = values.astype("string").str.strip()
    filled = (text.notna() & (text != "")).to_numpy(dtype=bool, na_value=False)
    if filled.mean() > 0.5 or bad.sum() <= 0.5 * filled.sum():
        row = int(np.flatnonzero(bad)[0])
        cell = _shown(text.iloc[row])
        raise RecordingError(
            f"{path}: line {_line(layout, row)}, column '{column.name}': '{cell}' is no number; "
            "correct it, leave the cell empty, or keep texts in a mostly empty column of markers"
        )
    return [
        Marker(onset=float(times[row]), label=str(text.iloc[row]), payload={"column": column.name})
        for row in np.flatnonzero(filled)
    ]


# ---- time ----------------------------------------------------------------------------------------


def _time_columns(layout: _Layout, table: pd.DataFrame) -> list[int]:
    """Columns of time, the one to go by first: plainly named ones, then stamps, numbers first."""
    plain = [i for i, column in enumerate(layout.columns) if _TIME_NAME.match(column.name)]
    stamps = [
        i
        for i, column in enumerate(layout.columns)
        if i not in plain and _STAMP_NAME.search(column.name) and table[i].notna().all()
    ]
    return plain + sorted(stamps, key=lambda i: table[i].dtype.kind not in "iuf")


def _date_and_index_columns(layout: _Layout, table: pd.DataFrame) -> list[int]:
    """Columns of dates beside a column of clock times, and the nameless row numbers of pandas."""
    found = [
        i
        for i, column in enumerate(layout.columns)
        if _DATE_NAME.match(column.name) and table[i].dtype.kind not in "iuf"
    ]
    if layout.columns[0].name == "column 1" and table[0].dtype.kind == "i":
        numbers = table[0].to_numpy()
        found += [0] if np.array_equal(numbers, np.arange(len(numbers))) else []
    return found


def _wall_clock(table: pd.DataFrame, axis: _TimeAxis, others: list[int]) -> int | None:
    """Clock time of the first row, from the time column or from one of dates beside it."""
    if axis.t0_unix_ns is not None:
        return axis.t0_unix_ns
    for index in others:
        if table[index].dtype.kind in "iuf":
            continue
        text = str(table[index].iloc[0]).strip()
        date_only = re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) is not None
        if date_only and axis.clock_s is None:
            continue
        moment = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
        if not pd.isna(moment):
            return int(moment.value) + round((axis.clock_s or 0.0) * 1e9 if date_only else 0)
    return None


def _with_interval_unit(layout: _Layout, table: pd.DataFrame) -> _Layout:
    """State the unit of beat intervals whose column does not: no heart beats every 800 s."""
    columns = list(layout.columns)
    for index in _interval_columns(layout):
        if columns[index].units or unit_in_name(columns[index].name):
            continue
        values = _numbers(table[index], layout.decimal)[0].dropna()
        middle = float(values.median()) if len(values) else 0.0
        units = "ms" if 200 <= middle <= 3000 else "s" if 0.2 <= middle <= 3 else ""
        columns[index] = replace(columns[index], units=units)
    return replace(layout, columns=tuple(columns))


def _interval_columns(layout: _Layout) -> list[int]:
    return [i for i, c in enumerate(layout.columns) if c.name.lower() in _INTERVAL_NAMES]


def _axis_of_beats(path: Path, layout: _Layout, table: pd.DataFrame) -> _TimeAxis | None:
    """Time by adding up beat intervals, in a table of nothing else that could tell it."""
    found = _interval_columns(layout)
    if len(found) != 1:
        return None
    column = layout.columns[found[0]]
    seconds_per = _SECONDS_PER.get(column.units.lower())
    values, bad = _numbers(table[found[0]], layout.decimal)
    intervals = values.to_numpy(dtype=np.float64)
    if seconds_per is None or bad.any() or not (intervals > 0).all():
        raise RecordingError(
            f"{path}: column '{column.name}' is to tell the time of the beats: state its unit, "
            f"e.g. '{column.name} [ms]', and leave no cell empty"
        )
    times = np.cumsum(intervals * seconds_per)
    notes = (f"no time column: beats are placed by adding up '{column.name}' ({column.units})",)
    return _TimeAxis(times, 0.0, ((0, len(times)),), (float(times[0]),), None, notes)


def _time_axis(
    path: Path, layout: _Layout, table: pd.DataFrame, time_columns: list[int]
) -> _TimeAxis:
    """Place the rows in time, by the time column or by the stated rate."""
    n = len(table)
    if not time_columns:
        if layout.sfreq is None:
            axis = _axis_of_beats(path, layout, table)
            if axis is not None:
                return axis
            raise RecordingError(
                f"{path}: no time column and no rate; name a column 'time [s]', write a line "
                "'# sfreq: 250' (Hz) before the header, or give the rate with --sfreq"
            )
        times = np.arange(n) / layout.sfreq
        return _TimeAxis(times, layout.sfreq, ((0, n),), (0.0,), None, ())
    times, resolution, t0, notes = _seconds(path, layout, table, time_columns[0])
    _check_ascending(path, layout, times)
    clock_s = None
    if times[0] >= _CLOCK_MIN_S and isinstance(table[time_columns[0]].iloc[0], str) and t0 is None:
        clock_s = float(times[0])
        first = _shown(table[time_columns[0]].iloc[0])
        notes.append(f"{first} was read as the time of day of second 0")
        times = times - clock_s
    if times[0] < 0:
        notes.append(f"time starts at {times[0]:g} s; second 0 of the recording is its first row")
        times = times - times[0]
    if n == 1:
        return _TimeAxis(times, 0.0, ((0, 1),), (float(times[0]),), t0, tuple(notes))
    bounds, rate = _even_stretches(times, resolution)
    if rate > _MAX_RATE or (rate == 0 and np.median(np.diff(times)) < 1 / _MAX_RATE):
        raise RecordingError(
            f"{path}: column '{layout.columns[time_columns[0]].name}' gives a rate above "
            f"{_MAX_RATE:g} Hz; state its unit in the header, e.g. 'time [ms]'"
        )
    if rate == 0:
        notes.append("the rows are not evenly spaced in time: channels keep their own times")
        start = (float(times[0]),)
        return _TimeAxis(times, 0.0, ((0, n),), start, t0, tuple(notes), clock_s)
    nominal = _nominal_rate(rate, resolution, float(times[-1] - times[0]))
    starts = tuple(
        round(float(np.mean(times[a:b] - np.arange(b - a) / nominal)), 9) for a, b in bounds
    )
    return _TimeAxis(times, nominal, bounds, starts, t0, tuple(notes), clock_s)


def _seconds(
    path: Path, layout: _Layout, table: pd.DataFrame, index: int
) -> tuple[NDArray[np.float64], float, int | None, list[str]]:
    """Time column in seconds, its resolution in seconds, the wall clock, and notes."""
    column, values = layout.columns[index], table[index]
    missing = np.flatnonzero(values.isna().to_numpy())
    if missing.size:
        raise RecordingError(
            f"{path}: line {_line(layout, int(missing[0]))} has no time in column '{column.name}'"
        )
    numbers, bad = _numbers(values, layout.decimal)
    if bad.any():
        return _written_times(path, layout, column, values)
    raw = numbers.to_numpy()
    if not np.isfinite(raw).all():
        row = int(np.flatnonzero(~np.isfinite(raw))[0])
        raise RecordingError(f"{path}: line {_line(layout, row)}: time is not a finite number")
    factor, notes = _time_factor(path, column, float(np.median(raw)))
    if float(np.max(np.abs(raw))) > _CLOCK_MAX_S / factor:
        raise RecordingError(
            f"{path}: column '{column.name}' holds times beyond the year 2286; "
            "state its unit in the header, e.g. 'time [ms]'"
        )
    resolution = _resolution(raw) * factor
    if float(raw[0]) * factor < _UNIX_MIN_S:
        return raw.astype(np.float64) * factor, resolution, None, notes
    # Whole numbers are subtracted before scaling: nanosecond stamps keep their last digits.
    t0: int | None
    if _OWN_CLOCK.search(column.name):
        t0 = None
        notes.append(f"column '{column.name}' is the device's own clock, not the time of day")
    elif raw.dtype.kind == "i":
        t0 = int(raw[0]) * round(factor * 1e9)
    else:
        t0 = round(float(raw[0]) * factor * 1e9)
    return (raw - raw[0]).astype(np.float64) * factor, resolution, t0, notes


def _time_factor(path: Path, column: _Column, middle: float) -> tuple[float, list[str]]:
    """Seconds per unit of a numeric time column."""
    match = _TIME_NAME.match(column.name)
    stated = column.units or (match["unit"] if match and match["unit"] else "")
    if not stated and column.name.lower() in ("seconds", "second", "sec", "secs"):
        stated = "s"
    if not stated and column.name.lower().startswith("millisec"):
        stated = "ms"
    if stated:
        factor = _SECONDS_PER.get(stated.lower())
        if factor is None:
            raise RecordingError(
                f"{path}: time unit '{stated}' of column '{column.name}' is not known; "
                "use s, ms, us, ns, min or h"
            )
        return factor, []
    for exponent in (-9, -6, -3):
        if middle * 10.0**exponent >= _UNIX_MIN_S:
            return 10.0**exponent, []
    if middle >= _UNIX_MIN_S:
        return 1.0, []
    return 1.0, [f"time column '{column.name}' states no unit and was read as seconds"]


def _written_times(
    path: Path, layout: _Layout, column: _Column, values: pd.Series
) -> tuple[NDArray[np.float64], float, int | None, list[str]]:
    """Times written as ISO 8601 dates or as hours:minutes:seconds."""
    text = values.astype("string").str.strip()
    if text.str.match(_CLOCK).all():
        parts = text.str.replace(",", ".", regex=False).str.split(":")
        elapsed = np.array([_clock_seconds(row) for row in parts])
        elapsed += 86400.0 * np.cumsum(np.diff(elapsed, prepend=elapsed[0]) < -43200)
        return elapsed, _resolution(elapsed), None, []
    stamps = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
    bad = np.flatnonzero(stamps.isna().to_numpy())
    if bad.size:
        row = int(bad[0])
        raise RecordingError(
            f"{path}: line {_line(layout, row)}, column '{column.name}': "
            f"'{_shown(text.iloc[row])}' is no time; use seconds or ISO 8601 dates"
        )
    nanoseconds = stamps.to_numpy(dtype="datetime64[ns]").astype(np.int64)
    zoned = bool(re.search(r"(?:[zZ]|[+-]\d{2}:?\d{2})$", str(text.iloc[0])))
    notes = [] if zoned else [f"column '{column.name}' states no time zone and was read as UTC"]
    times = (nanoseconds - nanoseconds[0]) * 1e-9
    return times, _resolution(nanoseconds * 1e-3 % 1e9) * 1e-6, int(nanoseconds[0]), notes


def _clock_seconds(parts: list[str]) -> float:
    """Seconds of hours, minutes and seconds, or of the last two of them."""
    return float(sum(float(part) * 60**i for i, part in enumerate(reversed(parts))))


def _check_ascending(path: Path, layout: _Layout, times: NDArray[np.float64]) -> None:
    """Refuse time that runs back or stands still."""
    back = np.flatnonzero(np.diff(times) < 0)
    if back.size:
        raise RecordingError(
            f"{path}: line {_line(layout, int(back[0]) + 1)}: time runs back; sort the rows"
        )
    if len(times) > 1 and times[-1] == times[0]:
        raise RecordingError(f"{path}: the time column does not advance")


def _resolution(values: NDArray[Any]) -> float:
    """Smallest decimal step that the values are written in; 0 where they use all digits."""
    some = np.abs(values[:10_000].astype(np.float64))
    some = some - np.floor(some[0])
    for digits in range(8):
        scaled = some * 10.0**digits
        if np.all(np.abs(scaled - np.round(scaled)) < 1e-3):
            return float(10.0**-digits)
    return 0.0


def _even_stretches(
    times: NDArray[np.float64], resolution: float
) -> tuple[tuple[tuple[int, int], ...], float]:
    """Row ranges of evenly spaced stretches and their common rate; rate 0 where there is none.

    Where almost all intervals are alike, every longer one is a gap. Where they scatter (stamps
    taken on arrival), only a long interruption is one, and the stamps must follow a line.
    """
    steps = np.diff(times)
    typical = float(np.median(steps))
    mean = float(times[-1] - times[0]) / len(steps)
    slack = 0.5 * typical + resolution
    uneven = (np.abs(steps - typical) > slack) & (steps < 4 * mean)
    limit = _GAP_FACTOR * typical + min(resolution, 0.45 * typical)
    scattered = typical == 0 or float(np.mean(uneven)) > 0.1
    if scattered:
        limit = max(_LOOSE_GAP_S, 10 * mean)
    edges = np.concatenate(([0], np.flatnonzero(steps > limit) + 1, [len(times)]))
    if len(edges) - 2 > 0.25 * len(steps):
        return ((0, len(times)),), 0.0
    rate, distance = _line_fit(times, edges)
    if rate == 0 or distance > max(_JITTER_S, resolution):
        return ((0, len(times)),), 0.0
    bounds = tuple((int(a), int(b)) for a, b in itertools.pairwise(edges))
    return bounds, rate


def _line_fit(times: NDArray[np.float64], edges: NDArray[np.int64]) -> tuple[float, float]:
    """Common rate of the stretches (one slope, one intercept each) and the largest distance."""
    lengths = np.diff(edges)
    member = np.repeat(np.arange(len(lengths)), lengths)
    index = np.arange(len(times)) - edges[:-1][member]
    x = index - (lengths[member] - 1) / 2
    y = times - (np.bincount(member, times) / lengths)[member]
    spread = float(x @ x)
    slope = float(x @ y) / spread if spread > 0 else 0.0
    if slope <= 0:
        return 0.0, np.inf
    return 1.0 / slope, float(np.max(np.abs(y - slope * x)))


def _nominal_rate(rate: float, resolution: float, duration: float) -> float:
    """Whole number of Hz where the time column cannot tell it from the fitted rate."""
    whole = round(rate)
    if whole >= 1 and abs(rate - whole) <= rate * max(1e-7, resolution / duration):
        return float(whole)
    return float(f"{rate:.9g}")
