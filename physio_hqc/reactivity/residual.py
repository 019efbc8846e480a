"""Residualised change: what of a value its baseline does not predict over the sample."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.errors import SignalError
from physio_hqc.reactivity._tables import (
    counted,
    joined,
    numbers_of,
    numeric,
    refuse_twice,
    require_columns,
    texts_of,
)

RESIDUAL_COLUMNS: tuple[str, ...] = ("residual", "residual_z", "residual_n")

_NEEDED = ("session", "window", "feature", "baseline", "value")
# Share of the largest number, or of 1, that rounding alone can leave.
_ROUNDING = 1e-12

FloatArray = NDArray[np.float64]


def residualized_change(scores: pd.DataFrame, *, min_n: int = 5) -> pd.DataFrame:
    """Add the residualised change of every value over the sample.

    For each window and feature one least-squares line predicts the value from the baseline over
    all sessions; the residual is what is left. Predicting delta instead gives the same residuals.

    Parameters
    ----------
    scores : DataFrame
        A reactivity table of many sessions, as from `reactivity_scores`. Needed columns: session,
        window, feature, baseline, value. Rows whose delta is missing (poor quality) are left out
        of the line and get no residual.
    min_n : int
        Sessions that a line needs, 3 or more.

    Returns
    -------
    DataFrame
        Copy of `scores`, rows in their order, with ``residual`` (unit of the value),
        ``residual_z`` (internally studentised) and ``residual_n`` (sessions that the line rests
        on) before quality; ``reason`` says why a residual is missing.

    Raises
    ------
    SignalError
        If a column is missing or not numeric, a window of a session holds a feature twice, or
        `min_n` is below 3.

    Notes
    -----
    The residual belongs to this sample: with other sessions it is another. An analysis of
    variance of pooled residuals by condition is not an analysis of covariance and loses power
    where conditions differ in baseline (Maxwell et al. 1985); test conditions with the value as
    outcome and the baseline as covariate.

    References
    ----------
    Llabre M. M. et al. (1991). Psychophysiology 28, 701. doi:10.1111/j.1469-8986.1991.tb01017.x.
    Maxwell S. E., Delaney H. D., Manheimer J. M. (1985). Journal of Educational Statistics 10,
    197. doi:10.3102/10769986010003197.

    Examples
    --------
    >>> import pandas as pd
    >>> from physio_hqc.reactivity import residualized_change
    >>> scores = pd.DataFrame({"session": list("abcde"), "window": "speech",
    ...                        "feature": "CUFF_SBP_Mean", "baseline": [110, 118, 124, 130, 138],
    ...                        "value": [128, 131, 146, 144, 161]})
    >>> residualized_change(scores)["residual"].round(4).tolist()
    [2.2931, -4.0172, 4.0, -4.9828, 2.7069]
    """
    _check_min_n(min_n)
    require_columns(scores, _NEEDED, "scores")
    refuse_twice(scores, ("session", "window", "feature"))
    baseline, value = (numeric(scores[name], name).to_numpy() for name in ("baseline", "value"))
    used = np.isfinite(baseline) & np.isfinite(value)
    if "delta" in scores.columns:
        used &= np.isfinite(numbers_of(scores, "delta"))
    by = scores.groupby(["window", "feature"], sort=False, dropna=False, observed=True)
    group = by.ngroup().to_numpy()
    fit = _Lines(group, baseline, value, used)
    return _with_columns(scores, fit, min_n)


def _check_min_n(min_n: int) -> None:
    """Refuse a number of sessions that no line can be judged by."""
    if isinstance(min_n, bool) or not isinstance(min_n, int | np.integer) or min_n < 3:
        raise SignalError(f"min_n is {min_n}: pass a whole number from 3 on")


class _Lines:
    """Least-squares lines of all groups at once."""

    def __init__(
        self,
        group: NDArray[np.int64],
        baseline: FloatArray,
        value: FloatArray,
        used: NDArray[np.bool_],
    ) -> None:
        self.used = used
        self.n = self._totals(group, used.astype(np.float64), used)
        with np.errstate(all="ignore"):
            self._fit(group, baseline, value)

    def _totals(
        self, group: NDArray[np.int64], numbers: FloatArray, used: NDArray[np.bool_]
    ) -> FloatArray:
        """Sum over the used rows of the group, given to every row of the group."""
        n_groups = int(group.max()) + 1 if group.size else 0
        sums = np.bincount(group[used], numbers[used], minlength=n_groups).astype(np.float64)
        return np.asarray(sums[group])

    def _fit(self, group: NDArray[np.int64], baseline: FloatArray, value: FloatArray) -> None:
        """Slopes, residuals and their studentised form; not finite where they do not exist."""
        used = self.used
        x, y = (
            np.where(used, column - self._totals(group, column, used) / self.n, 0.0)
            for column in (baseline, value)
        )
        sxx, sxy = self._totals(group, x * x, used), self._totals(group, x * y, used)
        largest = self._largest(group, baseline)
        self.same_baseline = np.isfinite(sxx) & (sxx <= self.n * (_ROUNDING * largest) ** 2)
        self.residual = np.where(np.isfinite(sxx), y - sxy / sxx * x, np.nan)
        left = self._totals(group, self.residual**2, used)
        self.perfect = left <= self.n * (_ROUNDING * self._largest(group, value)) ** 2
        free = 1 - 1 / self.n - x**2 / sxx
        self.alone = free <= _ROUNDING
        self.studentized = self.residual / np.sqrt(left / (self.n - 2) * free)

    def _largest(self, group: NDArray[np.int64], column: FloatArray) -> FloatArray:
        """Largest size of a used number in the group, given to every row of the group."""
        largest = np.zeros(int(group.max()) + 1 if group.size else 0)
        np.maximum.at(largest, group[self.used], np.abs(column[self.used]))
        return largest[group]


def _with_columns(scores: pd.DataFrame, fit: _Lines, min_n: int) -> pd.DataFrame:
    """Put residuals and reasons into a copy of the scores."""
    few = fit.n < min_n
    bounded = np.isfinite(fit.residual)
    has = fit.used & ~few & ~fit.same_baseline & bounded
    has_z = has & ~fit.perfect & ~fit.alone & np.isfinite(fit.studentized)
    own = texts_of(scores, "reason")
    unexplained = np.array([not text or text.startswith("flag:") for text in own], dtype=bool)
    counts = counted(fit.n)
    parts = [
        own,
        np.where(~fit.used & unexplained, "no residual: no value, baseline or delta", ""),
        np.where(
            fit.used & few,
            "no residual: " + counts + f" sessions with this score, needs {min_n}",
            "",
        ),
        np.where(
            fit.used & ~few & fit.same_baseline,
            "no residual: the baseline is the same in every session",
            "",
        ),
        np.where(
            fit.used & ~few & ~fit.same_baseline & ~bounded, "no residual: numbers too large", ""
        ),
        np.where(has & ~has_z, _why_no_z(fit), ""),
    ]
    table = scores.drop(columns=[name for name in RESIDUAL_COLUMNS if name in scores.columns])
    place = list(table.columns).index("quality") if "quality" in table.columns else table.shape[1]
    if "reason" in table.columns:
        table = table.assign(reason=joined(parts))
    columns = (
        np.where(has, fit.residual, np.nan),
        np.where(has_z, fit.studentized, np.nan),
        fit.n,
    )
    for name, column in zip(reversed(RESIDUAL_COLUMNS), reversed(columns), strict=True):
        table.insert(place, name, column)
    if "reason" not in table.columns:
        table["reason"] = joined(parts)
    return table


def _why_no_z(fit: _Lines) -> NDArray[np.object_]:
    """Why a residual has no studentised form."""
    alone = "no residual_z: this baseline alone fixes the line"
    perfect = "no residual_z: all values lie on the line"
    texts: NDArray[np.object_] = np.where(fit.perfect, perfect, alone).astype(object)
    return texts
