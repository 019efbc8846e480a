"""Results of a session as a BIDS derivatives data set: every table is a table of events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from physio_hqc.exporters._bids_streams import Names
from physio_hqc.exporters._bids_tables import (
    MISSING,
    OURS,
    number_cell,
    text_cell,
    write_json,
    write_table,
)
from physio_hqc.pipeline.result import TABLES
from physio_hqc.pipeline.schema import COLUMNS, data_dictionary

if TYPE_CHECKING:
    from physio_hqc.pipeline import SessionResult

DESCRIPTIONS: Final = {
    "windows": "Windows that features were computed over.",
    "features": "Features per window, one row each, with unit, quality and reason.",
    "beats": "Heart beats after correction.",
    "pressurebeats": "Pulses of the continuous pressure.",
    "cuff": "Cuff readings, and which of them are used.",
    "scr": "Skin conductance responses.",
    "scrlatency": "Skin conductance responses to events.",
    "breaths": "Breaths.",
    "ratings": "Ratings.",
    "quality": "Quality of each stream per window.",
    "reactivity": "Features relative to the baseline.",
}

# Where a table has no onset of its own: the column that is one, and the column at which it ends.
_ONSETS: Final = {
    "beats": ("time_s", None),
    "pressure_beats": ("foot_s", None),
    "cuff": ("time_s", None),
    "scr": ("onset_s", None),
    "breaths": ("inhale_s", "end_s"),
}
_ADDED: Final = {
    "onset": {"Description": "Start since the session's start.", "Units": "s"},
    "duration": {"Description": "Length; 0 for a moment.", "Units": "s"},
}


def write_tables(folder: Path, names: Names, results: SessionResult) -> list[str]:
    """Write every table of the results with its data dictionary."""
    written = []
    for table in TABLES:
        desc = table.replace("_", "")
        rows = _with_onsets(results.tables[table], table)
        file = names.file("events.tsv", desc=desc)
        write_table(folder / file, {name: _cells(rows[name]) for name in rows})
        sidecar: dict[str, Any] = {"Description": DESCRIPTIONS[desc]}
        dictionary: Mapping[str, Any] = data_dictionary(table)
        sidecar |= {name: dictionary.get(name, _ADDED.get(name)) for name in rows}
        if table == "features":
            sidecar[OURS] = {"Provenance": results.provenance}
        write_json(folder / names.file("events.json", desc=desc), sidecar)
        written.append(file)
    return written


def _with_onsets(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Put onset and duration in front, and the rows in order of onset."""
    rows = table[[column.name for column in COLUMNS[name]]].copy()
    start, end = _ONSETS.get(name, ("onset", None))
    onset = rows[start].to_numpy(dtype=np.float64)
    if "duration" in rows:
        duration = rows["duration"].to_numpy(dtype=np.float64)
    else:
        duration = rows[end].to_numpy(np.float64) - onset if end else np.zeros(len(rows))
    others = rows.drop(columns=["onset", "duration"], errors="ignore")
    times = pd.DataFrame({"onset": onset, "duration": duration}, index=rows.index)
    whole = pd.concat([times, others], axis=1)
    return whole.sort_values("onset", kind="stable", ignore_index=True)


def _cells(column: pd.Series) -> list[str]:
    if column.dtype.kind == "b":
        return [str(bool(value)).lower() for value in column.tolist()]
    if column.dtype.kind in "fiu":
        return [number_cell(value) for value in column.astype(np.float64).tolist()]
    return [MISSING if value is None else text_cell(str(value)) for value in column.tolist()]
