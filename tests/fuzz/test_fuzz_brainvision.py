"""BrainVision recordings of any content: header, data and marker file."""

from __future__ import annotations

import random

import pytest
from fuzzing import any_of, fuzz, garbled, mutated, one_in
from importing import Reading, joined, keyed, name, number

DATA = random.Random(1).randbytes(1200)


def header(rng: random.Random, n: int) -> bytes:
    """A header, each setting nasty once in n cases."""
    lines = [
        "Brain Vision Data Exchange Header File Version 1.0",
        "[Common Infos]",
        f"Codepage={name(rng, rng.choice(('UTF-8', 'ANSI')), n)}",
        f"{rng.choice(('DataFile', 'DataFile', 'datafile'))}={name(rng, 'a.eeg', n)}",
        f"MarkerFile={name(rng, 'a.vmrk', n)}",
        f"DataFormat={rng.choice(('BINARY',) * 6 + ('ASCII', ''))}",
        f"DataOrientation={rng.choice(('MULTIPLEXED',) * 3 + ('VECTORIZED',))}",
        f"NumberOfChannels={number(rng, 2, n)}",
        f"DataPoints={number(rng, 100, n)}",
        f"SamplingInterval={number(rng, 4000, n)}",
        "[Binary Infos]",
        f"BinaryFormat={rng.choice(('INT_16',) * 5 + ('INT_32', 'IEEE_FLOAT_32', 'X'))}",
        "[Channel Infos]",
        f"Ch1={name(rng, 'ECG', n)},,{number(rng, 0.5, n)},{name(rng, 'uV', n)}",
        f"Ch{number(rng, 2, n)}={name(rng, 'BP', n)},,{number(rng, 0.25, n)},mmHg",
        "[Comment]",
        "Made by hand",
        "",
    ]
    return joined(rng, [f"{line}\n".encode("utf-8", "replace") for line in lines])


def markers(rng: random.Random, n: int) -> bytes:
    date = number(rng, "20200304114412650000", n)
    lines = [
        "Brain Vision Data Exchange Marker File, Version 1.0",
        "[Common Infos]",
        "DataFile=a.eeg",
        "[Marker Infos]",
        f"Mk1=New Segment,,{number(rng, 1, n)},1,0,{date}",
        f"Mk{number(rng, 2, n)}=Stimulus,{name(rng, 'S  1', n)},{number(rng, 51, n)},1,0",
        f"Mk3=New Segment,,{number(rng, 101, n)},1,0,20200304114452650000",
        "",
    ]
    return joined(rng, [f"{line}\n".encode("utf-8", "replace") for line in lines])


GOOD = [header(random.Random(i), 10**6) for i in range(6)]


@pytest.fixture(scope="module")
def reading():
    made = Reading()
    (made.folder / "a.eeg").write_bytes(DATA)
    (made.folder / "a.vmrk").write_bytes(markers(random.Random(1), 10**6))
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
def test_any_header(reading, case):
    data, key = case
    rng = random.Random(key)
    (reading.folder / "a.vhdr").write_bytes(data)
    if one_in(rng, 4):
        (reading.folder / "a.eeg").write_bytes(garbled(rng, DATA))
    if one_in(rng, 3):
        (reading.folder / "a.vmrk").write_bytes(garbled(rng, markers(rng, 10), 2))
    reading.try_out(reading.folder / "a.vhdr")
