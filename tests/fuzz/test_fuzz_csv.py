"""Tables of any content: a recording or a refusal."""

from __future__ import annotations

import random

import pytest
from fuzzing import any_of, fuzz, garbled, mutated, one_in
from importing import NAMES, Reading, joined, name, number

CELLS = ("", "n/a", "start", "=SUM(A1)", '"two', '"a,b"', "1,5", "10:11:12", "2020-03-02T10:11:12")


def moment(rng: random.Random, kind: int, i: int) -> str:
    """The time of row i in one of the ways in which tables tell it."""
    return (
        f"{i / 4:.2f}",
        str(1583143872000 + 250 * i),
        f"2020-03-02 10:11:{i % 60:02d}.{25 * i % 100:02d}0Z",
        f"10:{i // 60:02d}:{i % 60:02d}.500",
        str(i),
        f"{i / 4 + rng.random() / 10:.4f}",
    )[kind]


def table(rng: random.Random, n: int) -> bytes:
    """A table, each cell nasty once in n cases."""
    mark = rng.choice((",", ",", ";", "\t"))
    top = ["time [s]", "ECG [mV]", "EDA (uS)", rng.choice(("marker", "note", "RR [ms]"))]
    if one_in(rng, 6):
        top.append(f"extra [{name(rng, 'mV', n)}]")
    rows = [[name(rng, cell, n * 4) for cell in top]]
    kind = rng.randrange(6)
    for i in range(rng.randrange(1, 25)):
        row = [moment(rng, kind, i), str(i % 5 / 10), str(2 + i % 3)]
        row += [rng.choice(("", "", "0", "5")) for _ in top[3:]]
        row = [
            rng.choice(CELLS) if one_in(rng, n * 8) else number(rng, cell, n * 8) for cell in row
        ]
        rows.append(row[: rng.randrange(len(row)) + 1] if one_in(rng, n * 8) else row)
    before = [""] * 0
    if one_in(rng, 5):
        before.append(f"# sfreq: {number(rng, 250, n)}")
        rows = [row[1:] for row in rows]
    if one_in(rng, 12):
        before.append(rng.choice(("sep=;", "# labels: a,b", "# " + rng.choice(NAMES), "")))
    ending = rng.choice(("\n", "\n", "\r\n", "\r"))
    lines = [*before, *(mark.join(row) for row in rows)]
    encoding = rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"))
    parts = [f"{line}{ending}".encode("utf-8", "replace") for line in lines]
    text = joined(rng, parts) if one_in(rng, n) else b"".join(parts)
    return text.decode("utf-8", "replace").encode(encoding, "replace")


GOOD = [table(random.Random(i), 10**6) for i in range(8)]


@pytest.fixture(scope="module")
def reading():
    made = Reading()
    yield made
    made.finish()


@fuzz(
    any_of(
        mutated(GOOD),
        lambda rng: table(rng, 6),
        lambda rng: table(rng, 40),
        lambda rng: garbled(rng, table(rng, 100)),
    )
)
def test_any_table(reading, data):
    path = reading.folder / "a.csv"
    path.write_bytes(data)
    reading.try_out(path)
