"""Participants, ratings and features tables on bytes that are nearly a table."""

from __future__ import annotations

from typing import Any

import pytest
from fuzzing import Corpus, Outcomes, any_of, fuzz, mutated, scratch

from physio_hqc.study.collect import _features_of, collect_sessions
from physio_hqc.study.participants import load_participants
from physio_hqc.study.ratings import load_ratings

PATH = scratch() / "t.csv"
PEOPLE = Corpus(
    (
        b"id,sex,age,condition,dyad,session,bmi\nP1,f,21,alone,,p01.h5,20.5\nP2,m,n/a,support,,,\n",
        'sep=;\nVP;Geschlecht;Alter\n001;w;"21,5"\n002;mann;-\n'.encode("utf-16"),
        b"subject\tgroup\nA\tx\nB\ty\n",
    )
)
RATINGS = Corpus(
    (
        b"participant,window,name,value,min,max\nP1,talk,stress,4,1,7\nP2,talk,stress,n/a,1,7\n",
        b"participant;window;stress;calm\nP1;talk;4;2\nP2;talk;3;1\n",
        b"session,onset,rating,answer\np01.h5,3,stress,4\np01.h5,9,stress,5\n",
    )
)
FEATURES = Corpus(
    (
        b"participant,condition,window,feature,value\nP1,a,baseline,X,120\nP1,a,talk,X,13\n",
        b"session;participant;window;feature;value;onset;duration\ns;P1;baseline;X;1,5;0;60\n",
    )
)
LOADERS: dict[str, Any] = {"people": load_participants, "ratings": load_ratings}
COUNTED = Outcomes()


@fuzz(
    any_of(
        lambda rng: ("people", mutated(PEOPLE, most=3)(rng)),
        lambda rng: ("ratings", mutated(RATINGS, most=3)(rng)),
    )
)
def test_any_bytes_are_a_table_or_one_clear_line(case: tuple[str, bytes]) -> None:
    what, raw = case
    PATH.write_bytes(raw)
    with COUNTED.counted():
        table = LOADERS[what](PATH)
        assert len(table)
        assert not table.columns.duplicated().any()


FOUND = Outcomes()


# Reading the table is tried with every case, what is computed from it with one of 20.
@fuzz(mutated(FEATURES, most=3), one_of=2)
def test_any_bytes_are_features_or_one_clear_line(raw: bytes) -> None:
    PATH.write_bytes(raw)
    with FOUND.counted():
        assert len(_features_of(PATH))
    if FOUND.total() % 20 == 0:
        with Outcomes().counted():
            collect_sessions(PATH)


@pytest.mark.slow
def test_both_came_up() -> None:
    COUNTED.assert_both(0.05)
    FOUND.assert_both(0.05)
