"""Columns of the result tables: name, type, unit, meaning and source of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from physio_hqc.features import FEATURES

_SESSION_FILE = "session file"
_EVENTS = "events and protocol of the session"
_CORRECTION = "Lipponen & Tarvainen 2019, doi 10.1080/03091902.2019.1640306"
_EDA = "Kleckner et al. 2018, doi 10.1109/TBME.2017.2758643"
_SHAPE = "Orphanidou et al. 2015, doi 10.1109/JBHI.2014.2338351"
_SCR = "Boucsein et al. 2012, doi 10.1111/j.1469-8986.2012.01384.x"
_CUFF = "Shapiro et al. 1996, doi 10.1111/j.1469-8986.1996.tb02103.x"
_HERE = "physio_hqc"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a result table."""

    name: str
    dtype: Literal["text", "number", "truth"]
    unit: str
    description: str
    source: str


def _text(name: str, description: str, source: str = _HERE) -> Column:
    return Column(name, "text", "", description, source)


def _number(name: str, unit: str, description: str, source: str = _HERE) -> Column:
    return Column(name, "number", unit, description, source)


_WHO = (
    _text("session", "Name of the session: the stem of its file.", _SESSION_FILE),
    _text("participant", "Who was recorded.", _SESSION_FILE),
    _text("condition", "Level of what the design manipulates.", _SESSION_FILE),
)
_WINDOW = (
    _text("window", "Name of the window, unique within the session.", _EVENTS),
    _text("kind", "phase, phase_last, interaction or sliding.", _EVENTS),
)
_WHEN = (
    _number("onset", "s", "Start of the window since session start.", _EVENTS),
    _number("duration", "s", "Length of the window; its end is not part of it.", _EVENTS),
)
_QUALITY = _number(
    "quality",
    "1",
    "Quality of the stream in this window, from 0 to 1; the lower one where two streams are used.",
)
_REASON = _text(
    "reason", "Why a value is missing; after 'flag:', what caution a present value carries."
)

COLUMNS: dict[str, tuple[Column, ...]] = {
    "windows": (
        *_WINDOW,
        _text("label", "Label of the event that the window comes from.", _SESSION_FILE),
        *_WHEN,
        _text("phase", "Phase of the protocol that the window belongs to.", _EVENTS),
        _text("role", "baseline, preparation, task, recovery or other.", _EVENTS),
        Column("speech", "truth", "", "Whether the participant speaks in this phase.", _EVENTS),
        Column(
            "breathing_in_hf",
            "truth",
            "",
            "Whether respiration shows breathing inside the HF band, so that HF power needs no "
            "caution on speech.",
            _HERE,
        ),
    ),
    "features": (
        *_WHO,
        *_WINDOW,
        *_WHEN,
        _text("feature", "Name of the feature, as NeuroKit2 names it where it has the feature."),
        _number("value", "see unit", "Value of the feature in this window."),
        _text("unit", "Unit of the value; 1 for a pure number."),
        _QUALITY,
        _REASON,
    ),
    "beats": (
        _number("time_s", "s", "Time of the beat since session start, after correction."),
        _number(
            "rr_s", "s", "Interval that ends at this beat; missing for the first and after a gap."
        ),
        _text(
            "kind",
            "normal; missed: this beat was inserted; extra: a beat just before it was removed; "
            "ectopic, long, short: this beat was moved; artifact: in a stretch in which detections "
            "have neither the usual shape nor rhythm, used for nothing.",
            _CORRECTION,
        ),
        _text("source", "Stream that the beat was found in."),
    ),
    "pressure_beats": (
        _number("foot_s", "s", "Time of the lowest pressure before the upstroke."),
        _number("systole_s", "s", "Time of the highest pressure of the pulse."),
        _number("SBP", "mmHg", "Systolic pressure: the highest of the pulse."),
        _number("DBP", "mmHg", "Diastolic pressure: the lowest before the upstroke."),
        _number("MAP", "mmHg", "Mean pressure: the average over the pulse."),
        _number("PP", "mmHg", "Pulse pressure: systolic minus diastolic."),
        Column("valid", "truth", "", "Whether the pulse is used for features.", _HERE),
        _text("reason", "Why a pulse is not valid."),
    ),
    "cuff": (
        _number("time_s", "s", "Time of the reading since session start."),
        _number("SBP", "mmHg", "Systolic pressure as read."),
        _number("DBP", "mmHg", "Diastolic pressure as read."),
        _number("MAP", "mmHg", "Mean pressure as sent, else (SBP + 2 DBP) / 3.", _CUFF),
        _number("HR", "1/min", "Heart rate that the cuff sent; missing without one."),
        Column("map_computed", "truth", "", "Whether MAP was computed from SBP and DBP.", _HERE),
        _text("window", "Phase that the reading was taken in; empty outside all phases.", _EVENTS),
        Column("valid", "truth", "", "Whether the reading is used for features.", _CUFF),
        _text("reason", "Why a reading is not valid."),
    ),
    "ratings": (
        _number("onset", "s", "When the rating was given, since session start.", _EVENTS),
        _text("label", "Name of the rating scale or item.", _EVENTS),
        _number("value", "points of the scale", "What was answered.", _EVENTS),
        _number("min", "points of the scale", "Lowest point of the scale.", _EVENTS),
        _number("max", "points of the scale", "Highest point of the scale.", _EVENTS),
        _text("window", "Phase or interaction window that the rating is about.", _EVENTS),
        _text("partner", "Whom it is about, where the event says so.", _EVENTS),
        _text("source", "Where the event came from.", _SESSION_FILE),
    ),
    "scr": (
        _number("onset_s", "s", "Start of the skin conductance response since session start."),
        _number("peak_s", "s", "Time of its peak."),
        _number("amplitude", "µS", "Peak minus onset of the phasic component."),
        _number("rise_time_s", "s", "From onset to peak."),
        _number(
            "half_recovery_s", "s", "From the peak to half the amplitude; missing if not reached."
        ),
        Column(
            "overlapped",
            "truth",
            "",
            "Whether the response rides on an earlier one, without a trough or peak of its own.",
            _HERE,
        ),
    ),
    "scr_latency": (
        _number("onset", "s", "Time of the event since session start.", _SESSION_FILE),
        _text("kind", "Kind of the event.", _SESSION_FILE),
        _text("label", "Label of the event.", _SESSION_FILE),
        _number("latency_s", "s", "From the event to the onset of the first response to it.", _SCR),
        _number("amplitude", "µS", "Amplitude of that response.", _SCR),
        _number("rise_time_s", "s", "From its onset to its peak; missing where it has none.", _SCR),
        _REASON,
    ),
    "breaths": (
        _number("inhale_s", "s", "Start of inspiration since session start."),
        _number("exhale_s", "s", "Start of expiration."),
        _number("end_s", "s", "End of the breath: the next one starts, or a gap does."),
        _number("amplitude", "as recorded", "From the start of inspiration to that of expiration."),
        Column("valid", "truth", "", "Whether the breath is used for features.", _HERE),
        _text("reason", "Why a breath is not valid, or what it contains."),
    ),
    "quality": (
        _text("stream", "Stream that is judged.", _SESSION_FILE),
        *_WINDOW,
        *_WHEN,
        _number("quality", "1", "Quality from 0 (useless) to 1 (flawless)."),
        _number("usable_share", "1", "Share of the window with usable signal."),
        _number("missing_share", "1", "Share of the window without samples."),
        _number(
            "flat_share", "1", "Share with a flat line; of an ECG also at the converter's limit."
        ),
        _number("clipped_share", "1", "Share at the limit of the converter."),
        _number("range_share", "1", "Share outside the plausible range, and 5 s around.", _EDA),
        _number("slope_share", "1", "Share with changes too fast, and 5 s around.", _EDA),
        _number("movement_share", "1", "Share with artefacts as movements make them."),
        _number("corrected_share", "1", "Share of the beats that correction touched."),
        _number(
            "unlike_share",
            "1",
            "Share of the beats, outside artefacts, that do not look like the usual beat.",
            _SHAPE,
        ),
        _number(
            "template_r",
            "1",
            "Correlation of the beats of the usual shape with their average.",
            _SHAPE,
        ),
        _number("valid_share", "1", "Share of pressure pulses or breaths that are valid."),
        _text("corrected_kinds", "How many beats were corrected, by kind."),
        _number(
            "n_beats", "1", "Beats, valid pressure pulses, cuff readings or breaths in the window."
        ),
        _text("reason", "What lowers the quality."),
    ),
    "reactivity": (
        *_WHO,
        *_WINDOW,
        *_WHEN,
        _text("feature", "Name of the feature."),
        _text("unit", "Unit of baseline, value and delta."),
        _number("baseline", "see unit", "Mean of the feature over the baseline windows."),
        _number("value", "see unit", "Value of the feature in this window."),
        _number("delta", "see unit", "Value minus baseline."),
        _number("percent", "%", "100 * delta / baseline; missing without a meaningful zero."),
        _text("baseline_window", "Windows that the baseline was taken from."),
        _number("baseline_n", "1", "How many windows the baseline rests on."),
        _number("baseline_s", "s", "How many seconds the baseline rests on."),
        _number("baseline_readings", "1", "Cuff readings that the baseline rests on."),
        _number("readings", "1", "Cuff readings that the value rests on."),
        _QUALITY,
        _REASON,
    ),
}


def empty_table(name: str) -> pd.DataFrame:
    """Return a result table without rows, with its columns and types."""
    return conform(pd.DataFrame(columns=[column.name for column in COLUMNS[name]]), name)


def conform(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Bring a table to the columns, order and types of the result table of that name."""
    return pd.DataFrame(
        {column.name: _typed(table[column.name], column.dtype) for column in COLUMNS[name]}
    ).reset_index(drop=True)


def _typed(values: pd.Series, dtype: str) -> pd.Series:
    if dtype == "number":
        return values.astype(np.float64)
    if dtype == "truth":
        return values.astype(bool)
    return values.astype(object).where(values.notna(), "")


def data_dictionary(name: str) -> dict[str, Any]:
    """Describe the columns of a result table, as BIDS does in a JSON file beside it.

    Parameters
    ----------
    name : str
        One of `TABLES`.

    Returns
    -------
    dict
        Column name to Description, Units and Source; the column ``feature`` has an entry per
        feature under Levels.

    Examples
    --------
    >>> data_dictionary("beats")["rr_s"]["Units"]
    's'
    """
    entries = {column.name: _entry(column) for column in COLUMNS[name]}
    if "feature" in entries:
        entries["feature"]["Levels"] = {
            info.name: {
                "Description": info.description,
                "Units": info.unit,
                "Source": info.source,
            }
            for info in FEATURES.values()
        }
    return entries


def _entry(column: Column) -> dict[str, Any]:
    entry = {"Description": column.description, "Source": column.source}
    if column.unit:
        entry["Units"] = column.unit
    return entry
