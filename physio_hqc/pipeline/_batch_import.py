"""Vendor files of a batch: imported once, the same bytes on every run."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import physio_hqc
from physio_hqc.errors import PhysioError, RecordingError
from physio_hqc.pipeline._batch_sources import Source, Vendor
from physio_hqc.session import open_session

_NAMESPACE = uuid.UUID("6f0c6a0e-4a53-5f0e-9a57-5f8f0c1d2b7a")
_HEADERS = (".hea", ".vhdr")
_MAX_HEADER_BYTES = 5_000_000
_EPOCH = datetime.fromtimestamp(0, UTC)


def imported_file(source: Source, folder: Path) -> Path:
    """Import a vendor recording, unless the session file tells that it comes from the same input.

    Parameters
    ----------
    source : Source
        With `vendor`.
    folder : Path
        Where imported sessions are kept.

    Returns
    -------
    Path
        The session file. Its id is made from the input, the row of the mapping and the version,
        and it holds no time but that of the recording.

    Raises
    ------
    RecordingError
        If the recording cannot be read, or the row does not fit it.
    OutputError
        If the session file cannot be written.
    """
    vendor = source.vendor or Vendor()
    target = folder / f"{source.session}.h5"
    session_id = _identity(source.path, vendor)
    if _stored_identity(target) == session_id:
        return target
    from physio_hqc.importers import read_recording
    from physio_hqc.importers.road import write_recording

    folder.mkdir(parents=True, exist_ok=True)
    recording = read_recording(source.path, vendor.sfreq)
    write_recording(
        replace(recording, session_id=session_id),
        target,
        channel_map=dict(vendor.channel_map),
        events=vendor.events,
        overwrite=True,
        participant_id=vendor.participant,
        condition=vendor.condition,
        dyad_id=vendor.dyad,
        role=vendor.role,
        protocol=vendor.protocol,
        created_utc=_created(recording.t0_unix_ns),
    )
    return target


def _created(t0_unix_ns: int | None) -> str:
    """When the recording began; a fixed time where it does not tell, so that no clock is in it."""
    try:
        begun = _EPOCH if not t0_unix_ns else datetime.fromtimestamp(t0_unix_ns / 1e9, UTC)
    except (OverflowError, ValueError, OSError):
        begun = _EPOCH
    return begun.isoformat(timespec="milliseconds")


def _stored_identity(path: Path) -> str:
    """Id of the session that was imported before, "" if there is none that is whole."""
    if not path.is_file():
        return ""
    try:
        with open_session(path) as session:
            return session.session_id if session.closed else ""
    except PhysioError:
        return ""


def _identity(path: Path, vendor: Vendor) -> str:
    """UUID that changes whenever input, row or version do."""
    inputs = [*_parts(path), *([vendor.events] if vendor.events else [])]
    facts = {
        "version": physio_hqc.__version__,
        "inputs": [[part.name, _checksum(part)] for part in inputs],
        "row": [vendor.participant, vendor.condition, vendor.dyad, vendor.role],
        "map": vendor.channel_map,
        "protocol": vendor.protocol,
        "sfreq": vendor.sfreq,
    }
    return str(uuid.uuid5(_NAMESPACE, json.dumps(facts, sort_keys=True)))


def _checksum(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror or 'cannot be read'}") from error


def _parts(path: Path) -> list[Path]:
    """Files that a recording consists of."""
    if path.is_dir():
        return sorted(part for part in path.rglob("*") if part.is_file())
    header = path
    for ending in _HEADERS:
        for candidate in (path.with_suffix(ending), Path(f"{path}{ending}")):
            if path.suffix.lower() not in _HEADERS and candidate.is_file():
                header = candidate
    if header.suffix.lower() in _HEADERS:
        return sorted(
            {header, *_named_in(header, {header})} | ({path} if path.is_file() else set())
        )
    return [path, *sorted(path.parent.glob(f"{_globbed(path.stem)}-[0-9]*{path.suffix}"))]


def _globbed(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)


def _named_in(header: Path, seen: set[Path]) -> Iterator[Path]:
    """Files that a header names, and those that these name."""
    if not header.is_file() or header.stat().st_size > _MAX_HEADER_BYTES:
        return
    words = set(re.split(r"[\s=,/]+", header.read_text(encoding="latin-1")))
    for path in sorted(header.parent.iterdir()):
        named = path.name in words or (path.suffix == ".hea" and path.stem in words)
        if not named or path in seen or not path.is_file():
            continue
        seen.add(path)
        yield path
        if path.suffix.lower() in _HEADERS:
            yield from _named_in(path, seen)
