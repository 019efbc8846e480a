"""WFDB records of any content: header, signal file and annotations."""

from __future__ import annotations

import random

import pytest
from fuzzing import any_of, fuzz, garbled, mutated, one_in
from importing import Reading, keyed, name, number

SIGNAL = random.Random(1).randbytes(3000)
# Pairs of code and time difference (10 bits), then a comment and the end.
ATR = bytes.fromhex("12701204 1228 0458 06fc 284e5300 3258 0ae8 0000".replace(" ", ""))
FORMATS = ("16", "212", "80", "32", "24", "8", "61", "160", "310", "311", "508", "516", "524")


def header(rng: random.Random, n: int) -> bytes:
    """A header of one segment or several, each field nasty once in n cases."""
    if one_in(rng, 6):
        lines = [f"rec/{number(rng, 3, n)} 1 {number(rng, 250, n)} {number(rng, 300, n)}"]
        lines += [f"{name(rng, s, n)} {number(rng, 100, n)}" for s in ("seg", "~", "seg")]
        return "\n".join(lines).encode("utf-8", "replace") + b"\n"
    n_sig = rng.choice((1, 2, 3))
    fmt = rng.choice(FORMATS) if one_in(rng, 3) else "16"
    first = (
        f"{name(rng, 'rec', n)} {number(rng, n_sig, n)} {number(rng, 250, n)} "
        f"{number(rng, rng.choice((100, 200, 500)), n)} {number(rng, '10:11:12', n)} "
        f"{number(rng, '02/03/2020', n)}"
    )
    lines = [first.rsplit(" ", rng.randrange(3))[0]]
    for i in range(n_sig):
        frames = f"x{number(rng, 2, n)}" if one_in(rng, 4) else ""
        skew = f":{number(rng, 3, n)}" if one_in(rng, 8) else ""
        shift = f"+{number(rng, 4, n)}" if one_in(rng, 8) else ""
        lines.append(
            f"{name(rng, 'rec.dat', n)} {number(rng, fmt, n)}{frames}{skew}{shift} "
            f"{number(rng, 200, n)}({number(rng, 0, n)})/{name(rng, 'mV', n)} "
            f"{number(rng, 12, n)} 0 0 0 0 {name(rng, f'lead {i}', n)}"
        )
    return "\n".join([*lines, "# a comment", ""]).encode("utf-8", "replace")


GOOD = [header(random.Random(i), 10**6) for i in range(8)]
SEGMENT = b"seg 1 250 100\nrec.dat 16 200/mV 12 0 0 0 0 ECG\n"


@pytest.fixture(scope="module")
def reading():
    made = Reading()
    (made.folder / "rec.dat").write_bytes(SIGNAL)
    (made.folder / "seg.hea").write_bytes(SEGMENT)
    yield made
    made.finish()


@fuzz(
    keyed(
        any_of(
            mutated(GOOD),
            lambda rng: header(rng, 10),
            lambda rng: header(rng, 40),
            lambda rng: garbled(rng, header(rng, 60)),
        )
    )
)
def test_any_record(reading, case):
    data, key = case
    rng = random.Random(key)
    (reading.folder / "rec.hea").write_bytes(data)
    if one_in(rng, 4):
        (reading.folder / "rec.dat").write_bytes(garbled(rng, SIGNAL))
    annotations = reading.folder / "rec.atr"
    annotations.unlink(missing_ok=True)
    if one_in(rng, 4):
        annotations.write_bytes(garbled(rng, ATR * rng.randrange(1, 5)))
    reading.try_out(reading.folder / "rec.hea")
