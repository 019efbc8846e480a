"""A session as MNE's own file: all regular streams on one axis, events as annotations."""

from __future__ import annotations

import math
import os
import re
import shutil
import struct
import uuid
from pathlib import Path
from typing import Final

from physio_hqc.errors import OutputError
from physio_hqc.exporters.content import Content, StreamContent
from physio_hqc.files import hidden_sibling, replaced_file
from physio_hqc.session.to_mne import raw_of

_NAMED: Final = re.compile(r"(.*[_-])?(raw|meg|eeg|ieeg)\.fif(\.gz)?", re.DOTALL)
_SPLIT: Final = "2GB"
_MOST_SECONDS: Final = 2**31 - 1
_ID_STRUCT: Final = 31
_TAG: Final = struct.Struct(">iIii")
# MNE takes the date of an id for that of a recording without one, unless the id says there is none.
_NO_MACHINE_NO_DATE: Final = struct.pack(">8xii", 0, 2**31 - 1)


def fif_path(path: Path) -> Path:
    """Return the path with a name that MNE reads without complaint.

    Examples
    --------
    >>> fif_path(Path("P01.fif")).name, fif_path(Path("P02_raw.fif")).name
    ('P01_raw.fif', 'P02_raw.fif')
    """
    if _NAMED.fullmatch(path.name):
        return path
    return path.with_name(f"{path.name.removesuffix('.fif')}_raw.fif")


def write_fif(content: Content, path: Path) -> tuple[list[Path], list[str]]:
    """Write a session as a FIF file, in parts where it exceeds 2 GB.

    Parameters
    ----------
    content : Content
    path : Path
        Named as MNE asks for, see `fif_path`. Replaced if it exists, once the new one is whole.

    Returns
    -------
    paths : list of Path
        The first part first.
    notices : list of str
        Streams that were brought to the common rate, streams left out.

    Raises
    ------
    OutputError
        If there is no regular stream with samples, or the file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from physio_hqc import open_session
    >>> from physio_hqc.exporters.content import read_content
    >>> from physio_hqc.simulate import simulate_session
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = simulate_session(folder / "p01.h5", time_scale=0.05, streams=["ecg"])
    >>> with open_session(folder / "p01.h5") as session:
    ...     paths, notices = write_fif(read_content(session), folder / "p01_raw.fif")
    >>> [part.name for part in paths]
    ['p01_raw.fif']
    """
    chosen = [_Shown(s) for s in content.streams.values() if s.sfreq and s.n_samples]
    if not chosen:
        raise OutputError(f"{content.name} has no regular stream with samples for a FIF file")
    ends = (content.events["onset"] + content.events["duration"].fillna(0.0)).tolist()
    duration = max([*ends, *(stream.t_end for stream in chosen)])
    t0 = content.t0_unix_ns if _has_date(content) else None
    raw = raw_of(chosen, content.events, duration, t0)
    raw.info["subject_info"] = (
        {"his_id": content.participant_id} if content.participant_id else None
    )
    folder = hidden_sibling(path, f"{uuid.uuid4().hex[:8]}.part")
    try:
        folder.mkdir(parents=True)
        raw.save(folder / path.name, fmt="double", split_size=_SPLIT, verbose="error")
        parts = sorted(folder.iterdir(), key=_number)
        for part in parts:
            _forget_machine(part)
        written = _move(parts, path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}); choose a place that you may "
            "write to"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return written, _notices(content, chosen, float(raw.info["sfreq"]))


def _has_date(content: Content) -> bool:
    """Whether the start is known and within the 32 bits of seconds that FIF has."""
    t0 = content.t0_unix_ns
    return t0 is not None and abs(t0 // 10**9) < _MOST_SECONDS


class _Shown:
    """A stream's content as the common axis takes it."""

    def __init__(self, content: StreamContent) -> None:
        self.name, self.modality, self.units = content.name, content.modality, content.units
        self.channels, self.measured_sfreq = content.channels, content.measured_sfreq
        self.n_samples = content.n_samples
        self.t_end = float(content.times[-1])
        self.filled = content._stream.filled


def _notices(content: Content, chosen: list[_Shown], rate: float) -> list[str]:
    notices = [
        f"{stream.name}: interpolated from {stream.measured_sfreq:.6g} Hz to {rate:.6g} Hz"
        for stream in chosen
        if not math.isclose(stream.measured_sfreq, rate, rel_tol=1e-9)
    ]
    left = [s.name for s in content.streams.values() if not s.sfreq and s.n_samples]
    if content.t0_unix_ns is not None and not _has_date(content):
        notices.append("the start is left out: FIF holds dates from 1901 to 2038")
    if left:
        notices.append(f"{', '.join(left)}: readings at times of their own are left out")
    return notices


def _number(part: Path) -> int:
    """Number of a part: ``x_raw.fif``, ``x_raw-1.fif``, ``x_raw-2.fif``."""
    match = re.search(r"-(\d+)\.fif(\.gz)?$", part.name)
    return int(match[1]) if match else 0


def _move(parts: list[Path], path: Path) -> list[Path]:
    """Give the parts their names, the first one last: it says that all are there."""
    targets = [path.with_name(part.name) for part in parts]
    if len(parts) > 1:
        path.unlink(missing_ok=True)
    for part, target in reversed(list(zip(parts[1:], targets[1:], strict=True))):
        part.replace(target)
    with replaced_file(path) as hidden:
        parts[0].replace(hidden)
    ours = re.compile(rf"{re.escape(path.name.split('.fif')[0])}-\d+\.fif(\.gz)?")
    for old in path.parent.iterdir():
        if ours.fullmatch(old.name) and old not in targets:
            old.unlink()
    return targets


def _forget_machine(part: Path) -> None:
    """Clear what MNE writes of the computer and the moment: not to be handed on, and not ours."""
    if part.name.endswith(".gz"):
        return
    with part.open("r+b") as file:
        size, at = os.fstat(file.fileno()).st_size, 0
        while at + _TAG.size <= size:
            file.seek(at)
            _, kind, length, following = _TAG.unpack(file.read(_TAG.size))
            if kind == _ID_STRUCT and length == 20:
                file.seek(at + _TAG.size + 4)  # the version stays
                file.write(_NO_MACHINE_NO_DATE)
            at = following if following > 0 else at + _TAG.size + length
            if following < 0:
                return
