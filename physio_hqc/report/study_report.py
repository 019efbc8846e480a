"""The report of a study: one HTML file that stands alone, made through ``mne.Report``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import physio_hqc
from physio_hqc.errors import OutputError
from physio_hqc.report._html import CSS
from physio_hqc.report._page import save_page
from physio_hqc.report._study_figures import figures_of
from physio_hqc.report._study_sections import STUDY_CSS, fingerprint, sections, study_title
from physio_hqc.report._study_view import StudyView

if TYPE_CHECKING:
    from physio_hqc.study.result import StudyResult

_PNG_DPI: Final = 300


def write_study_report(study: StudyResult, path: Path) -> Path:
    """Write the report of a study as one self-contained HTML file.

    The answer to the design's question stands first, then who took part, how good the data are,
    the figures, and every table. A table that the study does not have is one sentence.

    Parameters
    ----------
    study : StudyResult
        What `process_study` returns.
    path : Path
        The HTML file. It appears whole or not at all.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    OutputError
        If the file cannot be written.

    References
    ----------
    Schulz K. F. et al. (2010). CONSORT 2010 statement. BMJ 340, c332. doi:10.1136/bmj.c332.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from physio_hqc.report import write_study_report
    >>> from physio_hqc.study import StudyResult
    >>> nothing = StudyResult(None, {}, {"title": "A pilot"}, {})
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> write_study_report(nothing, folder / "report.html").name
    'report.html'
    """
    import mne

    facts = StudyView(study)
    report = mne.Report(title=study_title(facts), verbose="error")
    report.add_custom_css(CSS + STUDY_CSS)
    with _drawing():
        drawn = figures_of(facts)
        for section in sections(facts, drawn):
            tag = section.name.lower().replace(" ", "-")
            for part in section.parts:
                if isinstance(part.content, str):
                    report.add_html(part.content, part.name, section=section.name, tags=(tag,))
                else:
                    report.add_figure(
                        part.content, part.name, caption=part.caption, section=section.name,
                        tags=(tag,), image_format="webp",
                    )  # fmt: skip
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path.parent}: the folder of the report cannot be made "
            f"({error.strerror or error}): the report cannot be written; choose another folder"
        ) from error
    return save_page(report, path, physio_hqc.__version__, fingerprint(facts))


def save_study_figures(study: StudyResult, folder: Path) -> list[Path]:
    """Save every figure of the study for a paper: SVG with text as text, and PNG at 300 dpi.

    Figures are as wide as two columns of a journal (183 mm), their letters 7 points or larger. The
    same result gives the same SVG, byte for byte.

    Parameters
    ----------
    study : StudyResult
        What `process_study` returns.
    folder : Path
        Where the figures go; it is made if it is not there.

    Returns
    -------
    list of Path
        The files, SVG before PNG, in the order of the report.

    Raises
    ------
    OutputError
        If a figure cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from physio_hqc.report import save_study_figures
    >>> from physio_hqc.study import StudyResult
    >>> save_study_figures(StudyResult(None, {}, {}, {}), pathlib.Path(tempfile.mkdtemp()))
    []
    """
    from matplotlib import rc_context

    folder = Path(folder)
    written: list[Path] = []
    settings = {"svg.fonttype": "none", "svg.hashsalt": "physio_hqc"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _drawing(), rc_context(settings):
            for drawn in figures_of(StudyView(study)):
                for suffix, facts in (("svg", {"Date": None}), ("png", {})):
                    target = folder / f"{drawn.name}.{suffix}"
                    drawn.figure.savefig(target, dpi=_PNG_DPI, metadata=facts)
                    written.append(target)
    except OSError as error:
        raise OutputError(
            f"{folder}: the figures cannot be written ({error.strerror or error}); "
            "choose a folder that you may write to"
        ) from error
    return written


@contextmanager
def _drawing() -> Iterator[None]:
    """Draw names in any script: what the font lacks becomes boxes; the tables hold it whole."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield
