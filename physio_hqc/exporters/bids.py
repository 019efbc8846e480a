"""A session into a BIDS data set: recordings, events, participants, and results as derivatives.

Layout of a session, in ``sub-<label>/[ses-<label>/]beh/``:

- ``*_recording-<stream>_physio.tsv.gz``: one regular stream at its own measured rate;
- ``*_events.tsv``: what was tagged: phases, interaction windows, markers, ratings, notes;
- ``*_acq-<stream>_events.tsv``: readings and beats, which come at times of their own.

A `physioevents` file belongs to a recording of the same entities, which cuff readings and beat
intervals do not have; so they are events of an acquisition of their own. Onsets and `StartTime`
count from the same zero, the session's start. What BIDS has no word for stands in the sidecars
under ``PhysioHqc``, so that the session can be restored exactly.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import physio_hqc
from physio_hqc.errors import ConfigError, OutputError
from physio_hqc.exporters._bids_names import distinct_labels, free_label, letters
from physio_hqc.exporters._bids_results import DESCRIPTIONS, write_tables
from physio_hqc.exporters._bids_streams import Names, stream_facts, write_stream
from physio_hqc.exporters._bids_tables import (
    MISSING,
    OURS,
    event_cells,
    event_dictionary,
    text_cell,
    write_json,
    write_table,
)
from physio_hqc.exporters.content import Content
from physio_hqc.exporters.deidentify import BIDS_DAYS
from physio_hqc.files import locked, replaced_file, replaced_folder, tidy
from physio_hqc.protocol import Protocol, parse_protocol

if TYPE_CHECKING:
    from physio_hqc.pipeline import SessionResult

BIDS_VERSION: Final = "1.11.1"
_UNFINISHED: Final = re.compile(r"\.(sub-[0-9A-Za-z]+)\.[0-9a-f]{8}\.part")
_LARGEST_JSON: Final = 50_000_000
_LARGEST_TABLE: Final = 50_000_000

_README: Final = """\
# Sessions exported by physio_hqc

Each recording `*_physio.tsv.gz` holds one stream at its own rate; `SamplingFrequency` is the rate
as measured, rows without samples (gaps) are `n/a`. `StartTime` and every `onset` count from the
same zero: the start of the session.

`*_events.tsv` holds what was tagged during the session. Streams whose samples come at times of
their own (cuff readings, beat intervals) are in `*_acq-<stream>_events.tsv`.

Under the key `PhysioHqc` of the sidecars stands what is needed to restore the session exactly:
`physio-hqc import <folder of the session> --out FILE` does it. Results, if there are any, are in
`derivatives/physio_hqc`.

Name, authors, license and ethics of the study belong into `dataset_description.json`; they are
kept when further sessions are added, and so is what is added to `participants.tsv`.
"""
_PARTICIPANTS: Final = {
    "participant_id": {"Description": "Label of the participant in this data set."},
    "species": {"Description": "Binomial name of the species."},
    "age": {"Description": "Age of the participant.", "Units": "year"},
    "sex": {
        "Description": "Sex of the participant.",
        "Levels": {"F": "female", "M": "male", "O": "other"},
    },
    "handedness": {"Description": "Handedness.", "Levels": {"left": "left", "right": "right"}},
    "original_id": {"Description": "The participant's id in the session file; n/a if replaced."},
    "condition": {"Description": "Level of what the design manipulates; n/a if it changes."},
    "dyad": {"Description": "The dyad that the participant belongs to."},
    "role": {"Description": "The participant's role in the dyad."},
}
_SESSIONS: Final = {
    "session_id": {"Description": "Label of the session in this data set."},
    "acq_time": {"Description": "When the session began (UTC)."},
    "condition": {"Description": "Level of what the design manipulates."},
    "dyad": {"Description": "The dyad that was recorded."},
    "role": {"Description": "The participant's role in the dyad."},
}
_SCANS: Final = {
    "filename": {"Description": "File, relative to the folder of this table."},
    "acq_time": {"Description": "When the session began (UTC)."},
}


@dataclass(frozen=True)
class _Known:
    """A session that is in the data set already."""

    label: str  # "ses-...", or "" where it is the participant's only one
    facts: dict[str, Any]


def write_bids(
    content: Content,
    out: Path,
    *,
    results: SessionResult | None = None,
    overwrite: bool = False,
) -> tuple[list[Path], list[str]]:
    """Add a session to a BIDS data set, new or existing.

    The session appears whole or not at all. A second session of a participant gives both a
    session level (``ses-<label>``); the label comes from the session's name.

    Parameters
    ----------
    content : Content
        The session.
    out : Path
        Folder of the data set.
    results : SessionResult, optional
        What processing the session left; written to ``derivatives/physio_hqc``.
    overwrite : bool
        Replace this session where the data set holds it. Results of it that were there are
        replaced as well, or taken away: they tell of other data.

    Returns
    -------
    paths : list of Path
        The data set, then the session's files.
    notices : list of str
        What the format could not hold as it was, one line each.

    Raises
    ------
    OutputError
        If the session is there already, the folder is no data set of recordings, or nothing can
        be written.

    References
    ----------
    .. [1] Gorgolewski, K. J., et al. (2016). The brain imaging data structure. Scientific Data, 3,
       160044. doi 10.1038/sdata.2016.44; specification 1.11.1, https://bids-specification.readthedocs.io

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from physio_hqc import open_session
    >>> from physio_hqc.exporters.content import read_content
    >>> from physio_hqc.session import SessionWriter
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with SessionWriter(folder / "p01.h5", participant_id="P01") as writer:
    ...     writer.add_stream("eda", modality="eda", units="µS", sfreq=4.0)
    ...     writer.append_segment("eda", [5.0, 5.1, 5.2, 5.1], t_start=0.0)
    >>> with open_session(folder / "p01.h5") as session:
    ...     paths, notices = write_bids(read_content(session), folder / "bids")
    >>> [path.name for path in paths if path.suffix == ".gz"]
    ['sub-P01_task-session_recording-eda_physio.tsv.gz']
    """
    root = Path(out)
    if root.exists() and not root.is_dir():
        raise OutputError(f"{root} is a file: name the folder of a data set with --out")
    with locked(root / "participants.tsv"):
        _check_dataset(root)
        for folder in (root, root / "derivatives" / "physio_hqc"):
            _tidy(folder)
        participant, known = _participant(root, content)
        mine = next((item for item in known if _is_same(item.facts, content)), None)
        if mine is not None and not overwrite:
            raise OutputError(
                f"{root / participant / mine.label} holds this session already: choose another "
                "folder, or --overwrite it"
            )
        moves = _moves(known, mine, content)
        label = moves.pop("", "")
        task, protocol = _task(content)
        names = Names(participant, label, task)
        return _commit(root, names, content, protocol, results, known, mine, moves)


def _commit(
    root: Path,
    names: Names,
    content: Content,
    protocol: Protocol | None,
    results: SessionResult | None,
    known: list[_Known],
    mine: _Known | None,
    moves: dict[str, str],
) -> tuple[list[Path], list[str]]:
    """Write participant, derivatives and tables of the data set, the session's data last."""
    derived = root / "derivatives" / "physio_hqc"
    raw_target, result_target = root / names.participant, derived / names.participant
    _describe_dataset(root)
    with ExitStack() as stack:
        raw = stack.enter_context(replaced_folder(raw_target))
        _carry(raw_target, raw, names.participant, mine, moves)
        files, notices = _write_session(raw, names, content, protocol)
        _write_sessions_table(raw, names, content, known, mine, moves)
        if results is not None or result_target.is_dir():
            _write_results(stack, result_target, names, results, mine, moves)
        if results is not None:
            _describe_derivatives(derived)
        stack.enter_context(_merged(root, names, content, known, mine))
    folder = raw_target / names.session if names.session else raw_target
    paths = [root, *(folder / "beh" / file for file in files)]
    if results is not None:
        found = sorted(result_target.rglob(f"{names.who}_*.tsv"))
        paths += found
    return paths, notices


# --- who, and which session --------------------------------------------------------------------


def _check_dataset(root: Path) -> None:
    """Refuse a folder that holds something else."""
    description = root / "dataset_description.json"
    if description.exists():
        kind = _read_json(description).get("DatasetType", "raw")
        if kind != "raw":
            raise OutputError(f"{root} is a BIDS data set of type {kind}, not of recordings")
    elif root.is_dir() and any(not item.name.startswith(".") for item in root.iterdir()):
        raise OutputError(f"{root} holds files but no BIDS data set: choose another folder")


def _tidy(folder: Path) -> None:
    """Take away what exports that were killed left; whoever holds the lock is the only writer."""
    matches = [_UNFINISHED.fullmatch(path.name) for path in folder.glob(".sub-*.part")]
    for name in sorted({match[1] for match in matches if match}):
        tidy(folder / name)


def _participant(root: Path, content: Content) -> tuple[str, list[_Known]]:
    """Return the folder's name for the participant, and the sessions in it."""
    taken: set[str] = set()
    folders = {item.name.casefold(): item for item in root.glob("sub-*") if item.is_dir()}
    while True:
        label = free_label(content.participant_id or content.name or "unknown", taken)
        folder = folders.get(f"sub-{label}".casefold())
        if folder is None:
            return f"sub-{label}", []
        known = _sessions_in(folder)
        if not known and any(folder.iterdir()):
            raise OutputError(f"{folder} holds data that was not exported by physio_hqc")
        if folder.name == f"sub-{label}" and all(_who(k.facts) == _whom(content) for k in known):
            return folder.name, known
        taken.add(label.casefold())


def _whom(content: Content) -> tuple[str, str]:
    if content.participant_id:
        return "participant", content.participant_id
    return "session", content.session_id or content.name


def _who(facts: dict[str, Any]) -> tuple[str, str]:
    if facts.get("participant_id"):
        return "participant", str(facts["participant_id"])
    return "session", str(facts.get("session_id") or facts.get("name"))


def _is_same(facts: dict[str, Any], content: Content) -> bool:
    if content.session_id or facts.get("session_id"):
        return str(facts.get("session_id", "")) == content.session_id
    return facts.get("name") == content.name


def _sessions_in(folder: Path) -> list[_Known]:
    """Sessions of a participant that we wrote: their events tell who and what they are."""
    found = []
    for path in sorted(
        [*folder.glob("beh/*_events.json"), *folder.glob("ses-*/beh/*_events.json")]
    ):
        if "_acq-" in path.name or path.is_symlink():
            continue
        facts = _read_json(path).get(OURS)
        session = facts.get("Session") if isinstance(facts, dict) else None
        if isinstance(session, dict):
            where = path.parent.parent
            found.append(_Known("" if where == folder else where.name, session))
    return found


def _moves(known: list[_Known], mine: _Known | None, content: Content) -> dict[str, str]:
    """Return the label of the new session under "", and what others are to be renamed to."""
    others = [item for item in known if item is not mine]
    if mine is not None:
        return {"": mine.label}
    if not others:
        return {"": ""}
    taken = {item.label.removeprefix("ses-").casefold() for item in others if item.label}
    moves = {}
    for item in others:
        if not item.label:
            # The only one so far: it gets a label of its own as well, whichever came first.
            label = _session_label(str(item.facts.get("name", "")), item.facts, taken)
            taken.add(label.casefold())
            moves["unlabeled"] = f"ses-{label}"
    label = _session_label(content.name, {"session_id": content.session_id}, taken)
    return {**moves, "": f"ses-{label}"}


def _session_label(name: str, facts: dict[str, Any], taken: set[str]) -> str:
    label = free_label(name or "session", set())
    if label.casefold() not in taken:
        return label
    return free_label(f"{name} {facts.get('session_id', '')}", taken)


def _task(content: Content) -> tuple[str, Protocol | None]:
    """Return the task's label, and the protocol where there is one that can be read."""
    if not content.protocol:
        return "session", None
    try:
        protocol = parse_protocol(content.protocol)
    except ConfigError:
        return "session", None
    return letters(protocol.name) or "session", protocol


# --- the session's files -----------------------------------------------------------------------


def _write_session(
    raw: Path, names: Names, content: Content, protocol: Protocol | None
) -> tuple[list[str], list[str]]:
    """Write streams, events and the list of files; return data files and notices."""
    home = raw / names.session if names.session else raw
    folder = home / "beh"
    folder.mkdir(parents=True)
    labels = distinct_labels(list(content.streams))
    about = _about_task(names, content, protocol)
    files, notices = [], []
    for label, stream in zip(labels, content.streams.values(), strict=True):
        written, said = write_stream(folder, names, label, stream, about)
        files += written
        notices += said
    files.append(_write_events(folder, names, content, about))
    acquired = _acq_time(content)
    scans = home / f"{names.who}_scans.tsv"
    cells = {
        "filename": [f"beh/{file}" for file in files],
        "acq_time": [acquired] * len(files),
    }
    write_table(scans, cells)
    write_json(scans.with_suffix(".json"), _SCANS)
    if not content.participant_id:
        notices.append("the session tells no participant: it is named after the session")
    if content.t0_unix_ns is None:
        notices.append("the session does not tell when it began: acq_time is n/a")
    return files, notices


def _about_task(names: Names, content: Content, protocol: Protocol | None) -> dict[str, Any]:
    about = {"TaskName": names.task}
    if content.software:
        about["SoftwareVersions"] = content.software
    if protocol is not None and protocol.description:
        about["TaskDescription"] = protocol.description
    instructions = [
        f"{phase.label}: {phase.instructions}"
        for phase in (protocol.phases if protocol is not None else ())
        if phase.instructions
    ]
    if instructions:
        about["Instructions"] = "\n".join(instructions)
    return about


def _write_events(folder: Path, names: Names, content: Content, about: dict[str, Any]) -> str:
    cells, formats = event_cells(content.events)
    sidecar = {key: value for key, value in about.items() if key != "SoftwareVersions"}
    sidecar |= event_dictionary(cells, formats)
    sidecar[OURS] = {
        "Session": {
            "name": content.name,
            "session_id": content.session_id,
            "participant_id": content.participant_id,
            "condition": content.condition,
            "dyad_id": content.dyad_id,
            "role": content.role,
            "t0_unix_ns": content.t0_unix_ns,
            "software": content.software,
            "protocol": content.protocol,
            "deidentified": content.deidentified,
            "streams": list(content.streams),
            "without_samples": [
                stream_facts(stream)
                for stream in content.streams.values()
                if stream.sfreq > 0 and not stream.n_samples
            ],
        },
        "Events": {"payload": formats},
    }
    file = names.file("events.tsv")
    write_table(folder / file, cells)
    write_json(folder / names.file("events.json"), sidecar)
    return file


def _acq_time(content: Content) -> str:
    """Write the session's start as BIDS does; n/a where it is unknown or no year of ours."""
    return _utc(content.t0_unix_ns, content.deidentified)


def _utc(t0_unix_ns: Any, shifted: bool) -> str:
    """Write a time; one that was shifted as a year before 1926, by which BIDS tells it."""
    if not isinstance(t0_unix_ns, int):
        return MISSING
    since = timedelta(microseconds=t0_unix_ns // 1000)
    try:
        time = datetime(1970, 1, 1, tzinfo=UTC) + since - timedelta(days=BIDS_DAYS * shifted)
    except OverflowError:
        return MISSING
    return f"{time:%Y-%m-%dT%H:%M:%S.%f}Z".rjust(27, "0")


# --- what was there before ---------------------------------------------------------------------


def _carry(
    old: Path,
    new: Path,
    participant: str,
    mine: _Known | None,
    moves: dict[str, str],
) -> None:
    """Take over what the participant's folder holds, without the session that is replaced."""
    if not old.is_dir():
        return
    moved = moves.get("unlabeled", "")
    for path in sorted(old.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        inside = path.relative_to(old)
        if mine is not None and _belongs(inside, mine, participant):
            continue
        if inside.name.startswith(f"{participant}_sessions."):
            continue
        if moved and not inside.parts[0].startswith("ses-"):
            inside = _moved(inside, participant, moved)
        target = new / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.name.endswith("_scans.tsv") and moved and target.name != path.name:
            target.write_text(_moved_names(path, participant, moved), encoding="utf-8")
        else:
            _link(path, target)


def _belongs(inside: Path, session: _Known, participant: str) -> bool:
    """Whether a file is one that an export of the session wrote."""
    if session.label:
        if inside.parts[0] != session.label:
            return False
        inside = inside.relative_to(session.label)
    if not inside.name.startswith(f"{participant}_"):
        return False
    if len(inside.parts) == 1:
        return "_scans." in inside.name
    return inside.parts[0] == "beh" and bool(re.search(r"_(physio|events)\.", inside.name))


def _moved(inside: Path, participant: str, label: str) -> Path:
    """Return where a file goes when its session gets a label."""
    name = inside.name
    if name.startswith(f"{participant}_") and f"_{label}_" not in name:
        name = f"{participant}_{label}_{name.removeprefix(f'{participant}_')}"
    return Path(label) / inside.with_name(name)


def _moved_names(path: Path, participant: str, label: str) -> str:
    text = path.read_text(encoding="utf-8")
    return re.sub(rf"(?m)^(\w+/){participant}_", rf"\g<1>{participant}_{label}_", text)


def _link(source: Path, target: Path) -> None:
    """Let a file stand in the new folder too, without its bytes being written again."""
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _write_sessions_table(
    raw: Path,
    names: Names,
    content: Content,
    known: list[_Known],
    mine: _Known | None,
    moves: dict[str, str],
) -> None:
    """List the sessions of a participant who has several."""
    if not names.session:
        return
    rows = {
        item.label or moves["unlabeled"]: _session_row(item.facts)
        for item in known
        if item is not mine
    }
    rows[names.session] = (
        _acq_time(content),
        text_cell(content.condition),
        text_cell(content.dyad_id),
        text_cell(content.role),
    )
    table = raw / f"{names.participant}_sessions.tsv"
    ordered = sorted(rows)
    cells = {"session_id": ordered}
    for k, name in enumerate(("acq_time", "condition", "dyad", "role")):
        cells[name] = [rows[label][k] for label in ordered]
    write_table(table, cells)
    write_json(table.with_suffix(".json"), _SESSIONS)


def _session_row(facts: dict[str, Any]) -> tuple[str, ...]:
    texts = (text_cell(str(facts.get(key, ""))) for key in ("condition", "dyad_id", "role"))
    return (_utc(facts.get("t0_unix_ns"), bool(facts.get("deidentified"))), *texts)


# --- results -----------------------------------------------------------------------------------


def _write_results(
    stack: ExitStack,
    target: Path,
    names: Names,
    results: SessionResult | None,
    mine: _Known | None,
    moves: dict[str, str],
) -> None:
    part = stack.enter_context(replaced_folder(target))
    _carry(target, part, names.participant, mine, moves)
    if results is None:
        return
    folder = part / names.session / "beh" if names.session else part / "beh"
    folder.mkdir(parents=True)
    write_tables(folder, names, results)


def _describe_derivatives(folder: Path) -> None:
    """Write what a derivatives data set says of itself, once."""
    description = {
        "Name": "Results of physio_hqc",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [_generated_by("Beats, features, quality and reactivity per window.")],
        "SourceDatasets": [{"URL": "file:../..", "Version": "as exported"}],
    }
    _once(folder / "dataset_description.json", description)
    _write_once(folder / "README", _README_RESULTS)
    table = folder / "descriptions.tsv"
    if not table.exists():
        cells = {
            "desc_id": [f"desc-{desc}" for desc in DESCRIPTIONS],
            "description": list(DESCRIPTIONS.values()),
        }
        with replaced_file(table) as part:
            write_table(part, cells)
        _once(
            table.with_suffix(".json"),
            {
                "Description": "The kinds of tables in this data set.",
                "desc_id": {"Description": "The desc entity."},
                "description": {"Description": "What files of that label hold."},
            },
        )


_README_RESULTS: Final = """\
# Results of physio_hqc

One table per session and kind of result, `*_desc-<table>_events.tsv`, with the meaning, unit and
source of every column in the `.json` file beside it; `descriptions.tsv` lists the kinds. Each row
is a window, a beat or another moment: `onset` and `duration` are seconds from the session's start.
A value that is missing has its reason beside it. What the numbers came from (versions, settings,
counts of corrected beats) stands in the sidecar of the features under `PhysioHqc`.
"""


# --- the data set ------------------------------------------------------------------------------


def _generated_by(description: str) -> dict[str, str]:
    return {
        "Name": "physio_hqc",
        "Version": physio_hqc.__version__,
        "Description": description,
    }


def _describe_dataset(root: Path) -> None:
    """Write what the data set says of itself, where it says nothing yet."""
    description = {
        "Name": "Sessions exported by physio_hqc",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "raw",
        "GeneratedBy": [_generated_by("Session files to BIDS.")],
    }
    _once(root / "dataset_description.json", description)
    if not any((root / f"README{end}").exists() for end in ("", ".md", ".rst", ".txt")):
        _write_once(root / "README", _README)


def _once(path: Path, content: dict[str, Any]) -> None:
    if not path.exists():
        with replaced_file(path) as part:
            write_json(part, content)


def _write_once(path: Path, text: str) -> None:
    if not path.exists():
        with replaced_file(path) as part:
            part.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def _merged(
    root: Path, names: Names, content: Content, known: list[_Known], mine: _Known | None
) -> Iterator[None]:
    """List the participant; on an error the table is as it was."""
    table = root / "participants.tsv"
    before = table.read_bytes() if table.is_file() else None
    columns, rows = _read_rows(table)
    columns += [name for name in _PARTICIPANTS if name not in columns]
    row = next((row for row in rows if row.get("participant_id") == names.participant), None)
    if row is None:
        row = {"participant_id": names.participant, "species": "homo sapiens"}
        rows.append(row)
    row |= _about_participant(content, [item.facts for item in known if item is not mine])
    rows.sort(key=lambda row: row.get("participant_id", ""))
    cells = {name: [row.get(name) or MISSING for row in rows] for name in columns}
    with replaced_file(table) as part:
        write_table(part, cells)
    dictionary = table.with_suffix(".json")
    described = _read_json(dictionary) if dictionary.is_file() else {}
    if not described.keys() >= _PARTICIPANTS.keys():
        with replaced_file(dictionary) as part:
            write_json(part, {**_PARTICIPANTS, **described})
    try:
        yield
    except BaseException:
        if before is None:
            table.unlink(missing_ok=True)
        else:
            with replaced_file(table) as part:
                part.write_bytes(before)
        raise


def _about_participant(content: Content, others: list[dict[str, Any]]) -> dict[str, str]:
    """Return what the table of participants says; n/a for what differs between sessions."""
    about = {"original_id": MISSING if content.deidentified else text_cell(content.participant_id)}
    for column, key in (("condition", "condition"), ("dyad", "dyad_id"), ("role", "role")):
        values = {str(getattr(content, key)), *(str(facts.get(key, "")) for facts in others)}
        about[column] = text_cell(values.pop()) if len(values) == 1 else MISSING
    return about


def _read_rows(table: Path) -> tuple[list[str], list[dict[str, str]]]:
    if not table.is_file():
        return [], []
    try:
        if table.stat().st_size > _LARGEST_TABLE:
            raise OutputError(f"{table} is too large to be a table of participants")
        text = table.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise OutputError(f"{table} is not UTF-8 text: mend it first") from error
    lines = list(csv.reader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))
    lines = [line for line in lines if any(line)]
    if not lines or lines[0][0] != "participant_id" or len(set(lines[0])) < len(lines[0]):
        raise OutputError(f"{table}: its first column should be participant_id: mend it first")
    ragged = next((k for k, line in enumerate(lines, 1) if len(line) != len(lines[0])), 0)
    if ragged:
        raise OutputError(f"{table}, row {ragged}: another number of cells than the header's")
    return lines[0], [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_JSON:
            raise OutputError(f"{path} is too large to be a sidecar")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise OutputError(f"{path} is no JSON that can be read: mend it first") from error
    if not isinstance(content, dict):
        raise OutputError(f"{path} holds no JSON object: mend it first")
    return content
