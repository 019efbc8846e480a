"""The report of one session: one HTML file that stands alone, made through ``mne.Report``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from physio_hqc.report import figures
from physio_hqc.report._facts import Facts
from physio_hqc.report._format import DASH, esc, number, percent
from physio_hqc.report._html import CSS, badge, paragraph, table
from physio_hqc.report._methods import methods
from physio_hqc.report._overview import overview, title
from physio_hqc.report._page import save_page
from physio_hqc.report._tables import KINDS, feature_table
from physio_hqc.report._verdict import RULE, window_verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from physio_hqc.pipeline.result import SessionResult
    from physio_hqc.session import Session

_MAX_REASONS = 120
_NO_TRACE = (
    "The tonic and phasic parts are not kept with the results: process the session again to see "
    "them here. Its features stand in the tables below."
)


def write_session_report(session: Session, result: SessionResult, path: Path) -> Path:
    """Write the report of a processed session as one self-contained HTML file.

    Sections for which the session has no stream are left out, and the overview says so. Long
    recordings are read in pieces and drawn by the smallest and largest value per bin, so that a
    day of ECG neither stands in memory nor loses a peak.

    Parameters
    ----------
    session : Session
        The open session file.
    result : SessionResult
        What processing left: tables, windows, provenance, traces.
    path : Path
        The HTML file. It appears whole or not at all: an existing report stays as it is when
        anything fails.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    OutputError
        If the file cannot be written.
    SessionFileError
        If the session file turns out to be damaged while its samples are read.

    References
    ----------
    Quigley K. S. et al. (2024). Psychophysiology 61, e14604. doi:10.1111/psyp.14604.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from physio_hqc import open_session, process_session
    >>> from physio_hqc.report import write_session_report
    >>> from physio_hqc.simulate import simulate_session
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> made = simulate_session(folder / "p01.h5", seed=1, time_scale=0.05, streams=["cuff"])
    >>> result = process_session(made.path)
    >>> with open_session(made.path) as session:
    ...     write_session_report(session, result, folder / "report.html").name
    'report.html'
    """
    import mne

    facts = Facts(session, result)
    report = mne.Report(title=title(facts) or "Session", verbose="error")
    report.add_custom_css(CSS)
    with warnings.catch_warnings():
        # A label in a script that the font lacks is drawn as boxes; the tables hold it whole.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        _fill(report, facts)
    return _save(report, facts, Path(path))


def _fill(report: Any, facts: Facts) -> None:
    """Add the sections in the order in which they are read."""
    report.add_html(overview(facts), "Overview", tags=("overview",))
    most = int(facts.setting("report", "max_points", 4000))
    for section, parts in (
        ("Signals", _signals(facts, most)),
        ("ECG", _ecg(facts)),
        ("Beats", _beats(facts, most)),
        ("Blood pressure", _pressure(facts, most)),
        ("Electrodermal activity", _skin(facts, most)),
        ("Quality", _quality(facts)),
        ("Reactivity", _reactivity(facts)),
        ("Features", _features(facts)),
    ):
        tag = section.lower().replace(" ", "-")
        for name, content, caption in parts:
            if isinstance(content, str):
                report.add_html(content, name, section=section, tags=(tag,))
            else:
                # Lossless WebP is about half of PNG and a fifth of SVG for such traces.
                report.add_figure(
                    content, name, caption=caption, section=section, tags=(tag,),
                    image_format="webp",
                )  # fmt: skip
    report.add_html(methods(facts), "Methods and provenance", tags=("methods",))


Part = tuple[str, "Figure | str", str]
"""Heading, content (a figure, or trusted HTML), caption."""


def _signals(facts: Facts, most: int) -> Iterator[Part]:
    if not any(stream.n_samples for stream in facts.session.streams.values()):
        return
    caption = (
        "Every stream as recorded. Shading: phases, in the color of their role; hatching: "
        "interaction windows; red bars along the bottom edge: gaps. Long traces are drawn by their "
        "smallest and largest value per bin."
    )
    figure = figures.signals_figure(facts.session, facts.drawn, max_points=most)
    yield "Whole session", figure, caption


def _ecg(facts: Facts) -> Iterator[Part]:
    stream, beats = facts.stream_of("ecg"), facts.table("beats")
    if stream is None:
        return
    length = facts.setting("report", "ecg_strip_s", 10.0)
    most = int(facts.setting("report", "ecg_strips", 6))
    duration = facts.session.duration
    spans = figures.phase_spans(facts.drawn, duration, length_s=length, most=most)
    if spans:
        where = "the middle of each phase" if len(facts.phases) else "places across the session"
        yield (
            "One strip per phase" if len(facts.phases) else "Close up",
            figures.ecg_strips_figure(stream, beats, spans),
            (
                f"{length:g} s of the recorded ECG from {where}. Gray triangles: R peaks; colored "
                "markers: beats that correction moved, inserted or removed."
            ),
        )
    corrected = figures.correction_spans(beats, duration, length_s=length)
    if corrected and most:
        yield (
            "Where beats were corrected",
            figures.ecg_strips_figure(stream, beats, corrected),
            (
                "Stretches around corrected beats, the first of each kind: judge for yourself "
                "whether the correction was right."
            ),
        )


def _beats(facts: Facts, most: int) -> Iterator[Part]:
    beats = facts.table("beats")
    if not len(beats):
        return
    yield (
        "RR tachogram",
        figures.tachogram_figure(beats, facts.drawn, facts.session.duration, max_points=most),
        (
            "RR intervals after correction, at the time of the beat that ends them; markers: what "
            "correction did. The line breaks where the ECG has a gap."
        ),
    )
    sliding = figures.sliding_figure(facts.table("features"), facts.windows, facts.session.duration)
    if sliding is not None:
        count = int((facts.windows["kind"] == "sliding").sum())
        shown = facts.table("features")
        spoken = (shown["feature"] == "HRV_LnHF") & shown["value"].notna()
        caution = (
            " †, orange: during speech, see the caution in the overview." if any(spoken) else ""
        )
        yield (
            "Course over sliding windows",
            sliding,
            f"Headline measures of {count} sliding windows, at the middle of each window.{caution}",
        )


def _pressure(facts: Facts, most: int) -> Iterator[Part]:
    beats, cuff, stream = facts.table("pressure_beats"), facts.cuff, facts.stream_of("bp")
    if not len(beats) and not len(cuff):
        return
    duration = facts.session.duration
    yield (
        "Beat to beat and cuff" if len(beats) else "Cuff readings",
        figures.pressure_figure(beats, cuff, facts.drawn, duration, max_points=most),
        (
            "Systolic, mean and diastolic pressure of every valid pulse; crosses at the top: "
            "pulses that are not valid; black triangles: cuff readings."
        ),
    )
    if stream is not None and len(beats):
        spans = figures.phase_spans(facts.drawn, duration, length_s=8.0, most=3)
        yield (
            "Waveform",
            figures.pressure_strips_figure(stream, beats, spans),
            "8 s from the middle of phases, with the systole and the foot of every pulse.",
        )


def _skin(facts: Facts, most: int) -> Iterator[Part]:
    trace = facts.result.traces.get("eda")
    if trace is None or not len(trace):
        if "eda" in facts.processed_streams:
            yield "Tonic and phasic activity", paragraph(_NO_TRACE), ""
        return
    criterion = facts.setting("eda", "scr_amplitude_min_us", float("nan"))
    counted = f" of at least {criterion:g} µS" if np.isfinite(criterion) else ""
    yield (
        "Tonic and phasic activity",
        figures.eda_figure(
            trace, facts.table("scr"), facts.drawn, facts.session.duration, max_points=most
        ),
        (
            f"Above: skin conductance and its tonic level; below: the phasic part with the skin "
            f"conductance responses{counted}."
        ),
    )


def _quality(facts: Facts) -> Iterator[Part]:
    quality = facts.table("quality")
    if not len(quality):
        return
    yield (
        "Per window and stream",
        figures.quality_figure(quality, facts.drawn, facts.session.duration),
        (
            f"Color: verdict ({RULE}). Number: usable share in percent, for cuff readings "
            "the valid share. Below: the same for sliding windows, as the height of the bars."
        ),
    )
    reasons = _reasons(quality)
    if reasons:
        yield "What lowers the quality", reasons, ""


def _reasons(quality: pd.DataFrame) -> str:
    """List the windows with something to say; nothing if there is none."""
    rows = quality[(quality["reason"].astype(str) != "") & (quality["kind"] != "sliding")]
    if not len(rows):
        return ""
    body = [
        [
            esc(row.window),
            esc(row.stream),
            badge(window_verdict(row)),
            percent(row.usable_share),
            percent(row.corrected_share),
            number(row.quality),
            esc(row.reason),
        ]
        for row in rows.head(_MAX_REASONS).itertuples()
    ]
    head = ["Window", "Stream", "Verdict", "Usable", "Corrected", "Quality", "Reason"]
    left = len(rows) - len(body)
    more = f'<p class="pq-when">{left} more in quality.csv.</p>' if left > 0 else ""
    return table(head, body, classes="pq-words") + more


def _reactivity(facts: Facts) -> Iterator[Part]:
    rows = facts.table("reactivity")
    figure = figures.reactivity_figure(rows, facts.windows) if len(rows) else None
    if figure is None:
        return
    yield (
        "Difference from baseline",
        figure,
        (
            f"Value minus baseline ({facts.baseline_window}). {DASH}: no value; †: see the caution "
            "on speech in the overview and in the feature tables."
        ),
    )


def _features(facts: Facts) -> Iterator[Part]:
    for kind, heading in KINDS:
        made = feature_table(facts, kind)
        if made:
            yield heading, made, ""


def _save(report: Any, facts: Facts, path: Path) -> Path:
    package = facts.provenance.get("package", {})
    version = package.get("version", "") if isinstance(package, dict) else ""
    return save_page(report, path, version, str(facts.provenance.get("fingerprint", ""))[:12])
