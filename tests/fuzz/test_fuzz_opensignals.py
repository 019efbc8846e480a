"""OpenSignals recordings of any content: text and HDF5, which share the cases."""

from __future__ import annotations

import io
import json
import random
from functools import cache

import h5py
import numpy as np
import pytest
from fuzzing import any_of, fuzz, garbled, mutated, one_in
from importing import Reading, joined, name, number

DEVICES = ("bitalino_rev", "bitalino", "biosignalsplux", "bioplux", "unknown")
VALUES = (None, [], {}, "x", -1, 0, 1e300, float("nan"), 2**31, True, [1], [[[]]], "9" * 50, 10**40)


def entry(rng: random.Random, n: int, names: list[str]) -> dict[str, object]:
    """What the header says of a device, each value nasty once in n cases."""
    usual = {
        "device": rng.choice(DEVICES),
        "column": names,
        "label": names[2:],
        "sensor": ["ECG", "EDABITREV"],
        "resolution": [4, 1, 10, 6],
        "sampling rate": 1000,
        "date": "2020-3-2",
        "time": "7:3:47.29",
        "digital IO": [0, 1],
        "convertedValues": 0,
    }
    for key in list(usual):
        if one_in(rng, n):
            usual[key] = rng.choice(VALUES)
        if one_in(rng, n * 4):
            del usual[key]
    return usual


def text(rng: random.Random, n: int) -> bytes:
    """A text file, each field nasty once in n cases."""
    names = [name(rng, usual, n * 9) for usual in ("nSeq", "I1", "A1", "A2")]
    header = {"00:07": entry(rng, n, names)}
    columns = 4
    if one_in(rng, 8):
        header["00:08"] = entry(rng, n, names)
        columns = 8
    stated = json.dumps(header)
    if one_in(rng, n * 2):
        stated = rng.choice(("{" * 50, "[" * 5000, '"' * 500, stated.replace('"', "'"), "{}"))
    lines = ["# OpenSignals Text File Format", f"# {stated}", "# EndOfHeader"]
    for i in range(rng.randrange(30)):
        row = [str(i % 16), str(i // 9 % 2)] + [str(500 + i)] * (columns - 2)
        cells = [number(rng, cell, n * 40) for cell in row]
        lines.append("\t".join(cells) + rng.choice(("\t", "\t", "")))
    parts = [f"{line}\n".encode("utf-8", "replace") for line in lines]
    return joined(rng, parts) if one_in(rng, n) else b"".join(parts)


def hdf5(rng: random.Random) -> bytes:
    """A small HDF5 file as the maker's program writes it."""
    made = io.BytesIO()
    with h5py.File(made, "w", libver=rng.choice(("earliest", "latest"))) as file:
        group = file.create_group("00:07")
        group.attrs.update({"sampling rate": 1000, "date": "2020-3-2", "time": "7:3:47.29"})
        group.attrs["device"] = rng.choice(DEVICES)
        group.attrs["resolution"] = [10, 6]
        raw = group.create_group("raw")
        raw["nSeq"] = np.arange(40, dtype="u2")[:, None] % 16
        more = rng.choice(({}, {"compression": "gzip", "chunks": (20, 1)}))
        for i, sensor in enumerate(("ECG", "EDABITREV"), 1):
            values = (np.arange(40, dtype="u2") + 500)[:, None]
            raw.create_dataset(f"channel_{i}", data=values, **more)
            raw[f"channel_{i}"].attrs.update({"sensor": sensor, "label": f"A{i}"})
        group.create_group("digital")["digital_1"] = np.ones((40, 1), "u1")
    return made.getvalue()


TEXTS = [text(random.Random(i), 10**6) for i in range(6)]


@cache
def binaries() -> list[bytes]:
    return [hdf5(random.Random(i)) for i in range(6)]


def damaged(rng: random.Random) -> bytes:
    """An HDF5 file with a few bytes changed where its structures stand."""
    data = bytearray(rng.choice(binaries()))
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(data))
        how = rng.randrange(3)
        if how == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            data[at] = rng.choice((0, 1, 127, 128, 255))
        else:
            at -= at % 8
            data[at : at + 8] = rng.choice((0, 1, 96, 2**31, 2**63, 2**64 - 1)).to_bytes(
                8, "little"
            )
    return bytes(data)


@pytest.fixture(scope="module")
def texts():
    made = Reading()
    yield made
    made.finish()


@fuzz(
    any_of(
        mutated(TEXTS),
        lambda rng: text(rng, 8),
        lambda rng: text(rng, 40),
        lambda rng: garbled(rng, text(rng, 100)),
    ),
    one_of=2,
)
def test_any_text(texts, data):
    path = texts.folder / "a.txt"
    path.write_bytes(data)
    texts.try_out(path)


@pytest.fixture(scope="module")
def files():
    made = Reading()
    yield made
    made.finish()


@fuzz(any_of(lambda rng: mutated(binaries())(rng), damaged, damaged), one_of=2)
def test_any_hdf5(files, data):
    path = files.folder / "a.h5"
    path.write_bytes(data)
    files.try_out(path)
