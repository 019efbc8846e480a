"""What processing does with a session that the reader accepts although it is odd.

No parser, and a tenth of a second a case: one case for 50 of a parser.
"""

from __future__ import annotations

import pytest
from fuzzing import Corpus, Outcomes, drawn, scratch
from hypothesis import given
from session_made import lying, small_session, unclosed

from physio_hqc.pipeline import process_session
from physio_hqc.pipeline.config import load_pipeline_config

FOLDER = scratch()
PATH = FOLDER / "s.h5"
RAW = small_session(FOLDER / "made.h5")
CORPUS = Corpus([RAW, RAW, unclosed(RAW)])
CONFIG = load_pipeline_config(None)
COUNTED = Outcomes()


@drawn(50)
@given(raw=lying(CORPUS))
def test_a_session_that_lies_is_processed_or_refused(raw: bytes) -> None:
    PATH.write_bytes(raw)
    with COUNTED.counted():
        process_session(PATH, CONFIG)


@pytest.mark.slow
def test_both_came_up() -> None:
    COUNTED.assert_both(0.1)
