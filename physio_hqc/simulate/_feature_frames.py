"""The tables of a study at the level of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.simulate._feature_laws import FloatArray
from physio_hqc.simulate._feature_values import MINUTE_S, Design

COURSE_COLUMNS = (
    *("session", "participant", "condition", "window", "kind", "role", "feature", "time_s"),
    *("since_s", "duration_s", "value", "unit", "quality", "source"),
)
_NO_READING = {"cuff": "no valid cuff reading", "sliding": "no valid minute"}


@dataclass(frozen=True, eq=False)
class Column:
    """One feature of everybody who has a session: its readings, (n, times)."""

    feature: str
    unit: str
    source: str
    values: FloatArray


def feature_frame(
    design: Design, columns: Sequence[Column], ids: NDArray[Any], conditions: NDArray[Any]
) -> pd.DataFrame:
    """Return phase means, and the number of cuff readings behind them, as tidy features."""
    n, p = len(ids), len(design.stretches)
    blocks = [design.means(column.source, column.values) for column in columns]
    names = [column.feature for column in columns]
    units = [column.unit for column in columns]
    reasons = [_NO_READING[column.source] for column in columns]
    cuff = next((column for column in columns if column.source == "cuff"), None)
    if cuff is not None:
        present = np.isfinite(cuff.values).astype(np.float64)
        inside = design.phase["cuff"][:, None] == np.arange(p)
        blocks.append(present @ inside)
        names, units, reasons = [*names, "CUFF_N"], [*units, "1"], [*reasons, ""]
    f = len(names)
    values = np.stack(blocks, axis=2).ravel() if blocks else np.zeros(0)
    why = np.tile(np.array(reasons, dtype=object), n * p)
    return pd.DataFrame(
        {
            **_who(ids, conditions, p * f),
            "window": _repeat([s.name for s in design.stretches], f, n),
            "kind": _all("phase", n * p * f),
            "onset": np.tile(np.repeat([s.onset for s in design.stretches], f), n),
            "duration": np.tile(np.repeat([s.duration for s in design.stretches], f), n),
            "feature": np.tile(np.array(names, dtype=object), n * p),
            "value": values,
            "unit": np.tile(np.array(units, dtype=object), n * p),
            "quality": np.ones(n * p * f),
            "reason": np.where(np.isnan(values), why, ""),
        }
    )


def course_frame(
    design: Design, columns: Sequence[Column], ids: NDArray[Any], conditions: NDArray[Any]
) -> pd.DataFrame:
    """Return every reading and every minute that is not missing, one row each."""
    parts = []
    n = len(ids)
    for column in columns:
        times, phase = design.times[column.source], design.phase[column.source]
        names = np.array([s.name for s in design.stretches], dtype=object)
        roles = np.array([s.role for s in design.stretches], dtype=object)
        k = len(times)
        length = MINUTE_S if column.source == "sliding" else 0.0
        frame = pd.DataFrame(
            {
                **_who(ids, conditions, k),
                "window": np.tile(names[phase], n),
                "kind": _all("phase", n * k),
                "role": np.tile(roles[phase], n),
                "feature": _all(column.feature, n * k),
                "time_s": np.tile(times, n),
                "since_s": np.tile(design.since(column.source), n),
                "duration_s": np.full(n * k, length),
                "value": column.values.ravel(),
                "unit": _all(column.unit, n * k),
                "quality": np.ones(n * k),
                "source": _all(column.source, n * k),
            }
        )
        parts.append(frame[frame["value"].notna()])
    if not parts:
        return pd.DataFrame(columns=list(COURSE_COLUMNS))
    return pd.concat(parts, ignore_index=True)


def cuff_frame(
    design: Design, readings: Mapping[str, FloatArray], ids: NDArray[Any], conditions: NDArray[Any]
) -> pd.DataFrame:
    """Return the cuff readings that were due, NaN with a reason where one failed."""
    n, k = len(ids), len(design.times["cuff"])
    names = np.array([s.name for s in design.stretches], dtype=object)
    values = {name: readings[name].ravel() for name in ("SBP", "DBP", "MAP", "HR")}
    valid = np.isfinite(values["SBP"])
    return pd.DataFrame(
        {
            **_who(ids, conditions, k),
            "time_s": np.tile(design.times["cuff"], n),
            **values,
            "window": np.tile(names[design.phase["cuff"]], n),
            "valid": valid,
            "reason": np.where(valid, "", "no reading").astype(object),
        }
    )


def window_frame(design: Design, ids: NDArray[Any], conditions: NDArray[Any]) -> pd.DataFrame:
    """Return the phases of every session."""
    speech = [s.speech for s in design.stretches]
    n, p = len(ids), len(design.stretches)
    names = [s.name for s in design.stretches]
    return pd.DataFrame(
        {
            **_who(ids, conditions, p),
            "window": _repeat(names, 1, n),
            "kind": _all("phase", n * p),
            "label": _repeat(names, 1, n),
            "onset": np.tile([s.onset for s in design.stretches], n),
            "duration": np.tile([s.duration for s in design.stretches], n),
            "phase": _repeat(names, 1, n),
            "role": _repeat([s.role for s in design.stretches], 1, n),
            "speech": np.tile(np.asarray(speech, dtype=bool), n),
            "breathing_in_hf": np.tile(~np.asarray(speech, dtype=bool), n),
        }
    )


def _who(ids: NDArray[Any], conditions: NDArray[Any], times: int) -> dict[str, NDArray[Any]]:
    """Return session, participant and condition of every row."""
    names = np.repeat(ids, times)
    return {
        "session": names,
        "participant": names.copy(),
        "condition": np.repeat(conditions, times),
    }


def _repeat(words: Sequence[str], each: int, times: int) -> NDArray[np.object_]:
    """Return words as objects, each repeated, the whole repeated."""
    return np.tile(np.repeat(np.array(words, dtype=object), each), times)


def _all(word: str, n: int) -> NDArray[np.object_]:
    """Return one word n times."""
    return np.full(n, word, dtype=object)
