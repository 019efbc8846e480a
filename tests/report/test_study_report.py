"""The page of a study: the answer, every section, nothing hostile, the same twice."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from physio_hqc import process_session, process_study
from physio_hqc.errors import OutputError
from physio_hqc.report import write_study_report
from physio_hqc.report._study_answer import answer
from physio_hqc.report._study_figures import score_means
from physio_hqc.report._study_tables import assumptions_table, contrast_table
from physio_hqc.report._study_view import StudyView
from physio_hqc.simulate import simulate_study
from physio_hqc.study import StudyResult

SECTIONS = (
    "Answer",
    "Participants",
    "Quality",
    "Time course",
    "Reactivity",
    "Contrasts",
    "Recovery",
    "Allostatic-load proxy",
    "Ratings",
    "Assumptions",
    "Sensitivity",
    "Power",
    "All statistics",
    "Tables and settings",
)


@pytest.fixture(scope="module")
def study(study_made: ModuleType) -> StudyResult:
    return study_made.make_study()


@pytest.fixture(scope="module")
def page(study: StudyResult, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = write_study_report(study, tmp_path_factory.mktemp("page") / "deep" / "report.html")
    return path.read_text(encoding="utf-8")


def plain(html: str) -> str:
    """Text of a page without scripts and tags."""
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", bare))


def with_contrasts(study: StudyResult, **columns: object) -> StudyResult:
    """Return a study whose contrasts have these values."""
    table = study.tables["statistics"].copy()
    rows = table["kind"] == "contrast"
    for name, value in columns.items():
        table.loc[rows, name] = value
    return replace(study, tables={**study.tables, "statistics": table})


def test_every_section_is_there_in_order(page: str) -> None:
    places = [page.find(f'href="#{name.replace(" ", "_")}') for name in SECTIONS]
    if -1 in places:
        places = [plain(page).find(f" {name} ") for name in SECTIONS]
    assert -1 not in places
    assert places == sorted(places)


def test_the_page_loads_nothing_from_elsewhere(page: str) -> None:
    loads = re.findall(r'<(?:script|img|link|iframe)\b[^>]*?(?:src|href)="(?!data:)([^"]*)"', page)
    assert [source for source in loads if source.startswith(("http", "//"))] == []


def test_the_answer_says_the_numbers_of_the_table(study: StudyResult) -> None:
    said = " ".join(answer(StudyView(study)))
    rows = study.tables["statistics"]
    rows = rows[(rows["kind"] == "contrast") & rows["primary"] & (rows["window"] == "speech")]
    rows = rows[rows["analysis"] == "ANCOVA"]
    row = rows[(rows["outcome"] == "CUFF_SBP_Mean") & (rows["term"] == "support - nonsupport")]
    row = row.iloc[0]
    assert row["estimate"] < 0
    assert f"{abs(row['estimate']):.1f} mmHg lower in the support than in the nonsupport" in said
    low, high = (f"{row[name]:.1f}".replace("-", "−") for name in ("ci_low", "ci_high"))
    assert f"95 % CI [{low}, {high}]" in said
    assert f"Hedges g = {row['hedges_g']:.2f}".replace("-", "−") in said
    assert said.startswith("Adjusted for baseline and sex (ANCOVA, robust standard errors), ")
    assert "smallest difference that would be detected with 80 % power" in said


def test_no_difference_is_never_claimed(study: StudyResult) -> None:
    same = with_contrasts(study, p=0.6, p_holm=0.9)
    said = " ".join(answer(StudyView(same)))
    assert "there was no evidence of a difference in systolic blood pressure (cuff)" in said
    assert "p (Holm) = .900" in said
    for word in ("no effect", "prove", "caused", "significant"):
        assert word not in said.lower()


def test_the_level_of_the_intervals_follows_alpha(study: StudyResult) -> None:
    strict = replace(study, config={**study.config, "alpha": 0.01})
    assert "99 % CI [" in " ".join(answer(StudyView(strict)))


def test_the_primary_outcome_and_window_are_those_of_the_settings(study: StudyResult) -> None:
    other = {**study.config, "primary_outcome": "HRV_RMSSD", "primary_window": "preparation"}
    said = " ".join(answer(StudyView(replace(study, config=other))))
    assert "RMSSD during preparation" in said


def test_the_analysis_that_answers_is_the_ancova(study: StudyResult) -> None:
    table = study.tables["statistics"]
    assert set(table.loc[table["primary"], "analysis"]) == {"ANCOVA", "mixed model"}
    rows = StudyView(study).contrasts
    main = rows[rows["main"]]
    assert set(main["analysis"]) == {"ANCOVA"}
    assert set(main["errors"]) == {"robust"}
    assert not main.duplicated(["outcome", "window", "term"]).any()


def test_nothing_estimated_is_said_with_its_reason(study: StudyResult) -> None:
    none = with_contrasts(study, estimate=np.nan, note="one participant in a condition")
    said = " ".join(answer(StudyView(none)))
    assert "could not be estimated (one participant in a condition)" in said


def changed_rows(study: StudyResult, rows: str, **columns: object) -> StudyResult:
    """Return a study in which the statistics that a query names have these values."""
    table = study.tables["statistics"].copy()
    hit = table.query(rows).index
    assert len(hit)
    for name, value in columns.items():
        table.loc[hit, name] = value
    return replace(study, tables={**study.tables, "statistics": table})


MISSING = "not tested: support has 0 participants, needs 2; left out: 30 without a value"
OF_SUPPORT = "outcome == 'CUFF_SBP_Mean' and window == 'speech' and term.str.contains('support - ')"


def test_a_planned_contrast_without_test_is_named_with_its_reason(study: StudyResult) -> None:
    lost = changed_rows(
        study, OF_SUPPORT, estimate=np.nan, p=np.nan, p_holm=np.nan, note=MISSING
    )  # fmt: skip
    said = answer(StudyView(lost))
    gone = "support − nonsupport could not be tested: support has 0 participants, needs 2."
    assert gone in said
    assert "between support and nonsupport" not in " ".join(said)
    assert not any("could not be tested" in sentence for sentence in answer(StudyView(study)))


def test_no_evidence_is_not_said_without_a_test(study: StudyResult) -> None:
    untested = changed_rows(study, OF_SUPPORT, p=np.nan, p_holm=np.nan, note="")
    said = answer(StudyView(untested))
    assert "support − nonsupport could not be tested." in said
    assert "support and nonsupport (" not in " ".join(said)
    none = with_contrasts(study, p=np.nan, p_holm=np.nan)
    said = " ".join(answer(StudyView(none)))
    assert said == "The planned contrasts could not be tested; nothing is concluded here."


WHY = "a coefficient rests on a single participant: no robust error"
NOTHING = {"estimate": np.nan, "p": np.nan, "p_holm": np.nan, "note": f"not tested: {WHY}"}


def test_errors_other_than_planned_are_said(study: StudyResult) -> None:
    classical = changed_rows(study, "analysis == 'ANCOVA' and errors == 'robust'", **NOTHING)
    said = answer(StudyView(classical))
    assert said[0].startswith("Adjusted for") or said[0].startswith("Compared between conditions")
    assert "robust" not in said[0]
    sentence = f"The planned robust errors were not available ({WHY}); classical ones are shown."
    assert sentence in said
    assert "not available" not in " ".join(answer(StudyView(study)))


def test_an_analysis_other_than_planned_is_said(study: StudyResult) -> None:
    table = study.tables["statistics"]
    changes = table[(table["analysis"] == "ANCOVA") & (table["kind"] == "contrast")]
    table = pd.concat([table, changes.assign(analysis="delta")], ignore_index=True)
    both = replace(study, tables={**study.tables, "statistics": table})
    said = answer(StudyView(changed_rows(both, "analysis == 'ANCOVA'", **NOTHING)))
    assert said[0].startswith("Compared between conditions (comparison of changes from baseline")
    assert (
        f"The planned ANCOVA could not be fitted ({WHY}); changes from baseline are compared "
        "instead."
    ) in said
    alone = changed_rows(study, "analysis == 'ANCOVA'", **NOTHING)
    assert "the mixed model is shown instead." in " ".join(answer(StudyView(alone)))


def test_another_window_than_the_primary_one_is_said(study: StudyResult) -> None:
    lost = changed_rows(study, "outcome == 'CUFF_SBP_Mean' and window == 'speech'", **NOTHING)
    config = {**study.config, "primary_window": "speech", "primary_outcome": "CUFF_SBP_Mean"}
    said = answer(StudyView(replace(lost, config=config)))
    assert said[0] == (
        "The contrasts of systolic blood pressure (cuff) during speech could not be estimated "
        f"({WHY}); this is about preparation instead."
    )
    assert "during preparation" in said[1]


@pytest.mark.parametrize(
    ("p", "alpha", "shown", "found"),
    [
        (0.0497, 0.05, "p (Holm) = .0497", True),
        (0.0503, 0.05, "p (Holm) = .0503", False),
        (0.04997, 0.05, "p (Holm) = .04997", True),
        (0.05, 0.05, "p (Holm) = .050", False),
        (0.0098, 0.01, "p (Holm) = .0098", True),
        (0.012, 0.05, "p (Holm) = .012", True),
    ],
)
def test_the_printed_p_is_on_the_side_of_the_decision(
    study: StudyResult, tmp_path: Path, p: float, alpha: float, shown: str, found: bool
) -> None:
    near = with_contrasts(study, p=p, p_holm=p)
    view = StudyView(replace(near, config={**study.config, "alpha": alpha}))
    said = " ".join(answer(view))
    assert shown in said
    assert ("there was no evidence" in said) is not found
    cells = contrast_table(view, view.contrasts)
    assert shown.removeprefix("p (Holm) = ") in cells


@pytest.mark.parametrize(
    ("low", "estimate", "high", "shown"),
    [
        (0.001, 0.004, 0.007, "0.0040 mmHg higher|[0.0010, 0.0070]"),
        (-0.0072, -0.0041, -0.0013, "0.0041 mmHg lower|[−0.0072, −0.0013]"),
        (0.03, 4.21, 8.39, "4.21 mmHg higher|[0.03, 8.39]"),
        (-12.06, -8.44, -4.8, "8.4 mmHg lower|[−12.1, −4.8]"),
    ],
)
def test_rounding_keeps_the_sign_of_an_interval(
    study: StudyResult, low: float, estimate: float, high: float, shown: str
) -> None:
    small = with_contrasts(
        study, estimate=estimate, ci_low=low, ci_high=high, p=0.01, p_holm=0.02
    )  # fmt: skip
    view = StudyView(small)
    said = " ".join(answer(view))
    for part in shown.split("|"):
        assert part in said
    assert shown.split("|")[1] in contrast_table(view, view.contrasts)


def test_a_check_that_was_not_made_is_not_called_failed(study: StudyResult) -> None:
    rows = study.tables["assumptions"].head(1)
    rows = rows.assign(passed=False, consequence="not checked: no spread of residuals")
    page = assumptions_table(StudyView(replace(study, tables={"assumptions": rows})))
    assert "pq-warn" not in page


def test_dyads_and_two_conditions_are_drawn(study_made: ModuleType, tmp_path: Path) -> None:
    study = study_made.make_study(
        n=6, conditions=("alone", "support"), outcomes=("CUFF_SBP_Mean",)
    )  # fmt: skip
    people = study.tables["participants"]
    people = people.assign(dyad=[f"d{k // 2}" for k in range(len(people))])
    study = replace(study, tables={**study.tables, "participants": people})
    page = write_study_report(study, tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.count("data:image") + page.count("<svg") >= 5
    assert "Ratings" in plain(page)


def test_tables_hold_the_numbers_as_papers_print_them(study: StudyResult, page: str) -> None:
    text = plain(page)
    assert "< .001" in text.replace("&lt;", "<")
    assert re.search(r"\bt\(\d+\) = −?\d+\.\d\d", text)
    assert "F(2, 84) = 4.00" in text
    assert ".83" in text  # Cronbach's alpha without leading zero
    assert not re.search(r"p = 0\.\d", text)
    assert "nan" not in re.findall(r"\bnan\b", text)
    assert "15 % " not in text


def test_lost_participants_and_fits_are_listed(page: str) -> None:
    text = plain(page)
    assert "no session file of this participant" in text
    assert "quality below 0.5 in the speech" in text
    assert re.search(r"Curve fitted", text)
    assert "… points, needs …" in text


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    """A small study on the whole road: simulated sessions, processed and tested."""
    folder = tmp_path_factory.mktemp("real")
    made = simulate_study(folder, 4, seed=2, time_scale=0.1, streams=("cuff",), jobs=1)
    for session in made.sessions:
        process_session(session.path, out_dir=folder / "derivatives")
    return process_study(folder / "derivatives", made.participants_csv)


def test_a_study_on_the_whole_road(real: StudyResult, tmp_path: Path) -> None:
    text = plain(write_study_report(real, tmp_path / "r.html").read_text(encoding="utf-8"))
    rows = real.tables["statistics"]
    rows = rows[(rows["kind"] == "contrast") & rows["primary"] & (rows["analysis"] == "ANCOVA")]
    rows = rows[(rows["outcome"] == "CUFF_SBP_Mean") & (rows["window"] == "speech")]
    assert len(rows) == 3
    for row in rows.itertuples():
        shown = f"[{row.ci_low:.1f}, {row.ci_high:.1f}]".replace("-", "−").replace("−0.0", "0.0")
        assert f"95 % CI {shown}" in text
    view = StudyView(real)
    points = view.scores[
        (view.scores["feature"] == "CUFF_SBP_Mean") & (view.scores["window"] == "speech")
    ]
    assert len(points) == rows["n"].iloc[0] == 12
    told = real.tables["descriptives"]
    told = told[(told["feature"] == "CUFF_SBP_Mean") & (told["window"] == "speech")]
    drawn = score_means(view)
    drawn = drawn[(drawn["feature"] == "CUFF_SBP_Mean") & (drawn["window"] == "speech")]
    both = told.merge(drawn, on="condition", suffixes=("", "_drawn"))
    assert len(both) == 3
    np.testing.assert_allclose(both["mean_drawn"], both["delta_mean"])
    np.testing.assert_allclose(both["low"], both["delta_low"])
    np.testing.assert_allclose(both["high"], both["delta_high"])


def test_the_caution_on_speech_stands_where_it_belongs(
    study_made: ModuleType, page: str, tmp_path: Path
) -> None:
    study = study_made.make_study(n=5, outcomes=("HRV_RMSSD",), ratings=False)
    assert "speech moves breathing" not in plain(page).lower()
    tables = {name: table.replace("HRV_RMSSD", "HRV_LnHF") for name, table in study.tables.items()}
    tables["windows"] = tables["windows"].assign(speech=tables["windows"]["window"] == "speech")
    outcomes = [name.replace("HRV_RMSSD", "HRV_LnHF") for name in study.config["outcomes"]]
    spoken = replace(study, tables=tables, config={**study.config, "outcomes": outcomes})
    text = plain(write_study_report(spoken, tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "speech moves breathing" in text.lower()
    assert "HRV_LnHF · speech†" in text
    assert "HRV_LnHF · preparation†" not in text


def test_hostile_words_are_only_words(study_made: ModuleType, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    study = study_made.make_study(
        n=4, conditions=(evil, "$x_1$"), ids="<img src=x onerror=alert(2)>{:02d}",
        outcomes=("CUFF_SBP_Mean",), config={"title": evil},
    )  # fmt: skip
    statistics = study.tables["statistics"].assign(note=evil, model=evil)
    study = replace(study, tables={**study.tables, "statistics": statistics}, notices=[evil])
    page = write_study_report(study, tmp_path / "r.html").read_text(encoding="utf-8")
    assert evil not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_same_study_gives_the_same_page(study_made: ModuleType, tmp_path: Path) -> None:
    study = study_made.make_study(n=4, outcomes=("CUFF_SBP_Mean",))
    pages = [write_study_report(study, tmp_path / name) for name in ("a.html", "b.html")]
    assert pages[0].read_bytes() == pages[1].read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"ratings": False, "recovery": False, "n": 4, "outcomes": ("CUFF_SBP_Mean",)},
        {"n": 1, "conditions": ("alone", "support"), "outcomes": ("EDA_Tonic_Mean",)},
    ],
    ids=["bare", "one-each"],
)
def test_what_is_missing_is_a_sentence(
    change: dict, study_made: ModuleType, tmp_path: Path
) -> None:
    study = study_made.make_study(**change)
    text = plain(write_study_report(study, tmp_path / "r.html").read_text(encoding="utf-8"))
    assert all(name in text for name in SECTIONS)
    if not change.get("ratings", True):
        assert "The study has no ratings." in text
        assert "no recovery after a task" in text
    if change["n"] == 1:
        assert "could not be estimated" in text


def test_an_empty_study_is_a_page_of_sentences(tmp_path: Path) -> None:
    empty = StudyResult(None, {"statistics": pd.DataFrame()}, {}, {})
    text = plain(write_study_report(empty, tmp_path / "r.html").read_text(encoding="utf-8"))
    for sentence in (
        "The planned contrasts could not be estimated",
        "The study has no participant flow.",
        "The study has no quality table.",
        "The allostatic-load proxy was not computed.",
        "No assumption was checked.",
    ):
        assert sentence in text


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        write_study_report(StudyResult(None, {}, {}, {}), tmp_path / "file" / "a" / "report.html")
