"""Heart-rate variability in the time domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from physio_hqc.features._hrv_gates import Limits, apply_limits, enough, limits_of
from physio_hqc.features._hrv_series import TIE_MS, Series, batches, lay_out, log, ratio
from physio_hqc.features._windows import Reasons
from physio_hqc.signals.beats import Beats

_BIN_MS = 1000 / 128
_MAD_TO_SD = 1.4826
COLUMNS = (
    "ECG_Rate_Mean",
    "HRV_MeanNN",
    "HRV_SDNN",
    "HRV_RMSSD",
    "HRV_lnRMSSD",
    "HRV_SDSD",
    "HRV_CVNN",
    "HRV_MedianNN",
    "HRV_MadNN",
    "HRV_IQRNN",
    "HRV_pNN50",
    "HRV_pNN20",
    "HRV_MinNN",
    "HRV_MaxNN",
    "HRV_HTI",
    "HRV_TINN",
)


def hrv_time(
    beats: Beats | ArrayLike,
    windows: ArrayLike | None = None,
    *,
    max_rr_s: float = 3.0,
    gates: Mapping[str, Sequence[float]] | None = None,
    max_corrected: float = 0.20,
    flag_corrected: float = 0.05,
) -> pd.DataFrame:
    """Compute time-domain heart-rate variability in every window.

    A window takes the intervals that lie wholly inside it. Differences are formed only between
    intervals that touch: none across a gap. Standard deviations divide by n - 1; pNNx is the
    share of differences (not of intervals) above x ms; the histogram of HTI and TINN has bins of
    1/128 s from 0; HRV_MadNN is scaled by 1.4826; ECG_Rate_Mean is 60000 / HRV_MeanNN.

    Parameters
    ----------
    beats : Beats or array-like, shape (k,)
        A corrected series, or plain beat times in s (taken as they are).
    windows : array-like, shape (m, 2), optional
        Onset and offset in s. Default: one window, first to last beat.
    max_rr_s : float
        For plain beat times: a longer interval in s counts as a gap.
    gates : mapping, optional
        Column name to (recommended s, minimum s[, recommended n, minimum n]), over the defaults
        in ``physio_hqc.features.GATES``.
    max_corrected, flag_corrected : float
        Windows with a larger share of corrected beats give no values, or flagged ones.

    Returns
    -------
    DataFrame, m rows
        ECG_Rate_Mean (1/min); HRV_MeanNN, HRV_SDNN, HRV_RMSSD, HRV_SDSD, HRV_MedianNN,
        HRV_MadNN, HRV_IQRNN, HRV_MinNN, HRV_MaxNN, HRV_TINN (ms); HRV_lnRMSSD (ln ms);
        HRV_pNN50, HRV_pNN20 (%); HRV_CVNN, HRV_HTI (1).

        ``attrs["reasons"]`` maps each column to a list of one text per window: why the value is
        NaN, ``"flag: ..."`` for a caution that it carries, or ``""``.

    Raises
    ------
    SignalError
        If beat times are not ascending, windows are not (m, 2), or ``gates`` names no HRV column.

    Notes
    -----
    Equal to NeuroKit2 0.2.13 but for HRV_pNN50 and HRV_pNN20, which it divides by the number of
    intervals, and HRV_TINN: here the best triangle over all limits; there the search keeps its
    right limit after the first left one.

    References
    ----------
    Task Force (1996). Heart rate variability: standards of measurement. Circulation 93, 1043.
    doi:10.1161/01.CIR.93.5.1043.
    Shaffer F., Ginsberg J. P. (2017). An overview of heart rate variability metrics and norms.
    Frontiers in Public Health 5, 258. doi:10.3389/fpubh.2017.00258.

    Examples
    --------
    >>> import numpy as np
    >>> from physio_hqc.features import hrv_time
    >>> times = np.cumsum(np.tile([0.80, 0.84], 60))
    >>> table = hrv_time(times, [[0, 60], [60, 70]])
    >>> table["HRV_RMSSD"].round(2).tolist()
    [40.0, nan]
    >>> table.attrs["reasons"]["HRV_RMSSD"]
    ['', '10 s usable, needs 30 s']
    """
    series = lay_out(beats, windows, max_rr_s)
    return time_table(series, limits_of(gates, max_corrected, flag_corrected))


def time_table(series: Series, limits: Limits) -> pd.DataFrame:
    """Return the time-domain table of a laid-out series."""
    values = {column: np.full(series.n.size, np.nan) for column in COLUMNS}
    for batch in batches(series.first, series.stop):
        rr = series.rr_ms[batch.at]
        linked = batch.inside[:, 1:] & series.joined[batch.at[:, 1:]]
        parts = {
            **_levels(rr, batch.inside),
            **_differences(np.diff(rr, axis=1), linked),
            **_ranks(rr, batch.inside),
        }
        for column, part in parts.items():
            values[column][batch.rows] = part
    values["ECG_Rate_Mean"] = ratio(np.full(series.n.size, 60000.0), values["HRV_MeanNN"])
    values["HRV_CVNN"] = ratio(values["HRV_SDNN"], values["HRV_MeanNN"])
    values["HRV_lnRMSSD"] = log(values["HRV_RMSSD"])
    for row in np.flatnonzero(enough(series, limits.gates["HRV_TINN"])).tolist():
        values["HRV_TINN"][row] = _tinn(series.rr_ms[series.first[row] : series.stop[row]])
    reasons = Reasons(series.n.size)
    apply_limits(reasons, COLUMNS, series, limits)
    reasons.withhold("HRV_lnRMSSD", values["HRV_RMSSD"] == 0, "RMSSD is 0")
    return reasons.frame(values)


def _levels(rr: NDArray[np.float64], inside: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    """Mean and standard deviation of each row."""
    n = inside.sum(axis=1)
    mean = np.where(inside, rr, 0).sum(axis=1) / n
    squares = (np.where(inside, rr - mean[:, None], 0) ** 2).sum(axis=1)
    return {"HRV_MeanNN": mean, "HRV_SDNN": np.sqrt(ratio(squares, n - 1.0))}


def _differences(
    change: NDArray[np.float64], linked: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    """Indices of the successive differences of each row."""
    change = np.where(linked, change, 0)
    n = linked.sum(axis=1).astype(float)
    mean = ratio(change.sum(axis=1), n)
    centered = np.where(linked, change - mean[:, None], 0)
    size = np.abs(change)
    return {
        "HRV_RMSSD": np.sqrt(ratio((change**2).sum(axis=1), n)),
        "HRV_SDSD": np.sqrt(ratio((centered**2).sum(axis=1), n - 1)),
        "HRV_pNN50": 100 * ratio((size > 50 + TIE_MS).sum(axis=1).astype(float), n),
        "HRV_pNN20": 100 * ratio((size > 20 + TIE_MS).sum(axis=1).astype(float), n),
    }


def _ranks(rr: NDArray[np.float64], inside: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    """Order statistics and the triangular index of each row."""
    n = inside.sum(axis=1)
    ordered = np.sort(np.where(inside, rr, np.inf), axis=1)
    median = _quantile(ordered, n, 0.5)
    deviation = np.sort(np.where(inside, np.abs(rr - median[:, None]), np.inf), axis=1)
    return {
        "HRV_MedianNN": median,
        "HRV_MadNN": _MAD_TO_SD * _quantile(deviation, n, 0.5),
        "HRV_IQRNN": _quantile(ordered, n, 0.75) - _quantile(ordered, n, 0.25),
        "HRV_MinNN": ordered[:, 0],
        "HRV_MaxNN": ordered[np.arange(n.size), n - 1],
        "HRV_HTI": n / _largest_bin(ordered, inside),
    }


def _quantile(
    ordered: NDArray[np.float64], n: NDArray[np.int64], share: float
) -> NDArray[np.float64]:
    """Return a quantile of the first n values of each sorted row, by linear interpolation."""
    place = share * (n - 1)
    below = place.astype(int)
    above = np.minimum(below + 1, n - 1)
    rows = np.arange(n.size)
    low, high = ordered[rows, below], ordered[rows, above]
    value: NDArray[np.float64] = low + (place - below) * (high - low)
    return value


def _bins(rr: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the histogram bin of each interval, bins of 1/128 s from 0."""
    return np.floor((rr + TIE_MS) / _BIN_MS)


def _largest_bin(ordered: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the count of the fullest histogram bin of each sorted row."""
    bins = np.where(inside, _bins(np.where(inside, ordered, 0)), -1)
    starts = np.diff(bins, axis=1, prepend=-2) != 0
    at = np.flatnonzero(starts)
    counts = np.where(inside.ravel()[at], np.diff(at, append=bins.size), 0)
    rows = at // bins.shape[1]
    return np.maximum.reduceat(counts, np.searchsorted(rows, np.arange(bins.shape[0]))).astype(
        float
    )


def _tinn(rr: NDArray[np.float64]) -> float:
    """Return the base in ms of the triangle that fits the histogram best.

    The apex is the fullest bin. The squared error of the two sides is separate, so that each
    side is searched by itself, over all bin centers up to one beyond the data.
    """
    bins = _bins(rr).astype(int)
    counts = np.bincount(bins - bins.min() + 1, minlength=3).astype(float)
    counts = np.append(counts, 0.0)
    apex = int(np.argmax(counts))
    left = _best_side(counts[: apex + 1][::-1])
    right = _best_side(counts[apex:])
    return (left + right) * _BIN_MS


def _best_side(counts: NDArray[np.float64]) -> int:
    """Return how many bins from the apex (first) a straight side best reaches 0.

    The squared error of a side that reaches r bins is a sum over those bins of (y (1 - p / r) - c)²
    and one of c² beyond them. Multiplied out it needs running sums only: no table of bins by
    reaches, which a single interval of a minute would make huge.
    """
    reach = np.arange(1, counts.size, dtype=float)
    height, place = counts[0], np.arange(counts.size)
    below = np.cumsum(counts)[:-1], np.cumsum(place * counts)[:-1]
    line = (reach + 1) * (2 * reach + 1) / (6 * reach)
    error = height**2 * line - 2 * height * (below[0] - below[1] / reach)
    return int(reach[np.argmin(error)])
