"""Cuff readings and ratings as processing leaves them."""

from pathlib import Path

import numpy as np
import pytest

from physio_hqc import process_session
from physio_hqc.session import SessionWriter

PROTOCOL = """
name: two_talks
title: Two talks
description: A test.
phases:
  - {name: rest, label: Rest, role: baseline, duration_s: 100}
  - {name: talk, label: Talk, role: task, duration_s: 100, speech: true, ratings: [warmth]}
  - {name: after, label: After, role: recovery, duration_s: 100}
ratings:
  - {name: warmth, label: Warm, min: 1, max: 7}
baseline: {phase: rest, use: whole, discard_first_cuff: true}
"""


def written(path: Path) -> Path:
    with SessionWriter(
        path, participant_id="P1", condition="c", protocol=PROTOCOL, t0_unix_ns=0
    ) as w:
        w.add_stream(
            "cuff",
            modality="cuff",
            units="mmHg,mmHg,mmHg,1/min",
            sfreq=0,
            channels=["SBP", "DBP", "MAP", "HR"],
        )
        readings = [[120, 80, np.nan, 60], [122, 80, 95, 0], [300, 80, 95, 70], [130, 85, 99, 77]]
        w.append_irregular("cuff", np.array([10.0, 50.0, 110.0, 320.0]), np.array(readings))
        for number, name in enumerate(("rest", "talk", "after")):
            w.add_event(100.0 * number, "phase", name, duration=100.0)
        w.add_event(
            120.0,
            "interaction",
            "with_friend",
            duration=30.0,
            payload={"partner": "friend", "ratings": {"closeness": 4}, "warmth": 6},
        )
        w.add_event(200.0, "rating", "warmth", payload={"value": 3, "min": 1, "max": 7})
        w.add_event(230.0, "rating", "warmth", payload={"value": "5"})
        w.add_event(240.0, "rating", "calm", payload={"value": 2, "phase": "rest"})
        w.add_event(250.0, "rating", "calm", payload={"value": "very"})
    return path


def test_cuff_readings_are_judged_one_by_one(tmp_path: Path) -> None:
    cuff = process_session(written(tmp_path / "p.h5")).tables["cuff"]
    assert cuff["window"].tolist() == ["rest", "rest", "talk", ""]
    assert cuff["valid"].tolist() == [False, True, False, True]
    assert cuff["map_computed"].tolist() == [True, False, False, False]
    assert cuff["MAP"].iloc[0] == pytest.approx((120 + 2 * 80) / 3)
    assert np.isnan(cuff["HR"].iloc[1])
    assert "discards" in cuff["reason"].iloc[0]
    assert cuff["reason"].iloc[2] == "SBP outside 60-260 mmHg"


def test_ratings_find_their_window(tmp_path: Path) -> None:
    result = process_session(written(tmp_path / "p.h5"))
    ratings = result.tables["ratings"]
    found = {(row.label, row.value): row.window for row in ratings.itertuples()}
    assert found == {
        ("closeness", 4): "with_friend",
        ("warmth", 6): "with_friend",
        ("warmth", 3): "talk",
        ("warmth", 5): "talk",
        ("calm", 2): "rest",
    }
    assert (ratings.loc[ratings["label"] == "warmth", "max"] == 7).all()
    assert ratings.loc[ratings["label"] == "calm", "min"].isna().all()
    assert ratings.loc[ratings["window"] == "with_friend", "partner"].unique() == ["friend"]
    assert any("'calm' at 250 s has no number" in text for text in result.provenance["notices"])
