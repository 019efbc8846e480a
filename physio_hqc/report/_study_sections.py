"""The sections of the report of a study, in the order in which they are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from physio_hqc.report import _study_tables as tables
from physio_hqc.report._format import esc, plural
from physio_hqc.report._html import bullets, paragraph, table
from physio_hqc.report._study_answer import HOW_TO_READ, answer, main_window
from physio_hqc.report._verdict import RULE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from physio_hqc.report._study_figures import Drawn
    from physio_hqc.report._study_view import StudyView

STUDY_CSS: Final = """
figure.figure img { width: auto; max-width: 100%; }
.pq-study { width: auto; min-width: 50%; }
.pq-study td:last-child { white-space: normal; max-width: 34em; }
.pq-last-words td:last-child, .pq-last-words th:last-child { text-align: left; }
.pq-wrap td { white-space: normal; overflow-wrap: anywhere; }
.pq-answer { border-left: 4px solid #0072b2; background: #eef5fa; padding: .6rem .9rem;
  max-width: 78em; margin: 0 0 .8rem; }
.pq-answer p { font-size: 1.04rem; line-height: 1.5; margin: 0 0 .4rem; }
.pq-answer p:last-child { margin: 0; }
"""


@dataclass(frozen=True, eq=False)
class Part:
    """One part of a section: trusted HTML, or a figure with its caption."""

    name: str
    content: str | Figure
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Section:
    """A section of the page."""

    name: str
    parts: list[Part] = field(default_factory=list)


def study_title(facts: StudyView) -> str:
    """Title of the page, escaped."""
    return esc(facts.setting("title", "") or "Study")


def fingerprint(facts: StudyView) -> str:
    """Short digest of what the study was made from."""
    made_from = {"config": facts.study.config, "inputs": facts.study.provenance.get("inputs", [])}
    text = json.dumps(made_from, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def sections(facts: StudyView, drawn: Sequence[Drawn]) -> Iterator[Section]:
    """Make every section; one without data says so in a sentence."""
    yield Section("Answer", [Part("Answer", _answer(facts))])
    yield _section(facts, drawn, "Participants", "flow", "", [
        ("By condition", tables.flow_table),
        ("In each analysis", tables.analysed_table),
        ("Not in the analysis", tables.exclusions_table),
    ], "The study has no participant flow.")  # fmt: skip
    yield _section(facts, drawn, "Quality", "quality", f"{RULE[0].upper()}{RULE[1:]}.", [
        ("Quality over all sessions", tables.quality_table),
    ], "The study has no quality table.")  # fmt: skip
    yield _section(facts, drawn, "Time course", "courses", "", [],
                   "The sessions hold no courses within phases.")  # fmt: skip
    yield _section(facts, drawn, "Reactivity", "descriptives", "", [
        ("Level and change by condition and window", tables.descriptives_table),
    ], "There are no descriptive statistics.")  # fmt: skip
    yield _section(facts, drawn, "Contrasts", "statistics", HOW_TO_READ, [
        ("Planned contrasts", lambda f: tables.contrast_table(f, f.contrasts)),
        ("Adjusted means of the analysis that answers", tables.adjusted_means_table),
    ], "No contrast was tested.")  # fmt: skip
    yield _section(facts, drawn, "Recovery", "recovery", _RECOVERY, [
        ("Half recovery and logistic curve", tables.recovery_table),
    ], "The sessions hold no recovery after a task.")  # fmt: skip
    yield _proxy(facts, drawn)
    yield _ratings(facts, drawn)
    yield _section(facts, drawn, "Assumptions", "assumptions", "", [
        ("Assumption checks and what followed", tables.assumptions_table),
    ], "No assumption was checked.")  # fmt: skip
    yield _section(facts, drawn, "Sensitivity", "sensitivity", "", [
        ("Contrasts under other choices", tables.sensitivity_table),
    ], "No sensitivity analysis was made.")  # fmt: skip
    yield _section(facts, drawn, "Power", "power", _POWER, [
        ("Smallest detectable effects", tables.power_table),
    ], "No smallest detectable effect was computed.")  # fmt: skip
    yield _section(facts, drawn, "All statistics", "statistics", "", [
        ("Every test and estimate", tables.statistics_table),
    ], "No model was fitted.")  # fmt: skip
    yield Section("Tables and settings", [
        Part("Files", tables.files_table(facts) if facts.study.tables
             else paragraph("The study has no tables.")),
        Part("Settings", _settings(facts)),
        Part("Software and inputs", _software(facts)),
    ])  # fmt: skip


_RECOVERY: Final = (
    "Half recovered: participants whose course came back by half of the change in the task, and "
    "when. Curve: three-parameter logistic after Christenfeld, Glynn & Gerin (2000), "
    "Psychophysiology 37, 543; where the data cannot carry it, no curve is fitted and the reason "
    "is counted."
)
_PROXY: Final = (
    "A session measures a few of the indicators that make up allostatic load; this is a proxy, and "
    "it is never the laboratory composite. Participants with missing indicators are counted over "
    "those they have; nothing is imputed."
)
_POWER: Final = (
    "Smallest effects are those that a study of this size and residual spread detects with the "
    "power stated. They are not the power for the effect that was found."
)

_WITH_CAUTION: Final = ("Reactivity", "Contrasts", "All statistics")
Maker = tuple[str, Callable[["StudyView"], str]]


def _section(
    facts: StudyView,
    drawn: Sequence[Drawn],
    name: str,
    needed: str,
    intro: str,
    makers: Sequence[Maker],
    nothing: str,
) -> Section:
    """Figures first, then tables; a sentence where the table that is needed has no rows."""
    figures = [Part(d.title, d.figure, d.caption) for d in drawn if d.section == name]
    if not len(facts.table(needed)) and not figures:
        return Section(name, [Part(name, paragraph(nothing))])
    parts = list(figures)
    if not len(facts.table(needed)):
        return Section(name, [*parts, Part("Table", paragraph(nothing))])
    if makers:
        made = [(heading, maker(facts)) for heading, maker in makers]
        text = "".join(
            f'<h6 class="pq-heading">{esc(heading)}</h6>{html}' for heading, html in made if html
        )
        head = paragraph(intro, "pq-rule") if intro else ""
        head += tables.speech_note(facts) if name in _WITH_CAUTION else ""
        parts.append(Part(made[0][0], head + text))
    elif not figures:
        parts.append(Part(name, paragraph("The outcomes have no courses that could be drawn.")))
    return Section(name, parts)


def _answer(facts: StudyView) -> str:
    said = "".join(f"<p>{esc(sentence)}</p>" for sentence in answer(facts))
    parts = [f'<div class="pq-answer">{said}</div>', paragraph(HOW_TO_READ, "pq-rule")]
    rows = facts.contrasts
    primary = rows[rows["main"] & rows["estimate"].notna()]
    if len(primary):
        window = main_window(facts, primary)
        heading = f"Primary analysis of every outcome: {window}"
        parts.append(f'<h6 class="pq-heading">{esc(heading)}</h6>')
        parts.append(tables.speech_note(facts))
        parts.append(tables.contrast_table(facts, primary[primary["window"] == window]))
    notices = [str(notice) for notice in facts.study.notices]
    if notices:
        shown = [*notices[:20], *([f"and {len(notices) - 20} more"] if len(notices) > 20 else [])]
        parts.append(f'<div class="pq-notice">{bullets(shown)}</div>')
    return "".join(parts)


def _cut_points(facts: StudyView) -> str:
    if not len(facts.table("cut_points")):
        return paragraph("The cut points were not kept.")
    return tables.cut_points_table(facts)


def _proxy(facts: StudyView, drawn: Sequence[Drawn]) -> Section:
    """Give the proxy with its tables, or one sentence where no cut point could be formed."""
    name = "Allostatic-load proxy"
    why = facts.no_cut_points
    if why:
        return Section(name, [Part(name, paragraph(why))])
    return _section(facts, drawn, name, "allostatic", _PROXY, [
        ("Allostatic-load proxy by condition", tables.proxy_table),
        ("Means with bootstrap intervals", tables.proxy_summary_table),
        ("Cut points", _cut_points),
    ], "The allostatic-load proxy was not computed.")  # fmt: skip


def _ratings(facts: StudyView, drawn: Sequence[Drawn]) -> Section:
    figures = [Part(d.title, d.figure, d.caption) for d in drawn if d.section == "Ratings"]
    if not len(facts.table("ratings")):
        return Section("Ratings", [Part("Ratings", paragraph("The study has no ratings."))])
    text = []
    for heading, needed, maker, nothing in (
        ("Associations of ratings and reactivity", "associations", tables.associations_table,
         "No association was estimated."),
        ("Reliability", "reliability", tables.reliability_table,
         "The ratings hold no scale of several items, so there is no reliability."),
    ):  # fmt: skip
        html = maker(facts) if len(facts.table(needed)) else paragraph(nothing)
        if needed not in ("associations",) and needed not in facts.study.tables:
            html = paragraph(nothing)
        text.append(f'<h6 class="pq-heading">{esc(heading)}</h6>{html}')
    return Section("Ratings", [*figures, Part("Associations and reliability", "".join(text))])


def _settings(facts: StudyView) -> str:
    if not facts.study.config:
        return paragraph("The settings were not kept.")
    body = [[esc(name), esc(_plain(value))] for name, value in facts.study.config.items()]
    return table(["Setting", "Value"], body, classes="pq-compact pq-words pq-study pq-wrap")


def _plain(value: Any) -> str:
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return "–" if value is None or value == "" else str(value)


def _software(facts: StudyView) -> str:
    given = facts.study.provenance
    package = given.get("package", {})
    name = (
        f"{package.get('name', 'physio-hqc')} {package.get('version', '')}"
        if isinstance(package, dict) else str(package)
    )  # fmt: skip
    libraries = given.get("libraries", {})
    words = ", ".join(f"{library} {version}" for library, version in sorted(libraries.items()))
    parts = [
        paragraph(
            f"{name}; Python {given.get('python', 'not known')}; {words or 'libraries not kept'}."
        )
    ]
    inputs = given.get("inputs", [])
    entries = inputs.items() if isinstance(inputs, dict) else enumerate(inputs)
    body = [_input(key, entry) for key, entry in entries]
    if body:
        parts.append(table(["File", "SHA-256"], body[:400], classes="pq-compact pq-words pq-study"))
        if len(body) > 400:
            parts.append(paragraph(f"and {plural(len(body) - 400, 'more file')}.", "pq-rule"))
    return "".join(parts)


def _input(key: object, entry: Any) -> list[str]:
    if isinstance(entry, dict):
        name = entry.get("name") or entry.get("file") or entry.get("path") or key
        return [esc(name), f'<span class="pq-mono">{esc(entry.get("sha256", ""))}</span>']
    return [esc(key), f'<span class="pq-mono">{esc(entry)}</span>']
