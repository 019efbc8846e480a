"""What a study leaves: its tables, settings and provenance."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd


@dataclass(frozen=True, eq=False)
class StudyResult:
    """A study, collected and tested.

    Attributes
    ----------
    out_dir : Path or None
        Folder of the study's results; None where nothing was written.
    tables : dict of str to DataFrame
        One per name of ``physio_hqc.study.schema.TABLES``.
    config : dict
        Settings as used, as plain data.
    provenance : dict
        ``sessions`` (session name to the provenance of its processing), ``package``,
        ``libraries``, ``python``, ``inputs`` (name, SHA-256 of every file that was read).
    notices : list of str
        What the reader of the results should know.
    """

    out_dir: Path | None
    tables: dict[str, pd.DataFrame]
    config: dict[str, Any]
    provenance: dict[str, Any]
    notices: list[str] = field(default_factory=list)
