"""Empatica exports of any content, as a folder and as a zip, which share the cases."""

from __future__ import annotations

import io
import random
import zipfile

import pytest
from fuzzing import any_of, fuzz, garbled, mutated, one_in
from importing import NAMES, Reading, joined, number

SENSORS = {"EDA.csv": 4, "BVP.csv": 64, "TEMP.csv": 4, "ACC.csv": 32, "HR.csv": 1}
FILES = (*SENSORS, "IBI.csv", "tags.csv")


def table(rng: random.Random, file: str, n: int) -> bytes:
    """One file of an export, each number nasty once in n cases."""
    columns = 3 if file == "ACC.csv" else 1
    start = 1560279825
    lines = [",".join(number(rng, f"{start}.0", n) for _ in range(columns))]
    if file == "tags.csv":
        lines = [number(rng, start + i, n) for i in range(rng.randrange(3))]
    elif file == "IBI.csv":
        lines = [f"{number(rng, start, n)}, IBI"]
        lines += [f"{number(rng, 0.8 * i, n)},{number(rng, 0.8, n)}" for i in range(1, 8)]
    else:
        lines.append(",".join([number(rng, f"{SENSORS[file]}.0", n)] * columns))
        rows = rng.randrange(12)
        lines += [",".join([number(rng, i % 7, n * 4)] * columns) for i in range(rows)]
    return joined(rng, [f"{line}\n".encode("utf-8", "replace") for line in lines])


def packed(rng: random.Random, n: int) -> bytes:
    """A zip of an export, with odd members once in n cases."""
    made = io.BytesIO()
    kinds = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2)
    with zipfile.ZipFile(made, "w", rng.choice(kinds)) as archive:
        for file in rng.sample(FILES, rng.randrange(2, 6)):
            inside = rng.choice(("", "", "export/", "../" if one_in(rng, n) else ""))
            info = zipfile.ZipInfo(inside + file)
            info.compress_type = rng.choice(kinds) if one_in(rng, n) else kinds[1]
            info.external_attr = (0o120777 if one_in(rng, n) else 0o644) << 16
            archive.writestr(info, table(rng, file, n * 4))
        if one_in(rng, n):
            archive.writestr(zipfile.ZipInfo(rng.choice(NAMES) or "x"), b"1")
    return made.getvalue()


GOOD = [packed(random.Random(i), 10**6) for i in range(6)]


@pytest.fixture(scope="module")
def reading():
    made = Reading()
    yield made
    made.finish()


@fuzz(
    any_of(
        mutated(GOOD),
        lambda rng: packed(rng, 12),
        lambda rng: packed(rng, 60),
        lambda rng: garbled(rng, packed(rng, 60)),
    ),
    one_of=2,
)
def test_any_zip(reading, data):
    path = reading.folder / "a.zip"
    path.write_bytes(data)
    reading.try_out(path)


@pytest.fixture(scope="module")
def folders():
    made = Reading()
    (made.folder / "e4").mkdir()
    yield made
    made.finish()


@fuzz(lambda rng: rng.randbytes(8), one_of=2)
def test_any_folder(folders, key):
    rng = random.Random(key)
    here = folders.folder / "e4"
    for file in (*rng.sample(FILES, 2), "EDA.csv"):
        content = table(rng, file, rng.choice((10, 60, 1000)))
        (here / file).write_bytes(garbled(rng, content, 2))
    gone = rng.choice(FILES)
    if gone != "EDA.csv":
        (here / gone).unlink(missing_ok=True)
    folders.try_out(here)
