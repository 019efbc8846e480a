"""The session reader on bytes that are nearly a session file."""

from __future__ import annotations

import random
import re
from functools import cache

import pytest
from fuzzing import Corpus, Outcomes, fuzz, garbled, one_in, scratch
from session_made import in_old_format, read_file, resealed, small_session, unclosed

FOLDER = scratch()
PATH = FOLDER / "s.h5"
RAW = small_session(FOLDER / "made.h5")
# Nearly every changed byte of the metadata breaks a checksum, unless it is put right again; the
# oldest layout of HDF5 has none.
CORPUS = Corpus([RAW, unclosed(RAW), in_old_format(RAW)])
COUNTED = Outcomes()


def in_metadata(rng: random.Random, data: bytearray, starts: list[int]) -> list[int]:
    """Change bytes just behind the begin of an object header, tree or heap; return which."""
    places = []
    for _ in range(rng.randrange(1, 4)):
        at = rng.choice(starts) + rng.randrange(4, 251)
        if at < len(data):
            places.append(at)
            data[at] = rng.choice((0, 1, 2, 127, 128, 255, rng.randrange(256)))
    return places


@cache
def structures(data: bytes) -> list[int]:
    """Where the metadata of a sound file begin."""
    marks = re.finditer(b"OHDR|TREE|HEAP|SNOD|GCOL", data)
    return [found.start() for found in marks] or [0]


def session_bytes(rng: random.Random) -> bytes:
    """Bytes changed anywhere, or in the metadata with their checksums made right again."""
    raw = rng.choice(CORPUS)
    if one_in(rng, 3):
        return garbled(rng, raw, 4, CORPUS)
    data = bytearray(raw)
    return resealed(data, in_metadata(rng, data, structures(raw)))


@fuzz(session_bytes)
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
