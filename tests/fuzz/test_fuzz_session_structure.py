"""Session files that are whole HDF5 and lie: in attributes, rows, layouts, links.

The parser has its 20,000 cases in test_fuzz_session; these, made by HDF5 itself, are an eighth.
"""

from __future__ import annotations

import random

import pytest
from fuzzing import Corpus, Outcomes, drawn, scratch
from hypothesis import given
from session_made import lying, read_file, small_session, unclosed

FOLDER = scratch()
PATH = FOLDER / "s.h5"
RAW = small_session(FOLDER / "made.h5")
CORPUS = Corpus([RAW, RAW, RAW, unclosed(RAW)])
COUNTED = Outcomes()


@drawn(8)
@given(raw=lying(CORPUS))
def test_a_session_that_lies_is_read_or_refused(raw: bytes) -> None:
    PATH.write_bytes(raw)
    with COUNTED.counted():
        read_file(PATH, deep=random.Random(raw[-64:]).random() < 0.02)
    assert PATH.read_bytes() == raw


@pytest.mark.slow
def test_both_came_up() -> None:
    COUNTED.assert_both(0.15)
