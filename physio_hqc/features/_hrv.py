"""Heart-rate variability per window: all domains in one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
from numpy.typing import ArrayLike

from physio_hqc.errors import SignalError
from physio_hqc.features._hrv_frequency import HF_HZ, LF_HZ, VLF_HZ, frequency_table, spectrum_of
from physio_hqc.features._hrv_gates import limits_of
from physio_hqc.features._hrv_nonlinear import nonlinear_table
from physio_hqc.features._hrv_series import lay_out
from physio_hqc.features._hrv_time import time_table
from physio_hqc.features._windows import merge_tables
from physio_hqc.signals.beats import Beats

DOMAINS = ("time", "frequency", "nonlinear")


def hrv(
    beats: Beats | ArrayLike,
    windows: ArrayLike | None = None,
    *,
    domains: Sequence[str] = DOMAINS,
    method: str = "welch",
    segment_s: float = 256.0,
    detrend: str = "linear",
    vlf: tuple[float, float] = VLF_HZ,
    lf: tuple[float, float] = LF_HZ,
    hf: tuple[float, float] = HF_HZ,
    max_rr_s: float = 3.0,
    gates: Mapping[str, Sequence[float]] | None = None,
    max_corrected: float = 0.20,
    flag_corrected: float = 0.05,
) -> pd.DataFrame:
    """Compute heart-rate variability in every window.

    The columns are those of `hrv_time`, `hrv_frequency` and `hrv_nonlinear`, which say how each
    is defined. The cost of many overlapping windows is close to that of one pass.

    Parameters
    ----------
    beats : Beats or array-like, shape (k,)
        A corrected series, or plain beat times in s (taken as they are).
    windows : array-like, shape (m, 2), optional
        Onset and offset in s, half-open. Default: one window, first to last beat. A window takes
        the intervals that lie wholly inside it.
    domains : sequence of str
        Any of ``"time"``, ``"frequency"``, ``"nonlinear"``.
    method, segment_s, detrend, vlf, lf, hf
        How the spectrum is estimated, and its bands in Hz: see `hrv_frequency`.
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
        One column per index.

        ``attrs["reasons"]`` maps each column to a list of one text per window: why the value is
        NaN, ``"flag: ..."`` for a caution that it carries, or ``""``.

    Raises
    ------
    SignalError
        If an argument has the wrong shape or names something unknown.

    References
    ----------
    Task Force (1996). Heart rate variability: standards of measurement. Circulation 93, 1043.
    doi:10.1161/01.CIR.93.5.1043.
    Laborde S., Mosley E., Thayer J. F. (2017). Heart rate variability and cardiac vagal tone in
    psychophysiological research. Frontiers in Psychology 8, 213. doi:10.3389/fpsyg.2017.00213.

    Examples
    --------
    >>> import numpy as np
    >>> from physio_hqc.features import hrv
    >>> times = np.cumsum(0.8 + 0.03 * np.sin(np.arange(900)))
    >>> table = hrv(times, [[0, 360], [360, 720]], domains=["time", "frequency"])
    >>> table[["HRV_MeanNN", "HRV_RMSSD"]].round(0)
       HRV_MeanNN  HRV_RMSSD
    0       800.0       20.0
    1       800.0       20.0
    """
    chosen = [] if isinstance(domains, str) or not isinstance(domains, Iterable) else list(domains)
    if not chosen or any(domain not in DOMAINS for domain in chosen):
        raise SignalError(f"domains is {domains!r}: pass a list of {', '.join(DOMAINS)}")
    series = lay_out(beats, windows, max_rr_s)
    limits = limits_of(gates, max_corrected, flag_corrected)
    spectrum = spectrum_of(method, segment_s, detrend, vlf, lf, hf)
    tables = {
        "time": lambda: time_table(series, limits),
        "frequency": lambda: frequency_table(series, limits, spectrum),
        "nonlinear": lambda: nonlinear_table(series, limits),
    }
    return merge_tables([tables[domain]() for domain in DOMAINS if domain in chosen])
