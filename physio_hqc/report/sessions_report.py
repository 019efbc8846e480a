"""The front page over several processed sessions: who is in, how good, how they reacted."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
import pandas as pd

import physio_hqc
from physio_hqc.report._facts import judged
from physio_hqc.report._features import HEADLINES, Headline, compared_windows, present_headlines
from physio_hqc.report._format import DASH, clock, esc, listed, number, plural, signed
from physio_hqc.report._html import CSS, badge, paragraph, table
from physio_hqc.report._page import save_page
from physio_hqc.report._verdict import RULE, verdict, worst
from physio_hqc.report.figures import conditions_figure

if TYPE_CHECKING:
    from physio_hqc.pipeline.result import SessionResult

_STATISTICS = "Means describe these sessions; they are not a test."
# HF power is left out here: in speech it needs its caution, which each session's report gives.
_SHOWN = tuple(h for h in HEADLINES if h.feature != "HRV_LnHF")


def write_sessions_report(results: Sequence[SessionResult], path: Path) -> Path:
    """Write one page over several processed sessions, with a link to the report of each.

    Parameters
    ----------
    results : sequence of SessionResult
        Processed sessions whose results lie in folders beside the page.
    path : Path
        The HTML file; it appears whole or not at all.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    OutputError
        If the file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from physio_hqc import process_session
    >>> from physio_hqc.report import write_sessions_report
    >>> from physio_hqc.simulate import simulate_session
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> made = simulate_session(folder / "p01.h5", seed=1, time_scale=0.05, streams=["cuff"])
    >>> result = process_session(made.path, out_dir=folder)
    >>> write_sessions_report([result], folder / "report.html").name
    'report.html'
    """
    import mne

    report = mne.Report(title=f"Overview of {plural(len(results), 'session')}", verbose="error")
    report.add_custom_css(CSS)
    scores = _scores(results)
    report.add_html(_overview(results, scores), "Overview", tags=("overview",))
    figure = conditions_figure(scores, _shown(scores))
    if figure is not None:
        caption = f"Value minus baseline. Dots: sessions; bars: means. {_STATISTICS}"
        report.add_figure(
            figure, "Reactivity by condition", caption=caption, image_format="webp",
            tags=("reactivity",),
        )  # fmt: skip
    report.add_html(_sessions(results, scores, path.parent), "Sessions", tags=("sessions",))
    prints = "".join(str(result.provenance.get("fingerprint", "")) for result in results)
    digest = hashlib.sha256(prints.encode()).hexdigest()[:12]
    return save_page(report, path, physio_hqc.__version__, digest)


def _scores(results: Sequence[SessionResult]) -> pd.DataFrame:
    """Reactivity of the windows that are compared, in every session."""
    parts = []
    for result in results:
        rows = result.tables["reactivity"]
        shown = compared_windows(rows, result.windows)
        rows = rows[rows["window"].isin(shown)]
        known = result.windows.drop_duplicates("window").set_index("window")
        parts.append(rows.assign(role=rows["window"].map(known["role"])))
    return pd.concat(parts, ignore_index=True)


def _overview(results: Sequence[SessionResult], scores: pd.DataFrame) -> str:
    conditions = [str(result.provenance["input"]["condition"]) for result in results]
    counts = [
        f"{conditions.count(name)} {name or 'without condition'}"
        for name in dict.fromkeys(conditions)
    ]
    people = len({result.provenance["input"]["participant"] or result.name for result in results})
    lead = (
        f"{plural(len(results), 'session')} of {plural(people, 'participant')}: {listed(counts)}. "
        f"{_verdicts(results)}"
    )
    parts = [f'<p class="pq-lead">{esc(lead)}</p>']
    for window in dict.fromkeys(scores.loc[scores["role"] == "task", "window"]):
        made = _condition_table(scores[scores["window"] == window])
        if made:
            parts.append(f'<h6 class="pq-heading">Change from baseline: {esc(window)}</h6>{made}')
    parts.append(paragraph(_STATISTICS, "pq-rule"))
    return "".join(parts)


def _verdicts(results: Sequence[SessionResult]) -> str:
    words = [worst([v for _, v in _stream_verdicts(result)]) for result in results]
    counts = [f"{words.count(word)} {word}" for word in ("good", "fair", "poor") if word in words]
    return f"Data quality: {listed(counts)}." if counts else "Data quality was not checked."


def _stream_verdicts(result: SessionResult) -> list[tuple[str, str]]:
    quality = result.tables["quality"]
    streams = dict.fromkeys(quality["stream"])
    return [(str(name), verdict(*judged(quality, name))) for name in streams]


def _condition_table(rows: pd.DataFrame) -> str:
    """Mean and standard deviation of the deltas by condition; nothing without a headline."""
    shown = _shown(rows)
    if not shown:
        return ""
    units = rows.drop_duplicates("feature").set_index("feature")["unit"]
    head = ["Condition", "n", *(_heading(h, str(units[h.feature])) for h in shown)]
    body = []
    for condition in dict.fromkeys(rows["condition"]):
        mine = rows[rows["condition"] == condition]
        cells = [esc(condition or "not given"), str(mine["session"].nunique())]
        for headline in shown:
            deltas = mine.loc[mine["feature"] == headline.feature, "delta"].dropna()
            cells.append(_mean_sd(deltas.to_numpy(dtype=float), str(units[headline.feature])))
        body.append(cells)
    return table(head, body)


def _shown(rows: pd.DataFrame) -> list[Headline]:
    return [headline for headline in present_headlines(rows, "delta") if headline in _SHOWN]


def _heading(headline: Headline, unit: str) -> str:
    return f'{esc(headline.short)} <span class="pq-unit">{esc(unit)}</span>'


def _mean_sd(values: np.ndarray, unit: str) -> str:
    if not values.size:
        return DASH
    mean = esc(signed(float(values.mean()), unit))
    if values.size < 2:
        return mean
    return f'{mean} <span class="pq-unit">± {esc(number(float(values.std(ddof=1)), unit))}</span>'


def _sessions(results: Sequence[SessionResult], scores: pd.DataFrame, folder: Path) -> str:
    task = scores[scores["role"] == "task"]
    shown = _shown(task)
    units = task.drop_duplicates("feature").set_index("feature")["unit"]
    head = ["Session", "Participant", "Condition", "Length", "Data",
            *(f"Δ {_heading(h, str(units[h.feature]))}" for h in shown)]  # fmt: skip
    body = []
    for result in results:
        facts = result.provenance["input"]
        deltas = task[task["session"] == result.name].groupby("feature")["delta"].mean()
        body.append(
            [
                _link(result, folder),
                esc(facts["participant"] or DASH),
                esc(facts["condition"] or DASH),
                clock(float(facts["duration_s"] or np.nan)),
                " ".join(f"{esc(name)} {badge(word)}" for name, word in _stream_verdicts(result)),
                *(
                    esc(signed(float(deltas.get(h.feature, np.nan)), str(units[h.feature])))
                    for h in shown
                ),
            ]
        )
    note = f"Δ: mean change from baseline over the task phases. Data: {RULE}."
    return table(head, body, classes="pq-compact") + paragraph(note, "pq-rule")


def _link(result: SessionResult, folder: Path) -> str:
    """Name of the session, with a link where its own report lies beside this page."""
    name = esc(result.name)
    if result.out_dir is None or result.out_dir.resolve().parent != folder.resolve():
        return name
    return f'<a href="{quote(result.out_dir.name)}/report.html">{name}</a>'
