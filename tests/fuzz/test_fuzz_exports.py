"""What an export left, read back after somebody changed it: BIDS, CSV folders, the EDF+ companion.

The three share nothing but the session that was exported; each has its own cases.
"""

from __future__ import annotations

import gzip
import json
import random
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import edfio
import numpy as np
import pytest
from fuzzing import Build, Outcomes, any_of, fuzz, garbled, one_in, put_odd, scratch
from importing import NAMES, NUMBERS, Reading, check
from session_made import small_session

from physio_hqc.exporters import export_session
from physio_hqc.importers import formats, read_recording
from physio_hqc.importers._edf_companion import is_piece, read_companion, restored

FOLDER = scratch()
small_session(FOLDER / "p01.h5")


def told(path: Path) -> bytes:
    raw = path.read_bytes()
    return gzip.decompress(raw) if path.suffix == ".gz" else raw


def changed(rng: random.Random, name: str, raw: bytes) -> bytes:
    """A file of an export with something else in it: in its JSON, a cell, or anywhere."""
    if name.endswith(".json") and not one_in(rng, 4):
        tree = json.loads(raw)
        for _ in range(rng.randrange(1, 3)):
            put_odd(rng, tree)
        return json.dumps(tree).encode()
    if one_in(rng, 2):
        return garbled(rng, raw)
    separator = b"\t" if name.endswith((".tsv", ".tsv.gz")) else b","
    lines = raw.splitlines()
    row = rng.randrange(len(lines)) if lines else 0
    if lines:
        cells = lines[row].split(separator)
        cells[rng.randrange(len(cells))] = rng.choice((*NUMBERS, *NAMES)).encode()
        lines[row] = separator.join(cells)
    return b"\n".join(lines)


class Folder(Reading):
    """An export of several files, of which each case has one or two changed."""

    def __init__(self, to: str) -> None:
        super().__init__()
        self.root = self.folder / "export"
        export_session(FOLDER / "p01.h5", self.root, to=to)
        self.good = {
            str(path.relative_to(self.root)): told(path)
            for path in sorted(self.root.rglob("*"))
            if path.is_file()
        }

    def changes(self, rng: random.Random) -> dict[str, bytes]:
        names = rng.sample(sorted(self.good), rng.randrange(1, 3))
        return {name: changed(rng, name, self.good[name]) for name in names}

    def try_changed(self, source: Path, changes: dict[str, bytes]) -> None:
        try:
            for name, raw in changes.items():
                self.write(name, raw)
            self.try_out(source)
        finally:
            for name in changes:
                self.write(name, self.good[name])

    def write(self, name: str, raw: bytes) -> None:
        packed = gzip.compress(raw, 1, mtime=0) if name.endswith(".gz") else raw
        (self.root / name).write_bytes(packed)


MADE: dict[str, Folder] = {}


def folder(to: str) -> Folder:
    return MADE.setdefault(to, Folder(to)) if to not in MADE else MADE[to]


@pytest.fixture(scope="module")
def reading() -> Iterator[None]:
    yield
    for made in MADE.values():
        made.finish()
        shutil.rmtree(made.folder)


def changes(to: str) -> Build:
    return lambda rng: folder(to).changes(rng)


@fuzz(changes("bids"))
def test_any_bids_session(reading: None, case: dict[str, bytes]) -> None:
    bids = folder("bids")
    bids.try_changed(bids.root / "sub-P01", case)


@fuzz(changes("csv"))
def test_any_folder_of_tables(reading: None, case: dict[str, bytes]) -> None:
    tables = folder("csv")
    tables.try_changed(tables.root, case)


export_session(FOLDER / "p01.h5", FOLDER / "p01.edf", to="edf")
EDF = edfio.read_edf(FOLDER / "p01.edf")
WHOLE = read_recording(FOLDER / "p01.edf")
PIECES = sorted(
    (int(note.text.split("/")[0].split()[-1]), note.text)
    for note in EDF.annotations
    if is_piece(note.text)
)
COMPANION = "".join(text.split(" ", 3)[3] for _, text in PIECES).encode()
COUNTED = Outcomes()


def signal_of(k: int) -> tuple[np.ndarray[Any, np.dtype[np.int16]], float] | None:
    if k >= len(EDF.signals):
        return None
    return EDF.signals[k].digital, EDF.signals[k].sampling_frequency


def sealed(data: bytes) -> list[str]:
    """Annotations that hold this companion, their checksum right."""
    text = data.decode("utf-8", "replace")
    mark = f"{zlib.crc32(text.encode()):08x}"
    half = len(text) // 2
    return [f"physio_hqc {k}/2 {mark} {part}" for k, part in ((1, text[:half]), (2, text[half:]))]


@fuzz(
    any_of(
        lambda rng: sealed(changed(rng, "companion.json", COMPANION)),
        lambda rng: sealed(changed(rng, "companion.json", COMPANION)),
        lambda rng: (
            garbled(rng, "\n".join(sealed(COMPANION)).encode())
            .decode("utf-8", "replace")
            .split("\n")
        ),
    )
)
def test_any_companion_of_an_edf(case: list[str]) -> None:
    path = FOLDER / "p01.edf"
    # As `read_recording` does it, but for the file: to write one takes longer than all the rest.
    with COUNTED.counted(), formats.reader_errors(path, "EDF"):
        session = read_companion(path, case, [])
        if session is None:
            return
        recording = restored(path, session, WHOLE.markers, signal_of)
        if recording is not None:
            formats._check(recording, path)
            check(recording)


@pytest.mark.slow
def test_companions_were_read_and_refused() -> None:
    COUNTED.assert_both(0.05)
    assert COMPANION.startswith(b"{")
    assert json.loads(COMPANION)["streams"]
