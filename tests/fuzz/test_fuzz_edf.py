"""EDF, EDF+ and BDF of any content: a recording or a refusal."""

from __future__ import annotations

import random

import pytest
from fuzzing import any_of, fuzz, garbled, mutated, one_in
from importing import Reading, name, number


def field(text: object, width: int) -> bytes:
    return str(text).encode("latin-1", "replace")[:width].ljust(width)


def edf(rng: random.Random, n: int) -> bytes:
    """A small file, each field nasty once in n cases (never for n of a million)."""
    width = 3 if one_in(rng, 4) else 2
    labels = ["ECG", "EDA", "BDF Annotations" if width == 3 else "EDF Annotations"]
    counts = [20, 4, 30]
    n_records = rng.choice((1, 3, 10))
    record_s = rng.choice((1, 0.5))
    table = [
        [field(name(rng, label, n), 16) for label in labels],
        [field(name(rng, "AgCl", n), 80)] * 3,
        [field(name(rng, unit, n), 8) for unit in ("uV", "uS", "")],
        *([field(number(rng, value, n), 8) for _ in labels] for value in (-100, 100, -2048, 2047)),
        [field("HP:0.1Hz", 80)] * 3,
        [field(number(rng, count, n), 8) for count in counts],
        [b" " * 32] * 3,
    ]
    header = (
        (b"\xffBIOSEMI" if width == 3 else b"0       ")
        + field(name(rng, "P01 X X X", n), 80)
        + field(name(rng, "Startdate 02-MAR-2020 X X X", n), 80)
        + field(name(rng, "02.03.20", n), 8)
        + field(name(rng, "10.11.12", n), 8)
        + field(number(rng, 1024, n * 4), 8)
        + field(rng.choice(("EDF+C", "EDF+D", "")), 44)
        + field(number(rng, rng.choice((n_records, -1)), n), 8)
        + field(number(rng, record_s, n), 8)
        + field(number(rng, 3, n * 4), 4)
        + b"".join(b"".join(column) for column in table)
    )
    records = []
    for i in range(n_records):
        gap = 7 * (i > 1)
        onset = number(rng, f"+{i * record_s + gap}", n).encode("ascii", "replace")
        words = name(rng, "stress", n).encode("utf-8", "replace")[:30]
        tal = onset[:20] + b"\x14\x14\x00+0.1\x150.5\x14" + words + b"\x14\x00"
        records.append(rng.randbytes(width * 24) + tal[: width * 30].ljust(width * 30, b"\x00"))
    return header + b"".join(records)


GOOD = [edf(random.Random(i), 10**6) for i in range(6)]


@pytest.fixture(scope="module")
def reading():
    made = Reading()
    yield made
    made.finish()


@fuzz(
    any_of(
        mutated(GOOD),
        lambda rng: edf(rng, 8),
        lambda rng: edf(rng, 40),
        lambda rng: garbled(rng, edf(rng, 60)),
    )
)
def test_any_edf(reading, data):
    path = reading.folder / "a.edf"
    path.write_bytes(data)
    reading.try_out(path)
