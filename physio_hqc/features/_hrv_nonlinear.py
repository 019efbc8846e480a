"""Nonlinear heart-rate variability: Poincare plot, entropies, detrended fluctuations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from physio_hqc.features._hrv_entropy import entropies
from physio_hqc.features._hrv_gates import Limits, apply_limits, enough, limits_of
from physio_hqc.features._hrv_series import Batch, Series, batches, lay_out, log, ratio
from physio_hqc.features._windows import Reasons
from physio_hqc.signals.beats import Beats

COLUMNS = (
    "HRV_SD1",
    "HRV_SD2",
    "HRV_SD1SD2",
    "HRV_S",
    "HRV_SampEn",
    "HRV_ApEn",
    "HRV_DFA_alpha1",
    "HRV_DFA_alpha2",
)
_ENTROPIES = ("HRV_SampEn", "HRV_ApEn")
_DFA_BOXES = {"HRV_DFA_alpha1": range(4, 17), "HRV_DFA_alpha2": range(16, 65)}
_TOLERANCE_SD = 0.2
_MAX_ENTROPY_INTERVALS = 200_000
_MAX_GAP_SHARE = 0.05
_DFA_BLOCK = 256


def hrv_nonlinear(
    beats: Beats | ArrayLike,
    windows: ArrayLike | None = None,
    *,
    max_rr_s: float = 3.0,
    gates: Mapping[str, Sequence[float]] | None = None,
    max_corrected: float = 0.20,
    flag_corrected: float = 0.05,
) -> pd.DataFrame:
    """Compute Poincare, entropy and fluctuation indices of beat intervals in every window.

    HRV_SD1 and HRV_SD2 are standard deviations (n - 1) across and along the diagonal of each
    interval against the next, so that HRV_SD1 is HRV_SDSD / sqrt(2); HRV_S is the area of that
    ellipse. Entropies use templates of 2 intervals and a tolerance of 0.2 standard deviations
    (n - 1) of the window, distance at most the tolerance; sample entropy counts no self-match.
    DFA uses boxes of 4 to 16 (alpha1) and 16 to 64 intervals (alpha2), every size, without
    overlap. Pairs and templates never reach across a gap; DFA joins what lies at either side of a
    gap, is then flagged, and is withheld when gaps take over 5 % of the window.

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
        HRV_SD1, HRV_SD2 (ms), HRV_S (ms²), HRV_SD1SD2, HRV_SampEn, HRV_ApEn, HRV_DFA_alpha1,
        HRV_DFA_alpha2 (1).

        ``attrs["reasons"]`` maps each column to a list of one text per window: why the value is
        NaN, ``"flag: ..."`` for a caution that it carries, or ``""``.

    Raises
    ------
    SignalError
        If beat times are not ascending, windows are not (m, 2), or ``gates`` names no HRV column.

    Notes
    -----
    Entropies compare all pairs of intervals: 0.05 ms for a window of 5 min, 2 to 4 s for one of a
    day, in memory that grows with the number of intervals. Windows of over 200000 intervals get
    none.

    Equal to NeuroKit2 0.2.13 but for DFA: there boxes reach from 4 to 11 and from 12 to a tenth of
    the window and overlap by half. Some programs derive HRV_SD2 from HRV_SDNN and HRV_SDSD, which
    differs by what the first and the last interval contribute.

    References
    ----------
    Brennan M. et al. (2001). Do existing measures of Poincare plot geometry reflect nonlinear
    features of heart rate variability? IEEE Trans Biomed Eng 48, 1342. doi:10.1109/10.959330.
    Richman J. S., Moorman J. R. (2000). Physiological time-series analysis using approximate
    entropy and sample entropy. Am J Physiol 278, H2039. doi:10.1152/ajpheart.2000.278.6.H2039.
    Pincus S. M. (1991). Approximate entropy as a measure of system complexity. PNAS 88, 2297.
    doi:10.1073/pnas.88.6.2297.
    Peng C.-K. et al. (1995). Quantification of scaling exponents and crossover phenomena in
    nonstationary heartbeat time series. Chaos 5, 82. doi:10.1063/1.166141.

    Examples
    --------
    >>> import numpy as np
    >>> from physio_hqc.features import hrv_nonlinear, hrv_time
    >>> times = np.cumsum(0.8 + 0.03 * np.random.default_rng(1).standard_normal(400))
    >>> sd1 = hrv_nonlinear(times)["HRV_SD1"]
    >>> bool(np.isclose(sd1, hrv_time(times)["HRV_SDSD"] / np.sqrt(2))[0])
    True
    """
    series = lay_out(beats, windows, max_rr_s)
    return nonlinear_table(series, limits_of(gates, max_corrected, flag_corrected))


def nonlinear_table(series: Series, limits: Limits) -> pd.DataFrame:
    """Return the nonlinear table of a laid-out series."""
    values = {column: np.full(series.n.size, np.nan) for column in COLUMNS}
    fits = series.n <= _MAX_ENTROPY_INTERVALS
    for batch in batches(series.first, series.stop):
        rr = series.rr_ms[batch.at]
        joined = series.joined[batch.at] & batch.inside
        parts = _poincare(rr, batch.inside[:, 1:] & joined[:, 1:])
        for column, part in parts.items():
            values[column][batch.rows] = part
        chosen = _subset(batch, fits & _any_enough(series, limits, _ENTROPIES))
        if chosen.rows.size:
            rr = series.rr_ms[chosen.at]
            sample, approximate = entropies(
                rr, chosen.inside, series.joined[chosen.at], _tolerance(rr, chosen.inside)
            )
            values["HRV_SampEn"][chosen.rows] = sample
            values["HRV_ApEn"][chosen.rows] = approximate
        for column, boxes in _DFA_BOXES.items():
            chosen = _subset(batch, enough(series, limits.gates[column]))
            if chosen.rows.size:
                values[column][chosen.rows] = dfa(series.rr_ms[chosen.at], chosen.inside, boxes)
    return _judged(values, series, limits, fits)


def _judged(
    values: dict[str, NDArray[np.float64]],
    series: Series,
    limits: Limits,
    fits: NDArray[np.bool_],
) -> pd.DataFrame:
    """Return the table of values with reasons and flags."""
    reasons = Reasons(series.n.size)
    apply_limits(reasons, COLUMNS, series, limits)
    for column in _ENTROPIES:
        reasons.withhold(column, ~fits, f"over {_MAX_ENTROPY_INTERVALS} intervals: take less")
        reasons.withhold(column, np.isnan(values[column]), "no two stretches of intervals match")
    percent = [f"gaps take {100 * value:.1f} % of the window" for value in series.gap_share]
    refused = [f"{text}, at most {100 * _MAX_GAP_SHARE:g} % allowed" for text in percent]
    for column in _DFA_BOXES:
        reasons.withhold(column, series.gap_share > _MAX_GAP_SHARE, refused)
        reasons.flag(column, series.gap_share > 0, [f"{text} and are closed" for text in percent])
    return reasons.frame(values)


def _any_enough(series: Series, limits: Limits, columns: Sequence[str]) -> NDArray[np.bool_]:
    """Tell which windows pass the least that any of the columns needs."""
    passed: NDArray[np.bool_] = np.any(
        [enough(series, limits.gates[column]) for column in columns], axis=0
    )
    return passed


def _subset(batch: Batch, wanted: NDArray[np.bool_]) -> Batch:
    """Return the rows of a batch whose windows are wanted."""
    keep = wanted[batch.rows]
    return Batch(batch.rows[keep], batch.at[keep], batch.inside[keep])


def _poincare(rr: NDArray[np.float64], linked: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    """Indices of each interval against the next, for linked pairs of each row."""
    across = _deviation(np.diff(rr, axis=1), linked) / np.sqrt(2)
    along = _deviation(rr[:, 1:] + rr[:, :-1], linked) / np.sqrt(2)
    return {
        "HRV_SD1": across,
        "HRV_SD2": along,
        "HRV_SD1SD2": ratio(across, along),
        "HRV_S": np.pi * across * along,
    }


def _deviation(x: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the standard deviation (n - 1) of the inside values of each row."""
    n = inside.sum(axis=1).astype(float)
    mean = ratio(np.where(inside, x, 0).sum(axis=1), n)
    centered = np.where(inside, x - mean[:, None], 0)
    return np.asarray(np.sqrt(ratio((centered**2).sum(axis=1), n - 1)))


def _tolerance(rr: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the matching tolerance in ms of each row."""
    return _TOLERANCE_SD * _deviation(rr, inside)


def dfa(
    rr: NDArray[np.float64], inside: NDArray[np.bool_], boxes: Sequence[int]
) -> NDArray[np.float64]:
    """Return the scaling exponent of each row over the given box sizes; NaN where constant."""
    n = inside.sum(axis=1)
    exponent = np.empty(n.size)
    log_size = np.log(np.asarray(boxes, dtype=float))
    log_size -= log_size.mean()
    for begin in range(0, n.size, _DFA_BLOCK):
        rows = slice(begin, begin + _DFA_BLOCK)
        mean = np.where(inside[rows], rr[rows], 0).sum(axis=1) / n[rows]
        profile = np.cumsum(np.where(inside[rows], rr[rows] - mean[:, None], 0), axis=1)
        # Windows side by side in memory: a box is then a few long rows, not many short ones.
        profile = np.asfortranarray(profile)
        fluctuation = np.column_stack([fluctuations(profile, n[rows], size) for size in boxes])
        exponent[rows] = log(fluctuation) @ log_size / (log_size @ log_size)
    return exponent


def fluctuations(
    profile: NDArray[np.float64], n: NDArray[np.int64], size: int
) -> NDArray[np.float64]:
    """Return the root mean square of each row's profile about a line in each box of ``size``."""
    n_boxes = profile.shape[1] // size
    box = profile.T[: n_boxes * size].reshape(n_boxes, size, n.size)
    box = box - box[:, :1]
    line = np.arange(size) - (size - 1) / 2
    trend = np.vstack([np.full(size, size**-0.5), line / np.sqrt(line @ line)]) @ box
    squares = np.einsum("bsr,bsr->br", box, box) - trend[:, 0] ** 2 - trend[:, 1] ** 2
    used = np.arange(n_boxes)[:, None] < n // size
    total = np.where(used, np.maximum(squares, 0), 0).sum(axis=0)
    return np.asarray(np.sqrt(ratio(total, (n // size * size).astype(float))))
