"""Every figure of a study, with its file name, title and caption."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from physio_hqc.report import figures
from physio_hqc.report._format import listed, plural
from physio_hqc.report._study_answer import main_window
from physio_hqc.report._study_courses import course_means, means, shared_phases, with_change
from physio_hqc.report._study_words import outcome_name
from physio_hqc.report.figures.study_courses import MAX_PANELS
from physio_hqc.report.figures.study_ratings import MAX_OUTCOMES
from physio_hqc.report.figures.study_ratings import MAX_PANELS as MAX_RATING_PANELS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from physio_hqc.report._study_view import StudyView

_MANY_CONTRASTS = 10
_DAGGER = " † Participants spoke: no measure of vagal activity without a check of respiration."
_BAND = "means with 95 % confidence {} (t, each condition on its own, not adjusted)"


@dataclass(frozen=True, eq=False)
class Drawn:
    """A figure of the study: the section it belongs to, its file name, title and caption."""

    section: str
    name: str
    title: str
    caption: str
    figure: Figure


def figures_of(facts: StudyView) -> list[Drawn]:
    """Draw what the study has data for, in the order of the report."""
    made: list[Drawn] = []
    for part in (_flow, _quality, _courses, _reactivity, _forest, _recovery, _proxy, _ratings,
                 _sensitivity):  # fmt: skip
        made.extend(part(facts))
    return made


def _pages(names: list[str], most: int) -> list[list[str]]:
    return [names[k : k + most] for k in range(0, len(names), most)]


def _numbered(name: str, k: int, pages: int) -> str:
    return name if pages < 2 else f"{name}_{k + 1}"


def _flow(facts: StudyView) -> Iterator[Drawn]:
    figure = figures.flow_figure(facts.table("participants"), facts.table("flow"), facts.looks)
    if figure is not None:
        caption = "Participants from the table of participants to the analysis, by condition."
        yield Drawn("Participants", "participants_flow", "Participant flow", caption, figure)


def _quality(facts: StudyView) -> Iterator[Drawn]:
    figure = figures.study_quality_figure(facts.table("quality"))
    if figure is not None:
        caption = "Sessions by quality, per stream and phase; the number is the count of sessions."
        yield Drawn("Quality", "quality", "Quality by stream and phase", caption, figure)


def _courses(facts: StudyView) -> Iterator[Drawn]:
    courses = facts.table("courses")
    analysed = facts.analysed
    if analysed is not None:
        courses = courses[courses["session"].isin(analysed)]
    courses = courses[~(courses["quality"] < float(facts.setting("quality_min", 0.0)))]
    phases = shared_phases(facts.table("windows"))
    courses = with_change(courses[courses["feature"].isin(facts.outcomes)],
                          facts.table("reactivity"))  # fmt: skip
    shown = [name for name in facts.outcomes if name in set(courses["feature"])]
    pages = _pages(shown, MAX_PANELS)
    for value, word in (("change", "change from baseline"), ("value", "level")):
        table = course_means(courses, phases, value)
        for k, names in enumerate(pages):
            figure = figures.courses_figure(
                table, phases, names, facts.looks, facts.units, change=value == "change"
            )
            if figure is None:
                continue
            caption = (
                f"{word.capitalize()} over the session: {_BAND.format('bands')}. Each phase "
                "stands where it stands in the median session; phases are shaded and named. Lines "
                "break where a phase has no point, or points lie more than three times their usual "
                f"distance apart.{_without_points(table, phases, names)}"
            )
            name = _numbered(f"course_{'change' if value == 'change' else 'level'}", k, len(pages))
            yield Drawn("Time course", name, f"Time course, {word}", caption, figure)


def _without_points(table: pd.DataFrame, phases: pd.DataFrame, names: list[str]) -> str:
    """Name the phases in which a measure has no point."""
    by_phases: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        has = set(table.loc[table["feature"] == name, "window"])
        left = tuple(str(window) for window in phases["window"] if window not in has)
        if left and has:
            by_phases.setdefault(left, []).append(outcome_name(name))
    if not by_phases:
        return ""
    said = "; ".join(
        f"{listed(measures)} in {listed(list(left))}" for left, measures in by_phases.items()
    )
    return (
        " A measure has no points in a phase without readings, or whose pieces are shorter than "
        f"the measure needs: {said}."
    )


def score_means(facts: StudyView) -> pd.DataFrame:
    """Mean change with its interval, by outcome, window and condition."""
    once = facts.scores.groupby(["feature", "window", "condition", "session"], sort=False)
    return means(once["delta"].mean().reset_index(), ["feature", "window", "condition"], "delta")


def _reactivity(facts: StudyView) -> Iterator[Drawn]:
    summary = score_means(facts)
    scores = facts.scores
    outcomes = [name for name in facts.outcomes if name in set(scores["feature"])]
    windows = [name for name in facts.task_windows if name in set(scores["window"])]
    pages = figures.reactivity_pages(outcomes, windows, scores["condition"].nunique())
    empty = [name for name in facts.task_windows if name not in windows]
    aside = f" No participant has a change score in {listed(empty)}." if empty else ""
    for k, (names, places) in enumerate(pages):
        doubtful = _doubtful(facts, names, places)
        figure = figures.study_reactivity_figure(
            scores[scores["window"].isin(places)], summary, names, places, facts.looks,
            facts.units, doubtful,
        )  # fmt: skip
        if figure is None:
            continue
        caption = (
            "Change from baseline in the task windows: every participant is a point; beside the "
            f"points {_BAND.format('intervals')}.{aside}{_DAGGER if doubtful else ''}"
        )
        name = _numbered("reactivity", k, len(pages))
        yield Drawn("Reactivity", name, "Reactivity by condition", caption, figure)


def _doubtful(facts: StudyView, outcomes: list[str], windows: list[str]) -> set[tuple[str, str]]:
    """Outcomes and windows that carry the caution on speech."""
    return {(o, w) for o in outcomes for w in windows if facts.is_doubtful(o, w)}


def _forest(facts: StudyView) -> Iterator[Drawn]:
    rows = _shown_analyses(facts.contrasts)
    names = [name for name in facts.outcomes if name in set(rows["outcome"])]
    pages = figures.forest_pages(rows, names)
    for k, page in enumerate(pages):
        doubtful = {group for group in page if facts.is_doubtful(*group)}
        figure = figures.forest_figure(rows, page, facts.units, facts.level, doubtful)
        if figure is None:
            continue
        caption = (
            "Planned contrasts: difference in the unit of the outcome (left) and Hedges g (right), "
            f"each with its {facts.level} confidence interval (not corrected for multiplicity); p "
            "after Holm. Bold: the analysis that answers. Filled marks: robust standard errors; "
            "open marks: classical. The table below has every analysis."
            f"{_DAGGER if doubtful else ''}"
        )
        name = _numbered("contrasts", k, len(pages))
        yield Drawn("Contrasts", name, "Planned contrasts", caption, figure)


def _shown_analyses(contrasts: pd.DataFrame) -> pd.DataFrame:
    """The analysis that answers with every kind of errors, and the mixed model beside it.

    With very many contrasts the analysis that answers stands alone, so that a page holds it.
    """
    if contrasts["term"].nunique() > _MANY_CONTRASTS:
        return contrasts[contrasts["main"]]
    main = contrasts.loc[contrasts["main"], "analysis"].unique()
    beside = (contrasts["analysis"] == "mixed model") & contrasts["primary"]
    return contrasts[contrasts["analysis"].isin(main) | beside]


def recovery_means(facts: StudyView) -> pd.DataFrame:
    """Mean change over the recovery phase, and the mean change in the task before it."""
    courses = facts.table("courses")
    if facts.analysed is not None:
        courses = courses[courses["session"].isin(facts.analysed)]
    courses = courses[
        (courses["role"] == "recovery")
        & courses["feature"].isin(facts.outcomes)
        & ~(courses["quality"] < float(facts.setting("quality_min", 0.0)))
    ]
    courses = with_change(courses, facts.table("reactivity"))
    phases = shared_phases(facts.table("windows"))
    phases = phases[phases["window"].isin(set(courses["window"]))].head(1).assign(onset=0.0)
    table = course_means(courses, phases, "change")
    recovery = facts.table("recovery")
    recovery = recovery[recovery["window"].isin(set(phases["window"]))]
    tasks = means(recovery, ["feature", "condition"], "reactivity").assign(time_s=float("nan"))
    return pd.concat([table, tasks], ignore_index=True) if len(tasks) else table


def _recovery(facts: StudyView) -> Iterator[Drawn]:
    table = recovery_means(facts)
    pages = _pages([name for name in facts.outcomes if name in set(table["feature"])], MAX_PANELS)
    for k, names in enumerate(pages):
        figure = figures.recovery_figure(table, names, facts.looks, facts.units)
        if figure is None:
            continue
        caption = (
            f"Return to baseline (the line at zero): {_BAND.format('bands')}; at the left, open "
            f"marks, the change during the task{_without_task(table, names)}."
        )
        name = _numbered("recovery", k, len(pages))
        yield Drawn("Recovery", name, "Recovery by condition", caption, figure)


def _without_task(table: pd.DataFrame, names: list[str]) -> str:
    """Name the measures that have no value of the task before recovery."""
    known = set(table.loc[table["time_s"].isna() & table["mean"].notna(), "feature"])
    left = [outcome_name(name) for name in names if name not in known]
    return f" (none for {listed(left)}: no value in the task)" if left else ""


def _proxy(facts: StudyView) -> Iterator[Drawn]:
    table = facts.proxies
    figure = figures.proxy_figure(table, facts.looks)
    if figure is not None:
        labels = listed([str(label) for label in dict.fromkeys(table["label"]) if label][:3])
        caption = (
            f"{labels}: indicators at risk per participant, by condition, and how often each "
            "indicator is at risk among those who have it. Beside the points means with 95 % "
            "confidence intervals, cut at zero. It is a proxy from what a session measures."
        )
        yield Drawn("Allostatic-load proxy", "allostatic_load_proxy", "Allostatic-load proxy",
                    caption, figure)  # fmt: skip


def _ratings(facts: StudyView) -> Iterator[Drawn]:
    tested = facts.contrasts if len(facts.contrasts) else facts.scores
    window = main_window(facts, tested) if len(tested) else ""
    scores = facts.scores_within(window) if window else facts.scores
    pairs = figures.rating_pairs(scores, facts.table("ratings"), window)
    figure = figures.ratings_figure(pairs, facts.outcomes, facts.looks, facts.units)
    if figure is not None:
        caption = (
            f"Ratings against change from baseline ({window}, and interaction windows in it): "
            "every participant and window is a point; one least-squares line per condition. r is "
            "the correlation within conditions (condition means taken out); it describes, the "
            f"table of associations tests.{_not_all(facts, pairs)}"
        )
        yield Drawn("Ratings", "ratings", "Ratings against reactivity", caption, figure)


def _not_all(facts: StudyView, pairs: pd.DataFrame) -> str:
    """Say how many ratings and outcomes there are, where not all are drawn."""
    known = set(pairs["feature"])
    outcomes = sum(name in known for name in facts.outcomes)
    ratings = pairs["rating"].nunique()
    shown = min(outcomes, MAX_OUTCOMES)
    drawn = min(ratings, MAX_RATING_PANELS // max(shown, 1))
    if shown == outcomes and drawn == ratings:
        return ""
    return (
        f" Drawn are the first {drawn} of {plural(ratings, 'rating')} and the first {shown} of "
        f"{plural(outcomes, 'outcome')}; all are in associations.csv."
    )


def _sensitivity(facts: StudyView) -> Iterator[Drawn]:
    figure = figures.sensitivity_figure(facts.table("sensitivity"), facts.outcomes, facts.units)
    if figure is not None:
        caption = (
            f"The primary outcome's contrasts under other choices: estimate with {facts.level} "
            "confidence interval; filled: the first variant of the table."
        )
        yield Drawn("Sensitivity", "sensitivity", "Sensitivity of the contrasts", caption, figure)
