"""Writing an ``mne.Report`` as one HTML file: whole or not at all, the same for the same input."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from physio_hqc.errors import OutputError
from physio_hqc.files import hidden_sibling
from physio_hqc.report._format import esc


def save_page(report: Any, path: Path, version: str, fingerprint: str) -> Path:
    """Write beside the target and rename, so that no half report is ever seen.

    Parameters
    ----------
    report : mne.Report
    path : Path
        The HTML file.
    version, fingerprint : str
        Of the package and of the results: the footer says what the page was made from.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    # The suffix decides the format, and mne.Report refuses what exists.
    part = hidden_sibling(path, f"{os.getpid()}.part.html")
    try:
        report.save(part, open_browser=False, overwrite=True, verbose="error")
        text = part.read_text(encoding="utf-8")
        part.write_text(_dated(text, version, fingerprint), encoding="utf-8", newline="\n")
        part.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path}: the report cannot be written ({error.strerror or error}); "
            "choose a folder that you may write to"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return path


def save_text(text: str, path: Path) -> Path:
    """Write a text beside the target and rename, so that no half file is ever seen.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    part = hidden_sibling(path, f"{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}); "
            "choose a folder that you may write to"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return path


def _dated(text: str, version: str, fingerprint: str) -> str:
    """Put what the page was made from where mne.Report puts the time of day.

    The same input and settings then give the same file.
    """
    made = f"physio_hqc {version} "
    if fingerprint:
        made += f"({fingerprint}) "
    return re.sub(
        r"Created on [\d:\- ]+ via", lambda _: f"Created by {esc(made)}via", text, count=1
    )
