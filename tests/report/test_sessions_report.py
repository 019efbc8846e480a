"""The front page over several sessions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from physio_hqc import process_session
from physio_hqc.errors import OutputError
from physio_hqc.pipeline import SessionResult
from physio_hqc.report import write_sessions_report
from physio_hqc.report._features import HEADLINES
from physio_hqc.report.figures import conditions_figure
from physio_hqc.simulate import simulate_study


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[SessionResult]:
    folder = tmp_path_factory.mktemp("study")
    study = simulate_study(folder, 2, seed=4, time_scale=0.1, streams=("cuff",), jobs=1)
    return [process_session(s.path, out_dir=folder / "derivatives") for s in study.sessions]


def test_the_table_holds_means_of_the_sessions_and_links_to_each(
    results: list[SessionResult], tmp_path: Path
) -> None:
    page = write_sessions_report(results, results[0].out_dir.parent / "report.html")
    tables = pd.read_html(page)
    means = tables[0].set_index("Condition")
    scores = pd.concat([result.tables["reactivity"] for result in results])
    chosen = scores[(scores["window"] == "speech") & (scores["feature"] == "CUFF_SBP_Mean")]
    for condition, rows in chosen.groupby("condition"):
        shown = means.filter(like="SBP cuff").loc[condition].iloc[0]
        value = float(shown.partition("±")[0].replace("−", "-"))
        assert value == pytest.approx(rows["delta"].mean(), abs=0.051)
        assert means.loc[condition, "n"] == 2
    assert len(tables[-1]) == 6
    text = page.read_text(encoding="utf-8")
    for result in results:
        assert f'href="{result.name}/report.html"' in text


def test_the_same_sessions_give_the_same_page(results: list[SessionResult], tmp_path: Path) -> None:
    pages = [write_sessions_report(results, tmp_path / name) for name in ("a.html", "b.html")]
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_hostile_ids_are_escaped(results: list[SessionResult], tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    given = results[0]
    facts = {**given.provenance["input"], "participant": evil, "condition": evil}
    tables = given.tables | {"reactivity": given.tables["reactivity"].assign(condition=evil)}
    hostile = replace(given, provenance={**given.provenance, "input": facts}, tables=tables)
    page = write_sessions_report([hostile], tmp_path / "r.html")
    assert evil not in page.read_text(encoding="utf-8")


def test_the_figure_shows_every_session(results: list[SessionResult]) -> None:
    scores = pd.concat([result.tables["reactivity"] for result in results])
    scores = scores[scores["kind"] == "phase"]
    headline = next(h for h in HEADLINES if h.feature == "CUFF_SBP_Mean")
    figure = conditions_figure(scores, [headline])
    drawn = np.concatenate([line.get_ydata() for line in figure.axes[0].lines[:3]])
    expected = scores.loc[scores["feature"] == "CUFF_SBP_Mean", "delta"].dropna()
    np.testing.assert_allclose(np.sort(drawn), np.sort(expected))
    assert conditions_figure(scores.iloc[:0], [headline]) is None


def test_a_folder_that_cannot_be_made_is_one_clear_error(
    results: list[SessionResult], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        write_sessions_report(results, tmp_path / "file" / "report.html")
