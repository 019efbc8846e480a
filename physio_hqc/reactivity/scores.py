"""Baseline, delta and percent change of every feature in every window."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.errors import SignalError
from physio_hqc.reactivity._course_scores import COURSE_SCORE_COLUMNS, AucFrom, course_scores
from physio_hqc.reactivity._tables import (
    joined,
    numeric,
    refuse_twice,
    require_columns,
    texts_of,
)

REACTIVITY_COLUMNS: tuple[str, ...] = (
    "session",
    "participant",
    "condition",
    "window",
    "kind",
    "onset",
    "duration",
    "feature",
    "unit",
    "baseline",
    "value",
    "delta",
    "percent",
    "baseline_window",
    "baseline_n",
    "baseline_s",
    "baseline_readings",
    "readings",
    "quality",
    "reason",
)

_NEEDED = ("session", "window", "feature", "value")
_OPTIONAL_TEXT = ("participant", "condition", "kind", "unit", "reason")
_OPTIONAL_NUMBER = ("onset", "duration", "quality")
_BASELINE_TEXTS = ("used", "caution", "why")
_CUFF = "CUFF_"
_CUFF_COUNT = "CUFF_N"
# These say on how much a feature rests; they are no physiology and have no reactivity.
_BOOKKEEPING = re.compile(
    r"^(CUFF|BP)_(\w+_)?N$|^BRS_(N_\w+|Lag|\w+_Min|R|xBRS_\w+|TF_\w+_(Coherence|Share|Segments))$"
    r"|^RSA_\w+_(N|NoRSA)$|^RSP_(N_Breaths|HF_Share)$"
)

# What is smaller is 0 in every unit in use, and a percentage of it overflows.
_ZERO = 1e-12
# Logarithms, angles of a line, coefficients and temperatures have no zero that "percent of" means.
_NO_RATIO_NAME = re.compile(r"_(Ln|LN|ln)|^RSA_|Slope|DFA|Corr|_AI$|_SI$|_PI$")
_NO_RATIO_UNIT = re.compile(r"^ln\b|^log|°C$|degC$")
# These grow with the length of the window whatever the body does.
_NEEDS_EQUAL_LENGTH = re.compile(
    r"^HRV_(SDNN|CVNN|ULF|VLF|LF|LFn|LFHF|TP|SD2|SD1SD2|S|SampEn|ApEn|DFA\w*|HTI|TINN)$|_N$|_Sum$"
)
_LENGTH_TOLERANCE = 0.1


def reactivity_scores(
    features: pd.DataFrame,
    *,
    baseline: str | Sequence[str] = "baseline",
    quality_min: float = 0.5,
    min_readings: int = 2,
    min_task_readings: int = 1,
    courses: pd.DataFrame | None = None,
    auc_from: AucFrom = "baseline",
) -> pd.DataFrame:
    """Set every feature of every window against the baseline of its session.

    The baseline of a feature is its mean over the baseline windows of the session, and
    ``delta = value - baseline``, ``percent = 100 * delta / baseline``.

    Parameters
    ----------
    features : DataFrame
        Tidy features of one or many sessions, as in ``features.csv``. Needed columns: session,
        window, feature, value. Used where present: participant, condition, kind, onset,
        duration (s), unit, quality (0 to 1), reason.
    baseline : str or sequence of str
        Names of the baseline windows: ``"baseline"`` for the whole phase,
        ``"baseline_last_360s"`` for its last six minutes. Several are averaged.
    quality_min : float
        Windows of lower quality stay in the table with their value and a reason, without delta
        and percent; such baseline windows are not used. A missing quality passes.
    min_readings : int
        Valid cuff readings (`CUFF_N` of the baseline windows) that the baseline of a `CUFF_`
        feature needs. Readings are weighted equally over the baseline windows.
    min_task_readings : int
        The same for every other window; those with fewer stay in the table with their value and a
        reason, without delta and percent.
    courses : DataFrame, optional
        How the features run inside the windows, as from `feature_courses`; adds
        `COURSE_SCORE_COLUMNS`.
    auc_from : {"baseline", "first"}
        First measurement of the area under the curve: the baseline at the start of the window, or
        the first point of the course.

    Returns
    -------
    DataFrame
        One row per session, window and feature, in the order of `features`, without the baseline
        windows themselves and without features that only count (`CUFF_N`, `BP_N`, ...); columns
        `REACTIVITY_COLUMNS`, with `courses` also, before quality, `COURSE_SCORE_COLUMNS`.
        ``baseline_n`` and ``baseline_s`` say on how many windows and seconds the baseline rests,
        ``baseline_readings`` and ``readings`` on how many cuff readings baseline and value do.
        ``reason`` says why a number is NaN, or what caution it carries.

    Raises
    ------
    SignalError
        If a needed column is missing, `value` or `quality` is not numeric, a window of a session
        holds a feature twice, no session has a baseline window, or an argument makes no sense.

    Notes
    -----
    Percent is left out where the baseline is not above zero and for features that have no
    meaningful zero (logarithms, slopes, coefficients). Features whose expectation depends on the
    length of the window (SDNN, LF power, entropy, counts) carry a caution where window and
    baseline differ in length by more than a tenth.

    From the course of a feature in the window (two points or more; points of lower quality are
    left out and counted):

    ``peak`` and ``trough``
        Largest and smallest value minus baseline. For features that fall under stress (MeanNN,
        RMSSD, pulse arrival time) the response is the trough: neither is chosen by its size.
        The more points, the larger the peak: compare windows with equally many.
    ``time_to_peak_s``
        From the start of the window to the first point with the largest value.
    ``course_n``, ``course_s``
        Points, and the seconds they cover; of cuff readings, from the first to the last. Zero
        points for the last part of a phase and for features that a minute does not carry.
    ``auc_g``, ``auc_i``
        Areas with respect to ground and to increase after Pruessner et al. (2003), in unit times
        minutes. Their first measurement is the level before the stressor, so here it is the
        baseline, put at the start of the window; the first minute of a task is no resting level.
        The area then runs from the start of the window to the last point, and ``auc_i`` is the
        area above the baseline minus the area below it (Fekedulegn et al. 2007). With
        ``auc_from="first"`` it runs from the first to the last point of the course, relative to
        the first. Areas grow with that time: compare windows of equal length.
    ``habituation``
        Least-squares slope per minute over the course, three points or more; below zero where a
        rise wears off.

    References
    ----------
    Llabre M. M. et al. (1991). Psychophysiology 28, 701. doi:10.1111/j.1469-8986.1991.tb01017.x.
    Laborde S., Mosley E., Thayer J. F. (2017). Frontiers in Psychology 8, 213.
    doi:10.3389/fpsyg.2017.00213.
    Pruessner J. C. et al. (2003). Psychoneuroendocrinology 28, 916-931.
    doi:10.1016/S0306-4530(02)00108-7.
    Fekedulegn D. B. et al. (2007). Psychosomatic Medicine 69, 651-659.
    doi:10.1097/PSY.0b013e31814c405c.

    Examples
    --------
    >>> import pandas as pd
    >>> from physio_hqc.reactivity import reactivity_scores
    >>> features = pd.DataFrame({"session": "p01", "window": ["baseline", "speech"],
    ...                          "feature": "BP_SBP_Mean", "value": [120.0, 138.0]})
    >>> scores = reactivity_scores(features)
    >>> scores[["window", "delta", "percent"]].to_dict("records")
    [{'window': 'speech', 'delta': 18.0, 'percent': 15.0}]
    """
    names = _baseline_names(baseline)
    if not 0 <= quality_min <= 1:
        raise SignalError(f"quality_min is {quality_min}: pass a number from 0 to 1")
    for name, least in (("min_readings", min_readings), ("min_task_readings", min_task_readings)):
        if least < 1:
            raise SignalError(f"{name} is {least}: pass 1 or more")
    table = _checked(features, names)
    table["readings"] = _readings(table)
    table = table[~_matches(table["feature"], _BOOKKEEPING)]
    at_rest = table["window"].isin(names)
    rest = _baselines(table[at_rest], quality_min, min_readings)
    scores = table[~at_rest].merge(
        rest, on=["session", "feature"], how="left", sort=False, validate="many_to_one"
    )
    scored = _scored(scores, names, quality_min, min_task_readings)
    return scored if courses is None else _with_courses(scored, courses, quality_min, auc_from)


def _baseline_names(baseline: str | Sequence[str]) -> list[str]:
    """Names of the baseline windows as a list."""
    names = [baseline] if isinstance(baseline, str) else list(baseline)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise SignalError("baseline: pass the name of the baseline window, or several names")
    return names


def _checked(features: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Copy of the table with every column that is used, in the right types."""
    require_columns(features, _NEEDED, "features")
    table = pd.DataFrame({name: features[name].to_numpy() for name in _NEEDED})
    for column in _OPTIONAL_TEXT:
        table[column] = texts_of(features, column)
    for column in _OPTIONAL_NUMBER:
        table[column] = features[column].to_numpy() if column in features.columns else np.nan
    for column in ("value", *_OPTIONAL_NUMBER):
        table[column] = numeric(table[column], column)
    refuse_twice(table, ("session", "window", "feature"))
    if len(table) and not table["window"].isin(names).any():
        known = ", ".join(map(str, table["window"].unique()[:8]))
        raise SignalError(f"no window is called {' or '.join(map(repr, names))}; windows: {known}")
    return table


def _readings(table: pd.DataFrame) -> NDArray[np.float64]:
    """Number of cuff readings behind every row; NaN for features that no cuff gave."""
    counts = table.loc[table["feature"] == _CUFF_COUNT, ["session", "window", "value"]]
    merged = table[["session", "window"]].merge(counts, on=["session", "window"], how="left")
    is_cuff = table["feature"].astype(str).str.startswith(_CUFF).to_numpy()
    readings: NDArray[np.float64] = np.where(is_cuff, merged["value"].to_numpy(), np.nan)
    return readings


def _at_rest(rest: pd.DataFrame, quality_min: float) -> pd.DataFrame:
    """Add to the rows of the baseline windows what each gives to the baseline, or why nothing."""
    poor = rest["quality"] < quality_min
    usable = rest["value"].notna() & ~poor
    why = rest["reason"].where(rest["reason"] != "", "value is missing").mask(usable, "")
    weight = rest["readings"].fillna(1.0).where(usable, 0.0)
    return rest.assign(
        weight=weight,
        weighted=weight * rest["value"].fillna(0.0),
        n=usable.astype(np.float64),
        seconds=rest["duration"].where(usable),
        counted=rest["readings"].where(usable),
        used=rest["window"].where(usable, ""),
        caution=rest["reason"].where(usable, ""),
        why=why.mask(poor, _quality_texts(rest["quality"], poor, quality_min)),
    )


def _baselines(rest: pd.DataFrame, quality_min: float, min_readings: int) -> pd.DataFrame:
    """One row per session and feature: the baseline, what it rests on, or why there is none."""
    rows = _at_rest(rest, quality_min)
    grouped = rows.groupby(["session", "feature"], sort=False, observed=True)
    sums = grouped[["weight", "weighted", "n"]].sum()
    totals = grouped[["seconds", "counted"]].sum(min_count=1)
    group = grouped.ngroup().to_numpy()
    texts = pd.DataFrame(
        {name: _joined_in(group, len(sums), rows[name]) for name in _BASELINE_TEXTS},
        index=sums.index,
    )
    few = totals["counted"] < min_readings
    baseline = (sums["weighted"] / sums["weight"].where(sums["weight"] > 0)).mask(few)
    count = totals["counted"].map("{:.0f}".format).astype(object)
    too_few = "baseline rests on " + count + f" cuff readings, needs {min_readings}"
    none = ("baseline: " + texts["why"].astype(object)).where(sums["n"] == 0, texts["caution"])
    return pd.DataFrame(
        {
            "baseline": baseline,
            "baseline_window": texts["used"],
            "baseline_n": sums["n"],
            "baseline_s": totals["seconds"],
            "baseline_readings": totals["counted"],
            "baseline_reason": none.mask(few, too_few),
        }
    ).reset_index()


def _joined_in(group: NDArray[np.int64], n_groups: int, texts: pd.Series) -> list[str]:
    """Different texts of every group, in their order."""
    table = pd.DataFrame({"group": group, "text": texts.to_numpy(dtype=object)})
    table = table[(table["text"] != "") & (table["group"] >= 0)].drop_duplicates()
    turn = table.groupby("group").cumcount().to_numpy()
    parts = [np.full(n_groups, "", dtype=object)]
    # One round per baseline window, not per group.
    for number in range(turn.max(initial=-1) + 1):
        part = np.full(n_groups, "", dtype=object)
        part[table["group"].to_numpy()[turn == number]] = table["text"].to_numpy()[turn == number]
        parts.append(part)
    return joined(parts)


def _with_courses(
    scores: pd.DataFrame, courses: pd.DataFrame, quality_min: float, auc_from: AucFrom
) -> pd.DataFrame:
    """Put the scores of the courses before quality and what to say about them into reason."""
    found = course_scores(scores, courses, quality_min, auc_from)
    place = REACTIVITY_COLUMNS.index("quality")
    order = [*REACTIVITY_COLUMNS[:place], *COURSE_SCORE_COLUMNS, *REACTIVITY_COLUMNS[place:]]
    reasons = joined([scores["reason"], *found.texts])
    return scores.assign(**found.columns, reason=reasons)[order]


def _scored(
    scores: pd.DataFrame, names: list[str], quality_min: float, min_readings: int
) -> pd.DataFrame:
    """Add delta, percent and reason; put the columns in order."""
    poor = (scores["quality"] < quality_min).to_numpy()
    few = (scores["readings"] < min_readings).to_numpy() & scores["value"].notna().to_numpy()
    no_ratio = _without_ratio(scores)
    above_zero = (scores["baseline"] > _ZERO).to_numpy()
    absent = f"baseline: no window {' or '.join(map(repr, names))} with this feature"
    delta = (scores["value"] - scores["baseline"]).mask(poor | few)
    scores = scores.assign(
        delta=delta,
        percent=(100 * delta / scores["baseline"].where(above_zero)).mask(no_ratio),
        baseline_reason=scores["baseline_reason"].mask(scores["baseline_n"].isna(), absent),
        baseline_n=scores["baseline_n"].fillna(0.0),
        baseline_window=scores["baseline_window"].fillna(""),
    )
    too_few = _few_texts(scores["readings"], few, min_readings)
    scores["reason"] = _reasons(scores, poor, too_few, no_ratio, above_zero, quality_min)
    return scores[list(REACTIVITY_COLUMNS)].reset_index(drop=True)


def _without_ratio(scores: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether the feature of each row has no zero that a percentage could refer to."""
    by_name = _matches(scores["feature"], _NO_RATIO_NAME)
    return by_name | _matches(scores["unit"], _NO_RATIO_UNIT)


def _matches(texts: pd.Series, pattern: re.Pattern[str]) -> NDArray[np.bool_]:
    """Whether each text matches; every different text is looked at once."""
    codes, different = pd.factorize(texts)
    found = np.array([bool(pattern.search(str(text))) for text in different], dtype=bool)
    return found[codes] if len(found) else np.zeros(len(texts), dtype=bool)


def _reasons(
    scores: pd.DataFrame,
    poor: NDArray[np.bool_],
    too_few: NDArray[np.object_],
    no_ratio: NDArray[np.bool_],
    above_zero: NDArray[np.bool_],
    quality_min: float,
) -> list[str]:
    """Why a score is missing, else the cautions of value, baseline, percent and length."""
    value, rest = scores["value"].notna().to_numpy(), scores["baseline"].notna().to_numpy()
    own = scores["reason"].where(value | (scores["reason"] != ""), "value is missing").to_numpy()
    scored = value & rest & ~poor & (too_few == "")
    mean_length = scores["baseline_s"] / scores["baseline_n"]
    length = (scores["duration"] / mean_length - 1).abs() > _LENGTH_TOLERANCE
    uneven = scored & length.to_numpy() & _matches(scores["feature"], _NEEDS_EQUAL_LENGTH)
    cautions = "baseline " + scores["baseline_reason"].astype(object)
    parts = [
        own,
        _quality_texts(scores["quality"], poor, quality_min),
        too_few,
        np.where(~rest, scores["baseline_reason"], ""),
        np.where(scored & (scores["baseline_reason"] != ""), cautions, ""),
        np.where(scored & no_ratio, "no percent: this scale has no zero", ""),
        np.where(scored & ~no_ratio & ~above_zero, "no percent: the baseline is not above 0", ""),
        np.where(uneven, "flag: window and baseline differ in length", ""),
    ]
    return joined(parts)


def _few_texts(
    readings: pd.Series, few: NDArray[np.bool_], min_readings: int
) -> NDArray[np.object_]:
    """Say that a value rests on too few cuff readings, where it does."""
    texts = np.full(len(readings), "", dtype=object)
    texts[few] = [
        f"value rests on {count:.0f} cuff readings, needs {min_readings}"
        for count in readings.to_numpy()[few]
    ]
    return texts


def _quality_texts(
    quality: pd.Series, poor: pd.Series | NDArray[np.bool_], quality_min: float
) -> NDArray[np.object_]:
    """Say that a window was left out because of its quality, where it was."""
    where = np.asarray(poor, dtype=bool)
    texts = np.full(len(quality), "", dtype=object)
    texts[where] = [
        f"left out: quality {value:.2f} is below {quality_min:g}"
        for value in quality.to_numpy()[where]
    ]
    return texts
