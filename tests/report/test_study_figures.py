"""Figures of a study show the numbers of its tables, and can be told apart and printed."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from scipy import stats

from physio_hqc.report import figures, save_study_figures
from physio_hqc.report._study_courses import (
    course_means,
    means,
    same_time,
    shared_phases,
    spread_out,
    with_change,
)
from physio_hqc.report._study_figures import figures_of, score_means
from physio_hqc.report._study_style import looks
from physio_hqc.report._study_view import StudyView
from physio_hqc.report.figures.study_flow import flow_counts
from physio_hqc.report.figures.study_ratings import within_correlation


@pytest.fixture(scope="module")
def facts(study_made: ModuleType) -> StudyView:
    return StudyView(study_made.make_study())


@pytest.fixture(scope="module")
def drawn(facts: StudyView) -> dict:
    return {item.name: item for item in figures_of(facts)}


def seen_by(color: str, kind: str) -> np.ndarray:
    """Lab colour as a viewer sees it; matrices of Machado et al. (2009), full severity."""
    rgb = np.array(to_rgb(color))
    light = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrices = {
        "usual": np.eye(3),
        "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
        "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
        "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
    }
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    seen = np.clip(np.array(matrices[kind]) @ light, 0, 1)
    xyz = np.array(to_xyz) @ seen / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("kind", ["usual", "deuteranopia", "protanopia", "tritanopia"])
def test_conditions_stay_apart_for_every_color_vision(kind: str) -> None:
    made = looks(["alone", "support", "nonsupport"])
    for one, other in itertools.combinations(made.values(), 2):
        distance = np.linalg.norm(seen_by(one.color, kind) - seen_by(other.color, kind))
        assert distance > 30


def test_each_condition_keeps_color_marker_and_line() -> None:
    whole = looks(["alone", "support", "nonsupport", "mentor", "stranger"])
    for part in ("color", "marker", "line"):
        assert len({getattr(look, part) for look in whole.values()}) == 5
    assert looks(["nonsupport", "x"])["nonsupport"] == whole["nonsupport"]


def test_every_participant_is_a_point_and_the_marks_are_the_means(
    facts: StudyView, drawn: dict
) -> None:
    axis = drawn["reactivity"].figure.axes[0]
    assert axis.get_title(loc="left") == "SBP, cuff"
    assert axis.get_ylabel() == "Change from baseline (mmHg)"
    assert [label.get_text() for label in axis.get_xticklabels()] == ["preparation", "speech"]
    points = [line for line in axis.lines if line.get_gid() == "points"]
    rows = facts.scores[facts.scores["feature"] == "CUFF_SBP_Mean"]
    shown = np.concatenate([line.get_ydata() for line in points])
    assert len(shown) == len(rows) == 2 * 33
    np.testing.assert_allclose(np.sort(shown), np.sort(rows["delta"]))
    marks = [line.get_ydata()[0] for line in axis.lines if line.get_gid() == "mean"]
    expected = rows.groupby(["window", "condition"])["delta"].mean()
    np.testing.assert_allclose(np.sort(marks), np.sort(expected))


def test_intervals_of_means_are_those_of_scipy(facts: StudyView) -> None:
    table = score_means(facts).set_index(["feature", "window", "condition"])
    rows = facts.scores.groupby(["feature", "window", "condition"])["delta"]
    for key, values in rows:
        low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
        assert table.loc[key, "low"] == pytest.approx(low)
        assert table.loc[key, "high"] == pytest.approx(high)


def test_one_value_has_a_mean_and_no_interval() -> None:
    made = means(pd.DataFrame({"g": ["a", "b", "b"], "v": [1.0, 2.0, np.nan]}), ["g"], "v")
    assert made["mean"].tolist() == [1.0, 2.0]
    assert made[["low", "high"]].isna().all(axis=None)


def test_the_forest_draws_the_ends_of_the_table(facts: StudyView, drawn: dict) -> None:
    names = [name for name in drawn if name.startswith("contrasts")]
    axis = drawn[names[0]].figure.axes[0]
    assert axis.get_xlabel() == "Difference (mmHg)"
    assert drawn[names[0]].figure.axes[1].get_xlabel() == "Hedges g"
    table = facts.contrasts
    table = table[(table["outcome"] == "CUFF_SBP_Mean") & (table["window"] == "preparation")]
    bars = [part for group in axis.collections for part in group.get_segments()]
    drawn_ends = sorted((round(bar[0][0], 9), round(bar[1][0], 9)) for bar in bars)
    ends = zip(table["ci_low"].round(9), table["ci_high"].round(9), strict=True)
    assert drawn_ends == sorted(ends)
    filled = {
        line.get_markerfacecolor() == line.get_color()
        for line in axis.lines
        if line.get_marker() in ("o", "s", "D")
    }
    assert filled == {True, False}


def test_the_time_course_shows_means_with_their_units(facts: StudyView, drawn: dict) -> None:
    figure = drawn["course_change"].figure
    axes = figure.axes
    assert [axis.get_ylabel() for axis in axes] == [
        "Change (mmHg)", "Change (mmHg)", "Change (1/min)", "Change (ms)", "Change (µS)",
    ]  # fmt: skip
    assert axes[-1].get_xlabel() == "Time since start of the session (min)"
    named = {text.get_text() for text in axes[0].texts}
    assert {"Rest", "Preparation", "Speech", "Recovery"} <= named
    courses = facts.table("courses")
    rate = courses[(courses["feature"] == "ECG_Rate_Mean") & (courses["condition"] == "support")]
    rate = rate[(rate["window"] == "speech") & (rate["since_s"] == 30)]
    base = facts.table("reactivity").set_index(["session", "feature"])["baseline"]
    base = base[~base.index.duplicated()]
    change = [
        row.value - base[row.session, "ECG_Rate_Mean"] for row in rate.itertuples()
    ]  # fmt: skip
    line = next(line for line in axes[2].lines if line.get_label() == "support")
    assert np.isclose(line.get_ydata(), np.mean(change)).any()


def test_readings_that_jitter_are_one_point_in_time() -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        [
            {"session": f"s{s}", "since_s": at + rng.uniform(0, 30), "duration_s": 0.0}
            for s in range(40)
            for at in (30, 120, 210, 300)
        ]
    )
    numbers = same_time(rows)
    assert pd.Series(numbers).groupby(np.tile([0, 1, 2, 3], 40)).nunique().tolist() == [1] * 4
    assert len(set(numbers)) == 4


def test_phases_of_unequal_onset_share_one_axis() -> None:
    windows = pd.DataFrame(
        [
            {"session": s, "window": w, "kind": "phase", "label": w, "role": "other",
             "onset": onset + late, "duration": 100.0}
            for s, late in (("a", 0.0), ("b", 10.0), ("c", 90.0))
            for w, onset in (("one", 0.0), ("two", 100.0))
        ]
    )  # fmt: skip
    phases = shared_phases(windows)
    assert phases["onset"].tolist() == [10.0, 110.0]
    courses = pd.DataFrame(
        {"session": ["a", "b", "c"], "participant": ["a", "b", "c"], "condition": "x",
         "window": "two", "kind": "phase", "role": "other", "feature": "f", "since_s": 30.0,
         "duration_s": 60.0, "value": [1.0, 2.0, 6.0]}
    )  # fmt: skip
    table = course_means(courses, phases, "value")
    assert table[["time_s", "n", "mean"]].to_numpy().tolist() == [[140.0, 3, 3.0]]


def test_change_falls_back_to_the_course_at_rest() -> None:
    courses = pd.DataFrame(
        {"session": "a", "feature": "f", "role": ["baseline", "baseline", "task"],
         "value": [1.0, 3.0, 7.0]}
    )  # fmt: skip
    none = pd.DataFrame({"session": [], "feature": [], "baseline": []})
    assert with_change(courses, none)["change"].tolist() == [-1.0, 1.0, 5.0]


def test_the_flow_counts_everybody_once(facts: StudyView, drawn: dict) -> None:
    counts = flow_counts(facts.table("participants"), facts.table("flow"))
    assert counts.sum().tolist() == [36, 35, 34, 33]
    said = "\n".join(text.get_text() for text in drawn["participants_flow"].figure.findobj(Text))
    assert "36 participants in the participants table" in said
    assert "no session: 1" in said


def test_ratings_meet_the_window_they_belong_to(facts: StudyView) -> None:
    pairs = figures.rating_pairs(facts.scores, facts.table("ratings"), "speech")
    assert set(pairs["window"]) == {"speech"}
    assert set(pairs["rating"]) == {"stress", "felt_support", "hqc: connectivity",
                                    "hqc: mutuality"}  # fmt: skip
    part = pairs[(pairs["rating"] == "stress") & (pairs["feature"] == "CUFF_SBP_Mean")]
    assert len(part) == 33
    design = np.column_stack([pd.get_dummies(part["condition"]).to_numpy(float)])
    left = [
        y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
        for y in (part["value"].to_numpy(float), part["delta"].to_numpy(float))
    ]
    assert within_correlation(part) == pytest.approx(np.corrcoef(*left)[0, 1])


def test_jitter_is_the_same_for_the_same_values_and_keeps_points_apart() -> None:
    values = np.array([3.0, 1.0, 2.0, 2.0, 2.0])
    places = spread_out(values, 1.0)
    np.testing.assert_array_equal(places, spread_out(values.copy(), 1.0))
    assert len(set(places[2:])) == 3
    assert np.abs(places).max() <= 0.5


def test_figures_fit_a_journal(drawn: dict) -> None:
    for item in drawn.values():
        width, height = item.figure.get_size_inches() * 25.4
        assert width == pytest.approx(183)
        assert height < 250
        for text in item.figure.findobj(Text):
            assert not text.get_text() or text.get_fontsize() >= 7


def test_no_words_are_cut_off_or_lie_on_each_other(drawn: dict) -> None:
    for item in drawn.values():
        item.figure.draw_without_rendering()
        box = item.figure.bbox.padded(2)
        titles = []
        for axis in item.figure.axes:
            labels = [axis.xaxis.label, axis.yaxis.label, axis._left_title, *axis.texts]
            for text in labels:
                if text.get_text() and text.get_visible():
                    extent = text.get_window_extent()
                    assert box.contains(extent.x0, extent.y0), (item.name, text.get_text())
                    assert box.contains(extent.x1, extent.y1), (item.name, text.get_text())
            if axis._left_title.get_text():
                titles.append(axis._left_title.get_window_extent())
        for one, other in itertools.combinations(titles, 2):
            assert not one.overlaps(other), item.name


def test_files_are_the_same_twice_and_hold_text_as_text(
    study_made: ModuleType, tmp_path: Path
) -> None:
    study = study_made.make_study(n=5, outcomes=("CUFF_SBP_Mean",))
    first = save_study_figures(study, tmp_path / "a")
    second = save_study_figures(study, tmp_path / "b")
    assert [path.name for path in first] == [path.name for path in second]
    assert {path.suffix for path in first} == {".svg", ".png"}
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    text = (tmp_path / "a" / "reactivity.svg").read_text(encoding="utf-8")
    assert re.search(r">\s*Change from baseline \(mmHg\)\s*</text>", text)
    assert "<dc:date>" not in text


@pytest.mark.parametrize(
    "change",
    [
        {"ratings": False, "recovery": False},
        {"conditions": ("support", "nonsupport")},
        {"conditions": ("a", "b", "c", "d", "e")},
        {"n": 1},
        {"n": 100, "outcomes": ("CUFF_SBP_Mean",)},
        {"drop": ("courses", "windows", "flow", "quality", "allostatic")},
        {"drop": ("statistics", "sensitivity", "participants")},
    ],
    ids=["bare", "two", "five", "one-each", "300", "no-courses", "no-statistics"],
)
def test_whatever_a_study_lacks_the_rest_is_drawn(change: dict, study_made: ModuleType) -> None:
    made = {item.name: item for item in figures_of(StudyView(study_made.make_study(**change)))}
    assert "reactivity" in made
    for item in made.values():
        item.figure.draw_without_rendering()
    names = set(made)
    assert ("ratings" in names) == change.get("ratings", True)
    if "statistics" in change.get("drop", ()):
        assert not any(name.startswith("contrasts") for name in names)
