"""How a session comes back to rest after the task: curve of one course, scores of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from physio_hqc.errors import SignalError
from physio_hqc.signals._checks import as_numbers

from ._logistic import course_of, fit_logistic
from ._recovery_columns import RECOVERY_COLUMNS, recovery_dictionary
from ._recovery_points import area_above, half_times, mean_elevation, value_at
from ._recovery_refusal import ZERO, Limits, refusals
from ._recovery_table import scores_table

__all__ = [
    "RECOVERY_COLUMNS",
    "RecoveryCurve",
    "adjusted_recovery",
    "area_above_baseline",
    "half_recovery_time",
    "percent_recovery",
    "recovery_curve",
    "recovery_dictionary",
    "recovery_scores",
    "residual_elevation",
    "value_at_time",
]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RecoveryCurve:
    """Three-parameter logistic after Christenfeld, fitted to one recovery course.

    ``R(t) = level + 2 amount / (1 + exp(speed t))``, t in minutes since the end of the task.

    Attributes
    ----------
    amount : float
        R(0) - level: how far the course comes back. Negative for features that fall under stress.
    level : float
        Where the course settles.
    speed_per_min : float
        Speed k, 1/min.
    half_time_s : float
        Time until half of the amount is left, s: 60 ln(3) / k.
    amount_se, level_se, speed_se_per_min : float
        Standard errors of the parameters (linearized at the fit).
    r2, rmse : float
        Share of the variance that the curve explains, and the root of the mean squared residual.
    n : int
        Points the fit rests on.
    reason : str
        Why there is no curve (all parameters are then NaN; `r2` and `rmse` stay where a curve was
        tried, to be seen), or a caution that begins with ``flag:``; else empty.
    """

    amount: float
    level: float
    speed_per_min: float
    half_time_s: float
    amount_se: float
    level_se: float
    speed_se_per_min: float
    r2: float
    rmse: float
    n: int
    reason: str

    def predict(self, times_s: ArrayLike) -> FloatArray:
        """Curve at times (s) since the end of the task, of the shape of `times_s`."""
        minutes = np.asarray(times_s, dtype=np.float64) / 60.0
        if not np.isfinite(self.speed_per_min):
            return np.full(minutes.shape, np.nan)
        share, _ = course_of(minutes, np.zeros_like(minutes), self.speed_per_min)
        curve: FloatArray = self.level + self.amount * share
        return curve


def recovery_curve(
    times_s: ArrayLike,
    values: ArrayLike | None = None,
    *,
    baseline: float | None = None,
    task: float | None = None,
    durations_s: ArrayLike = 0.0,
    floor: float = 3.0,
    min_points: int = 5,
    max_error: float = 0.75,
    alpha: float = 0.05,
) -> RecoveryCurve:
    """Fit the three-parameter logistic of recovery (amount, level, speed), or say why not.

    Parameters
    ----------
    times_s : array_like (n,)
        Times since the end of the task, s: of readings, or of the middles of pieces. A reading at
        0 is the level at the end of the task.
    values : array_like (n,)
        What was measured, in the unit of the feature. NaN values are left out.
    baseline : float
        Level at rest, same unit.
    task : float, optional
        Task level, default the curve's own value at time 0. ``task - baseline`` has to reach
        `floor`, and the amount has to have its sign.
    durations_s : float or array_like (n,)
        Length of the piece that each value is the mean of, s; 0 for a reading. The curve is
        averaged over the piece.
    floor : float
        Smallest reactivity and smallest amount that recovery can be told from; 3 mmHg, 3 bpm.
    min_points : int
        Fewest points, at least 4.
    max_error : float
        Largest standard error of speed and amount, relative to them.
    alpha : float
        The curve has to beat a constant level with this probability of error (F with 2 and n - 3
        degrees of freedom; conservative, since the speed is bounded).

    Returns
    -------
    RecoveryCurve

    Raises
    ------
    SignalError
        If times and values differ in length, are not numeric, times lie before the end of the
        task, or an argument makes no sense.

    Notes
    -----
    A curve is refused, with NaN parameters and a `reason`, if there are too few points, the
    reactivity or the amount is below the floor, it explains no more than a constant level does,
    the speed is at its bounds (0.02 to 12 per min), the half time is longer than the course, the
    course moves away from rest, or speed or amount are not identified.

    Measured by simulation, noise of 3 to 4 mmHg: under 1 % of flat courses get a curve, under 5 %
    if neighboring points are correlated by .5. After a reactivity of 20 mmHg six cuff readings get
    one in two to four sessions of ten, ten minute means in six to nine, twenty in nearly all. What
    is accepted is a selection: with few or noisy points its amounts are too large (by a fifth to a
    third for 20 mmHg from six readings), and half times beyond a third of the course come out too
    short.

    The equation printed in the source was not at hand; this is a logistic with its three
    parameters that begins at the end of the task, hence "after Christenfeld".

    References
    ----------
    Christenfeld N., Glynn L. M., Gerin W. (2000). On the reliable assessment of cardiovascular
    recovery. Psychophysiology 37, 543. doi:10.1111/1469-8986.3740543.

    Examples
    --------
    >>> import numpy as np
    >>> from physio_hqc.reactivity import recovery_curve
    >>> minutes = np.arange(11)
    >>> values = [140, 136, 132, 128, 125, 123, 122, 121.5, 121, 120.5, 120]
    >>> curve = recovery_curve(60 * minutes, values, baseline=120, task=140)
    >>> round(curve.amount, 2), round(curve.level, 2), round(curve.half_time_s)
    (20.66, 119.72, 143)
    >>> recovery_curve(60 * minutes[:4], values[:4], baseline=120, task=140).reason
    '4 points, needs 5'
    """
    limits = Limits(min_points=min_points, max_error=max_error, alpha=alpha)
    if isinstance(times_s, pd.DataFrame):
        raise SignalError("times_s is a table: pass times and values, or use recovery_scores")
    if values is None or baseline is None:
        missing = "values" if values is None else "baseline"
        raise SignalError(f"{missing} is missing: pass times_s, values and baseline=")
    times, points, lengths = _course(times_s, values, durations_s)
    minutes, pieces = times[None] / 60.0, lengths[None] / 60.0
    fits = fit_logistic(minutes, points[None], pieces)
    last = times.max(initial=0.0) / 60.0
    level_then = fits.amount + fits.level if task is None else np.array([float(task)])
    reason = refusals(
        fits,
        last_min=np.array([last]),
        reactivity=level_then - float(baseline),
        floor=np.array([float(floor)]),
        units=[""],
        limits=limits,
    )[0]
    nan = 0.0 if reason == "" or reason.startswith("flag:") else np.nan
    return RecoveryCurve(
        amount=float(fits.amount[0]) + nan,
        level=float(fits.level[0]) + nan,
        speed_per_min=float(fits.speed[0]) + nan,
        half_time_s=float(60.0 * np.log(3.0) / fits.speed[0]) + nan,
        amount_se=float(fits.amount_se[0]) + nan,
        level_se=float(fits.level_se[0]) + nan,
        speed_se_per_min=float(fits.speed_se[0]) + nan,
        r2=float(fits.r2[0]),
        rmse=float(fits.rmse[0]),
        n=int(fits.n[0]),
        reason=reason,
    )


def value_at_time(
    times_s: ArrayLike,
    values: ArrayLike,
    at_s: float,
    *,
    durations_s: ArrayLike = 0.0,
    max_gap_s: float = 180.0,
) -> float:
    """Value of a course at a fixed time after the task.

    Between two neighboring points at most `max_gap_s` apart it is interpolated linearly. Else it
    is the nearest point's value if that point is no farther than 30 s (a cuff reading takes about
    40 s) or, for the mean of a longer piece, than half the piece. It is never extrapolated beyond
    that: NaN.

    Parameters
    ----------
    times_s, values : array_like (n,)
        Course since the end of the task, s; NaN values are left out.
    at_s : float
        The time asked for, s since the end of the task.
    durations_s : float or array_like (n,)
        Lengths of the pieces, s; 0 for readings.
    max_gap_s : float
        Longest time between two neighbors that is interpolated, s.

    Returns
    -------
    float

    Examples
    --------
    >>> from physio_hqc.reactivity import value_at_time
    >>> value_at_time([60, 150, 240], [134.0, 128.0, 125.0], 180)
    127.0
    >>> value_at_time([60, 150, 240], [134.0, 128.0, 125.0], 300)
    nan
    """
    times, points, lengths = _course(times_s, values, durations_s)
    return float(value_at(times[None], points[None], lengths[None], float(at_s), max_gap_s)[0])


def percent_recovery(
    value: ArrayLike, *, baseline: float, task: float, floor: float = 3.0
) -> FloatArray:
    """Percent of the reactivity that is gone: 100 (task - value) / (task - baseline).

    Parameters
    ----------
    value : array_like
        Value or values during recovery.
    baseline, task : float
        Level at rest and task level.
    floor : float
        NaN where task and baseline differ by less.

    Returns
    -------
    ndarray
        Of the shape of `value`.

    Examples
    --------
    >>> from physio_hqc.reactivity import percent_recovery
    >>> float(percent_recovery(123, baseline=120, task=140))
    85.0
    """
    reactivity = float(task) - float(baseline)
    if not abs(reactivity) >= max(floor, ZERO):
        return np.full(np.shape(value), np.nan)
    percent: FloatArray = 100.0 * (task - as_numbers(value, "value")) / reactivity
    return percent


def half_recovery_time(
    times_s: ArrayLike, values: ArrayLike, *, baseline: float, task: float, floor: float = 3.0
) -> float:
    """Time of the first crossing of half the reactivity, s; NaN where it is not reached.

    The level (task + baseline) / 2 is looked for by linear interpolation between points. A course
    without a point at 0 starts from the task level there.

    Parameters
    ----------
    times_s, values : array_like (n,)
        Course since the end of the task, s; NaN values are left out.
    baseline, task : float
        Level at rest and task level.
    floor : float
        NaN where task and baseline differ by less.

    Returns
    -------
    float

    Examples
    --------
    >>> from physio_hqc.reactivity import half_recovery_time
    >>> half_recovery_time([0, 60, 120, 180], [140, 136, 132, 128], baseline=120, task=140)
    150.0
    >>> half_recovery_time([0, 60], [140, 136], baseline=120, task=140)
    nan
    """
    times, points, _ = _course(times_s, values, 0.0)
    if not abs(float(task) - float(baseline)) >= max(floor, ZERO):
        return float("nan")
    rest, stress = np.array([float(baseline)]), np.array([float(task)])
    return float(half_times(times[None], points[None], rest, stress)[0][0])


def residual_elevation(times_s: ArrayLike, values: ArrayLike, *, baseline: float) -> float:
    """Mean of the points after time 0, minus baseline; every point counts alike.

    Parameters
    ----------
    times_s, values : array_like (n,)
        Course since the end of the task, s. A point at 0 still belongs to the task.
    baseline : float
        Level at rest.

    Returns
    -------
    float

    Examples
    --------
    >>> from physio_hqc.reactivity import residual_elevation
    >>> residual_elevation([0, 60, 120], [140, 130, 124], baseline=120)
    7.0
    """
    times, points, _ = _course(times_s, values, 0.0)
    return float(mean_elevation(times[None], points[None], np.array([float(baseline)]))[0])


def area_above_baseline(times_s: ArrayLike, values: ArrayLike, *, baseline: float) -> float:
    """Area between course and baseline by trapezoids, unit x min; below baseline it is negative.

    Parameters
    ----------
    times_s, values : array_like (n,)
        Course since the end of the task, s; NaN values are left out.
    baseline : float
        Level at rest.

    Returns
    -------
    float
        NaN with fewer than two points.

    Notes
    -----
    An area carries the reactivity over: who rose higher has a larger area at the same speed of
    recovery (Sawada & Kato 2011). Adjust it for reactivity (`adjusted_recovery`), or say that it
    is not adjusted.

    References
    ----------
    Sawada Y., Kato Y. (2011). Medical & Biological Engineering & Computing 49, 297.
    doi:10.1007/s11517-011-0744-0.

    Examples
    --------
    >>> from physio_hqc.reactivity import area_above_baseline
    >>> area_above_baseline([0, 60, 120], [140, 130, 124], baseline=120)
    22.0
    """
    times, points, _ = _course(times_s, values, 0.0)
    return float(area_above(times[None] / 60.0, points[None], np.array([float(baseline)]))[0])


def recovery_scores(
    scores: pd.DataFrame,
    courses: pd.DataFrame,
    *,
    windows: pd.DataFrame | None = None,
    task_window: str | None = None,
    at_s: Sequence[float] = (60, 180, 300, 600),
    floor: float | Mapping[str, float] | None = None,
    quality_min: float = 0.5,
    max_gap_s: float = 180.0,
    min_points: int = 5,
) -> pd.DataFrame:
    """Recovery scores of every feature with a course in a recovery phase.

    Parameters
    ----------
    scores : DataFrame
        Reactivity table of one or many sessions (`reactivity_scores`): session, window, feature,
        baseline, value; used where present: participant, condition, kind, onset, duration, unit,
        delta.
    courses : DataFrame
        How features run inside windows: session, window, role, feature, since_s, value; used where
        present: kind, duration_s, unit, quality, source.
    windows : DataFrame, optional
        Windows with window, role, and where present session, kind, onset, duration. Without it,
        roles are those of `courses`, times those of `scores`.
    task_window : str, optional
        Window whose value is the task level; default the last task phase before the recovery
        phase.
    at_s : sequence of float
        Times since the end of the task, s, of the fixed-time scores (see `value_at_time`).
    floor : float or mapping, optional
        Smallest reactivity that recovery is scored for: one number for all, or numbers by feature
        or unit that replace the defaults (3 mmHg, 3 bpm, 500 mmHg/min, 2 ms/mmHg, 0.2 ln units,
        0.1 µS, 5 %, for intervals 20 ms, their variability and arrival times 3 ms; 0 for others).
        3 mmHg and 3 bpm are the usual ones, the rest is our choice.
    quality_min : float
        Points of lower quality are left out; a missing quality passes.
    max_gap_s : float
        Longest time between neighbors that a fixed-time score is interpolated across, s; longer
        gaps inside a course are flagged.
    min_points : int
        Fewest points of a logistic, at least 4.

    Returns
    -------
    DataFrame
        One row per session, recovery phase, feature and source; columns as `RECOVERY_COLUMNS`
        with ``delta_<t>s`` and ``percent_<t>s`` for the times of `at_s`. ``reason`` says why simple
        scores are NaN or what caution they carry, ``logistic_reason`` does so for the curve.
        ``n_points`` and ``seconds`` say what a row rests on.

    Raises
    ------
    SignalError
        If a needed column is missing or not numeric, a session holds a feature of a window twice,
        no session has the window `task_window`, or an argument makes no sense.

    Notes
    -----
    Time counts from the end of the last task phase, also where something lies between it and the
    recovery phase. Scores that need the reactivity (percent, half recovery, logistic) are NaN
    where it is below the floor. ``mean_elevation`` and ``auc_above`` carry the reactivity over
    (Sawada & Kato 2011, doi:10.1007/s11517-011-0744-0): compare groups only after
    `adjusted_recovery`, with reactivity as a covariate, or say that it was not adjusted for.

    References
    ----------
    Christenfeld N., Glynn L. M., Gerin W. (2000). Psychophysiology 37, 543.
    doi:10.1111/1469-8986.3740543.

    Examples
    --------
    >>> import pandas as pd
    >>> from physio_hqc.reactivity import recovery_scores
    >>> scores = pd.DataFrame({"session": "p01", "window": ["speech", "recovery"],
    ...                        "feature": "BP_SBP_Mean", "unit": "mmHg", "onset": [600, 960],
    ...                        "duration": [360, 180], "baseline": 120.0, "value": [140.0, 128.0]})
    >>> courses = pd.DataFrame({"session": "p01", "feature": "BP_SBP_Mean",
    ...                         "window": ["speech"] + 3 * ["recovery"],
    ...                         "role": ["task"] + 3 * ["recovery"], "duration_s": 60.0,
    ...                         "since_s": [30, 30, 90, 150], "value": [140.0, 136, 128, 122]})
    >>> row = recovery_scores(scores, courses, at_s=(60, 120)).iloc[0]
    >>> float(row["delta_60s"]), float(row["percent_60s"]), float(row["half_recovery_s"])
    (12.0, 40.0, 75.0)
    """
    return scores_table(
        scores,
        courses,
        windows=windows,
        task_window=task_window,
        at_s=at_s,
        floor=floor,
        quality_min=quality_min,
        max_gap_s=max_gap_s,
        limits=Limits(min_points=min_points),
    )


def adjusted_recovery(
    recovery: pd.DataFrame,
    columns: Sequence[str] = ("mean_elevation", "auc_above"),
    *,
    min_n: int = 5,
) -> pd.DataFrame:
    """Add what is left of recovery scores when their regression on reactivity is taken out.

    Parameters
    ----------
    recovery : DataFrame
        Table of `recovery_scores` of a sample.
    columns : sequence of str
        Scores to adjust; each gets a column ``<score>_adjusted``, in its unit, with mean 0.
    min_n : int
        Fewest sessions with score and reactivity, per window, feature and source.

    Returns
    -------
    DataFrame
        The table with the new columns; where one is NaN though its score is there, ``reason``
        says why.

    Raises
    ------
    SignalError
        If a column is missing.

    Notes
    -----
    The line is one for the whole sample. For a comparison of groups put the reactivity into the
    model as a covariate instead: residuals of a pooled line are not an analysis of covariance.

    Examples
    --------
    >>> import pandas as pd
    >>> from physio_hqc.reactivity import adjusted_recovery
    >>> table = pd.DataFrame({"window": "recovery", "feature": "BP_SBP_Mean", "source": "sliding",
    ...                       "reactivity": [5.0, 10, 15, 20, 25],
    ...                       "auc_above": [10.0, 21, 29, 41, 49], "reason": ""})
    >>> adjusted_recovery(table, ["auc_above"])["auc_above_adjusted"].round(1).tolist()
    [-0.4, 0.8, -1.0, 1.2, -0.6]
    """
    keys = ["window", "feature", "source"]
    if not isinstance(recovery, pd.DataFrame):
        raise SignalError(
            f"recovery is a {type(recovery).__name__}: pass a table of recovery_scores"
        )
    for name in (*keys, "reactivity", "reason", *columns):
        if name not in recovery.columns:
            raise SignalError(
                f"recovery lacks the column {name!r}: pass a table of recovery_scores"
            )
    if min_n < 3:
        raise SignalError(f"min_n is {min_n}: pass 3 or more")
    table = recovery.copy()
    for name in columns:
        table = _adjusted(table, name, keys, min_n)
    return table


def _adjusted(table: pd.DataFrame, name: str, keys: list[str], min_n: int) -> pd.DataFrame:
    """Residual of one score on reactivity per group of rows, and a reason where there is none."""
    used = table[name].notna() & table["reactivity"].notna()
    x, y = table["reactivity"].where(used), table[name].where(used)
    by = [table[key] for key in keys]
    x0 = x - x.groupby(by, dropna=False, observed=True).transform("mean")
    y0 = y - y.groupby(by, dropna=False, observed=True).transform("mean")
    sxx = (x0 * x0).groupby(by, dropna=False, observed=True).transform("sum")
    sxy = (x0 * y0).groupby(by, dropna=False, observed=True).transform("sum")
    n = used.groupby(by, dropna=False, observed=True).transform("sum")
    few, same = n < min_n, ~(sxx > 0)
    residual = (y0 - sxy / sxx.where(sxx > 0) * x0).mask(few)
    why = np.where(few, n.astype(str) + f" sessions, needs {min_n}", "")
    why = np.where(~few & same, "reactivity is the same everywhere", why)
    why = np.where(table["reactivity"].isna(), "no reactivity", why)
    say = residual.isna() & table[name].notna()
    text = pd.Series(f"{name}_adjusted: " + why.astype(object), index=table.index).where(say, "")
    reason = table["reason"].astype(object)
    both = (reason != "") & say
    table["reason"] = reason + np.where(both, "; ", "") + text
    table[f"{name}_adjusted"] = residual
    return table


def _course(
    times_s: ArrayLike, values: ArrayLike, durations_s: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Times, values and piece lengths as ascending float arrays without missing values."""
    times, points = as_numbers(times_s, "times_s"), as_numbers(values, "values")
    lengths = as_numbers(durations_s, "durations_s")
    if times.ndim != 1 or times.shape != points.shape:
        raise SignalError(
            f"times have shape {times.shape}, values {points.shape}: pass two lists of one length"
        )
    if lengths.ndim and lengths.shape != times.shape:
        raise SignalError(f"durations have shape {lengths.shape}: pass one number or {times.shape}")
    lengths = np.broadcast_to(lengths, times.shape)
    if np.isinf(times).any() or np.isinf(points).any() or (times < 0).any():
        raise SignalError("times count from the end of the task: pass finite times of 0 or more")
    there = np.isfinite(times) & np.isfinite(points)
    order = np.argsort(times[there], kind="stable")
    kept = [np.asarray(part[there][order]) for part in (times, points, lengths)]
    return kept[0], kept[1], np.maximum(np.nan_to_num(kept[2]), 0.0)
