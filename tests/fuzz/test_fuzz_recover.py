"""Recovery of bytes that are nearly a session file.

What is read back is tried with every case; the writing of a new file, which no longer depends on
the bytes alone, with one of 40, and the whole way with its processes with one of 2,000.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from typing import Any

import pytest
from fuzzing import Corpus, Outcomes, any_of, drawn, fuzz, mutated, scratch
from hypothesis import given
from session_made import lying, read_file, small_session, unclosed

from physio_hqc.errors import SessionFileError
from physio_hqc.session import recover, salvage
from physio_hqc.session.recover import recover_session

FOLDER = scratch()
PATH = FOLDER / "s.h5"
OUT = FOLDER / "whole.h5"
PARTS = FOLDER / "parts"
RAW = small_session(FOLDER / "made.h5")
CORPUS = Corpus([RAW, unclosed(RAW)])
COUNTED = Outcomes()


def salvaged(raw: bytes) -> dict[str, Any]:
    """What the reading process would hand over."""
    PATH.write_bytes(raw)
    shutil.rmtree(PARTS, ignore_errors=True)
    PARTS.mkdir()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            found: dict[str, Any] = json.loads(json.dumps(salvage.salvage(PATH, PARTS, {})))
    except salvage.DAMAGE as error:
        raise SessionFileError("beyond repair") from error
    if not found["streams"]:
        raise SessionFileError("beyond repair")
    return found


# Metadata whose checksums were made right again can crash HDF5 behind the mended superblock, which
# is why `recover_session` reads in a process of its own: here they would take the tests with them.
@fuzz(mutated(CORPUS, most=3))
def test_what_can_be_read_of_any_bytes_is_read(raw: bytes) -> None:
    with COUNTED.counted():
        salvaged(raw)


@drawn(40)
@given(raw=lying(CORPUS))
def test_what_was_read_becomes_a_whole_session_or_is_refused(raw: bytes) -> None:
    with Outcomes().counted():
        recover._Recovery(PATH, OUT, PARTS, salvaged(raw)).write(overwrite=True)
        read_file(OUT)
    assert PATH.read_bytes() == raw


@pytest.mark.slow
def test_both_came_up() -> None:
    COUNTED.assert_both(0.05)


@fuzz(any_of(mutated(CORPUS), lambda _: RAW[: len(RAW) // 2]), one_of=2000)
def test_the_whole_way_with_its_processes(raw: bytes) -> None:
    PATH.write_bytes(raw)
    with Outcomes().counted():
        recover_session(PATH, OUT, overwrite=True)
    assert PATH.read_bytes() == raw
