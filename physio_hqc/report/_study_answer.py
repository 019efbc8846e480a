"""The answer to the design's question, in words that claim no more than the numbers do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from physio_hqc.report._format import listed, plural
from physio_hqc.report._study_words import (
    alike,
    coefficient,
    contrast_name,
    effect,
    estimate,
    interval,
    outcome_words,
    p_value,
    short_note,
    short_notes,
)

if TYPE_CHECKING:
    from physio_hqc.report._study_view import StudyView

HOW_TO_READ = (
    "Differences are between conditions as they were formed. They speak for an effect of the "
    "condition only as far as participants were assigned to conditions at random, which these "
    "tables do not record. “No evidence of a difference” is not evidence that there is none: the "
    "confidence interval shows which differences the data are compatible with. Intervals are not "
    "corrected for multiplicity; p values are, after Holm, over the contrasts of one outcome, "
    "window and analysis."
)


def primary_rows(facts: StudyView, outcome: str) -> pd.DataFrame:
    """Contrasts of the one analysis of an outcome that answers (`StudyView.contrasts`)."""
    rows = facts.contrasts[facts.contrasts["outcome"] == outcome]
    return rows[rows["estimate"].notna() & rows["p"].notna() & rows["main"]]


def main_window(facts: StudyView, rows: pd.DataFrame) -> str:
    """Window that the answer is about: the task itself, else the first that was tested."""
    windows = facts.table("windows")
    tasks = set(windows.loc[windows["role"] == "task", "window"])
    tested = list(dict.fromkeys(rows["window"]))
    chosen = str(facts.setting("primary_window", ""))
    if chosen in tested:
        return chosen
    ordered = [name for name in facts.task_windows if name in tested] or tested
    return next((name for name in ordered if name in tasks), ordered[0])


def answer(facts: StudyView) -> list[str]:
    """Say what was found for the primary outcome: one or two sentences, as plain text.

    Returns
    -------
    list of str
        Sentences in order; one that says what is missing where there is no estimate.
    """
    outcome = next((name for name in facts.outcomes if len(primary_rows(facts, name))), None)
    if outcome is None:
        return [_nothing(facts)]
    rows = primary_rows(facts, outcome)
    window = main_window(facts, rows)
    rows = rows[rows["window"] == window]
    said = [
        _instead(facts, outcome, window),
        _differences(facts, outcome, window, rows),
        _untested(facts, outcome, window, rows),
        _other_way(facts, outcome, window, rows.iloc[0]),
        _detectable(facts, outcome, window, rows),
    ]
    return [sentence for sentence in said if sentence]


def _nothing(facts: StudyView) -> str:
    rows = facts.contrasts
    found = short_notes(rows["note"])
    why = f" ({found})" if found else ""
    could = "tested" if rows["estimate"].notna().any() else "estimated"
    return f"The planned contrasts could not be {could}{why}; nothing is concluded here."


def _instead(facts: StudyView, outcome: str, window: str) -> str:
    """Say that the answer is not about the primary outcome or window, and why."""
    planned = str(facts.setting("primary_window", "") or window)
    first = facts.outcomes[0] if facts.outcomes else outcome
    rows = facts.contrasts[facts.contrasts["outcome"] == first]
    if first == outcome and planned == window:
        return ""
    about = f"{outcome_words(first)}{f' during {planned}' if first == outcome else ''}"
    rows = rows[rows["window"] == planned] if first == outcome else rows
    why = _reason(rows)
    this = window if first == outcome else outcome_words(outcome)
    return (
        f"The contrasts of {about} could not be estimated{f' ({why})' if why else ''}; this is "
        f"about {this} instead."
    )


def _reason(rows: pd.DataFrame) -> str:
    """The first reason that rows without a test give."""
    notes = rows.loc[rows["estimate"].isna() | rows["p"].isna(), "note"]
    return next((short_note(note) for note in notes if note), "")


def _untested(facts: StudyView, outcome: str, window: str, tested: pd.DataFrame) -> str:
    """Name the planned contrasts that have no test, and why."""
    rows = _of(facts, outcome, window)
    rows = rows[~rows["term"].isin(set(tested["term"]))].drop_duplicates("term", keep="first")
    by_reason: dict[str, list[str]] = {}
    for row in rows.itertuples():
        by_reason.setdefault(short_note(row.note), []).append(contrast_name(row.term, 120))
    parts = [
        f"{listed(terms)} could not be tested{f': {why}' if why else ''}"
        for why, terms in by_reason.items()
    ]
    return f"{'; '.join(parts)}." if parts else ""


def _of(facts: StudyView, outcome: str, window: str) -> pd.DataFrame:
    """Contrasts of an outcome in a window, those of the analysis that answers first."""
    rows = facts.contrasts
    rows = rows[(rows["outcome"] == outcome) & (rows["window"] == window)]
    return rows.sort_values("main", ascending=False, kind="stable")


def _other_way(facts: StudyView, outcome: str, window: str, shown: pd.Series) -> str:
    """Say that the planned analysis or its planned errors were not available, and why."""
    rows = _of(facts, outcome, window)
    planned = rows[rows["primary"]]
    planned = planned[planned["analysis"] == facts.first_analysis]
    if bool(shown["primary"]) and shown["analysis"] == facts.first_analysis:
        return ""
    if not len(planned):
        return ""
    why = _reason(planned)
    because = f" ({why})" if why else ""
    if shown["analysis"] != facts.first_analysis:
        way = {"delta": "changes from baseline are compared"}.get(
            shown["analysis"], f"the {shown['analysis']} is shown"
        )
        return f"The planned {facts.first_analysis} could not be fitted{because}; {way} instead."
    errors = planned["errors"].iloc[0]
    return (
        f"The planned {errors} errors were not available{because}; {shown['errors']} ones are "
        "shown."
    )


def _differences(facts: StudyView, outcome: str, window: str, rows: pd.DataFrame) -> str:
    unit = facts.unit(outcome)
    name = outcome_words(outcome)
    found = [row for row in rows.itertuples() if _is_evidence(facts, row)]
    lost = [row for row in rows.itertuples() if _is_lost_to_holm(facts, row)]
    none = [row for row in rows.itertuples() if not _is_evidence(facts, row)]
    other = [row for row in none if not _is_lost_to_holm(facts, row)]
    start = f"{_adjusted(facts, rows.iloc[0])}, "
    parts = []
    if found:
        parts.append(
            f"{name} during {window} was "
            + listed([_difference(facts, row, unit) for row in found])
        )
    if lost:
        words = [_no_evidence(facts, row, unit) for row in lost]
        about = "" if found else f" in {name} during {window}"
        verb = "difference{} {} does" if len(lost) == 1 else "differences{} {} do"
        said = verb.format(about, listed(words))
        parts.append(f"the {said} not survive Holm's correction")
    if other:
        words = [_no_evidence(facts, row, unit) for row in other]
        about = "" if found or lost else f" in {name} during {window}"
        parts.append(f"there was no evidence of a difference{about} {_either(words)}")
    return f"{start}{'; '.join(parts)}."


def _either(words: list[str]) -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _is_evidence(facts: StudyView, row: Any) -> bool:
    p = row.p_holm if math.isfinite(row.p_holm) else row.p
    return bool(p < facts.alpha)


def _is_lost_to_holm(facts: StudyView, row: Any) -> bool:
    """Whether the interval leaves out zero, yet the corrected p does not reject."""
    if _is_evidence(facts, row) or not math.isfinite(row.p_holm):
        return False
    return bool(row.p < facts.alpha and (row.ci_low > 0 or row.ci_high < 0))


def _adjusted(facts: StudyView, row: pd.Series) -> str:
    """What the differences are adjusted for, taken from the model that was fitted."""
    table = facts.table("statistics")
    same = (
        (table["outcome"] == row["outcome"])
        & (table["window"] == row["window"])
        & (table["analysis"] == row["analysis"])
        & (table["errors"] == row["errors"])
        & (table["kind"] == "covariate")
    )
    terms = list(dict.fromkeys(term.partition(":")[0] for term in table.loc[same, "term"]))
    errors = "" if row["errors"] in ("", "classical") else f", {_errors(row['errors'])}"
    way = {"delta": "comparison of changes from baseline"}.get(row["analysis"], row["analysis"])
    if not terms:
        return f"Compared between conditions ({way}{errors})"
    return f"Adjusted for {listed(terms)} ({way}{errors})"


def _errors(errors: str) -> str:
    return "robust standard errors" if errors == "robust" else errors


def _pair(facts: StudyView, term: str) -> tuple[str, str] | None:
    """Conditions of a contrast ``a - b``; None if it is of another form."""
    for first in facts.conditions:
        for second in facts.conditions:
            if term == f"{first} - {second}":
                return first, second
    left, sign, right = term.partition(" - ")
    return (left, right) if sign and " - " not in right else None


def _size(row: Any, unit: str, *, sign: bool = True) -> str:
    """A difference with its unit and the decimals of its interval; without sign its size."""
    value, ends = row.estimate, (row.ci_low, row.ci_high)
    text = estimate(value if sign else abs(value), *ends, unit, sign=sign)
    return text if unit in ("", "1", "nan") else f"{text} {unit}"


def _numbers(facts: StudyView, row: Any, unit: str, *, with_estimate: bool = False) -> str:
    parts = [_size(row, unit)] if with_estimate else []
    if math.isfinite(row.ci_low) and math.isfinite(row.ci_high):
        parts.append(f"{facts.level} CI {interval(row.ci_low, row.ci_high, unit)}")
    corrected = math.isfinite(row.p_holm)
    p = p_value(row.p_holm if corrected else row.p, name=True, alpha=facts.alpha)
    parts.append(p.replace("p ", "p (Holm) ", 1) if corrected else p)
    if math.isfinite(row.hedges_g):
        parts.append(f"Hedges g = {effect(row.hedges_g)}")
    return ", ".join(parts)


def _difference(facts: StudyView, row: Any, unit: str) -> str:
    pair = _pair(facts, row.term)
    numbers = _numbers(facts, row, unit)
    if pair is None:
        return f"different by {_size(row, unit)} for {row.term} ({numbers})"
    way = "higher" if row.estimate > 0 else "lower"
    size = _size(row, unit, sign=False)
    return f"{size} {way} in the {pair[0]} than in the {pair[1]} condition ({numbers})"


def _no_evidence(facts: StudyView, row: Any, unit: str) -> str:
    pair = _pair(facts, row.term)
    words = f"between {pair[0]} and {pair[1]}" if pair else f"for {row.term}"
    return f"{words} ({_numbers(facts, row, unit, with_estimate=True)})"


def _detectable(facts: StudyView, outcome: str, window: str, rows: pd.DataFrame) -> str:
    """Say what the study could have seen, from the table of power."""
    table = facts.table("power")
    table = table[
        (table["outcome"] == outcome)
        & (table["window"] == window)
        & table["term"].isin(set(rows["term"]))
        & table["smallest_effect"].notna()
    ]
    n = rows["n"].max()
    groups = next((text for text in rows["n_by_condition"] if text), "")
    people = plural(int(n), "participant") if math.isfinite(n) else ""
    said = f"With {people} ({groups})" if groups else f"With {people}"
    start = said if people else "With these data"
    if not len(table):
        return f"{start}, the smallest detectable difference was not computed."
    # One row per level: the uncorrected one is said here, the others stand in the table.
    table = table[table["alpha"].isna() | (table["alpha"] == table["alpha"].max())]
    unit = facts.unit(outcome)
    low, high = table["smallest_effect"].min(), table["smallest_effect"].max()
    small, large = alike((low, high), unit)
    size = large if small == large else f"{small} to {large}"
    size = size if unit in ("", "1", "nan") else f"{size} {unit}"
    g_low, g_high = effect(table["smallest_g"].min()), effect(table["smallest_g"].max())
    g = f"g = {g_low}" if g_low == g_high else f"g = {g_low} to {g_high}"
    power = table["power"].iloc[0]
    alpha = table["alpha"].iloc[0]
    at = f"{100 * power:.0f} % power" if math.isfinite(power) else "the chosen power"
    level = f" (two-sided α = {coefficient(alpha, 3).rstrip('0')} per contrast)"
    level = level if alpha > 0 else ""
    return (
        f"{start}, the smallest difference that would be detected with {at}{level} is {size} ({g})."
    )
