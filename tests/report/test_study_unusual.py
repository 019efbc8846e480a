"""What the report of a study says and draws where a study is not of the usual form."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from physio_hqc.pipeline import tidy
from physio_hqc.report import figures, study_methods, write_study_report
from physio_hqc.report._study_answer import answer
from physio_hqc.report._study_figures import figures_of
from physio_hqc.report._study_text_signals import FULL_SHARE
from physio_hqc.report._study_view import StudyView
from physio_hqc.report.figures.study_courses import breaks
from physio_hqc.study import StudyResult


@pytest.fixture
def study(study_made: ModuleType) -> StudyResult:
    return study_made.make_study(n=5)


def changed(study: StudyResult, **tables: pd.DataFrame) -> StudyResult:
    return replace(study, tables={**study.tables, **tables})


def page_of(study: StudyResult, folder: Path) -> str:
    html = write_study_report(study, folder / "r.html").read_text(encoding="utf-8")
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", bare))


def test_quality_is_said_as_index_and_by_the_rule_of_the_report(study: StudyResult) -> None:
    rows = study.tables["quality"].assign(quality=0.9, usable_share=1.0, corrected_share=np.nan)
    used = rows["session"].isin(StudyView(study).analysed) & rows["kind"].eq("phase")
    first, second, third = rows.index[used][:3]
    rows.loc[first, "usable_share"] = 0.7
    rows.loc[second, "quality"] = 0.6
    rows.loc[third, "quality"] = np.nan
    said = study_methods(changed(study, quality=rows))
    n = int(used.sum())
    assert f"In all {n - 1} phase windows that have one (" in said
    assert "was at least 0.5 (range 0.60–0.90; none for 1 window)" in said
    assert re.search(r"calls 1 poor \(`\w+` 1\) and 1 fair \(`\w+` 1\) of these windows", said)
    assert "sufficient" not in said


def test_reasons_of_missing_scores_stand_most_frequent_first(study: StudyResult) -> None:
    rows = study.tables["reactivity"].copy()
    here = rows["window"].eq("speech") & rows["session"].isin(StudyView(study).analysed)
    lost = rows.index[here][:4]
    rows.loc[lost, "delta"] = np.nan
    rows.loc[lost, "reason"] = ["no valid reading", "45 s usable, needs 60 s; flag: speech",
                                "45 s usable, needs 60 s", "44 s usable, needs 60 s"]  # fmt: skip
    said = study_methods(changed(study, reactivity=rows))
    assert "4 were missing: 45 s usable, needs 60 s or alike (3); no valid reading (1)." in said


def test_a_proxy_without_cut_points_is_one_sentence(study: StudyResult, tmp_path: Path) -> None:
    why = "8 per sex, 10 needed"
    cuts = study.tables["cut_points"].assign(cut=np.nan, reason=why)
    people = study.tables["allostatic"].assign(
        count=np.nan, proportion=np.nan, z_sum=np.nan, n_components=0,
        missing="cortisol, SBP", at_risk="", reason="a long note " * 9,
    )  # fmt: skip
    none = changed(study, cut_points=cuts, allostatic=people)
    sentence = f"No cut points could be formed: {why}"
    text = study_methods(none)
    assert sentence in text
    assert "cortisol" not in text
    assert "Cut points of the allostatic-load proxy:" not in text
    item = next(line for line in text.splitlines() if "Allostatic-load proxy: indicators" in line)
    assert f"no cut points could be formed: {why}" in item
    page = page_of(none, tmp_path)
    assert page.count(sentence) == 1
    assert "With a proxy" not in page


def test_a_check_without_any_number_is_not_counted(study: StudyResult) -> None:
    checks = study.tables["assumptions"]
    first = checks.head(2).assign(statistic=np.nan, df1=np.nan, df2=np.nan, p=np.nan,
                                  value=np.nan, passed=False)  # fmt: skip
    first["consequence"] = ["not checked: few participants", ""]
    both = pd.concat([checks, first], ignore_index=True)
    text = study_methods(changed(study, assumptions=both))
    failed = int((~checks["passed"]).sum())
    assert f"{len(checks)} checks, of which {failed} not met" in text
    assert "2 checks could not be made: few participants." in text


def test_all_tested_windows_are_drawn_and_none_lies_on_another() -> None:
    windows = ["instruction", "conversation", "disclosure", "responsive_listening",
               "shared_laughter", "disagreement"]  # fmt: skip
    windows += [f"window number {k}" for k in range(9)]
    outcomes = [f"f{k}" for k in range(11)]
    conditions = ["a", "b"]
    rows = pd.DataFrame(
        [
            {"feature": f, "window": w, "condition": c, "delta": float(k)}
            for f, w, c, k in itertools.product(outcomes, windows, conditions, range(3))
        ]
    )
    summary = pd.DataFrame(columns=["feature", "window", "condition", "mean", "low", "high"])
    from physio_hqc.report._study_style import looks

    drawn = []
    for names, places in figures.reactivity_pages(outcomes, windows, 2):
        figure = figures.study_reactivity_figure(
            rows, summary, names, places, looks(conditions), {}, {("f0", "conversation")}
        )
        assert figure is not None
        assert figure.get_size_inches()[1] * 25.4 < 250
        figure.draw_without_rendering()
        for feature, axis in zip(names, figure.axes, strict=True):
            labels = axis.get_xticklabels()
            boxes = [label.get_window_extent() for label in labels]
            assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))
            assert all(figure.bbox.contains(b.x0, b.y0) for b in boxes)
            assert all(figure.bbox.contains(b.x1, b.y1) for b in boxes)
            drawn += [(feature, label.get_text().replace("\n", "")) for label in labels]
    said = {(f, w.replace(" ", "")) for f, w in drawn}
    wanted = set(itertools.product(outcomes, (w.replace(" ", "") for w in windows)))
    wanted = wanted - {("f0", "conversation")} | {("f0", "conversation†")}
    assert said == wanted
    assert len(drawn) == len(wanted)


def test_a_course_breaks_where_nothing_was_measured() -> None:
    rows = pd.DataFrame({"window": ["rest"] * 3 + ["after"] * 3,
                         "time_s": [30, 60, 90, 120, 150, 260]})  # fmt: skip
    assert breaks(rows, ["rest", "after"]).tolist() == [5]
    assert breaks(rows, ["rest", "talk", "after"]).tolist() == [3, 5]


def test_captions_of_courses_name_phases_without_points(study: StudyResult) -> None:
    rows = study.tables["courses"]
    silent = rows["feature"].eq("CUFF_SBP_Mean") & rows["window"].eq("speech")
    drawn = {d.name: d for d in figures_of(StudyView(changed(study, courses=rows[~silent])))}
    assert "SBP, cuff in speech." in drawn["course_change"].caption
    lines = drawn["course_change"].figure.axes[0].lines
    assert any(np.isnan(np.asarray(line.get_ydata(), dtype=float)).any() for line in lines)


def test_a_recovery_without_task_value_says_so(study: StudyResult) -> None:
    rows = study.tables["recovery"]
    none = rows.assign(reactivity=rows["reactivity"].mask(rows["feature"].eq("CUFF_SBP_Mean")))
    drawn = {d.name: d for d in figures_of(StudyView(changed(study, recovery=none)))}
    assert "(none for SBP, cuff: no value in the task)" in drawn["recovery"].caption


def test_windows_inside_a_phase_with_speech_carry_the_caution(study: StudyResult) -> None:
    windows = study.tables["windows"]
    windows = windows.assign(speech=windows["window"] == "speech")
    inside = windows[windows["window"] == "speech"].assign(
        window="laugh", kind="interaction", phase="speech", speech=False, duration=45.0
    )
    scores = study.tables["reactivity"]
    more = scores[scores["window"] == "speech"].assign(window="laugh", kind="interaction")
    view = StudyView(
        replace(
            changed(
                study,
                windows=pd.concat([windows, inside], ignore_index=True),
                reactivity=pd.concat([scores, more], ignore_index=True),
            ),
            config={**study.config, "task_windows": ["preparation", "speech", "laugh"]},
        )
    )
    assert view.is_doubtful("HRV_LnHF", "laugh")
    assert not view.is_doubtful("HRV_LnHF", "preparation")
    assert not view.is_doubtful("HRV_RMSSD", "laugh")


def test_the_ratings_figure_says_what_it_leaves_out(study: StudyResult) -> None:
    caption = next(d.caption for d in figures_of(StudyView(study)) if d.name == "ratings")
    assert "the first 4 of 4 ratings and the first 3 of 5 outcomes" in caption
    assert "associations.csv" in caption


def test_a_difference_lost_to_holm_is_not_called_no_evidence(study: StudyResult) -> None:
    table = study.tables["statistics"].copy()
    rows = table["kind"] == "contrast"
    values = {"estimate": -14.6, "ci_low": -26.2, "ci_high": -3.0, "p": 0.017, "p_holm": 0.051}
    for name, value in values.items():
        table.loc[rows, name] = value
    said = " ".join(answer(StudyView(changed(study, statistics=table))))
    assert "do not survive Holm's correction" in said
    assert "no evidence" not in said
    table.loc[rows, "ci_high"], table.loc[rows, "p"] = 3.0, 0.2
    table.loc[rows, "p_holm"] = 0.6
    said = " ".join(answer(StudyView(changed(study, statistics=table))))
    assert "there was no evidence of a difference" in said
    assert "survive" not in said


def test_dyads_are_counted(study: StudyResult) -> None:
    people = study.tables["participants"].copy()
    flow = study.tables["flow"]
    used = set(flow.loc[flow["status"] == "analysed", "participant"])
    order = sorted(people["id"], key=lambda name: name not in used)
    dyads = dict(zip(order[:4], ["d1", "d1", "d2", "d2"], strict=True)) | {order[4]: "d3"}
    people["dyad"] = people["id"].map(dyads)
    text = study_methods(changed(study, participants=people))
    assert f"They formed 2 dyads; {len(people) - 4} were without partner" in text
    assert "both partners were analysed in all of the dyads." in text
    assert "dyads" not in study_methods(
        changed(study, participants=people.drop(columns="dyad"))
    ).split("### Design")[0]  # fmt: skip


def test_half_recovery_names_the_resolution_of_its_course(study: StudyResult) -> None:
    rows = study.tables["recovery"].assign(task_window="speech", half_recovery_s=40.0)
    text = study_methods(changed(study, recovery=rows))
    # The made courses hold cuff readings some 90 s apart and pieces of one minute.
    assert "by linear interpolation between 60-s means and between readings median 90 s" in text


def test_the_share_below_which_variability_is_cautioned_is_that_of_processing() -> None:
    assert FULL_SHARE == tidy._FULL_SHARE
