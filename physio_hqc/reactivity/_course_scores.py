"""Peak, area under the curve and habituation of the course of a feature inside a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from physio_hqc.errors import SignalError
from physio_hqc.reactivity._tables import counted, numbers_of, numeric, require_columns
from physio_hqc.reactivity.courses import FOLLOWED
from physio_hqc.signals._checks import as_numbers

COURSE_SCORE_COLUMNS: tuple[str, ...] = (
    "peak",
    "trough",
    "time_to_peak_s",
    "course_n",
    "course_s",
    "auc_g",
    "auc_i",
    "habituation",
)
AucFrom = Literal["baseline", "first"]

_KEYS = ["session", "window", "feature"]
_NEEDED = (*_KEYS, "since_s", "value")
_MIN_POINTS = 2
_MIN_POINTS_SLOPE = 3
_MINUTE_S = 60.0
_TOLERANCE_MINUTES = 1e-6

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def area_under_curve(times: ArrayLike, values: ArrayLike) -> tuple[float, float]:
    """Area under a curve with respect to ground and with respect to increase.

    Both are sums of trapezoids between the measurements. With respect to ground the area reaches
    down to zero; with respect to increase it reaches down to the first measurement, and what lies
    below that counts as negative.

    Parameters
    ----------
    times : array-like, shape (n,)
        Times of the measurements, not falling, in any unit.
    values : array-like, shape (n,)
        Measurements; the first is the reference.

    Returns
    -------
    auc_g, auc_i : float
        In the unit of the values times the unit of the times; NaN with fewer than two
        measurements.

    Raises
    ------
    SignalError
        If the two differ in length, hold something else than finite numbers, or times fall.

    References
    ----------
    Pruessner J. C. et al. (2003). Psychoneuroendocrinology 28, 916-931.
    doi:10.1016/S0306-4530(02)00108-7.
    Fekedulegn D. B. et al. (2007). Psychosomatic Medicine 69, 651-659.
    doi:10.1097/PSY.0b013e31814c405c.

    Examples
    --------
    >>> from physio_hqc.reactivity import area_under_curve
    >>> area_under_curve([0, 10, 20, 40], [5, 8, 12, 6])
    (345.0, 145.0)
    """
    t, y = _measurements(times, "times"), _measurements(values, "values")
    if t.size != y.size:
        raise SignalError(f"{t.size} times but {y.size} values: pass as many of both")
    if (np.diff(t) < 0).any():
        raise SignalError("times fall: sort times and values by time")
    if t.size < _MIN_POINTS:
        return np.nan, np.nan
    ground = float(np.sum((y[1:] + y[:-1]) / 2 * np.diff(t)))
    return ground, ground - float(y[0] * (t[-1] - t[0]))


def _measurements(numbers: ArrayLike, name: str) -> FloatArray:
    """One-dimensional array of finite numbers, or one clear line."""
    try:
        array = as_numbers(numbers, name)
    except SignalError as error:
        raise SignalError(f"{name} are not numeric ({error})") from error
    if array.ndim != 1:
        raise SignalError(f"{name} have {array.ndim} dimensions: pass one")
    if not np.isfinite(array).all():
        raise SignalError(f"{name} hold NaN or infinity: leave those measurements out")
    return array


@dataclass(frozen=True)
class CourseScores:
    """Scores of every row of a reactivity table, with what to say about them.

    Attributes
    ----------
    columns : dict
        `COURSE_SCORE_COLUMNS`, each of shape (rows,).
    texts : list of ndarray
        Parts of the reason, each of shape (rows,).
    """

    columns: dict[str, FloatArray]
    texts: list[NDArray[np.object_]]


@dataclass(frozen=True)
class _Points:
    """Usable points of all courses, sorted by the row that they belong to and by time."""

    row: IntArray
    minute: FloatArray
    value: FloatArray
    length_s: FloatArray
    n_rows: int
    n_given: FloatArray

    @property
    def starts(self) -> IntArray:
        """Index of the first point of each row that has any."""
        return np.flatnonzero(np.diff(self.row, prepend=-1))

    @property
    def n(self) -> FloatArray:
        """Number of usable points of each row."""
        return self.total(np.ones(self.row.size))

    def total(self, numbers: FloatArray) -> FloatArray:
        """Sum over the points of each row."""
        sums = np.bincount(self.row, numbers, minlength=self.n_rows)
        return sums.astype(np.float64)

    def spread(self, numbers: FloatArray) -> FloatArray:
        """Give each row the number of its points' group; NaN where it has none."""
        full = np.full(self.n_rows, np.nan)
        full[self.row[self.starts]] = numbers
        return full


def course_scores(
    scores: pd.DataFrame, courses: pd.DataFrame, quality_min: float, auc_from: AucFrom
) -> CourseScores:
    """Score the courses of the rows of a reactivity table.

    Parameters
    ----------
    scores : DataFrame
        With session, window, feature, baseline, quality; keys unique.
    courses : DataFrame
        As `feature_courses` returns them.
    quality_min : float
        Points and windows of lower quality are left out.
    auc_from : {"baseline", "first"}
        What the first measurement of the area under the curve is.
    """
    if auc_from not in ("baseline", "first"):
        raise SignalError(f"auc_from is {auc_from!r}: pass 'baseline' or 'first'")
    points = _points(scores, courses, quality_min)
    columns = dict.fromkeys(COURSE_SCORE_COLUMNS, np.full(len(scores), np.nan))
    columns |= {"course_n": points.n, "course_s": np.zeros(len(scores))}
    if points.row.size:
        with np.errstate(all="ignore"):
            columns |= _all_scores(points, scores["baseline"].to_numpy(), auc_from)
    return _withheld(columns, points, scores, quality_min, auc_from)


def _points(scores: pd.DataFrame, courses: pd.DataFrame, quality_min: float) -> _Points:
    """Points of the courses, each with the row of the scores that it belongs to."""
    require_columns(courses, _NEEDED, "courses")
    table = courses[_KEYS].astype(object).reset_index(drop=True)
    table["minute"] = numeric(courses["since_s"], "since_s").to_numpy() / _MINUTE_S
    table["value"] = numeric(courses["value"], "value").to_numpy()
    table["quality"] = numbers_of(courses, "quality")
    table["length_s"] = np.nan_to_num(numbers_of(courses, "duration_s"))
    _check_courses(table, scores)
    rows = scores[_KEYS].astype(object).reset_index(drop=True).assign(row=np.arange(len(scores)))
    table = table.merge(rows, on=_KEYS, how="inner", sort=False)
    given = np.bincount(table["row"].to_numpy(dtype=np.int64), minlength=len(scores))
    sound = np.isfinite(table["minute"]) & np.isfinite(table["value"])
    table = table[sound & ~(table["quality"] < quality_min)]
    table = table.sort_values(["row", "minute", "value", "length_s"], kind="stable")
    minute, value, length = (table[c].to_numpy() for c in ("minute", "value", "length_s"))
    row = table["row"].to_numpy(dtype=np.int64)
    return _Points(row, minute, value, length, len(scores), given.astype(np.float64))


def _check_courses(table: pd.DataFrame, scores: pd.DataFrame) -> None:
    """Refuse courses of other sessions, and points before their window starts."""
    if len(table) and len(scores) and not table["session"].isin(scores["session"].unique()).any():
        raise SignalError(
            f"courses hold session {table['session'].iloc[0]!r} and features "
            f"{scores['session'].iloc[0]!r}: none in common; pass the courses of these sessions"
        )
    early = table["minute"] < -_TOLERANCE_MINUTES
    if early.any():
        row = table[early].iloc[0]
        raise SignalError(
            f"session {row['session']!r}: the course of {row['feature']} in window "
            f"{row['window']!r} has a point {_MINUTE_S * -row['minute']:g} s before the window"
        )


def _expected(scores: pd.DataFrame) -> NDArray[np.bool_]:
    """Rows that would have a course: the last part of a phase has none, nor has an entropy."""
    followed = scores["feature"].isin(FOLLOWED)
    if "kind" in scores.columns:
        followed &= scores["kind"] != "phase_last"
    expected: NDArray[np.bool_] = followed.to_numpy(dtype=bool)
    return expected


def _all_scores(points: _Points, baseline: FloatArray, auc_from: AucFrom) -> dict[str, FloatArray]:
    """Every score of every row, whether or not it has points enough."""
    starts, minute, value = points.starts, points.minute, points.value
    stops = np.append(starts[1:], value.size) - 1
    first, last = points.spread(minute[starts]), points.spread(minute[stops])
    top = points.spread(np.maximum.reduceat(value, starts))
    when = np.where(value == top[points.row], minute, np.inf)
    seconds = points.total(points.length_s)
    ground, increase = _areas(points, baseline, auc_from, first, last)
    return {
        "peak": top - baseline,
        "trough": points.spread(np.minimum.reduceat(value, starts)) - baseline,
        "time_to_peak_s": _MINUTE_S * points.spread(np.minimum.reduceat(when, starts)),
        "course_s": np.where(seconds > 0, seconds, np.nan_to_num(_MINUTE_S * (last - first))),
        "auc_g": ground,
        "auc_i": increase,
        "habituation": _slopes(points),
    }


def _areas(
    points: _Points, baseline: FloatArray, auc_from: AucFrom, first: FloatArray, last: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Areas with respect to ground and to increase, in unit times minutes."""
    minute, value, row = points.minute, points.value, points.row
    trapezoids = (value[1:] + value[:-1]) / 2 * np.diff(minute) * (row[1:] == row[:-1])
    between = np.bincount(row[1:], trapezoids, minlength=points.n_rows).astype(np.float64)
    y_1 = points.spread(value[points.starts])
    if auc_from == "first":
        return between, between - y_1 * (last - first)
    ground = between + (baseline + y_1) / 2 * first
    return ground, ground - baseline * last


def _slopes(points: _Points) -> FloatArray:
    """Least-squares slope per minute; not finite where all points are at one time."""
    n = points.n
    x, y = (
        column - (points.total(column) / n)[points.row] for column in (points.minute, points.value)
    )
    slopes: FloatArray = points.total(x * y) / points.total(x * x)
    return slopes


def _withheld(
    columns: dict[str, FloatArray],
    points: _Points,
    scores: pd.DataFrame,
    quality_min: float,
    auc_from: AucFrom,
) -> CourseScores:
    """Take back what rests on too little, and say so."""
    n, given = points.n, points.n_given
    poor = (scores["quality"] < quality_min).to_numpy()
    few, short = n < _MIN_POINTS, n < _MIN_POINTS_SLOPE
    rest = scores["baseline"].notna().to_numpy()
    needs_rest = ("peak", "trough", *(("auc_g", "auc_i") if auc_from == "baseline" else ()))
    blocked = dict.fromkeys(COURSE_SCORE_COLUMNS, poor | few)
    blocked |= {"course_n": np.zeros_like(few), "course_s": np.zeros_like(few)}
    blocked |= dict.fromkeys(needs_rest, poor | few | ~rest)
    blocked["habituation"] = poor | short
    cleaned = {
        name: np.where(blocked[name] | ~np.isfinite(column), np.nan, column)
        for name, column in columns.items()
    }
    lost = [np.isnan(cleaned[name]) & ~blocked[name] for name in COURSE_SCORE_COLUMNS]
    unsound = np.logical_or.reduce(lost)
    left_out = f" course points left out (missing or quality below {quality_min:g})"
    out = counted(given - n) + " of " + counted(given)
    of = counted(n) + " of " + counted(given)
    texts = [
        np.where((given == 0) & _expected(scores), "no course in this window", ""),
        np.where(
            (given > 0) & few,
            "no course scores: " + of + f" points usable, needs {_MIN_POINTS}",
            "",
        ),
        np.where(
            ~few & short & ~poor,
            "no habituation: " + counted(n) + f" points, needs {_MIN_POINTS_SLOPE}",
            "",
        ),
        np.where(unsound, "no habituation or AUC: points at one time, or numbers too large", ""),
        np.where(~few & (given > n), "flag: " + out + left_out, ""),
    ]
    return CourseScores(cleaned, texts)
