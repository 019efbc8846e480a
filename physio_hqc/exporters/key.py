"""The key of a de-identified export: what every id became, and how far dates were moved."""

from __future__ import annotations

import csv
import io
import os
import re
import secrets
import threading
import unicodedata
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from physio_hqc.errors import OutputError
from physio_hqc.files import locked, replaced_file

COLUMNS = ("kind", "original", "replacement", "shift_days")
"""Columns of a key file; `shift_days` is subtracted from dates."""

KINDS = ("participant", "dyad", "session", "session_id", "label")
"""What is replaced. ``label`` is a name of a phase, condition or the like that nobody knows."""

SHIFT_DAYS = (365, 3650)
"""Least and most that the dates of a participant are moved back: one to ten years."""

# Neither vowels nor 0, 1, I, O: no words come out, and nothing that is misread.
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
_SIGNS = _LETTERS + "23456789"
_LENGTH = 5
_FIRST = {"participant": "P", "dyad": "D", "session": "S", "label": "L"}
_SHIFTED = ("participant", "dyad", "session")
_VALID = {
    "participant": re.compile(r"[A-Za-z0-9]{1,64}"),
    "dyad": re.compile(r"[A-Za-z0-9]{1,64}"),
    "session": re.compile(r"[A-Za-z0-9]{1,64}"),
    "session_id": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "label": re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}"),
}
_MAX_BYTES = 100_000_000
_MODE = 0o600


@dataclass(frozen=True)
class KeyRow:
    """One line of a key.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    original, replacement : str
    shift_days : int or None
        Days that are subtracted from dates; None where the line has no dates of its own.
    """

    kind: str
    original: str
    replacement: str
    shift_days: int | None = None


class Key:
    """Replacements of ids and shifts of dates, kept in a file; made by :func:`open_key`.

    Whatever is asked for is looked up and, where it is new, drawn at random and written to the
    file before it is told. Several processes may use one file: each change is made under a lock,
    from what the file then holds.

    Attributes
    ----------
    path : Path
        The key file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from physio_hqc.exporters import open_key
    >>> with open_key(pathlib.Path(tempfile.mkdtemp()) / "key.csv") as key:
    ...     new = key.replacement("participant", "P01")
    ...     new == key.replacement("participant", "P01"), "P01" in new
    (True, False)
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[tuple[str, str], KeyRow] = {}
        self._taken: set[str] = set()
        self._depth = 0
        self._changed = False
        self._guard = threading.RLock()

    def __repr__(self) -> str:
        # Never the rows: what is shown ends in logs.
        return f"<Key of {len(self._rows)} lines>"

    @property
    def rows(self) -> tuple[KeyRow, ...]:
        """All lines, in the order of the file."""
        return tuple(self._rows.values())

    def replacement(self, kind: str, original: str) -> str:
        """Tell what stands for an id, always the same.

        Parameters
        ----------
        kind : str
            One of `KINDS`.
        original : str
            Blanks around it do not count; an empty id stays empty.

        Returns
        -------
        str
            For ``session_id`` a UUID, else a capital and five letters and digits.

        Raises
        ------
        OutputError
            If the key file cannot be read or written.

        Examples
        --------
        >>> import tempfile
        >>> with open_key(Path(tempfile.mkdtemp()) / "key.csv") as key:
        ...     first = key.replacement("participant", "Mary01")
        ...     first == key.replacement("participant", "Mary01"), len(first)
        (True, 6)
        """
        if kind not in KINDS:
            raise ValueError(f"no kind of a key: {kind!r}")
        text = tidy(original)
        if not text:
            return ""
        known = self._rows.get((kind, text))
        if known is not None and self._depth:
            return known.replacement
        with self.extending():
            return self._row(kind, text).replacement

    def shift_days(self, participant: str, dyad: str = "", session: str = "") -> int:
        """Tell by how many days the dates of a session are moved back.

        Members of a dyad share one shift, so that their recordings stay side by side: the first
        member's counts for the dyad. A member who already has another shift, from elsewhere,
        keeps it there; in sessions of this dyad the dyad's counts.

        Parameters
        ----------
        participant, dyad : str
            May be empty.
        session : str
            Name of the session, which counts where both are empty.

        Returns
        -------
        int
            Whole days within `SHIFT_DAYS`, no other participant's as long as there are free ones.

        Raises
        ------
        OutputError
            If the key file cannot be read or written.

        Examples
        --------
        >>> import tempfile
        >>> with open_key(Path(tempfile.mkdtemp()) / "key.csv") as key:
        ...     same = key.shift_days("C1", "D7") == key.shift_days("C2", "D7")
        ...     same, key.shift_days("C3") == key.shift_days("C1")
        (True, False)
        """
        named = [("participant", tidy(participant)), ("dyad", tidy(dyad))]
        named = [entry for entry in named if entry[1]] or [("session", tidy(session) or "unnamed")]
        with self.extending():
            rows = [self._row(*entry) for entry in named]
            known = [row.shift_days for row in reversed(rows) if row.shift_days is not None]
            shift = known[0] if known else self._new_shift()
            for row in rows:
                self.give_shift(row, shift)
        return shift

    def give_shift(self, row: KeyRow, shift: int) -> None:
        """Note the shift of a line that has none."""
        if row.shift_days is None:
            with self.extending():
                self._rows[row.kind, row.original] = replace(row, shift_days=shift)
                self._changed = True

    def beside(self, participant: str, shift: int) -> str:
        """Replace somebody who is named in another's session, with the dates of that session.

        Parameters
        ----------
        participant : str
        shift : int
            Counts for a participant whose own session was not seen yet: who meets whom is
            recorded at one time.

        Returns
        -------
        str
        """
        text = tidy(participant)
        if not text:
            return ""
        with self.extending():
            row = self._row("participant", text)
            self.give_shift(row, shift)
            return row.replacement

    @contextmanager
    def extending(self) -> Iterator[None]:
        """Keep the key file for this process, and write what is new when the block ends well."""
        with self._guard:
            if self._depth:
                yield
                return
            with locked(self.path):
                self._read()
                before = dict(self._rows), set(self._taken)
                self._depth, self._changed = 1, False
                try:
                    yield
                    if self._changed or not self.path.exists():
                        _write(self.path, self.rows)
                except BaseException:
                    self._rows, self._taken = before
                    raise
                finally:
                    self._depth = 0

    def _read(self) -> None:
        """Take what the file holds by now; refuse one that lost what was handed out from it."""
        rows = {(row.kind, row.original): row for row in _read(self.path)}
        for place, row in self._rows.items():
            now = rows.get(place)
            if now is None or now.replacement != row.replacement:
                raise OutputError(
                    f"{self.path}: the key lost or changed lines while it was in use; "
                    "put the file back, or export again with a new key"
                )
        self._rows = rows
        self._taken = {text.casefold() for row in rows.values() for text in _texts(row)}

    def _row(self, kind: str, original: str) -> KeyRow:
        """Find a line, or make it; only while the file is kept."""
        known = self._rows.get((kind, original))
        if known is not None:
            return known
        row = KeyRow(kind, original, self._new_name(kind, original))
        self._rows[kind, original] = row
        self._taken |= {text.casefold() for text in _texts(row)}
        self._changed = True
        return row

    def _new_name(self, kind: str, original: str) -> str:
        """Draw a name that is nobody's, neither as replacement nor as original."""
        while True:
            if kind == "session_id":
                # uuid4 draws from the system's randomness as `secrets` does.
                name = str(uuid.uuid4())
            else:
                signs = "".join(secrets.choice(_SIGNS) for _ in range(_LENGTH))
                name = _FIRST[kind] + signs
            if name.casefold() not in self._taken and name.casefold() != original.casefold():
                return name

    def _new_shift(self) -> int:
        """Draw a number of days that nobody has, while there are such."""
        least, most = SHIFT_DAYS
        used = {row.shift_days for row in self._rows.values()}
        free = [days for days in range(least, most + 1) if days not in used]
        return secrets.choice(free or range(least, most + 1))


@contextmanager
def open_key(path: str | os.PathLike[str]) -> Iterator[Key]:
    """Open the key of de-identified exports, or begin one.

    The file is a CSV table with the columns kind, original, replacement and shift_days, for its
    owner's eyes only (mode 0600). Keep it away from what is given on: whoever has it can undo the
    de-identification. With the same key, the same participant, dyad and session get the same
    replacement in every export.

    Parameters
    ----------
    path : path-like
        The key file. It is made where it does not exist, whole or not at all.

    Yields
    ------
    Key

    Raises
    ------
    OutputError
        If the file is no key, contradicts itself, or cannot be read or written.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "key.csv"
    >>> with open_key(path) as key:
    ...     _ = key.replacement("participant", "P01")
    >>> path.read_text().splitlines()[0]
    'kind,original,replacement,shift_days'
    """
    try:
        place = Path(path).expanduser().resolve()
    except (OSError, RuntimeError, ValueError):
        raise OutputError(f"{path}: this path leads nowhere; choose another key file") from None
    if place.is_dir():
        raise OutputError(f"{path} is a folder: name a file for the key, such as key.csv")
    key = Key(place)
    # Written at once: a key that cannot be kept must show before anything is exported.
    with key.extending():
        pass
    yield key


def refuse_key_inside(key_path: str | os.PathLike[str], out: str | os.PathLike[str]) -> None:
    """Refuse a key file that would lie in what is given on.

    Parameters
    ----------
    key_path : path-like
        Where the key is, or is to be.
    out : path-like
        The exported file or folder, which need not exist.

    Raises
    ------
    OutputError
        If the key is `out`, lies in it, or is a link that does, by whatever way.

    Examples
    --------
    >>> refuse_key_inside("shared/key.csv", "shared")
    Traceback (most recent call last):
    ...
    physio_hqc.errors.OutputError: shared/key.csv lies in shared, which is to be given on: keep the
    key elsewhere
    """
    key, target = Path(key_path).expanduser(), Path(out).expanduser()
    try:
        # As named and as it is: a link in the folder is given on with it, and so is its target.
        named = {
            Path(os.path.normpath(Path.cwd() / key)),
            key.parent.resolve() / key.name,
            key.resolve(),
        }
        inside = any(_lies_in(place, target) for place in named)
    except (OSError, RuntimeError, ValueError):
        raise OutputError(f"{key_path}: this path leads nowhere; choose another key file") from None
    if inside:
        raise OutputError(
            f"{key_path} lies in {out}, which is to be given on: keep the key elsewhere"
        )


def tidy(text: str) -> str:
    """One spelling of an id: composed letters, no blanks around it."""
    return unicodedata.normalize("NFC", text).strip()


def _lies_in(place: Path, out: Path) -> bool:
    ways = {Path(os.path.normpath(Path.cwd() / out)), out.resolve()}
    around = (place, *place.parents)
    if any(way in around for way in ways):
        return True
    # File systems that do not tell capitals apart, and folders mounted twice.
    return out.exists() and any(entry.exists() and entry.samefile(out) for entry in around)


def _texts(row: KeyRow) -> tuple[str, str]:
    return row.original, row.replacement


def _write(path: Path, rows: tuple[KeyRow, ...]) -> None:
    """Write the file whole, for its owner only from its first byte on."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        shift = "" if row.shift_days is None else row.shift_days
        writer.writerow((row.kind, row.original, row.replacement, shift))
    with replaced_file(path) as part:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
        with os.fdopen(handle, "wb") as file:
            file.write(text.getvalue().encode("utf-8", "surrogateescape"))


def _read(path: Path) -> list[KeyRow]:
    """Read and check a key file; nothing where there is none yet, or an empty one."""
    try:
        if not path.exists():
            return []
        if path.stat().st_size > _MAX_BYTES:
            raise OutputError(f"{path} is too large for a key: choose another file")
        # What a spreadsheet saves begins with a mark of its own.
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise OutputError(
            f"{path} cannot be read ({error.strerror or error}); choose another key file"
        ) from error
    if not text:
        return []
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise OutputError(f"{path} is no key: {error}") from None
    if not lines or tuple(lines[0]) != COLUMNS:
        raise OutputError(
            f"{path} is no key: its first line should be {','.join(COLUMNS)}; choose another file"
        )
    rows = [_row(path, number, line) for number, line in enumerate(lines[1:], start=2) if line]
    _refuse_double(path, rows)
    return rows


def _row(path: Path, number: int, line: list[str]) -> KeyRow:
    """Check one line."""
    where = f"{path}, row {number}"
    if len(line) != len(COLUMNS):
        raise OutputError(f"{where}: {len(line)} columns, not {len(COLUMNS)}; mend the key")
    kind, original, replacement, shift = line
    if kind not in KINDS:
        raise OutputError(f"{where}: the kind should be one of {', '.join(KINDS)}; mend the key")
    if not tidy(original):
        raise OutputError(f"{where}: no original; mend the key")
    if not _VALID[kind].fullmatch(replacement):
        raise OutputError(
            f"{where}: a replacement should consist of letters and digits; mend the key"
        )
    if not shift:
        return KeyRow(kind, tidy(original), replacement)
    if kind not in _SHIFTED or not re.fullmatch(r"[0-9]{1,5}", shift):
        raise OutputError(f"{where}: shift_days should be a number of days; mend the key")
    return KeyRow(kind, tidy(original), replacement, int(shift))


def _refuse_double(path: Path, rows: list[KeyRow]) -> None:
    """Refuse two lines for one original, and one replacement for two."""
    originals: set[tuple[str, str]] = set()
    replacements: set[str] = set()
    for number, row in enumerate(rows, start=2):
        name = row.replacement.casefold()
        if (row.kind, row.original) in originals:
            raise OutputError(f"{path}, row {number}: its original stands twice; mend the key")
        if name in replacements:
            raise OutputError(f"{path}, row {number}: its replacement stands twice; mend the key")
        originals.add((row.kind, row.original))
        replacements.add(name)
