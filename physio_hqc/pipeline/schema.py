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
_PRUESSNER = "Pruessner et al. 2003, doi 10.1016/S0306-4530(02)00108-7"
_HERE = "physio_hqc"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a result table."""

    name: str
    dtype: Literal["text", "number", "truth"]
    unit: str
    description: str
    source: str


def text(name: str, description: str, source: str = _HERE) -> Column:
    """Column of words."""
    return Column(name, "text", "", description, source)


def number(name: str, unit: str, description: str, source: str = _HERE) -> Column:
    """Column of numbers, NaN where missing."""
    return Column(name, "number", unit, description, source)


def truth(name: str, description: str, source: str = _HERE) -> Column:
    """Column of True and False."""
    return Column(name, "truth", "", description, source)


_WHO = (
    text("session", "Name of the session: the stem of its file.", _SESSION_FILE),
    text("participant", "Who was recorded.", _SESSION_FILE),
    text("condition", "Level of what the design manipulates.", _SESSION_FILE),
)
_WINDOW = (
    text("window", "Name of the window, unique within the session.", _EVENTS),
    text("kind", "phase, phase_last, interaction or sliding.", _EVENTS),
)
_WHEN = (
    number("onset", "s", "Start of the window since session start.", _EVENTS),
    number("duration", "s", "Length of the window; its end is not part of it.", _EVENTS),
)
_QUALITY = number(
    "quality",
    "1",
    "Quality of the stream in this window, from 0 to 1; the lower one where two streams are used.",
)
_REASON = text(
    "reason", "Why a value is missing; after 'flag:', what caution a present value carries."
)

COLUMNS: dict[str, tuple[Column, ...]] = {
    "windows": (
        *_WINDOW,
        text("label", "Label of the event that the window comes from.", _SESSION_FILE),
        *_WHEN,
        text("phase", "Phase of the protocol that the window belongs to.", _EVENTS),
        text("role", "baseline, preparation, task, recovery or other.", _EVENTS),
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
        text("feature", "Name of the feature, as NeuroKit2 names it where it has the feature."),
        number("value", "see unit", "Value of the feature in this window."),
        text("unit", "Unit of the value; 1 for a pure number."),
        _QUALITY,
        _REASON,
    ),
    "beats": (
        number("time_s", "s", "Time of the beat since session start, after correction."),
        number(
            "rr_s", "s", "Interval that ends at this beat; missing for the first and after a gap."
        ),
        text(
            "kind",
            "normal; missed: this beat was inserted; extra: a beat just before it was removed; "
            "ectopic, long, short: this beat was moved; artifact: in a stretch in which detections "
            "have neither the usual shape nor rhythm, used for nothing.",
            _CORRECTION,
        ),
        text("source", "Stream that the beat was found in."),
    ),
    "pressure_beats": (
        number("foot_s", "s", "Time of the lowest pressure before the upstroke."),
        number("systole_s", "s", "Time of the highest pressure of the pulse."),
        number("SBP", "mmHg", "Systolic pressure: the highest of the pulse."),
        number("DBP", "mmHg", "Diastolic pressure: the lowest before the upstroke."),
        number("MAP", "mmHg", "Mean pressure: the average over the pulse."),
        number("PP", "mmHg", "Pulse pressure: systolic minus diastolic."),
        Column("valid", "truth", "", "Whether the pulse is used for features.", _HERE),
        text("reason", "Why a pulse is not valid."),
    ),
    "cuff": (
        number("time_s", "s", "Time of the reading since session start."),
        number("SBP", "mmHg", "Systolic pressure as read."),
        number("DBP", "mmHg", "Diastolic pressure as read."),
        number("MAP", "mmHg", "Mean pressure as sent, else (SBP + 2 DBP) / 3.", _CUFF),
        number("HR", "1/min", "Heart rate that the cuff sent; missing without one."),
        Column("map_computed", "truth", "", "Whether MAP was computed from SBP and DBP.", _HERE),
        text("window", "Phase that the reading was taken in; empty outside all phases.", _EVENTS),
        Column("valid", "truth", "", "Whether the reading is used for features.", _CUFF),
        text("reason", "Why a reading is not valid."),
    ),
    "ratings": (
        number("onset", "s", "When the rating was given, since session start.", _EVENTS),
        text("label", "Name of the rating scale or item.", _EVENTS),
        number("value", "points of the scale", "What was answered.", _EVENTS),
        number("min", "points of the scale", "Lowest point of the scale.", _EVENTS),
        number("max", "points of the scale", "Highest point of the scale.", _EVENTS),
        text("window", "Phase or interaction window that the rating is about.", _EVENTS),
        text("partner", "Whom it is about, where the event says so.", _EVENTS),
        text("source", "Where the event came from.", _SESSION_FILE),
    ),
    "scr": (
        number("onset_s", "s", "Start of the skin conductance response since session start."),
        number("peak_s", "s", "Time of its peak."),
        number("amplitude", "µS", "Peak minus onset of the phasic component."),
        number("rise_time_s", "s", "From onset to peak."),
        number(
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
        number("onset", "s", "Time of the event since session start.", _SESSION_FILE),
        text("kind", "Kind of the event.", _SESSION_FILE),
        text("label", "Label of the event.", _SESSION_FILE),
        number("latency_s", "s", "From the event to the onset of the first response to it.", _SCR),
        number("amplitude", "µS", "Amplitude of that response.", _SCR),
        number("rise_time_s", "s", "From its onset to its peak; missing where it has none.", _SCR),
        _REASON,
    ),
    "breaths": (
        number("inhale_s", "s", "Start of inspiration since session start."),
        number("exhale_s", "s", "Start of expiration."),
        number("end_s", "s", "End of the breath: the next one starts, or a gap does."),
        number("amplitude", "as recorded", "From the start of inspiration to that of expiration."),
        Column("valid", "truth", "", "Whether the breath is used for features.", _HERE),
        text("reason", "Why a breath is not valid, or what it contains."),
    ),
    "quality": (
        text("stream", "Stream that is judged.", _SESSION_FILE),
        *_WINDOW,
        *_WHEN,
        number("quality", "1", "Quality from 0 (useless) to 1 (flawless)."),
        number("usable_share", "1", "Share of the window with usable signal."),
        number("missing_share", "1", "Share of the window without samples."),
        number(
            "flat_share", "1", "Share with a flat line; of an ECG also at the converter's limit."
        ),
        number("clipped_share", "1", "Share at the limit of the converter."),
        number("range_share", "1", "Share outside the plausible range, and 5 s around.", _EDA),
        number("slope_share", "1", "Share with changes too fast, and 5 s around.", _EDA),
        number("movement_share", "1", "Share with artefacts as movements make them."),
        number("corrected_share", "1", "Share of the beats that correction touched."),
        number(
            "unlike_share",
            "1",
            "Share of the beats, outside artefacts, that do not look like the usual beat.",
            _SHAPE,
        ),
        number(
            "template_r",
            "1",
            "Correlation of the beats of the usual shape with their average.",
            _SHAPE,
        ),
        number("valid_share", "1", "Share of pressure pulses or breaths that are valid."),
        text("corrected_kinds", "How many beats were corrected, by kind."),
        number(
            "n_beats", "1", "Beats, valid pressure pulses, cuff readings or breaths in the window."
        ),
        text("reason", "What lowers the quality."),
    ),
    "reactivity": (
        *_WHO,
        *_WINDOW,
        *_WHEN,
        text("feature", "Name of the feature."),
        text("unit", "Unit of baseline, value and delta."),
        number("baseline", "see unit", "Mean of the feature over the baseline windows."),
        number("value", "see unit", "Value of the feature in this window."),
        number("delta", "see unit", "Value minus baseline."),
        number("percent", "%", "100 * delta / baseline; missing without a meaningful zero."),
        text("baseline_window", "Windows that the baseline was taken from."),
        number("baseline_n", "1", "How many windows the baseline rests on."),
        number("baseline_s", "s", "How many seconds the baseline rests on."),
        number("baseline_readings", "1", "Cuff readings that the baseline rests on."),
        number("readings", "1", "Cuff readings that the value rests on."),
        number("peak", "see unit", "Largest value of the course in the window minus baseline."),
        number("trough", "see unit", "Smallest value of the course minus baseline."),
        number("time_to_peak_s", "s", "From the start of the window to the largest value."),
        number("course_n", "1", "Minutes or cuff readings that the course rests on."),
        number("course_s", "s", "Seconds that they cover."),
        number(
            "auc_g",
            "see unit, times min",
            "Area under the course with respect to ground, from the baseline at the start of the "
            "window to its last point.",
            _PRUESSNER,
        ),
        number(
            "auc_i",
            "see unit, times min",
            "The same with respect to increase: above the baseline, minus what lies below.",
            _PRUESSNER,
        ),
        number("habituation", "see unit, per min", "Slope of the course inside the window."),
        _QUALITY,
        _REASON,
    ),
}


def empty_table(name: str) -> pd.DataFrame:
    """Return a result table without rows, with its columns and types."""
    return conform(pd.DataFrame(columns=[column.name for column in COLUMNS[name]]), name)


def conform(table: pd.DataFrame, columns: str | tuple[Column, ...]) -> pd.DataFrame:
    """Bring a table to the columns, order and types given, or those of the table of that name."""
    wanted = COLUMNS[columns] if isinstance(columns, str) else columns
    return pd.DataFrame(
        {column.name: _typed(table[column.name], column.dtype) for column in wanted}
    ).reset_index(drop=True)


def _typed(values: pd.Series, dtype: str) -> pd.Series:
    if dtype == "number":
        return values.astype(np.float64)
    if dtype == "truth":
        return values.astype(bool)
    return values.astype(object).where(values.notna(), "")


def data_dictionary(columns: str | tuple[Column, ...]) -> dict[str, Any]:
    """Describe the columns of a result table, as BIDS does in a JSON file beside it.

    Parameters
    ----------
    columns : str or tuple of Column
        One of `TABLES`, or columns.

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
    wanted = COLUMNS[columns] if isinstance(columns, str) else columns
    entries = {column.name: _entry(column) for column in wanted}
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
