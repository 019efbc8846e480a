"""FIF files of any content, plain and gzipped: tags, directory, skips."""

from __future__ import annotations

import gzip
import random
import struct
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from fuzzing import fuzz, garbled, one_in
from importing import Reading

EDGES = (0, 1, -1, 2, 3, 16, 255, 65536, 2**31 - 1, -(2**31), 10**6)
SKIP, NAME, NUMBER, BLOCK_START, BLOCK_END = 301, 118, 117, 104, 105


@cache
def corpus() -> list[bytes]:
    """Two small files as MNE writes them."""
    import mne

    files = []
    with TemporaryDirectory() as folder:
        for n, fmt in ((40, "single"), (60, "int")):
            info = mne.create_info(["ECG", "EDA", "STI"], 100.0, ["ecg", "gsr", "stim"])
            values = np.random.default_rng(n).normal(size=(3, n))
            raw = mne.io.RawArray(values, info, verbose="ERROR")
            raw.set_annotations(mne.Annotations([0.1], [0.1], ["stress"]))
            path = Path(folder) / "a_raw.fif"
            raw.save(path, fmt=fmt, buffer_size_sec=0.2, overwrite=True, verbose="ERROR")
            files.append(path.read_bytes())
    return files


@cache
def places(data: bytes) -> list[int]:
    """Where the tags of a sound file begin."""
    found, at = [], 0
    while at + 16 <= len(data):
        found.append(at)
        _, _, size, following = struct.unpack_from(">iIii", data, at)
        if following < 0:
            break
        at = following or at + 16 + size
    return found


def damaged(rng: random.Random) -> bytes:
    """A file with a few tags, or what they hold, replaced."""
    whole = rng.choice(corpus())
    data = bytearray(whole)
    if one_in(rng, 3):  # without a directory the tags are followed one after another
        data[36 + 16 : 36 + 20] = struct.pack(">i", -1)
    for _ in range(rng.randrange(4)):
        at = rng.choice(places(whole))
        part = rng.randrange(6)
        value = rng.choice((*EDGES, at, rng.choice(places(whole))))
        if part < 4:
            kinds = (SKIP, NAME, NUMBER, BLOCK_START, BLOCK_END, 300, 101)
            value = rng.choice(kinds) if part == 0 else value
            data[at + 4 * part : at + 4 * part + 4] = struct.pack(">i", value)
        else:
            size = struct.unpack_from(">i", whole, at + 8)[0]
            inside = at + 16 + 4 * rng.randrange(max(1, size // 4))
            data[inside : inside + 4] = struct.pack(">i", value)
    content = garbled(rng, bytes(data), 2) if one_in(rng, 6) else bytes(data)
    return gzip.compress(content, 1) if one_in(rng, 10) else content


@pytest.fixture(scope="module")
def reading():
    made = Reading()
    yield made
    made.finish()


@fuzz(damaged)
def test_any_fif(reading, data):
    packed = data[:2] == b"\x1f\x8b"
    path = reading.folder / ("a_raw.fif.gz" if packed else "a_raw.fif")
    path.write_bytes(data)
    reading.try_out(path)
