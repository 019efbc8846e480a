"""Heart-rate variability in the frequency domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from physio_hqc.errors import SignalError
from physio_hqc.features import _hrv_spectra as spectra
from physio_hqc.features._hrv_gates import Limits, apply_limits, is_between, limits_of
from physio_hqc.features._hrv_neurokit import neurokit_powers
from physio_hqc.features._hrv_series import Series, lay_out, log, ratio
from physio_hqc.features._windows import Reasons
from physio_hqc.signals.beats import Beats

COLUMNS = (
    "HRV_VLF",
    "HRV_LF",
    "HRV_HF",
    "HRV_TP",
    "HRV_LFHF",
    "HRV_LFn",
    "HRV_HFn",
    "HRV_LFnu",
    "HRV_HFnu",
    "HRV_LnHF",
)
VLF_HZ = (0.0033, 0.04)
LF_HZ = (0.04, 0.15)
HF_HZ = (0.15, 0.40)
METHODS = ("welch", "lomb", "ar", "neurokit")
_ALLOWED_GAPS = {"welch": 0.05, "ar": 0.05, "lomb": 0.20, "neurokit": 0.0}
_MAX_UNEVEN_S = 3600.0
_MAX_SEGMENT_S = 86400.0


def hrv_frequency(
    beats: Beats | ArrayLike,
    windows: ArrayLike | None = None,
    *,
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
    """Compute the power of beat intervals in the VLF, LF and HF band in every window.

    The interval that a beat ends is placed at the beat. For ``"welch"`` and ``"ar"`` the whole
    series is resampled once at 4 Hz by cubic splines, and every window takes the samples between
    the first and the last beat inside it. The density is integrated between the exact band
    limits.

    Speech moves breathing below 0.15 Hz: HF of a window in which the participant talks is no
    measure of vagal activity unless respiration was recorded and shows otherwise.

    Parameters
    ----------
    beats : Beats or array-like, shape (k,)
        A corrected series, or plain beat times in s (taken as they are).
    windows : array-like, shape (m, 2), optional
        Onset and offset in s. Default: one window, first to last beat.
    method : {"welch", "lomb", "ar", "neurokit"}
        ``"welch"``: Hann segments, half overlapping. ``"lomb"``: Lomb-Scargle on the intervals
        as they are, for windows up to an hour. ``"ar"``: autoregressive, Burg, order 16, the
        density of the model integrated in closed form. ``"neurokit"``: the numbers of NeuroKit2's
        ``hrv_frequency(normalize=False)``, one window at a time and without gaps, to compare with
        studies that used it; see Notes.
    segment_s : float
        Length of the Welch segments in s; a shorter window is one segment. For ``"welch"`` only.
    detrend : {"linear", "constant"}
        What is taken off each Welch segment, or each window for ``"lomb"`` and ``"ar"``.
    vlf, lf, hf : tuple of float
        Lower and upper limit of the bands in Hz, up to 2 Hz and not overlapping. Change them
        where breathing asks for it, as in children, and report them.
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
        HRV_VLF, HRV_LF, HRV_HF, HRV_TP (their sum) in ms²; HRV_LFHF; HRV_LFn and HRV_HFn, the
        share of HRV_TP (0 to 1); HRV_LFnu and HRV_HFnu, 100 LF / (LF + HF) and 100 HF / (LF +
        HF); HRV_LnHF in ln ms².

        ``attrs["reasons"]`` maps each column to a list of one text per window: why the value is
        NaN, ``"flag: ..."`` for a caution that it carries, or ``""``.

        Gaps up to 10 s and 5 % of a window are bridged by a straight line and flagged, larger
        ones give NaN; Lomb-Scargle bridges nothing and is flagged up to 20 %.

    Raises
    ------
    SignalError
        If an argument has the wrong shape, a band makes no sense, or ``method`` or ``detrend`` is
        unknown.

    Notes
    -----
    Why ``"welch"`` and NeuroKit2 0.2.13 differ, in order of weight:

    - Segments. NeuroKit2 takes half the window as segment: for 5 min 3 segments of 150 s, or only
      2 where rounding costs the last sample. In simulated series (heart rate 50 to 120) 95 % lie
      within 10 % in LF and 5 % in HF, without bias.
    - Limits. It adds up from the first to the last frequency inside a band, and so leaves out up
      to a spacing (1 / 300 Hz for 5 min) at each limit: within 2 % of LF in 95 %, up to 15 %. Below
      2 cycles in a segment (0.013 Hz for 5 min) it counts nothing: HRV_VLF is lower.
    - Interpolation. Quadratic splines lose more of fast breathing than cubic ones: HF is 1.3 %
      lower on average, up to 9 %.
    - Trend and sampling. It takes off the mean of the window, not a line of each segment, and
      samples at 100 Hz, not 4 Hz: under 0.1 %.

    Its default ``normalize=True`` divides the density by its maximum: such powers have no unit and
    cannot be compared at all. Its HRV_TP holds ULF and power up to 0.5 Hz as well, so that
    HRV_LFn and HRV_HFn are smaller there.

    References
    ----------
    Task Force (1996). Heart rate variability: standards of measurement. Circulation 93, 1043.
    doi:10.1161/01.CIR.93.5.1043.
    Welch P. D. (1967). The use of fast Fourier transform for the estimation of power spectra.
    IEEE Trans Audio Electroacoustics 15, 70. doi:10.1109/TAU.1967.1161901.
    Laguna P., Moody G. B., Mark R. G. (1998). Power spectral density of unevenly sampled data by
    least-square analysis. IEEE Trans Biomed Eng 45, 698. doi:10.1109/10.678605.
    Boardman A. et al. (2002). A study on the optimum order of autoregressive models for heart
    rate variability. Physiological Measurement 23, 325. doi:10.1088/0967-3334/23/2/308.

    Examples
    --------
    >>> import numpy as np
    >>> from physio_hqc.features import hrv_frequency
    >>> times = [0.0]
    >>> while times[-1] < 300:
    ...     times.append(times[-1] + 0.8 + 0.04 * np.sin(2 * np.pi * 0.1 * times[-1]))
    >>> hrv_frequency(times)[["HRV_LF", "HRV_HF"]].round(-1)
       HRV_LF  HRV_HF
    0   800.0     0.0
    """
    series = lay_out(beats, windows, max_rr_s)
    limits = limits_of(gates, max_corrected, flag_corrected)
    return frequency_table(series, limits, spectrum_of(method, segment_s, detrend, vlf, lf, hf))


@dataclass(frozen=True, slots=True)
class Spectrum:
    """How a spectrum is estimated and between which limits it is integrated."""

    method: str
    segment_s: float
    detrend: str
    bands: spectra.Bands


def spectrum_of(
    method: str,
    segment_s: float,
    detrend: str,
    vlf: Sequence[float],
    lf: Sequence[float],
    hf: Sequence[float],
) -> Spectrum:
    """Return the caller's choices, checked."""
    if method not in METHODS:
        raise SignalError(f"method {method!r} is unknown: use one of {', '.join(METHODS)}")
    if detrend not in ("linear", "constant"):
        raise SignalError(f"detrend {detrend!r} is unknown: use 'linear' or 'constant'")
    if not is_between(segment_s, 8.0, _MAX_SEGMENT_S):
        raise SignalError(f"segment_s is {segment_s!r}: pass 8 to {_MAX_SEGMENT_S:g} s")
    bands = spectra.Bands(_band("vlf", vlf), _band("lf", lf), _band("hf", hf))
    for slower, faster in (("vlf", "lf"), ("lf", "hf")):
        if getattr(bands, slower)[1] > getattr(bands, faster)[0]:
            raise SignalError(
                f"{slower} reaches into {faster}: let it end where {faster} begins or before, so "
                "that HRV_TP counts no power twice"
            )
    return Spectrum(method, segment_s, detrend, bands)


def _band(name: str, limits: Sequence[float]) -> tuple[float, float]:
    """Return the limits of a band in Hz, checked."""
    most = spectra.RATE_HZ / 2
    try:
        low, high = (float(limit) for limit in limits)
    except (TypeError, ValueError):
        low = high = np.nan
    if not 0 <= low < high <= most:
        raise SignalError(f"{name} is {limits!r}: pass lower and upper limit in Hz, 0 to {most:g}")
    return low, high


def frequency_table(series: Series, limits: Limits, spectrum: Spectrum) -> pd.DataFrame:
    """Return the frequency-domain table of a laid-out series."""
    method, detrend, bands = spectrum.method, spectrum.detrend, spectrum.bands
    short = series.usable_s <= _MAX_UNEVEN_S
    whole = np.ones(series.n.size, dtype=bool)
    if method == "lomb":
        few_gaps = series.gap_share <= _ALLOWED_GAPS["lomb"]
        powers = spectra.lomb_powers(series, short & few_gaps, detrend, bands)
    elif method == "neurokit":
        powers = neurokit_powers(series, short & (series.gap_s == 0), bands)
    else:
        tachogram = spectra.resample(series)
        whole = tachogram.stop > tachogram.first
        powers = (
            spectra.welch_powers(tachogram, spectrum.segment_s, detrend, bands)
            if method == "welch"
            else spectra.burg_powers(tachogram, detrend, bands)
        )
    reasons = Reasons(series.n.size)
    apply_limits(reasons, COLUMNS, series, limits)
    _judge_gaps(reasons, series, whole, method)
    if method in ("lomb", "neurokit"):
        for column in COLUMNS:
            reasons.withhold(column, ~short, "over an hour: use method 'welch'")
    return reasons.frame(_indices(powers))


def _judge_gaps(reasons: Reasons, series: Series, whole: NDArray[np.bool_], method: str) -> None:
    """Withhold windows with large gaps, flag those with small ones."""
    share = series.gap_share
    limit = _ALLOWED_GAPS[method]
    percent = [f"gaps take {100 * value:.1f} % of the window" for value in share]
    refused = [f"{text}, at most {100 * limit:g} % allowed" for text in percent]
    noted = [f"{text} and are {'left out' if method == 'lomb' else 'bridged'}" for text in percent]
    for column in COLUMNS:
        reasons.withhold(column, share > limit, refused)
        reasons.withhold(column, ~whole, "a gap over 10 s is not bridged: try method 'lomb'")
        reasons.flag(column, share > 0, noted)


def _indices(powers: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return all columns from the powers (m, 3) of VLF, LF and HF."""
    vlf, lf, hf = powers.T
    total = vlf + lf + hf
    return {
        "HRV_VLF": vlf,
        "HRV_LF": lf,
        "HRV_HF": hf,
        "HRV_TP": total,
        "HRV_LFHF": ratio(lf, hf),
        "HRV_LFn": ratio(lf, total),
        "HRV_HFn": ratio(hf, total),
        "HRV_LFnu": 100 * ratio(lf, lf + hf),
        "HRV_HFnu": 100 * ratio(hf, lf + hf),
        "HRV_LnHF": log(hf),
    }
