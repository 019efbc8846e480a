"""The tables of a study as HTML: formatted as a paper has them, every text escaped."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from physio_hqc.report._format import DASH, esc, listed, number, percent, plural
from physio_hqc.report._html import paragraph, table
from physio_hqc.report._study_words import (
    coefficient,
    effect,
    estimate,
    interval,
    outcome_name,
    p_value,
    statistic,
    with_unit,
)
from physio_hqc.report._tables import speech_box
from physio_hqc.report.figures.study_flow import STAGES, flow_counts
from physio_hqc.report.figures.study_quality import quality_counts

if TYPE_CHECKING:
    from physio_hqc.report._study_view import StudyView

MAX_ROWS: Final = 400
_MAX_SENSITIVITY: Final = 150


@dataclass(frozen=True)
class Column:
    """A column of a table: heading (plain text) and how a row's cell is made (trusted HTML)."""

    heading: str
    cell: Callable[[Any], str]


def text(name: str) -> Callable[[Any], str]:
    """Show a text column; a dash where it is empty."""
    return lambda row: esc(getattr(row, name)) or DASH


def count(name: str) -> Callable[[Any], str]:
    """Show a whole number; a dash for NaN."""
    return lambda row: _count(getattr(row, name))


def _count(value: float) -> str:
    return f"{value:.0f}" if math.isfinite(value) else DASH


def made_table(
    rows: pd.DataFrame,
    columns: Sequence[Column],
    *,
    file: str,
    group: Callable[[Any], str] | None = None,
    classes: str = "pq-compact pq-study",
    most: int = MAX_ROWS,
) -> str:
    """Make a table with a heading row per group; long tables end with a pointer to their file."""
    body: list[list[str]] = []
    heading = None
    for row in rows.head(most).itertuples():
        if group is not None and group(row) != heading:
            heading = group(row)
            body.append([esc(heading)])
        body.append([column.cell(row) for column in columns])
    made = table([esc(column.heading) for column in columns], body, classes=classes)
    if len(rows) > most:
        made += paragraph(
            f"The first {most} of {len(rows)} rows are shown; {file} holds all of them.", "pq-rule"
        )
    return made


def outcome_group(facts: StudyView, column: str = "outcome") -> Callable[[Any], str]:
    """Heading of a group of rows: outcome with its unit, feature name, window."""

    def heading(row: Any) -> str:
        feature = getattr(row, column)
        name = outcome_name(feature)
        said = with_unit(name, facts.unit(feature))
        aside = "" if name == feature else f" · {feature}"
        dagger = "†" if facts.is_doubtful(feature, row.window) else ""
        return f"{said}{aside} · {row.window}{dagger}"

    return heading


def speech_note(facts: StudyView) -> str:
    """Say the caution on speech where a tested outcome carries it; else nothing."""
    spoken = [
        window
        for window in facts.spoken
        if any(facts.is_doubtful(feature, window) for feature in facts.outcomes)
    ]
    return speech_box(spoken) if spoken else ""


def in_order(facts: StudyView, rows: pd.DataFrame, column: str = "outcome") -> pd.DataFrame:
    """Sort rows by outcome, the primary one first, then by window and condition if they have any.

    Within that the order stays.
    """
    orders = {column: facts.outcomes, "window": facts.window_order, "condition": facts.conditions}
    keys = {}
    for name, order in orders.items():
        if name in rows:
            place = {value: k for k, value in enumerate(order)}
            keys[f"_{name}"] = rows[name].map(place).fillna(len(place))
    return rows.assign(**keys).sort_values(list(keys), kind="stable").drop(columns=list(keys))


def _estimate(row: Any, unit: str, *, sign: bool = True) -> str:
    """Show an estimate with as many decimals as its interval."""
    return estimate(row.estimate, row.ci_low, row.ci_high, unit, sign=sign)


def _alone(value: float, unit: str) -> str:
    """Show a number without interval; a small one keeps two digits."""
    return estimate(value, math.nan, math.nan, unit, sign=False)


def contrast_table(facts: StudyView, rows: pd.DataFrame) -> str:
    """Contrasts with estimate, interval, test, p and effect size."""
    notes = _Notes()
    columns = [
        Column("Contrast", lambda r: esc(str(r.term).replace(" - ", " − ")) + notes.mark(r.note)),
        Column("Analysis", lambda r: esc(r.analysis)),
        Column("Errors", text("errors")),
        Column("Difference", lambda r: _estimate(r, facts.unit(r.outcome))),
        Column(f"{facts.level} CI", lambda r: interval(r.ci_low, r.ci_high, facts.unit(r.outcome))),
        Column("Test", _test),
        Column("p", lambda r: esc(p_value(r.p, alpha=facts.alpha))),
        Column("p (Holm)", lambda r: _strong(esc(p_value(r.p_holm, alpha=facts.alpha)), r.main)),
        Column("Hedges g", lambda r: effect(r.hedges_g)),
        Column(f"{facts.level} CI of g", lambda r: interval(r.g_low, r.g_high, "g")),
        Column("n", count("n")),
    ]
    made = made_table(
        in_order(facts, rows), columns, file="statistics.csv", group=outcome_group(facts)
    )
    return made + notes.html()


def adjusted_means_table(facts: StudyView) -> str:
    """Means by condition at the same covariates, of the analysis that answers."""
    if not len(facts.adjusted_means):
        return ""
    columns = [
        Column("Condition", text("term")),
        Column("Analysis", text("analysis")),
        Column("Adjusted mean", lambda r: _estimate(r, facts.unit(r.outcome), sign=False)),
        Column(f"{facts.level} CI", lambda r: interval(r.ci_low, r.ci_high, facts.unit(r.outcome))),
        Column("n", count("n")),
    ]
    rows = in_order(facts, facts.adjusted_means)
    return made_table(rows, columns, file="statistics.csv", group=outcome_group(facts))


def statistics_table(facts: StudyView) -> str:
    """Every test and estimate of every model."""
    notes = _Notes()
    columns = [
        Column("Term", lambda r: esc(str(r.term).replace(" - ", " − ")) + notes.mark(r.note)),
        Column("Kind", text("kind")),
        Column("Analysis", text("analysis")),
        Column("Errors", text("errors")),
        Column("Estimate", lambda r: _estimate(r, _unit_of(facts, r), sign=False)),
        Column("SE", lambda r: _alone(r.se, _unit_of(facts, r))),
        Column(f"{facts.level} CI", lambda r: interval(r.ci_low, r.ci_high, _unit_of(facts, r))),
        Column("Test", _test),
        Column("p", lambda r: esc(p_value(r.p, alpha=facts.alpha))),
        Column("p (Holm)", lambda r: esc(p_value(r.p_holm, alpha=facts.alpha))),
        Column("g", lambda r: effect(r.hedges_g)),
        Column("Partial η²", lambda r: coefficient(r.partial_eta2, 3)),
        Column("n", count("n")),
    ]
    rows = in_order(facts, facts.table("statistics"))
    made = made_table(rows, columns, file="statistics.csv", group=outcome_group(facts))
    return made + notes.html() + _models(rows)


def _unit_of(facts: StudyView, row: Any) -> str:
    """Unit of an estimate: that of the outcome, except for slopes of covariates."""
    return "" if row.kind == "covariate" else facts.unit(row.outcome)


def _models(rows: pd.DataFrame) -> str:
    """Formulas of the models, each once."""
    seen = dict.fromkeys((row.analysis, row.model) for row in rows.itertuples() if row.model)
    if not seen:
        return ""
    items = "".join(
        f'<li>{esc(analysis)}: <span class="pq-mono">{esc(model)}</span></li>'
        for analysis, model in list(seen)[:40]
    )
    return f'<h6 class="pq-heading">Models, as statsmodels reads them</h6><ul>{items}</ul>'


def _test(row: Any) -> str:
    return esc(statistic(row.statistic_name, row.df1, row.df2, row.statistic))


def _strong(cell: str, strong: bool) -> str:
    return f"<b>{cell}</b>" if strong else cell


class _Notes:
    """Footnotes of a table: each text once."""

    def __init__(self) -> None:
        self._texts: dict[str, int] = {}

    def mark(self, note: str) -> str:
        """Return the raised number of a note; nothing for an empty one."""
        if not note:
            return ""
        return f" <sup>{self._texts.setdefault(note, len(self._texts) + 1)}</sup>"

    def html(self) -> str:
        """Return the notes as a list."""
        items = "".join(f"<li><sup>{k}</sup> {esc(note)}</li>" for note, k in self._texts.items())
        return f'<ul class="pq-notes">{items}</ul>' if items else ""


def flow_table(facts: StudyView) -> str:
    """Who reached which stage, and who they are: age and sex by condition."""
    people, flow = facts.table("participants"), facts.table("flow")
    counts = flow_counts(people, flow)
    names = [name for name in facts.conditions if name in counts.index]
    body = []
    for name in names:
        mine = people[people["condition"] == name]
        body.append([esc(name or "no condition"), *(str(counts.loc[name, s]) for s in STAGES),
                     _ages(mine), _sexes(mine)])  # fmt: skip
    if len(names) > 1:
        body.append(["<b>All</b>", *(f"<b>{counts[stage].sum()}</b>" for stage in STAGES),
                     _ages(people), _sexes(people)])  # fmt: skip
    head = ["Condition", *STAGES, "Age, mean (SD), range", "Sex"]
    return table(head, body, classes="pq-compact pq-study")


def _ages(people: pd.DataFrame) -> str:
    ages = people["age"].dropna()
    if not len(ages):
        return DASH
    spread = f" ({ages.std(ddof=1):.1f})" if len(ages) > 1 else ""
    missing = len(people) - len(ages)
    aside = f", {missing} not given" if missing else ""
    return f"{ages.mean():.1f}{spread}, {ages.min():.0f}{DASH}{ages.max():.0f}{aside}"


def _sexes(people: pd.DataFrame) -> str:
    if not len(people) or not (people["sex"] != "").any():
        return DASH
    found = people["sex"].replace("", "not given").value_counts(sort=False).sort_index()
    return esc(", ".join(f"{count} {name}" for name, count in found.items()))


def exclusions_table(facts: StudyView) -> str:
    """Everybody who is not in the analysis, with the reason."""
    flow = facts.table("flow")
    rows = flow[flow["status"] != "analysed"]
    if not len(rows):
        return paragraph("Everybody in the participants table is in the analysis.")
    columns = [
        Column("Participant", text("participant")),
        Column("Condition", text("condition")),
        Column("Session", text("session")),
        Column("Status", text("status")),
        Column("Reason", text("reason")),
    ]
    return made_table(rows, columns, file="flow.csv", classes="pq-compact pq-words pq-study",
                      most=150)  # fmt: skip


def analysed_table(facts: StudyView) -> str:
    """How many are in each primary analysis: outcomes lose participants of their own."""
    rows = facts.contrasts
    rows = rows[rows["main"]] if rows["main"].any() else rows
    rows = in_order(facts, rows.drop_duplicates(["outcome", "window"]))
    if not len(rows):
        return ""
    columns = [
        Column("Outcome", lambda r: esc(outcome_name(r.outcome))),
        Column("Window", text("window")),
        Column("n", count("n")),
        Column("n by condition", text("n_by_condition")),
    ]
    return made_table(rows, columns, file="statistics.csv",
                      classes="pq-compact pq-words pq-study")  # fmt: skip


def quality_table(facts: StudyView) -> str:
    """Quality per stream and phase over all sessions."""
    rows = quality_counts(facts.table("quality"))
    rows = rows.rename(columns={"not checked": "unchecked"})
    columns = [
        Column("Phase", lambda r: esc(r.window)),
        Column("Sessions", count("sessions")),
        Column("Usable, median", lambda r: percent(r.usable)),
        Column("Beats corrected, median", lambda r: percent(r.corrected)),
        Column("Good", count("good")),
        Column("Fair", count("fair")),
        Column("Poor", count("poor")),
        Column("Not checked", count("unchecked")),
    ]
    return made_table(rows, columns, file="quality.csv", group=lambda r: str(r.stream))


def descriptives_table(facts: StudyView) -> str:
    """Level and change by condition and window for the outcomes."""
    rows = facts.table("descriptives")
    rows = rows[rows["feature"].isin(facts.outcomes)] if facts.outcomes else rows
    columns = [
        Column("Condition", text("condition")),
        Column("n", count("n")),
        Column("Mean", lambda r: number(r.mean, r.unit)),
        Column("SD", lambda r: number(r.sd, r.unit)),
        Column("Median", lambda r: number(r.median, r.unit)),
        Column("IQR", lambda r: interval(r.q25, r.q75, r.unit)),
        Column("Baseline", lambda r: number(r.baseline_mean, r.unit)),
        Column("Change", lambda r: estimate(r.delta_mean, r.delta_low, r.delta_high, r.unit)),
        Column("SD of change", lambda r: number(r.delta_sd, r.unit)),
        Column("95 % CI of change", lambda r: interval(r.delta_low, r.delta_high, r.unit)),
    ]
    return made_table(in_order(facts, rows, "feature"), columns, file="descriptives.csv",
                      group=outcome_group(facts, "feature"))  # fmt: skip


def recovery_table(facts: StudyView) -> str:
    """Half recovery and the logistic curve by condition: how many, how fast, why not."""
    rows = facts.table("recovery")
    rows = rows[rows["feature"].isin(facts.outcomes)] if facts.outcomes else rows
    made = []
    for (feature, window), part in rows.groupby(["feature", "window"], sort=False):
        for name in facts.conditions:
            mine = part[part["condition"] == name]
            if len(mine):
                made.append(_recovery_row(str(feature), str(window), name, mine))
    table_ = pd.DataFrame(made)
    if not len(table_):
        return paragraph("No outcome has recovery scores.")
    columns = [
        Column("Condition", text("condition")),
        Column("n", count("n")),
        Column("Half recovered", text("reached")),
        Column("Time to half (s), median (IQR)", text("half")),
        Column("Curve fitted", text("fitted")),
        Column("Half-life (s), median (IQR)", text("logistic")),
        Column("R²", lambda r: coefficient(r.r2)),
        Column("Why not fitted", text("why")),
    ]
    return made_table(in_order(facts, table_, "feature"), columns, file="recovery.csv",
                      group=outcome_group(facts, "feature"))  # fmt: skip


def _recovery_row(feature: str, window: str, name: str, rows: pd.DataFrame) -> dict[str, Any]:
    half = rows["half_recovery_s"].dropna()
    fitted = rows[rows["logistic_half_s"].notna() | rows["logistic_r2"].notna()]
    missing = rows.drop(fitted.index)
    reasons = missing["logistic_reason"].where(missing["logistic_reason"] != "", missing["reason"])
    reasons = reasons.replace("", "no reason given").map(_kind_of_reason)
    counted = sorted(reasons.value_counts().items(), key=lambda pair: (-pair[1], str(pair[0])))
    why = "; ".join(f"{reason} ({n})" for reason, n in counted[:3])
    more = sum(n for _, n in counted[3:])
    return {
        "feature": feature,
        "window": window,
        "condition": name or "no condition",
        "n": float(len(rows)),
        "reached": f"{len(half)} of {len(rows)}",
        "half": _times(half),
        "fitted": f"{len(fitted)} of {len(rows)}",
        "logistic": _times(fitted["logistic_half_s"].dropna()),
        "r2": float(fitted["logistic_r2"].median()) if len(fitted) else math.nan,
        "why": f"{why}; others ({more})" if more else why,
    }


def _kind_of_reason(reason: str) -> str:
    """Reasons that differ in their numbers alone count as one."""
    import re

    return re.sub(r"(?<![A-Za-z\d])[-−+]?\d+(\.\d+)?", "…", reason)


def _times(seconds: pd.Series) -> str:
    if not len(seconds):
        return ""
    low, middle, high = (float(seconds.quantile(q)) for q in (0.25, 0.5, 0.75))
    return f"{middle:.0f} ({low:.0f} to {high:.0f})"


def proxy_table(facts: StudyView) -> str:
    """The proxy by condition: count, proportion and z-sum."""
    rows = facts.proxies
    body = []
    for name in [*facts.conditions, *([""] if "" not in facts.conditions else [])]:
        mine = rows[rows["condition"] == name]
        if not len(mine):
            continue
        known = mine["count"].notna()
        body.append([
            esc(name or "no condition"), f"{int(known.sum())} of {len(mine)}",
            _mean_sd(mine["count"]), _mean_sd(mine["proportion"]), _mean_sd(mine["z_sum"]),
            _range(mine["n_components"]),
        ])  # fmt: skip
    head = ["Condition", "With a proxy", "Indicators at risk, mean (SD)",
            "Proportion at risk, mean (SD)", "z-sum, mean (SD)", "Indicators known"]  # fmt: skip
    return table(head, body, classes="pq-compact pq-study") + _missing(rows)


def proxy_summary_table(facts: StudyView) -> str:
    """Mean scores of the proxy by condition with their bootstrap intervals."""
    rows = in_order(facts, facts.table("allostatic_summary"), "score")
    if not len(rows):
        return ""
    notes = _Notes()
    columns = [
        Column("Condition", lambda r: (esc(r.condition) or "all") + notes.mark(_caution(r.reason))),
        Column("n", count("n")),
        Column("Without a score", count("n_missing")),
        Column("Mean", lambda r: effect(r.mean)),
        Column("SD", lambda r: effect(r.sd)),
        Column("95 % CI (bootstrap)", lambda r: interval(r.ci_low, r.ci_high, "g")),
    ]
    made = made_table(
        rows, columns, file="allostatic_summary.csv", group=lambda r: f"{r.label} · {r.score}"
    )
    return made + notes.html()


def _caution(reason: str) -> str:
    return reason.removeprefix("flag:").strip()


def _missing(rows: pd.DataFrame) -> str:
    from physio_hqc.report.figures.study_proxy import components

    found: dict[str, int] = {}
    for names in rows["missing"]:
        for name in components(names):
            found[name] = found.get(name, 0) + 1
    said = [f"{name} ({n})" for name, n in sorted(found.items(), key=lambda p: (-p[1], p[0]))]
    reasons = [reason for reason in dict.fromkeys(rows["reason"]) if reason][:6]
    parts = [f"Missing indicators (participants): {listed(said)}."] if said else []
    parts += [f"Notes: {'; '.join(reasons)}."] if reasons else []
    return "".join(paragraph(part, "pq-rule") for part in parts)


def _mean_sd(values: pd.Series) -> str:
    known = values.dropna()
    if not len(known):
        return DASH
    spread = f" ({effect(float(known.std(ddof=1)))})" if len(known) > 1 else ""
    return f"{effect(float(known.mean()))}{spread}"


def _range(values: pd.Series) -> str:
    known = values.dropna()
    if not len(known):
        return DASH
    low, high = f"{known.min():.0f}", f"{known.max():.0f}"
    return low if low == high else f"{low}{DASH}{high}"


def cut_points_table(facts: StudyView) -> str:
    """Cut points with the rule that they come from."""
    columns = [
        Column("Indicator", text("component")),
        Column("Sex", lambda r: esc(r.sex) or "all"),
        Column("At risk", lambda r: esc(_direction(r.direction))),
        Column("Cut point", lambda r: number(r.cut)),
        Column("Rule", text("rule")),
        Column("n", count("n")),
    ]
    return made_table(facts.table("cut_points"), columns, file="cut_points.csv",
                      classes="pq-compact pq-words pq-study")  # fmt: skip


def _direction(direction: str) -> str:
    return {"high": "above", "low": "below"}.get(direction, direction)


def associations_table(facts: StudyView) -> str:
    """Associations of ratings and reactivity, within and between persons."""
    notes = _Notes()
    columns = [
        Column("Rating", lambda r: esc(r.rating) + notes.mark(r.note)),
        Column("Level", lambda r: esc(f"{r.level} persons" if r.level else DASH)),
        Column("Slope (per rating point)", lambda r: number(r.estimate)),
        Column("95 % CI", lambda r: interval(r.ci_low, r.ci_high)),
        Column("Test", lambda r: esc(statistic("t", r.df, math.nan, r.statistic))),
        Column("p", lambda r: esc(p_value(r.p, alpha=facts.alpha))),
        Column("Standardized", lambda r: effect(r.standardized)),
        Column("Persons", count("n_persons")),
        Column("Windows", count("n_windows")),
    ]
    rows = in_order(facts, facts.table("associations"))

    def group(row: Any) -> str:
        name = with_unit(outcome_name(row.outcome), facts.unit(row.outcome))
        return f"{name} · {row.window_set}" if row.window_set else name

    made = made_table(rows, columns, file="associations.csv", group=group)
    return made + notes.html()


def reliability_table(facts: StudyView) -> str:
    """Cronbach's alpha per subscale."""
    columns = [
        Column("Scale", text("scale")),
        Column("Subscale", text("subscale")),
        Column("Items", count("n_items")),
        Column("n", count("n")),
        Column("Cronbach's α", lambda r: coefficient(r.alpha)),
        Column("95 % CI", lambda r: _alpha_interval(r.alpha_low, r.alpha_high)),
        Column("Note", text("note")),
    ]
    return made_table(facts.table("reliability"), columns, file="reliability.csv")


def _alpha_interval(low: float, high: float) -> str:
    if not (math.isfinite(low) and math.isfinite(high)):
        return DASH
    return f"[{coefficient(low)}, {coefficient(high)}]"


def assumptions_table(facts: StudyView) -> str:
    """Checks of assumptions, their outcome, and what the tables do about it."""
    columns = [
        Column("Check", text("check")),
        Column("Analysis", text("analysis")),
        Column("Test", text("test")),
        Column("Statistic", _check_statistic),
        Column("p", lambda r: esc(p_value(r.p))),
        Column("Met", _met),
        Column("Consequence", text("consequence")),
    ]
    rows = in_order(facts, facts.table("assumptions"))
    return made_table(rows, columns, file="assumptions.csv", group=outcome_group(facts),
                      classes="pq-compact pq-study pq-last-words")  # fmt: skip


def _check_statistic(row: Any) -> str:
    value = row.statistic if math.isfinite(row.statistic) else row.value
    if not math.isfinite(value):
        return DASH
    inside = ", ".join(f"{df:.4g}" for df in (row.df1, row.df2) if math.isfinite(df))
    return esc(f"({inside}) {number(value)}" if inside else number(value))


def _met(row: Any) -> str:
    """Say whether an assumption holds; a dash where it could not be checked."""
    empty = not any(math.isfinite(value) for value in (row.statistic, row.p, row.value))
    if row.consequence.startswith("not checked") or (empty and not _is_true(row.passed)):
        return DASH
    word = {"true": "yes", "1": "yes", "1.0": "yes", "false": "no", "0": "no", "0.0": "no"}.get(
        row.passed.lower(), DASH
    )
    return f'<span class="pq-warn">{word}</span>' if word == "no" else word


def _is_true(value: object) -> bool:
    return str(value).lower() in ("true", "1", "1.0")


def sensitivity_table(facts: StudyView) -> str:
    """Contrasts under other choices."""
    columns = [
        Column("Variant", text("variant")),
        Column("Contrast", lambda r: esc(str(r.term).replace(" - ", " − "))),
        Column("Difference", lambda r: _estimate(r, facts.unit(r.outcome))),
        Column(f"{facts.level} CI", lambda r: interval(r.ci_low, r.ci_high, facts.unit(r.outcome))),
        Column("p", lambda r: esc(p_value(r.p, alpha=facts.alpha))),
        Column("n", count("n")),
        Column("Note", text("note")),
    ]
    rows = in_order(facts, facts.table("sensitivity"))
    return made_table(
        rows, columns, file="sensitivity.csv", group=outcome_group(facts), most=_MAX_SENSITIVITY
    )


def power_table(facts: StudyView) -> str:
    """Smallest detectable effects, and power for a reference effect."""
    columns = [
        Column("Contrast", lambda r: esc(str(r.term).replace(" - ", " − "))),
        Column("n", count("n")),
        Column("Smallest detectable difference",
               lambda r: _alone(r.smallest_effect, facts.unit(r.outcome))),
        Column("as Hedges g", lambda r: effect(r.smallest_g)),
        Column("at power", lambda r: percent(r.power)),
        Column("α", lambda r: coefficient(r.alpha, 3)),
        Column("Power for reference g", lambda r: percent(r.power_for_reference)),
        Column("Reference g", lambda r: effect(r.reference_g)),
        Column("Note", text("note")),
    ]  # fmt: skip
    rows = in_order(facts, facts.table("power"))
    return made_table(rows, columns, file="power.csv", group=outcome_group(facts))


def files_table(facts: StudyView) -> str:
    """Every table of the study: its file and how many rows it has."""
    body = []
    for name, frame in facts.study.tables.items():
        columns = ", ".join(str(column) for column in frame.columns[:12])
        more = len(frame.columns) - 12
        aside = f" and {plural(more, 'more column')}" if more > 0 else ""
        body.append([esc(f"{name}.csv"), str(len(frame)), esc(columns + aside)])
    return table(["File", "Rows", "Columns"], body, classes="pq-compact pq-words pq-study pq-wrap")
