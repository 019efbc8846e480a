"""Tables that name files and people: the mapping of a batch and the key of an export."""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path

import pytest
from fuzzing import Corpus, Outcomes, any_of, fuzz, garbled, mutated, scratch
from importing import NAMES, NUMBERS

from physio_hqc.exporters.key import open_key
from physio_hqc.pipeline._batch_sources import MAPPING_COLUMNS, find_sources

FOLDER = scratch()
MAPPING = FOLDER / "files.csv"
MAPPINGS = Corpus(
    (
        b"source,session,participant,condition\na.edf,p01,P01,alone\nraw/b.acq,p02,P02,support\n",
        "source;map;sfreq;protocol\nx y.csv;CH1=ecg; 250;lepore_1993\n".encode("utf-8-sig"),
        b"source\tevents\tdyad\trole\na.xdf\te.csv\tD1\tspeaker\n",
    )
)
KEY = FOLDER / "key.csv"
HEADER = b"kind,original,replacement,shift_days\n"
PERSON = b"participant,P01,PBCDFG,400\n"
KEYS = Corpus(
    (
        HEADER + PERSON + b"session,p01,SBCDFG,\nlabel,talk of John,LBCDFG,\ndyad,D1,DBCDFG,500\n",
        HEADER + b"session_id,0,0f8fad5b-d9cb-469f-a165-70867728950e,\n",
    )
)
WORDS = (*NAMES, *NUMBERS, "p01", "a.edf", "alone", "CH1=ecg", "participant", "P01", "PBCDFG")
FOUND, OPENED = Outcomes(), Outcomes()


def table(rng: random.Random, columns: tuple[str, ...]) -> bytes:
    """A table of some of these columns, of odd words."""
    names = rng.sample(columns, rng.randrange(1, len(columns) + 1))
    names = ["source", *(name for name in names if name != "source")]
    rows = [[rng.choice(WORDS) for _ in names] for _ in range(rng.randrange(1, 4))]
    text = "\n".join(",".join(row) for row in (names, *rows))
    return text.encode("utf-8", "surrogatepass")


@fuzz(any_of(mutated(MAPPINGS, most=3), lambda rng: table(rng, MAPPING_COLUMNS)))
def test_any_mapping(raw: bytes) -> None:
    MAPPING.write_bytes(raw)
    with FOUND.counted():
        sources = find_sources(FOLDER, FOLDER / "derivatives", MAPPING)
        assert sources
        for source in sources:
            # The name of its folder in the results: one plain part of a path.
            assert source.session == Path(source.session).name
            assert source.session.strip(".")
            assert not {unicodedata.category(sign) for sign in source.session} & {"Cc", "Cf", "Cs"}


@fuzz(any_of(mutated(KEYS, most=3), lambda rng: garbled(rng, rng.choice(KEYS), 8)))
def test_any_key(raw: bytes) -> None:
    KEY.write_bytes(raw)
    with OPENED.counted(), open_key(KEY) as key:
        new = key.replacement("participant", "P01")
        assert new.isalnum()
        assert key.replacement("participant", "P01") == new
    assert KEY.stat().st_mode & 0o077 == 0 or KEY.read_bytes() == raw


@pytest.mark.slow
def test_both_came_up() -> None:
    FOUND.assert_both(0.02)
    OPENED.assert_both(0.02)
