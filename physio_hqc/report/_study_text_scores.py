"""Quality, baseline, reactivity, recovery, proxy and ratings, in the words of a methods section."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from physio_hqc.report._study_facts import (
    StudyFacts,
    between,
    code,
    commonest,
    count_of,
    finite,
    fixed,
    length,
    listed,
    md,
    numbers,
    percent,
    pipe_table,
    spread,
)
from physio_hqc.report._study_sources import Cited
from physio_hqc.report._verdict import RULE, window_verdict

_NEEDS = ("session", "window", "feature")
_MOST_REASONS = 4


# ------------------------------------------------------------------------------- quality


def quality(facts: StudyFacts, cite: Cited) -> list[str]:
    """When a window was not used, and how many were not."""
    text = []
    if facts.sessions:
        usable = facts.said("quality", "min_usable_share", percent)
        poor = facts.said("quality", "min_quality", lambda x: f"{x:g}")
        if usable and poor:
            text.append(
                f"Values of windows with less than {usable} usable signal were withheld; those of "
                f"windows with a quality below {poor} were flagged and have no change score."
            )
    floor = facts.config.get("quality_min")
    tested = finite(facts.column("statistics", "p"))
    if isinstance(floor, int | float) and len(tested):
        text.append(f"The tests left out windows with a quality below {floor:g}.")
    text = [_what_quality_is(facts, cite), *text] if text else []
    text += [_poor_windows(facts), _without_score(facts)]
    said = " ".join(part for part in text if part)
    return [said] if said else []


def _what_quality_is(facts: StudyFacts, cite: Cited) -> str:
    """What the number between 0 and 1 means for the streams that there are."""
    parts = []
    if facts.with_modality("ecg"):
        parts.append(
            "for the ECG by corrected beats and by beats unlike the average beat "
            f"{cite('orphanidou')}"
        )
    elif facts.with_stage("heart"):
        parts.append("for beat intervals by corrected beats")
    if facts.with_stage("bp"):
        parts.append("for continuous pressure by pulses that are not valid")
    text = ""
    if parts or facts.with_stage("eda") or facts.with_stage("resp"):
        lowered = f", lowered {listed(parts)}" if parts else ""
        text = f"The quality of a window (0–1) is its share of usable signal{lowered}"
    if facts.with_stage("cuff"):
        of_cuff = "of cuff readings (0–1) is the share that is valid"
        text = f"{text}; that {of_cuff.replace(' (0–1)', '')}" if text else f"The quality {of_cuff}"
    return f"{text}." if text else ""


def poor_windows(facts: StudyFacts) -> pd.DataFrame:
    """Phase windows of each stream: how many there are, and how many are too poor.

    Columns: stream, n, poor (below the floor of the study), withheld (too little usable signal).
    """
    rows = facts.of_analysed("quality")
    columns = {"stream", "kind", "session", "quality", "usable_share"}
    if not columns <= set(rows.columns):
        return pd.DataFrame(columns=["stream", "n", "poor", "withheld"])
    rows = rows[rows["kind"] == "phase"]
    least = {s.name: s.number("config", "quality", "min_usable_share") for s in facts.sessions}
    needed = np.array([least.get(str(name), np.nan) for name in rows["session"]], dtype=float)
    floor = facts.config.get("quality_min", np.nan)
    floor = float(floor) if isinstance(floor, int | float) else float("nan")
    table = pd.DataFrame(
        {
            "stream": rows["stream"].astype(str).to_numpy(),
            "poor": rows["quality"].to_numpy(dtype=float) < floor,
            "withheld": rows["usable_share"].to_numpy(dtype=float) < needed,
        }
    )
    found = table.groupby("stream", sort=True).agg(
        n=("poor", "size"), poor=("poor", "sum"), withheld=("withheld", "sum")
    )
    return found.reset_index()


def _poor_windows(facts: StudyFacts) -> str:
    table = poor_windows(facts)
    if not len(table):
        return ""
    rows = facts.of_analysed("quality")
    rows = rows[rows["kind"] == "phase"]
    bad = table[(table["poor"] > 0) | (table["withheld"] > 0)]
    streams = ", ".join(code(s) for s in table["stream"])
    if not len(bad):
        return f"{_index_range(facts, rows['quality'], streams)}{_verdicts(rows)}"
    parts = [
        f"{code(row.stream)} {row.poor} of {row.n} below the limit of quality, {row.withheld} with "
        "too little usable signal"
        for row in bad.itertuples()
    ]
    return f"Phase windows affected: {'; '.join(parts)}.{_verdicts(rows)}"


def _index_range(facts: StudyFacts, values: pd.Series, streams: str) -> str:
    """Say that no window lies below the limit of quality, with the range that there was."""
    known, total = finite(values), numbers(len(values))
    if not len(known):
        return f"Of the {total} phase windows ({streams}) no quality index is known."
    left = len(values) - len(known)
    span = f"{'range ' if known.min() < known.max() else ''}{between(known, '', 2)}"
    aside = f"; none for {count_of(left, 'window')}" if left else ""
    which = f"{numbers(len(known))} phase windows{' that have one' if left else ''} ({streams})"
    floor = facts.config.get("quality_min")
    if not isinstance(floor, int | float):
        return f"The quality index of the {which} was known ({span}{aside})."
    return f"In all {which} the quality index was at least {floor:g} ({span}{aside})."


def _verdicts(rows: pd.DataFrame) -> str:
    """How many windows the report calls fair and poor, by its own stricter rule."""
    given = rows.reindex(columns=["stream", "usable_share", "quality", "corrected_share"])
    words = pd.Series([window_verdict(row) for row in given.itertuples()], index=given.index)
    rule = f" The report, whose rule is another ({RULE}), calls"
    if not words.isin(("poor", "fair")).any():
        return f"{rule} none of these windows poor or fair."
    parts = []
    for word in ("poor", "fair"):
        mine = given.loc[words == word, "stream"].astype(str)
        where = listed(f"{code(name)} {(mine == name).sum()}" for name in sorted(set(mine)))
        parts.append(f"{numbers(len(mine))} {word}{f' ({where})' if where else ''}")
    return f"{rule} {listed(parts)} of these windows."


def _without_score(facts: StudyFacts) -> str:
    """How many values of the tested outcomes in the tested windows have no change score."""
    scores, tested = facts.of_analysed("reactivity"), facts.table("statistics")
    if not {*_NEEDS, "delta"} <= set(scores.columns):
        return ""
    if not {"outcome", "window"} <= set(tested.columns) or not len(tested):
        return ""
    pairs = tested[["outcome", "window"]].astype(str)
    pairs = pairs.assign(outcome=pairs["outcome"].str.removeprefix("ln ")).drop_duplicates()
    mine = scores.merge(pairs, left_on=["feature", "window"], right_on=["outcome", "window"])
    if not len(mine):
        return ""
    left = mine[mine["delta"].isna()]
    missing = len(left)
    were = "was" if missing < 2 else "were"
    why = _why_missing(left["reason"]) if missing and "reason" in left else ""
    return (
        f"Of the {numbers(len(mine))} change scores of the tested outcomes in the tested windows, "
        f"{numbers(missing) if missing else 'none'} {were} missing{f': {why}' if why else ''}."
    )


def _why_missing(reasons: pd.Series) -> str:
    """Reasons with their counts, the most frequent first; cautions say nothing of a gap."""
    texts = [
        next((p for p in str(text).split("; ") if p and not p.startswith("flag:")), "")
        if pd.notna(text)
        else ""
        for text in reasons
    ]
    given = pd.Series(texts, dtype=object).replace("", "no reason given")
    # Reasons that differ in a number only are one kind, shown by its commonest wording.
    kinds = given.str.replace(r"\d+(\.\d+)?", "…", regex=True)
    counts = kinds.value_counts()
    order = sorted(counts.index, key=lambda kind: (-counts[kind], str(kind)))
    said = []
    for kind in order[:_MOST_REASONS]:
        wordings = commonest(sorted(given[kinds == kind]))
        more = " or alike" if len(wordings) > 1 else ""
        said.append(f"{md(wordings[0])}{more} ({numbers(int(counts[kind]))})")
    rest = int(sum(counts[kind] for kind in order[_MOST_REASONS:]))
    return "; ".join([*said, *([f"other reasons ({numbers(rest)})"] if rest else [])])


# ------------------------------------------------------------------------------- reactivity


def reactivity(facts: StudyFacts, cite: Cited) -> list[str]:
    """Baseline and the scores that were computed."""
    rows = facts.of_analysed("reactivity")
    if not {*_NEEDS, "delta"} <= set(rows.columns) or not len(rows):
        return []
    done = rows[pd.to_numeric(rows["delta"], errors="coerce").notna()]
    if not len(done):
        return ["No change score could be formed: in no window were value and baseline known."]
    return [f"{_baseline(facts, done)} {_scores(facts, cite)}".strip()]


def _baseline(facts: StudyFacts, rows: pd.DataFrame) -> str:
    if "baseline_window" not in rows:
        return ""
    per = rows[rows["baseline_window"].fillna("").astype(str) != ""]
    if not len(per):
        return ""
    names = per.groupby("session", sort=True)["baseline_window"].agg(
        lambda texts: texts.astype(str).mode().iloc[0]
    )
    text = f"The baseline was the mean over {facts.differing([code(n) for n in names])}"
    seconds = per.groupby("session")["baseline_s"].max() if "baseline_s" in per else pd.Series()
    known = finite(seconds)
    if len(known):
        same = known.min() == known.max()
        text += f" ({length(float(known[0])) if same else spread(known, 's', 0)})"
    if "baseline_readings" in per:
        counted = finite(per.groupby("session")["baseline_readings"].max())
        if len(counted):
            text += f"; that of cuff pressure rests on {spread(counted, '', 0)} valid readings"
    return text + "."


def _scores(facts: StudyFacts, cite: Cited) -> str:
    text = [
        "Reactivity is the change score (delta), the level of a window minus the baseline"
        + (", also in percent of it" if facts.has("reactivity", "percent") else "")
        + "."
    ]
    for name, parts in dict(facts.config.get("combined") or {}).items():
        text.append(f"{code(name)} is the mean of {listed(code(part) for part in parts)}.")
    if facts.has("reactivity", "residual"):
        rows = facts.of_analysed("reactivity")
        n = finite(rows.loc[pd.to_numeric(rows["residual"]).notna(), "residual_n"])
        over = f" ({_range(n)})" if len(n) else ""
        tests = facts.column("statistics", "p")
        ancova = (facts.column("statistics", "analysis")[tests.notna()] == "ANCOVA").any()
        text.append(
            "Residualised change is the residual of the least-squares regression of level on "
            f"baseline over the whole sample {cite('llabre')}{over}"
            + (
                "; it is descriptive, as group differences were tested by analysis of covariance."
                if ancova
                else "."
            )
        )
    if facts.has("reactivity", "peak"):
        text.append(
            "Peak is the largest value of the course in a window minus baseline (for measures that "
            "fall under stress the trough, the smallest, is the response)."
        )
    if facts.has("reactivity", "auc_g"):
        text.append(
            "Areas under the course with respect to ground and to increase (AUCg, AUCi; unit × "
            f"min) were computed by the trapezoidal rule {cite('pruessner')}, with the baseline as "
            "the first measurement, at the start of the window."
        )
    if facts.has("reactivity", "habituation"):
        text.append("Habituation is the least-squares slope per minute within a window.")
    return " ".join(text)


def _range(known: np.ndarray) -> str:
    low, high = int(known.min()), int(known.max())
    return f"n = {low}" if low == high else f"n = {low}–{high}"


# ------------------------------------------------------------------------------- recovery


def recovery(facts: StudyFacts, cite: Cited) -> list[str]:
    """How recovery was measured, and where the curve could be fitted."""
    rows = facts.of_analysed("recovery")
    if not len(rows) or not {"window", "task_window"} <= set(rows.columns):
        return []
    pairs = rows[["task_window", "window"]].astype(str).drop_duplicates()
    named = listed(
        f"{code(window)} after {code(task)}"
        for task, window in pairs[["task_window", "window"]].itertuples(index=False)
        if task
    )
    text = [
        f"Recovery was followed in {named or listed(code(w) for w in pairs['window'].unique())}."
    ]
    times = recovery_times(facts)
    if times:
        said = listed(f"{t:g}" for t in times)
        text.append(
            f"It was read at fixed times ({said} s after the task), as the difference from "
            "baseline and as percent recovery, 100 × (task − value) / (task − baseline)."
        )
    if facts.has("recovery", "mean_elevation"):
        text.append("Residual elevation is the mean of the recovery minus baseline.")
    if facts.has("recovery", "auc_above"):
        text.append(
            "The area between recovery and baseline (unit × min) carries the strength of the "
            f"reaction {cite('sawada')} and is not independent of it."
        )
    if "half_recovery_s" in rows:
        reached = len(finite(rows["half_recovery_s"]))
        text.append(
            "Half-recovery time is the first crossing of the middle between task and baseline, by "
            f"linear interpolation{_resolution(facts, rows)}; it was reached in "
            f"{numbers(reached)} of {count_of(len(rows), 'course')}."
        )
    text += _logistic(rows, cite)
    return [" ".join(text)]


def _resolution(facts: StudyFacts, rows: pd.DataFrame) -> str:
    """How far apart the points of the courses are, between which a crossing was sought."""
    courses = facts.of_analysed("courses")
    needed = ["session", "window", "feature", "since_s", "duration_s"]
    if not set(needed) <= set(courses.columns) or "feature" not in rows:
        return ""
    mine = courses[courses["window"].isin(set(rows["window"]))]
    mine = mine[mine["feature"].isin(set(rows["feature"]))].sort_values(needed[:4])
    lengths = finite(mine["duration_s"])
    pieces = sorted(set(np.round(lengths[lengths > 0], 1)))
    parts = [f"between {listed(f'{seconds:g}' for seconds in pieces)}-s means"] if pieces else []
    readings = mine[~(pd.to_numeric(mine["duration_s"]) > 0)]
    apart = finite(readings.groupby(needed[:3])["since_s"].diff())
    if len(apart):
        usual = spread(apart[apart > 0], "s", 0)
        parts.append(f"between readings {usual} apart")
    return f" {listed(parts)}" if parts else ""


def recovery_times(facts: StudyFacts) -> list[float]:
    """Times after the task at which recovery was read and has any value."""
    found = []
    for name in facts.table("recovery").columns:
        match = re.fullmatch(r"delta_(\d+(?:\.\d+)?)s", str(name))
        if match and facts.has("recovery", str(name)):
            found.append(float(match[1]))
    return sorted(found)


def _logistic(rows: pd.DataFrame, cite: Cited) -> list[str]:
    if "logistic_amount" not in rows:
        return []
    fitted = rows[pd.to_numeric(rows["logistic_amount"]).notna()]
    what = (
        "A three-parameter logistic (amount A, level L, speed k) after "
        f"{cite.named('christenfeld')}, R(t) = L + 2A / (1 + exp(kt)), was fitted by least squares"
    )
    if not len(fitted):
        return [f"{what}, but in none of {count_of(len(rows), 'course')} accepted{_refused(rows)}."]
    r2 = finite(fitted["logistic_r2"]) if "logistic_r2" in fitted else np.array([])
    good = f" (R² {spread(r2, '', 2)})" if len(r2) else ""
    accepted = f"{numbers(len(fitted))} of {count_of(len(rows), 'course')}"
    return [f"{what}. It was accepted in {accepted}{good}{_refused(rows)}."]


def _refused(rows: pd.DataFrame) -> str:
    """Why there is no curve, the commonest reasons first; figures in them do not count."""
    if "logistic_reason" not in rows:
        return ""
    left = rows[pd.to_numeric(rows["logistic_amount"]).isna()]["logistic_reason"].astype(str)
    kinds = left[left != ""].map(_kind_of_reason).value_counts()
    if not len(kinds):
        return ""
    order = sorted(kinds.index, key=lambda text: (-kinds[text], text))[:_MOST_REASONS]
    return f"; refused: {'; '.join(f'{md(text)} ({kinds[text]})' for text in order)}"


def _kind_of_reason(reason: str) -> str:
    """Return a reason without what differs from course to course."""
    short = re.split(r" \(|:", reason)[0]
    short = re.sub(r"[−-]?\d+(\.\d+)?", "…", short)
    return re.sub(r"… ?\S* is | of …$", "", short)


# ------------------------------------------------------------------------------- proxy


def proxy(facts: StudyFacts, cite: Cited) -> list[str]:
    """The allostatic-load proxy: definition, rule, missing indicators, interval."""
    rows = facts.table("allostatic")
    if not len(rows) or not facts.has("allostatic", "n_components"):
        return []
    none = no_cut_points(facts)
    if none:
        return [" ".join([f"{none[:1].upper()}{none[1:]}.", *_z_scores(facts)])]
    scored = rows[pd.to_numeric(rows["count"]).notna()] if "count" in rows else rows.iloc[:0]
    have = finite(rows["n_components"])
    defined = finite(facts.column("allostatic", "n_defined"))
    names = listed(dict.fromkeys(code(name) for name in facts.column("allostatic", "proxy")))
    of = f" of the {between(defined, '', 0)} indicators" if len(defined) else " indicators"
    counted = (
        f"The allostatic-load proxy ({names}) counts the indicators in the range of risk, after "
        f"{cite.named('seeman')}. Participants had {spread(have, '', 0)}{of} of its definition."
    )
    text = [counted, *_rule(facts)]
    share = facts.definition("proxy").get("min_share")
    least = f" a participant needed {percent(share)} of the indicators;" if share else ""
    text.append(
        f"Missing indicators were not imputed ({_missing(rows)});{least} counts are given with the "
        f"number of indicators they rest on and as a proportion of it. A score was given to "
        f"{len(scored)} of {count_of(len(rows), 'participant')}."
    )
    text += _z_scores(facts)
    n_boot = facts.config.get("n_boot")
    if facts.has("allostatic", "z_low") and isinstance(n_boot, int):
        text.append(
            f"Intervals are bootstrap intervals over participants ({numbers(n_boot)} samples, seed "
            f"{facts.config.get('seed', 0)})."
        )
    return [" ".join(text), *_cut_points(facts)]


def no_cut_points(facts: StudyFacts) -> str:
    """Say that no cut point could be formed, and why; nothing where there is one or no table."""
    cuts, rows = facts.table("cut_points"), facts.table("allostatic")
    if not len(cuts) or "cut" not in cuts or len(finite(cuts["cut"])):
        return ""
    if facts.has("allostatic", "count"):
        return ""
    given = [
        [str(text).removeprefix("flag:").strip() for text in table["reason"].dropna() if str(text)]
        for table in (cuts, rows)
        if "reason" in table
    ]
    # The cut points say why best; the notes of participants stand in where they do not.
    found = next((texts for texts in given if texts), [])
    why = "; ".join(md(text) for text in commonest(found)[:2])
    what = (
        "no count of indicators at risk" if facts.has("allostatic", "z_mean")
        else "no allostatic-load proxy"
    )  # fmt: skip
    return f"no cut points could be formed{f': {why}' if why else ''}; {what} is given"


def _z_scores(facts: StudyFacts) -> list[str]:
    if not facts.has("allostatic", "z_mean"):
        return []
    text = (
        "The z-score sum adds standardised indicators, protective ones reversed; its mean per "
        "indicator serves where numbers of indicators differ."
    )
    return [text]


def _missing(rows: pd.DataFrame) -> str:
    """Which indicators were missing, in how many participants."""
    listing = rows["missing"].fillna("").astype(str) if "missing" in rows else pd.Series(dtype=str)
    names = [name.strip() for text in listing for name in re.split(r"[;,]", text) if name.strip()]
    if not names:
        return "none was missing"
    counted = {name: count_of(names.count(name), "participant") for name in sorted(set(names))}
    return "missing: " + listed(f"{code(name)} in {n}" for name, n in counted.items())


def _rule(facts: StudyFacts) -> list[str]:
    rules = [str(rule) for rule in facts.column("allostatic", "rule").dropna() if rule]
    by_sex = {str(sex) for sex in facts.column("cut_points", "sex").fillna("")} - {""}
    separate = ", within each sex" if by_sex else ""
    differ = " that differ by sex" if by_sex else ""
    words = {
        "sample quartile": f"strictly beyond the sample's quartile on the side of risk{separate}",
        "cut points": f"beyond published cut points{differ}",
    }
    kinds = list(dict.fromkeys(rules))
    return (
        [f"At risk are values {listed(words.get(kind, md(kind)) for kind in kinds)}."]
        if kinds
        else []
    )


def _cut_points(facts: StudyFacts) -> list[str]:
    rows = facts.table("cut_points")
    if not {"component", "direction", "cut"} <= set(rows.columns) or not len(rows):
        return []
    body = [
        [
            code(row["component"]),
            md(row.get("sex", "")) or "all",
            "above" if str(row["direction"]) == "high" else "below",
            f"{row['cut']:.4g}" if pd.notna(row["cut"]) else "none",
            md(row.get("rule", "")),
            f"{row['n']:.0f}" if pd.notna(row.get("n")) else "–",
        ]
        for row in rows.to_dict("records")
    ]
    head = ["Indicator", "Sex", "Risk", "Cut point", "Rule", "n"]
    return ["Cut points of the allostatic-load proxy:", pipe_table(head, body)]


# ------------------------------------------------------------------------------- ratings


def ratings(facts: StudyFacts, cite: Cited) -> list[str]:
    """Ratings: scales, scoring, missing items, reliability."""
    rows = facts.table("ratings")
    if not {"name", "kind", "value"} <= set(rows.columns) or not len(rows):
        return []
    text = [_single(rows), *_scaled(facts, rows, cite)]
    return [" ".join(part for part in text if part), *_alphas(facts, cite)]


def _single(rows: pd.DataFrame) -> str:
    single = rows[rows["kind"] == "single"]
    if not len(single):
        return ""
    parts = []
    for name in dict.fromkeys(single["name"].astype(str)):
        mine = single[single["name"].astype(str) == name]
        n = int(pd.to_numeric(mine["value"]).notna().sum())
        where = listed(dict.fromkeys(code(w) for w in mine["window"].fillna("").astype(str) if w))
        low, high = (_same(mine, key) for key in ("min", "max"))
        scale = f", {low:g}–{high:g}" if np.isfinite(low + high) else ""
        given = f"{count_of(n, 'answer')}{f' in {where}' if where else ''}{scale}"
        parts.append(f"{code(name)} ({given})")
    return f"Single ratings: {listed(parts)}."


def _same(rows: pd.DataFrame, name: str) -> float:
    """Return the one number of a column; NaN where there is none or several."""
    known = np.unique(finite(rows[name])) if name in rows else np.array([])
    return float(known[0]) if len(known) == 1 else float("nan")


def _scaled(facts: StudyFacts, rows: pd.DataFrame, cite: Cited) -> list[str]:
    scores = rows[rows["kind"].isin(["subscale", "composite"])]
    if not len(scores):
        return []
    text = []
    for scale in dict.fromkeys(scores["scale"].astype(str)):
        mine = scores[scores["scale"].astype(str) == scale]
        definition = facts.definition("scale")
        definition = definition if definition.get("name") == scale else {}
        low, high = (_same(mine, key) for key in ("min", "max"))
        subscales, composites = (
            [code(n) for n in dict.fromkeys(mine.loc[mine["kind"] == kind, "name"].astype(str))]
            for kind in ("subscale", "composite")
        )
        inside = [f"answers {low:g}–{high:g}"] if np.isfinite(low + high) else []
        inside += [cite.bare("carmeli")] if "sres.932" in str(definition.get("references")) else []
        after = f" ({'; '.join(inside)})" if inside else ""
        text.append(
            f"Items of the scale {code(scale)}{after} were averaged to the subscales "
            f"{listed(subscales)}"
            + (f", and these to the composites {listed(composites)}" if composites else "")
            + "."
        )
        if definition:
            turned = [key for part in definition["subscales"] for key in part.get("reversed", ())]
            text.append(
                (
                    f"Reversed items ({', '.join(code(key) for key in turned)}) count as minimum "
                    "plus maximum minus answer."
                    if turned
                    else "No item was reversed."
                )
                + f" A subscale was scored where at least {percent(definition['share_answered'])} "
                "of its items were answered, a composite where all its subscales were."
            )
        missing = int(pd.to_numeric(mine["value"]).isna().sum())
        text.append(
            f"{numbers(missing)} of {count_of(len(mine), 'score')} could not be formed."
            if missing
            else f"All {count_of(len(mine), 'score')} could be formed."
        )
    return text


def _of_all(parts: list[str]) -> str:
    """Say as sentences what the notes of all subscales share."""
    persons = [part for part in parts if re.fullmatch(r"of \d+ persons?", part)]
    rest = [part for part in parts if part not in persons]
    said = [f"The questionnaires are those {part}." for part in persons]
    said += [f"{md(part[:1].upper() + part[1:])}." for part in rest]
    return " ".join(said)


def _parts_of(note: object) -> list[str]:
    """Return what a note says beside n, which has a column of its own."""
    parts = [re.sub(r"^flag: ", "", part) for part in str(note or "").split("; ")]
    return [re.sub(r"^n = \d+ (complete questionnaires )?", "", part) for part in parts if part]


def _alphas(facts: StudyFacts, cite: Cited) -> list[str]:
    rows = facts.table("reliability")
    if not {"subscale", "alpha"} <= set(rows.columns) or not facts.has("reliability", "alpha"):
        return []
    notes = [_parts_of(row.get("note")) for row in rows.to_dict("records")]
    shared = [part for part in notes[0] if all(part in note for note in notes)]
    body = []
    for row, note in zip(rows.to_dict("records"), notes, strict=True):
        low, high = (row.get(name, np.nan) for name in ("alpha_low", "alpha_high"))
        interval = f"{fixed(low, 2)} to {fixed(high, 2)}" if np.isfinite(low + high) else "–"
        known = np.isfinite(row["alpha"])
        body.append(
            [
                code(row["subscale"]),
                f"{row.get('n_items', np.nan):g}",
                f"{row.get('n', np.nan):g}",
                fixed(row["alpha"], 2) if known else "–",
                interval,
                md("; ".join(part for part in note if part not in shared)),
            ]
        )
    head = ["Subscale", "Items", "n", "Cronbach's α", "95 % CI", "Note"]
    for_all = f" {_of_all(shared)}" if shared else ""
    intro = (
        f"Reliability of the subscales (Cronbach's α with its interval, "
        f"{cite.bare('cronbach', 'feldt')}).{for_all}"
    )
    return [intro, pipe_table(head, body)]
