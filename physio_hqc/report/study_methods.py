"""The methods section of a study and its reporting checklists, from what was done."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from physio_hqc.report import (
    _study_text_sample,
    _study_text_scores,
    _study_text_signals,
    _study_text_tests,
)
from physio_hqc.report._checklist import AUTHORS, checklists
from physio_hqc.report._page import save_text
from physio_hqc.report._study_facts import (
    StudyFacts,
    code,
    commonest,
    count_of,
    md,
    pipe_table,
    without_folders,
)
from physio_hqc.report._study_sources import Cited

if TYPE_CHECKING:
    from physio_hqc.study.result import StudyResult

Section = Callable[[StudyFacts, Cited], list[str]]

_SECTIONS: tuple[tuple[str, Section], ...] = (
    ("Participants", _study_text_sample.participants),
    ("Design and procedure", _study_text_sample.design),
    ("Recording", _study_text_signals.recording),
    ("Heart beats and heart rate variability", _study_text_signals.heart),
    ("Respiration", _study_text_signals.respiration),
    ("Blood pressure", _study_text_signals.pressure),
    ("Electrodermal activity", _study_text_signals.skin),
    ("Signal quality", _study_text_scores.quality),
    ("Baseline and reactivity", _study_text_scores.reactivity),
    ("Recovery", _study_text_scores.recovery),
    ("Allostatic-load proxy", _study_text_scores.proxy),
    ("Ratings", _study_text_scores.ratings),
    ("Statistical analysis", _study_text_tests.statistics),
    ("Software", _study_text_tests.software),
)


def write_study_methods(study: StudyResult, path: Path) -> Path:
    """Write the methods section and the reporting checklists of a study into a file.

    Parameters
    ----------
    study : StudyResult
        As for :func:`study_methods`.
    path : Path
        The Markdown file; it appears whole or not at all.

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
    >>> from physio_hqc.report import write_study_methods
    >>> from physio_hqc.study import StudyResult
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> write_study_methods(StudyResult(None, {}, {}, {}), folder / "methods.md").name
    'methods.md'
    """
    return save_text(study_methods(study), path)


def study_methods(study: StudyResult) -> str:
    """Write the methods section and the reporting checklists of a study.

    Every sentence rests on a table or on the run record of a session: a stream that was not
    recorded, a score that was not computed and a test that was not made are not described. Where
    sessions differ, the text says in how many it was what.

    Parameters
    ----------
    study : StudyResult
        Tables, settings and run records, as `physio_hqc.study.process_study` returns them.

    Returns
    -------
    str
        Markdown (GitHub flavor), ends with a line break. The same study gives the same text.

    Notes
    -----
    What recordings cannot tell (electrode gel, cuff size, room temperature, recruitment) stands
    in the checklists as to be given by the authors. The items of the checklists follow the
    abstracts of the guidelines and common practice, except those of GRAPH, whose checklist is
    open.

    References
    ----------
    Quigley K. S. et al. (2024). Psychophysiology 61, e14604. doi:10.1111/psyp.14604.
    Quintana D. S. et al. (2016). Translational Psychiatry 6, e803. doi:10.1038/tp.2016.73.
    Boucsein W. et al. (2012). Psychophysiology 49, 1017. doi:10.1111/j.1469-8986.2012.01384.x.
    Shapiro D. et al. (1996). Psychophysiology 33, 1. doi:10.1111/j.1469-8986.1996.tb02103.x.

    Examples
    --------
    >>> import pandas as pd
    >>> from physio_hqc.report import study_methods
    >>> from physio_hqc.study import StudyResult
    >>> people = pd.DataFrame({"id": ["p1", "p2"], "sex": ["female", "male"], "age": [20.0, 24.0],
    ...                        "condition": ["alone", "support"]})
    >>> text = study_methods(StudyResult(None, {"participants": people}, {}, {}))
    >>> text.splitlines()[8].split(". ")[0]
    'In all, 2 participants were enrolled (alone 1, support 1)'
    """
    facts, cite = StudyFacts(study), Cited()
    blocks = [f"# {_title(study.config)}", _about(study.provenance), "## Methods"]
    for heading, write in _SECTIONS:
        written = write(facts, cite)
        blocks += [f"### {heading}", *written] if written else []
    blocks += checklists(facts, cite)
    blocks += _run_record(facts)
    blocks += ["## References", "\n".join(f"- {text}" for text in cite.references())]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _title(config: Mapping[str, object]) -> str:
    title = str(config.get("title") or "").strip()
    return f"Methods and reporting checklists{f': {md(title)}' if title else ''}"


def _about(provenance: Mapping[str, object]) -> str:
    package = provenance.get("package")
    by = ""
    if isinstance(package, Mapping) and package.get("name"):
        by = f" by {md(package['name'])} {md(package.get('version', ''))}"
    return (
        f"Written{by} from the tables and run records of this study: each sentence says what was "
        "done. What the recordings cannot tell stands in the checklists below as "
        f"“{AUTHORS}”."
    )


# ------------------------------------------------------------------------------- run record


def _run_record(facts: StudyFacts) -> list[str]:
    """Hashes of what was read, settings, and notices."""
    blocks = ["## Run record"]
    body = [
        [
            md(session.name),
            md(session.at("input", "participant", default="")),
            md(session.at("input", "file", default="")),
            code(session.at("input", "sha256", default="")),
        ]
        for session in facts.sessions
    ]
    if body:
        head = ["Session", "Participant", "File", "SHA-256"]
        blocks += ["Session files:", pipe_table(head, body)]
    if facts.inputs:
        blocks += _inputs(facts.inputs)
    blocks += _settings(facts)
    notices = [f"- {md(text)}" for text in facts.study.notices]
    if notices:
        blocks += ["Notices of the analysis:", "\n".join(notices)]
    return blocks if len(blocks) > 1 else []


def _inputs(inputs: Mapping[str, str]) -> list[str]:
    """Hashes of the tables of the study; those of sessions are counted, not listed."""
    own = {name: value for name, value in inputs.items() if "/" not in name}
    rows = [[md(name), code(value)] for name, value in sorted(own.items())]
    blocks = ["Tables of the laboratory:", pipe_table(["File", "SHA-256"], rows)] if rows else []
    n = len(inputs) - len(own)
    if n:
        blocks.append(
            f"Hashes of {count_of(n, 'table')} of sessions stand in the study's `provenance.json`."
        )
    return blocks


def _settings(facts: StudyFacts) -> list[str]:
    """Settings of the study, and of processing; each kind of the latter once."""
    blocks = []
    if facts.config:
        blocks += ["Settings of the study:", _fenced(facts.config)]
    found = [session.at("config") for session in facts.sessions]
    texts = [
        _fenced({key: value for key, value in config.items() if key != "report"})
        for config in found
        if isinstance(config, Mapping)
    ]
    kinds = commonest(texts)
    for kind in kinds:
        some = "" if len(kinds) == 1 else f" in {texts.count(kind)} of {len(texts)} sessions"
        blocks += [f"Settings of processing{some}:", kind]
    return blocks


def _without_folders(value: object) -> object:
    """Return settings without the folders that lead to files on one machine."""
    if isinstance(value, Mapping):
        return {str(key): _without_folders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(item) for item in value]
    return without_folders(value) if isinstance(value, str) else value


def _fenced(settings: Mapping[str, object]) -> str:
    """Write settings as JSON, which no text in them can leave."""
    text = json.dumps(_without_folders(settings), indent=2, ensure_ascii=False, default=str)
    return f"~~~~json\n{text}\n~~~~"
