"""Ratings from tables and from the events of sessions."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.errors import StudyError
from physio_hqc.study import load_ratings
from physio_hqc.study.ratings import RATING_COLUMNS


def values(ratings, *columns):
    return ratings[list(columns)].to_numpy().tolist()


def test_long_and_wide_say_the_same(tmp_path):
    long = tmp_path / "long.csv"
    long.write_text(
        "Participant;Phase;Rating;Answer;min;max\n007;speech;stress;6;1;7\n"
        "007;speech;calm;2,5;1;7\n008;speech;stress;n/a;1;7\n008;speech;calm;4;1;7\n"
    )
    wide = tmp_path / "wide.csv"
    wide.write_text("id,window,stress,calm,comment\n007,speech,6,2.5,tired\n008,speech,,4,\n")
    a, b = load_ratings(long), load_ratings(wide)
    assert list(a.columns) == list(RATING_COLUMNS)
    columns = ("participant", "window", "name", "kind", "n_items", "reason")
    assert values(a, *columns) == values(b, *columns)
    np.testing.assert_array_equal(a["value"], [6, 2.5, np.nan, 4])
    np.testing.assert_array_equal(b["value"], [6, 2.5, np.nan, 4])
    assert a["reason"].tolist() == ["", "", "not answered", ""]
    assert a["n_items"].tolist() == [1, 1, 0, 1]
    assert set(a["min"]) == {1}
    assert b["min"].isna().all()


def test_events_of_sessions():
    events = pd.DataFrame(
        {
            "session": ["s1.h5", "s1.h5", "s1.h5"],
            "participant": ["P1"] * 3,
            "condition": ["alone"] * 3,
            "onset": [700.0, 650.0, 700.0],
            "label": ["stress", "stress", "calm"],
            "value": [6.0, 2.0, 3.0],
            "min": [1.0] * 3,
            "max": [7.0] * 3,
            "window": ["speech"] * 3,
            "partner": [""] * 3,
            "source": ["keyboard"] * 3,
        }
    )
    rated = load_ratings(events)
    assert values(rated, "session", "name", "value", "reason") == [
        ["s1", "stress", 6.0, "flag: rated 2 times, the last one counts"],
        ["s1", "calm", 3.0, ""],
    ]


def test_words_that_are_also_names_of_ratings():
    wide = pd.DataFrame({"id": ["a"], "window": ["w"], "response": [3], "score": [4]})
    assert load_ratings(wide)["name"].tolist() == ["response", "score"]


def test_a_ratings_table_is_read_back_as_it_is():
    first = load_ratings(pd.DataFrame({"id": ["a", "b"], "window": "w", "x": [3, 4]}))
    first["kind"], first["scale"] = "subscale", "hqc"
    again = load_ratings(first)
    assert values(again, "kind", "scale", "value") == values(first, "kind", "scale", "value")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"id": "a", "window": "w", "stress": "high"}, "row 1: 'stress' is 'high', not a number"),
        ({"window": "w", "stress": 3}, "no column participant or session"),
        ({"id": "", "window": "w", "stress": 3}, "row 1: neither participant nor session"),
        ({"id": "a", "window": "w"}, "no rating in it"),
        (
            {"id": "a", "window": "speach", "stress": 3},
            "row 1: window 'speach' is not one of .*did you mean 'speech'",
        ),
        ({"id": "a", "name": "", "value": 3}, "row 1: the name of the rating is missing"),
        (
            {"id": "a", "name": "x", "value": 9, "min": 1, "max": 7},
            "row 1: 'x' is 9, outside 1 to 7",
        ),
        (
            {"id": "a", "name": "x", "value": 3, "min": 7, "max": 1},
            "row 1: 'x' has min 7 and max 1",
        ),
        ({"id": "a", "name": "x", "value": 3, "min": "low"}, "row 1: min of 'x' is 'low'"),
    ],
)
def test_wrong_ratings(rows, message):
    with pytest.raises(StudyError, match=f"^ratings table.*{message}"):
        load_ratings(pd.DataFrame([rows]), windows=["baseline", "speech", "w"])


def test_a_rating_given_twice(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("id,window,name,value\na,w,x,1\nb,w,x,1\na,w,x,2\n")
    with pytest.raises(StudyError, match=r"ratings\.csv, line 4: 'x' of 'a' .* already in line 2"):
        load_ratings(path)


def test_range_stated_once_holds_for_the_rating():
    long = pd.DataFrame(
        {"id": ["a", "b"], "name": "x", "value": [3, 9], "min": [1, None], "max": [7, None]}
    )
    with pytest.raises(StudyError, match="row 2: 'x' is 9, outside 1 to 7"):
        load_ratings(long)


def read_or_refused(frame):
    """The ratings, or the line that says why not; any other exception is a failure."""
    try:
        return load_ratings(frame), ""
    except StudyError as error:
        return None, str(error)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "id": st.sampled_from(["a", "b", "", "n/a"]),
                "window": st.text(max_size=3),
                "name": st.sampled_from(["x", "y", ""]),
                "value": st.one_of(st.none(), st.floats(), st.text(max_size=3)),
            }
        ),
        max_size=5,
    )
)
def test_any_frame_is_ratings_or_one_clear_line(rows):
    rated, said = read_or_refused(pd.DataFrame(rows))
    if rated is None:
        assert len(said.splitlines()) == 1
        return
    assert not rated.duplicated(["participant", "session", "window", "name"]).any()
    assert (rated["value"].isna() == (rated["reason"] == "not answered")).all()
