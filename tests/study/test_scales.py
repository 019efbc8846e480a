"""Definitions, scores and reliability of questionnaires."""

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from physio_hqc.config import list_configs, parse_yaml_model
from physio_hqc.errors import ConfigError, StudyError
from physio_hqc.study import ScaleDefinition, load_ratings, load_scale, reliability, score_scale

YAML = """
name: demo
min: 1
max: 7
subscales:
  - name: warmth
    items: [a1, a2, a3, a4, a5]
    reversed: [a2]
  - name: trust
    items: [b1, b2]
composites:
  - name: both
    subscales: [warmth, trust]
"""


def scale(text=YAML):
    return parse_yaml_model(text, ScaleDefinition, source="demo.yaml")


def score(wide, definition=None):
    scored = score_scale(load_ratings(pd.DataFrame(wide)), definition or scale())
    return scored.set_index("name")


def test_shipped_scale_has_the_published_structure_and_no_wording():
    hqc = load_scale("hqc")
    assert "hqc" in list_configs("scales")
    assert [subscale.name for subscale in hqc.subscales] == [
        "emotional_carrying_capacity",
        "tensility",
        "connectivity",
        "positive_regard",
        "mutuality",
        "vitality",
    ]
    composed = {composite.name: composite.subscales for composite in hqc.composites}
    assert composed == {
        "capacities": ("emotional_carrying_capacity", "tensility", "connectivity"),
        "experiences": ("positive_regard", "mutuality"),
    }
    assert hqc.share_answered == 0.8
    assert any("10.1002/sres.932" in reference for reference in hqc.references)
    assert max(map(len, hqc.items)) <= 24


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[b1, b2]", "[b1, a1]", r"subscales\[1\].items\[1\].*'a1' is in warmth already"),
        ("[b1, b2]", "[b1, b1]", "'b1' is listed twice"),
        ("[a2]", "[a9]", "'a9' is no item of it"),
        ("[warmth, trust]", "[warmth, trus]", "'trus' is no subscale; did you mean 'trust'"),
        ("max: 7", "max: 1", "1 is not above min"),
        ("name: both", "name: trust", "'trust' names two things"),
        ("name: demo", "name: demo\nwording: x", "unknown key 'wording'"),
        ("[b1, b2]", "[b1, {b2: They can say what they think}]", "should be text"),
        ("[b1, b2]", "[b1, 'They can say']", "one word"),
        ("[b1, b2]", "[b1, they_can_always_say_what_they_think]", "24 characters"),
        ("[b1, b2]", "[]", "at least 1"),
        ("min: 1", "share_answered: 2\nmin: 1", "share_answered"),
    ],
)
def test_wrong_definitions(old, new, message):
    assert old in YAML
    with pytest.raises(ConfigError, match=message) as caught:
        scale(YAML.replace(old, new))
    assert str(caught.value).startswith("demo.yaml, line ")


def test_scores_by_hand():
    one = score(
        {
            "id": ["p"],
            "window": "w",
            "A1": 2,
            "a2": 6,
            "a3": 3,
            "a4": 4,
            "a5": 5,
            "b1": 7,
            "b2": 4,
            "stress": 9,
        }
    )
    assert one.loc["warmth", "value"] == pytest.approx((2 + (1 + 7 - 6) + 3 + 4 + 5) / 5)
    assert one.loc["trust", "value"] == 5.5
    assert one.loc["both", "value"] == pytest.approx((3.2 + 5.5) / 2)
    assert one.loc["both", "n_items"] == 7
    assert one.loc["a2", ["value", "kind", "scale", "min"]].tolist() == [6, "item", "demo", 1]
    assert one.loc["stress", ["value", "kind", "scale"]].tolist() == [9, "single", ""]
    assert (one["reason"] == "").all()


def test_four_of_five_items_are_enough_and_three_are_not():
    four = score({"id": ["p"], "window": "w", "a1": 2, "a2": 6, "a3": 3, "a4": 4, "b1": 7, "b2": 4})
    assert four.loc["warmth", "value"] == pytest.approx((2 + 2 + 3 + 4) / 4)
    assert four.loc["warmth", "reason"] == "flag: 4 of 5 items answered"
    assert four.loc["both", "reason"] == "flag: items missing"
    three = score(
        {"id": ["p"], "window": "w", "a1": 2, "a2": 6, "a3": 3, "a4": "n/a", "b1": 7, "b2": 4}
    )
    assert np.isnan(three.loc["warmth", "value"])
    assert three.loc["warmth", "reason"] == "3 of 5 items answered, needs 4"
    assert np.isnan(three.loc["both", "value"])
    assert three.loc["both", "reason"] == "no score of warmth"


def test_every_questionnaire_is_scored_on_its_own_and_in_order():
    wide = pd.DataFrame(
        {"id": ["q", "p", "q"], "window": ["x", "x", "w"], "b1": [1, 2, 3], "b2": [3, 4, 5]}
    )
    scored = score_scale(load_ratings(wide), scale())
    trust = scored[scored["name"] == "trust"]
    assert trust[["participant", "window", "value"]].to_numpy().tolist() == [
        ["q", "x", 2.0],
        ["p", "x", 3.0],
        ["q", "w", 4.0],
    ]
    again = score_scale(scored, scale())
    pd.testing.assert_frame_equal(again, scored)


def test_answers_outside_the_range():
    with pytest.raises(
        StudyError, match=r"row 2: item 'b1' of 'p2' in window 'w' is 8, outside 1 to 7"
    ):
        score({"id": ["p1", "p2"], "window": "w", "b1": [7, 8]})
    long = pd.DataFrame({"id": ["p"], "name": "b1", "value": 5, "min": 0, "max": 10})
    with pytest.raises(
        StudyError, match="'b1' was answered on 0 to 10, the scale demo says 1 to 7"
    ):
        score_scale(load_ratings(long), scale())


def test_ratings_without_any_item():
    with pytest.raises(
        StudyError, match=r"no rating is an item of the scale demo \(a1, a2, a3, ...\)"
    ):
        score({"id": ["p"], "window": "w", "stress": 3})


def test_items_that_differ_in_case_only():
    wide = pd.DataFrame({"id": ["p"], "window": "w", "b1": 3, "B1": 4})
    with pytest.raises(StudyError, match="item 'b1' of 'p' in window 'w' is there twice"):
        score_scale(load_ratings(wide), scale())


@settings(deadline=None, max_examples=30)
@hypothesis.given(
    st.lists(
        st.lists(st.one_of(st.none(), st.integers(1, 7)), min_size=7, max_size=7),
        min_size=1,
        max_size=5,
    ).filter(lambda rows: any(x is not None for row in rows for x in row))
)
def test_scores_against_a_slow_reference(rows):
    items = ["a1", "a2", "a3", "a4", "a5", "b1", "b2"]
    wide = pd.DataFrame(rows, columns=items, dtype=object).assign(
        id=[f"p{i}" for i in range(len(rows))]
    )
    scored = score_scale(load_ratings(wide), scale())
    for i, row in enumerate(rows):
        mine = scored[scored["participant"] == f"p{i}"].set_index("name")["value"]
        given = [(item, x) for item, x in zip(items[:5], row[:5], strict=True) if x is not None]
        warmth = [8 - x if item == "a2" else x for item, x in given]
        expected = sum(warmth) / len(warmth) if len(warmth) >= 4 else None
        assert (expected is None) == bool(np.isnan(mine["warmth"]))
        assert expected is None or mine["warmth"] == pytest.approx(expected)


# ---- reliability ---------------------------------------------------------------------------------


def correlated(n, seed=1):
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 1.2, (n, 1))
    answers = np.clip(np.round(4 + common + rng.normal(0, 1, (n, 7))), 1, 7)
    answers[:, 1] = 8 - answers[:, 1]  # a2 is reversed
    return pd.DataFrame(answers, columns=["a1", "a2", "a3", "a4", "a5", "b1", "b2"])


def test_alpha_by_its_definition():
    wide = correlated(40).assign(id=[f"p{i}" for i in range(40)], window="w")
    found = reliability(load_ratings(wide), scale()).set_index("subscale")
    items = wide[["a1", "a2", "a3", "a4", "a5"]].to_numpy().copy()
    items[:, 1] = 8 - items[:, 1]
    alpha = 5 / 4 * (1 - items.var(axis=0, ddof=1).sum() / items.sum(axis=1).var(ddof=1))
    assert found.loc["warmth", "alpha"] == pytest.approx(alpha)
    assert found.loc["warmth", "alpha_low"] < alpha < found.loc["warmth", "alpha_high"]
    assert found.loc["warmth", ["n_items", "n"]].tolist() == [5, 40]
    assert found.loc["warmth", "note"].startswith("n = 40 complete questionnaires of 40 persons")


def test_alpha_says_whom_it_rests_on():
    wide = correlated(40).assign(
        id=[f"p{i % 20}" for i in range(40)], window=["x"] * 20 + ["y"] * 20
    )
    wide.loc[3, "a4"] = np.nan
    note = reliability(load_ratings(wide), scale()).set_index("subscale").loc["warmth", "note"]
    assert "n = 39 complete questionnaires of 20 persons; 1 incomplete left out" in note
    assert "flag: repeated questionnaires" in note


@pytest.mark.parametrize(
    ("wide", "why"),
    [
        ({"b1": [1, 2], "b2": [2, 3]}, "no alpha: needs 3 complete questionnaires"),
        ({"b1": [4, 4, 4, 4], "b2": [3, 3, 3, 3]}, "no alpha: the sums do not differ"),
        ({"b1": [1, 2, 3, 4], "b2": [2, 2, 2, 2]}, "flag: fewer than 30 questionnaires"),
        (
            {"b1": [1, 2, 3, 4], "b2": [3, 3, 3, 1]},
            "flag: negative, check which items are reversed",
        ),
    ],
)
def test_where_alpha_cannot_be_had(wide, why):
    frame = pd.DataFrame(wide).assign(window="w")
    frame["id"] = [f"p{i}" for i in range(len(frame))]
    found = reliability(load_ratings(frame), scale()).set_index("subscale")
    assert why in found.loc["trust", "note"]
    assert bool(np.isnan(found.loc["trust", "alpha"])) == why.startswith("no alpha")
    assert "no alpha: needs 3" in found.loc["warmth", "note"]


def test_omega_of_a_known_factor_model():
    """Loadings 1, 1, 2, 0.5, 1 and unique variances of 1: omega = 5.5^2 / (5.5^2 + 5)."""
    rng = np.random.default_rng(3)
    loadings = np.array([1, 1, 2, 0.5, 1])
    answers = rng.normal(0, 1, (4000, 1)) * loadings + rng.normal(0, 1, (4000, 5))
    wide = pd.DataFrame(answers, columns=["a1", "a2", "a3", "a4", "a5"])
    wide["a2"] = -wide["a2"]
    wide = wide.assign(id=[f"p{i}" for i in range(4000)], window="w")
    text = YAML.replace("min: 1", "min: -20").replace("max: 7", "max: 20")
    note = reliability(load_ratings(wide), scale(text)).set_index("subscale").loc["warmth", "note"]
    omega = float(note.split("omega ")[1])
    assert omega == pytest.approx(5.5**2 / (5.5**2 + 5), abs=0.012)
