"""The session reader on bytes that are nearly a session file."""

from __future__ import annotations

import pytest
from fuzzing import Outcomes, fuzz, mutated, scratch
from hypothesis import given
from hypothesis import strategies as st
from session_made import (
    Corpus,
    in_old_format,
    read_file,
    resealed,
    small_session,
    unclosed,
)

FOLDER = scratch()
PATH = FOLDER / "s.h5"
RAW = small_session(FOLDER / "made.h5")
# Nearly every changed byte of the metadata breaks a checksum, unless it is put right again; the
# oldest layout of HDF5 has none.
CORPUS = Corpus([RAW, unclosed(RAW), in_old_format(RAW)])
COUNTED = Outcomes()


def in_metadata(data: bytearray, draw: st.DrawFn) -> list[int]:
    """Change bytes just behind the begin of an object header, tree or heap; return which."""
    places = []
    starts = [
        at for mark in (b"OHDR", b"TREE", b"HEAP", b"SNOD", b"GCOL") for at in _all(data, mark)
    ]
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.sampled_from(starts or [0])) + draw(st.integers(4, 250))
        if at < len(data):
            places.append(at)
            data[at] = draw(st.sampled_from((0, 1, 2, 127, 128, 255)) | st.integers(0, 255))
    return places


def _all(data: bytes | bytearray, mark: bytes) -> list[int]:
    found, at = [], data.find(mark)
    while at >= 0:
        found.append(at)
        at = data.find(mark, at + 1)
    return found


@st.composite
def session_bytes(draw: st.DrawFn) -> bytes:
    """Bytes changed anywhere, or in the metadata with their checksums made right again."""
    if draw(st.integers(0, 2)) == 0:
        return draw(mutated(CORPUS, most=3))
    data = bytearray(draw(st.sampled_from(CORPUS)))
    return resealed(data, in_metadata(data, draw))


@fuzz
@given(raw=session_bytes())
def test_any_bytes_are_a_session_or_one_clear_line(raw: bytes) -> None:
    # A file that is marked as growing is walked by a process of its own: see test_fuzz_recover.
    if len(raw) > 11 and raw[11] & 5 == 5:
        raw = raw[:11] + b"\x00" + raw[12:]
    PATH.write_bytes(raw)
    with COUNTED.counted():
        read_file(PATH)
    assert PATH.read_bytes() == raw


@pytest.mark.slow
def test_both_came_up() -> None:
    COUNTED.assert_both(0.02)
