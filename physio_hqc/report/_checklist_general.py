"""Checklists on participants, scores and statistics, and the run record."""

from __future__ import annotations

import numpy as np
import pandas as pd

from physio_hqc.report._checklist import FROM_TABLE, Entry, by_authors, no, not_here, yes
from physio_hqc.report._checklist_signals import planned_instructions
from physio_hqc.report._study_facts import (
    StudyFacts,
    between,
    code,
    count_of,
    finite,
    listed,
    md,
    numbers,
)
from physio_hqc.report._study_text_scores import no_cut_points, recovery_times
from physio_hqc.report._study_text_tests import assumptions_summary, contrast, formulas, made_tests

# ------------------------------------------------------------------------------- participants


def participants(facts: StudyFacts) -> list[Entry]:
    """Who took part, and under what conditions."""
    people, flow = facts.table("participants"), facts.table("flow")
    known = [name for name in people.columns if name not in ("id", "session", "condition", "dyad")]
    planned = planned_instructions(facts)
    return [
        by_authors("Recruitment, compensation, ethics, consent, preregistration (GRAPH 1a, 1b)"),
        by_authors("Clinical group and control group, how illness was assessed (GRAPH 1a, 1b, 1d)"),
        by_authors("Inclusion criteria: health, medication, pregnancy (GRAPH 1c)"),
        yes("Number enrolled and analysed per condition", _numbers(facts, flow)),
        yes("Exclusions with reasons", _exclusions(flow)),
        yes("Age and sex (GRAPH 1e)", _demographics(people)),
        _covariates(known),
        by_authors("Caffeine, alcohol, nicotine, meals, exercise and sleep before the session"),
        by_authors("Assignment to conditions: randomisation, concealment, blinding"),
        yes("Instructions", f"as the protocol planned: {planned}")
        if planned
        else by_authors("Instructions"),
        by_authors("Confederates: training, script, checks that the condition was as meant"),
        by_authors("Room: temperature, noise, experimenters present"),
    ]


def _numbers(facts: StudyFacts, flow: pd.DataFrame) -> str:
    if not {"condition", "status"} <= set(flow.columns):
        return ""
    used = flow[flow["status"] == "analysed"]["condition"].astype(str).value_counts()
    parts = [f"{md(name)} {int(used.get(name, 0))}" for name in facts.conditions]
    return f"analysed: {', '.join(parts)}; enrolled: Methods, Participants" if parts else ""


def _exclusions(flow: pd.DataFrame) -> str:
    if "status" not in flow:
        return ""
    out = flow[~flow["status"].isin(["analysed", "not in the table"])]
    return f"{count_of(len(out), 'participant')}; Methods, Participants" if len(out) else "none"


def _demographics(people: pd.DataFrame) -> str:
    parts = []
    if "sex" in people and (people["sex"].fillna("").astype(str) != "").any():
        parts.append("sex")
    if "age" in people and len(finite(people["age"])):
        parts.append("age M, SD and range")
    return f"{listed(parts)}: Methods, Participants" if parts else ""


def _covariates(known: list[str]) -> Entry:
    item = "Activity, smoking, body mass and other covariates (GRAPH 1e)"
    more = [name for name in known if name not in ("sex", "age", "exclude")]
    if not more:
        return by_authors(item)
    return yes(item, f"columns of the participants table: {', '.join(code(n) for n in more)}")


# ------------------------------------------------------------------------------- scores


def scores(facts: StudyFacts) -> list[Entry]:
    """Scores and statistics."""
    has_scores = facts.has("reactivity", "delta")
    has_tests = bool(len(made_tests(facts.table("statistics"))))
    why = "no contrast could be tested" if len(facts.table("statistics")) else "no test was made"
    entries = [
        yes("Baseline: definition, length, readings", "Methods: Baseline and reactivity")
        if has_scores
        else not_here("Baseline: definition, length, readings", "no score was computed"),
        yes("Formula of change, percent and residualised change", _formulas(facts))
        if has_scores
        else not_here("Formula of change", "no score was computed"),
        _initial_value(facts),
        yes("Readings or seconds behind each score", "columns of `reactivity.csv`")
        if has_scores
        else not_here("Readings or seconds behind each score", "no score was computed"),
        _recovery(facts),
        _proxy(facts),
        _ratings(facts),
    ]
    return entries + (_tests(facts) if has_tests else [not_here("Statistics", why)])


def _formulas(facts: StudyFacts) -> str:
    parts = ["level − baseline"]
    if facts.has("reactivity", "percent"):
        parts.append("100 × (level − baseline) / baseline")
    if facts.has("reactivity", "residual"):
        parts.append("residual of level on baseline over the sample")
    return "; ".join(parts)


def _initial_value(facts: StudyFacts) -> Entry:
    rows = facts.table("assumptions")
    item = "Relation of change to the baseline"
    if "check" not in rows:
        return no(item, "not computed")
    found = rows[rows["check"] == "baseline-change correlation"]
    r = finite(found["value"]) if len(found) else np.array([])
    if not len(r):
        r = finite(found["statistic"]) if len(found) else r
    if not len(r):
        return no(item, "not computed")
    return yes(item, f"r(baseline, change) = {between(r, '', 2)}, `assumptions.csv`")


def _recovery(facts: StudyFacts) -> Entry:
    item = "Recovery: definition, times, curve and its fit"
    if not len(facts.table("recovery")):
        return not_here(item, "no recovery phase was scored")
    times = ", ".join(f"{t:g}" for t in recovery_times(facts))
    return yes(item, f"{f'at {times} s; ' if times else ''}Methods: Recovery")


def _proxy(facts: StudyFacts) -> Entry:
    item = "Allostatic-load proxy: indicators, cut points, missing values"
    if not facts.has("allostatic", "n_components"):
        return not_here(item, "no allostatic-load proxy was computed")
    none = no_cut_points(facts)
    if none:
        return no(item, none)
    labels = list(dict.fromkeys(facts.column("allostatic", "label").astype(str)))
    return yes(item, f"{listed(md(label) for label in labels[:3])}; Methods")


def _ratings(facts: StudyFacts) -> Entry:
    item = "Ratings: scale, wording, scoring, reliability"
    if not len(facts.table("ratings")):
        return not_here(item, "no rating was given")
    alphas = finite(facts.column("reliability", "alpha"))
    said = f"α {between(alphas, '', 2)}; " if len(alphas) else ""
    return yes(item, f"{said}Methods: Ratings. Wording of items: to be given by the authors")


def _tests(facts: StudyFacts) -> list[Entry]:
    rows = facts.table("statistics")
    ancova = rows[rows["analysis"] == "ANCOVA"]
    checks = assumptions_summary(facts)
    power = finite(facts.column("power", "smallest_g"))
    errors = _shown_errors(rows)
    planned = dict.fromkeys(rows.loc[rows["kind"] == "contrast", "term"].astype(str))
    corrected = "p_holm" in rows and len(finite(rows["p_holm"])) > 0
    return [
        yes("Model and covariates", "; ".join(code(m) for m in formulas(ancova)) or "Methods"),
        yes("Standard errors", errors),
        yes("Adjusted means with confidence intervals", _with_kind(rows, "adjusted mean")),
        yes("Planned contrasts", "; ".join(contrast(term) for term in planned)),
        yes("Correction for multiple tests", "Holm, column `p_holm`" if corrected else "none"),
        yes("Effect size with its name and interval", _effect_sizes(rows)),
        yes(
            "Assumptions and consequences",
            f"{count_of(int(checks['n'].sum()), 'check')}, of which "
            f"{int(checks['failed'].sum())} not met: Methods",
        )
        if len(checks)
        else no("Assumptions and consequences", "no check was made"),
        _variants(facts),
        yes("Power", f"smallest detectable g {between(np.abs(power), '', 2)}")
        if len(power)
        else no("Power", "not computed"),
        yes("Missing values", "complete cases per outcome and window; `note` says who is left out"),
        by_authors("Planned sample size and its justification; deviations from preregistration"),
    ]


def _shown_errors(rows: pd.DataFrame) -> str:
    """Errors of the primary tests, or those that are shown where there are none."""
    done = made_tests(rows)
    primary = done.loc[done["primary"].astype(bool), "errors"].astype(str)
    if len(primary):
        return listed(md(name) for name in dict.fromkeys(primary))
    names = listed(md(name) for name in dict.fromkeys(done["errors"].astype(str)))
    return f"{names}; the planned ones were not available"


def _effect_sizes(rows: pd.DataFrame) -> str:
    names = {"hedges_g": "Hedges g with interval", "partial_eta2": "partial η²"}
    return listed(
        words for name, words in names.items() if name in rows and len(finite(rows[name]))
    )


def _with_kind(rows: pd.DataFrame, kind: str) -> str:
    n = int((rows["kind"] == kind).sum())
    return f"{numbers(n)} rows of `statistics.csv`" if n else ""


def _variants(facts: StudyFacts) -> Entry:
    variants = facts.column("sensitivity", "variant").astype(str)
    found = [name for name in dict.fromkeys(variants) if name != "as planned"]
    item = "Sensitivity to decisions about the data"
    if not found:
        return no(item, "not computed")
    return yes(item, f"{count_of(len(found), 'variant')}, `sensitivity.csv`")


# ------------------------------------------------------------------------------- run record


def run_record(facts: StudyFacts) -> list[Entry]:
    """What another laboratory needs to repeat the numbers."""
    drift = [
        stream.get("clock_drift_ppm")
        for session in facts.sessions
        for _, stream in session.used_streams()
    ]
    ppm = finite(x for x in drift if x is not None)
    return [
        _hashes(facts),
        _settings(facts),
        yes("Software and versions", "Methods: Software"),
        yes("Clocks of the streams", f"drift against the recorder {between(ppm, 'ppm', 1)}")
        if len(ppm)
        else no("Clocks of the streams", FROM_TABLE if facts.from_table else "not known"),
        yes("Edits by hand", "none in the software; edits of files before it: authors")
        if facts.sessions
        else by_authors("Edits by hand", FROM_TABLE if facts.from_table else ""),
        by_authors("Data and code availability"),
    ]


def _hashes(facts: StudyFacts) -> Entry:
    """Which files that were read have a hash in the run record."""
    item = "Hashes of input files"
    n_sessions = sum(bool(s.at("input", "sha256")) for s in facts.sessions)
    n_own = sum("/" not in name for name in facts.inputs)
    below = [count_of(n, one) for n, one in ((n_sessions, "session file"), (n_own, "table")) if n]
    if below:
        return yes(item, f"{listed(below)}, below")
    if facts.inputs:
        of_sessions = count_of(len(facts.inputs), "table")
        return yes(item, f"{of_sessions} of sessions, in the study's `provenance.json`")
    return no(item, FROM_TABLE if facts.from_table else "not known")


def _settings(facts: StudyFacts) -> Entry:
    """Where the settings of analysis and processing stand."""
    own = "those of the analysis below" if facts.config else ""
    if facts.sessions:
        return yes("Settings", "below, and in `provenance.json` of every session")
    processing = f"those of processing {FROM_TABLE}" if facts.from_table else ""
    text = "; ".join(part for part in (own, processing) if part)
    return yes("Settings", text) if own else no("Settings", processing or "not known")
