"""The road from a session file to the files of other tools: open, de-identify, write."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from physio_hqc.errors import OutputError
from physio_hqc.exporters.content import Content, read_content
from physio_hqc.files import folder_in, locked, new_file, output_errors, tidy
from physio_hqc.importers.formats import is_csv_folder
from physio_hqc.session import open_session

if TYPE_CHECKING:
    from physio_hqc.exporters.key import Key
    from physio_hqc.pipeline import SessionResult
    from physio_hqc.session import Session

FORMATS: Final = ("bids", "edf", "fif", "csv")
"""What a session can be exported to."""

ENDINGS: Final = {"edf": ".edf", "fif": "_raw.fif", "csv": ""}
"""What is put behind a session's name to name its export, where that is one file or folder."""


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote.

    Attributes
    ----------
    paths : tuple of Path
        The files and folders written, the one to open first.
    notices : tuple of str
        What the format could not hold as it was, one line each.
    """

    paths: tuple[Path, ...]
    notices: tuple[str, ...]


def export_session(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    to: str,
    derivatives: str | os.PathLike[str] | None = None,
    deidentify: Key | None = None,
    overwrite: bool = False,
    into: bool = False,
) -> ExportReport:
    """Export a session to a format of other tools.

    Parameters
    ----------
    path : path-like
        Session file.
    out : path-like
        ``edf`` and ``fif``: the file to write; ``csv``: the folder to write; ``bids``: the data
        set, new or existing, that the session is added to.
    to : {"bids", "edf", "fif", "csv"}
    derivatives : path-like, optional
        Where processing left the results of sessions; with ``bids`` they become derivatives.
    deidentify : Key, optional
        An open key (:func:`physio_hqc.exporters.key.open_key`): ids are replaced, dates shifted,
        free text is dropped.
    overwrite : bool
        Replace what is there; in a BIDS data set only the participant's session.
    into : bool
        `out` is a folder, and the session's name (the new one, where it is de-identified) names
        the file or folder in it. Without meaning for ``bids``.

    Returns
    -------
    ExportReport

    Raises
    ------
    SessionFileError
        If the session cannot be read.
    OutputError
        If the export exists already or cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from physio_hqc.simulate import simulate_session
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = simulate_session(folder / "p01.h5", time_scale=0.05, streams=["eda"])
    >>> report = export_session(folder / "p01.h5", folder / "p01.edf", to="edf")
    >>> [written.name for written in report.paths]
    ['p01.edf']
    """
    if to not in FORMATS:
        raise OutputError(f"{to!r} is no format to export to: use one of {', '.join(FORMATS)}")
    if derivatives is not None and to != "bids":
        raise OutputError(f"results (--derivatives) only go into a BIDS data set, not into {to}")
    source, target = Path(path), Path(out)
    if deidentify is not None:
        from physio_hqc.exporters.key import refuse_key_inside

        refuse_key_inside(deidentify.path, target)
    with open_session(source) as session:
        content = read_content(session)
        name = content.name
        if deidentify is not None:
            from physio_hqc.exporters.deidentify import deidentified

            content = deidentified(content, deidentify)
        if to == "bids":
            results = _results(derivatives, name, deidentify)
            paths, notices = _to_bids(content, target, results, overwrite=overwrite)
            return _report(session, paths, notices)
        if into:
            target = folder_in(target, f"{content.name}{ENDINGS[to]}")
        if to == "fif":
            from physio_hqc.exporters.fif import fif_path

            target = fif_path(target)
        _refuse(source, target, is_folder=to == "csv", overwrite=overwrite)
        with locked(target):
            with output_errors(target):
                tidy(target)
            # Asked again: whoever had the lock before may have written it.
            _refuse(source, target, is_folder=to == "csv", overwrite=overwrite)
            paths, notices = _writer(to)(content, target)
        return _report(session, paths, notices)


def _report(session: Session, paths: list[Path], notices: list[str]) -> ExportReport:
    unclosed = () if session.closed else ("the recording was not closed: what it held was taken",)
    return ExportReport(tuple(paths), (*unclosed, *notices))


def _writer(to: str) -> Callable[[Content, Path], tuple[list[Path], list[str]]]:
    if to == "edf":
        from physio_hqc.exporters.edf import write_edf

        return write_edf
    if to == "fif":
        from physio_hqc.exporters.fif import write_fif

        return write_fif
    from physio_hqc.exporters.csv_tables import write_csv

    return write_csv


def _to_bids(
    content: Content, target: Path, results: SessionResult | None, *, overwrite: bool
) -> tuple[list[Path], list[str]]:
    from physio_hqc.exporters.bids import write_bids

    with output_errors(target):
        return write_bids(content, target, results=results, overwrite=overwrite)


def _results(
    derivatives: str | os.PathLike[str] | None, name: str, key: Key | None
) -> SessionResult | None:
    """Return the session's results, with new ids where there is a key."""
    if derivatives is None:
        return None
    from physio_hqc.pipeline import load_result

    result = load_result(folder_in(derivatives, name))
    if key is None:
        return result
    from physio_hqc.exporters.deidentify import deidentified_result

    return deidentified_result(result, key)


def _refuse(source: Path, target: Path, *, is_folder: bool, overwrite: bool) -> None:
    """Refuse to write over the session itself, or over anything without being told to."""
    with output_errors(target):
        if target.exists() and target.samefile(source):
            raise OutputError(f"{target} is the session itself: name another file with --out")
        if not is_folder:
            new_file(target, overwrite=overwrite)
            return
        if target.is_dir() and not any(target.iterdir()):
            return
        if target.exists() and not overwrite:
            raise OutputError(f"{target} exists already: choose another name, or --overwrite it")
        if target.is_dir() and not is_csv_folder(target):
            raise OutputError(f"{target} holds other files than an export: name another folder")
