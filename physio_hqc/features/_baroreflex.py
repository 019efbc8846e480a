"""Baroreflex sensitivity per window: sequences, cross-correlation, transfer function."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from physio_hqc.errors import SignalError
from physio_hqc.features import _transfer, _xbrs
from physio_hqc.features._windows import Reasons, as_windows
from physio_hqc.signals._checks import as_signal, as_table, true_runs
from physio_hqc.signals.beats import Beats

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

PRESSURE_BEATS = "what detect_pressure_beats returns"

_PARAMETERS = (
    "BRS_Lag",
    "BRS_SBP_Step_Min",
    "BRS_RR_Step_Min",
    "BRS_Beats_Min",
    "BRS_R_Min",
)
# Three overlapping segments are two minutes, nine are five.
_SEGMENTS_MIN = 3
_SEGMENTS_ADVISED = 9
_FREQUENCIES_MIN = 2


def baroreflex(
    beats: Beats | ArrayLike,
    pressure_beats: pd.DataFrame,
    windows: ArrayLike | None = None,
    *,
    lag: int = 0,
    sbp_step_min: float = 1.0,
    rr_step_min: float = 4.0,
    n_beats_min: int = 3,
    r_min: float = 0.85,
    sequences_min: int = 3,
    xbrs_min: int = 10,
    lf: tuple[float, float] = (0.04, 0.15),
    hf: tuple[float, float] = (0.15, 0.40),
    coherence_min: float = 0.5,
    bridged_share_max: float = 0.1,
) -> pd.DataFrame:
    """Estimate spontaneous baroreflex sensitivity in each window, in three ways.

    Every RR interval is paired with the pressure beat whose systole falls in it
    (`pair_pressure_with_intervals`).

    Sequences: found by `baroreflex_sequences` over the whole series; they belong to the windows
    that they lie in from their first to their last beat. Lag 0 relates SBP to the interval in
    which the systole occurs, lag 1 to the one after.

    xBRS (Westerhof et al., 2004): SBP and RR, each at the beat that the interval begins with,
    splined to one value a second; for every second 10 s of SBP are correlated with 10 s of RR
    that follow 0 to 5 s later; the delay of the highest correlation counts where that is
    significant (r of 10 pairs at two-sided p = 0.01: 0.7646), with SD(RR) / SD(SBP). The window
    gets the geometric mean of the estimates that lie in it.

    Transfer function: mean gain |Sxy| / Sxx over the frequencies of a band whose coherence is
    0.5 or more, and significant at p = 0.05 for the number of segments (Welch, segments of 60 s
    overlapping by half). Noise in SBP that does not reach RR lowers this gain and, less, the
    slope of sequences; RR variability of other origin raises xBRS.

    There is no consensus on the parameters, and estimators differ (Laude et al., 2004): report
    them with the result. At rest xBRS and the HF gain are close to the mere ratio of RR and SBP
    variability (Wessel et al., 2020), since breathing moves both.

    Parameters
    ----------
    beats : Beats or array-like, shape (k,)
        Beats of the ECG, or their times in s. Intervals that touch a corrected beat are not
        used.
    pressure_beats : DataFrame
        As `physio_hqc.signals.detect_pressure_beats` returns them, on the same clock; beats
        that are not valid interrupt sequences.
    windows : array-like, shape (m, 2), optional
        Onset and offset in s, half-open; default the whole series.
    lag : int
        Beats by which the RR interval follows SBP in sequences, 0 to 2 usual.
    sbp_step_min, rr_step_min : float
        Smallest change from beat to beat in a sequence, in mmHg and ms.
    n_beats_min : int
        Fewest beats of a sequence.
    r_min : float
        Correlation that a sequence must exceed.
    sequences_min, xbrs_min : int
        Fewest sequences, and fewest xBRS estimates, for a value.
    lf, hf : tuple of float
        Bands of the transfer function in Hz, half-open.
    coherence_min : float
        Smallest coherence (0 to 1) of a frequency that counts.
    bridged_share_max : float
        Share of a window's time (0 to 1) with beats left out above which the values that need
        an even series carry a caution. They join pairs up to 3 s (xBRS) and 5 s (transfer
        function) apart, and nothing beyond.

    Returns
    -------
    DataFrame
        One row per window.

        - ``BRS_Sequence``, ``BRS_Up``, ``BRS_Down`` (ms/mmHg): mean slope of all, rising and
          falling sequences; ``BRS_N_Sequences``, ``BRS_N_Up``, ``BRS_N_Down``, ``BRS_R`` (their
          mean correlation), ``BRS_BEI`` (share of SBP ramps that the interval follows, 0 to 1);
          and the parameters: ``BRS_Lag``, ``BRS_SBP_Step_Min``, ``BRS_RR_Step_Min``,
          ``BRS_Beats_Min``, ``BRS_R_Min``.
        - ``BRS_xBRS`` (ms/mmHg), ``BRS_xBRS_N`` (estimates), ``BRS_xBRS_Share`` (of the
          seconds that could be tested), ``BRS_xBRS_Delay`` (mean, s), ``BRS_xBRS_R`` (mean).
        - ``BRS_TF_LF`` (ms/mmHg), ``BRS_TF_LF_Coherence`` (mean over the band),
          ``BRS_TF_LF_Share`` (of the band's frequencies with enough coherence), the same for
          HF, and ``BRS_TF_N_Segments``.

        ``attrs["reasons"]`` maps each column to a list of one text per window: why the value is
        NaN, ``"flag: ..."`` for a caution that it carries, or ``""``.

    Raises
    ------
    SignalError
        If an argument makes no sense.

    References
    ----------
    Bertinieri G et al. (1985). A new approach to analysis of the arterial baroreflex.
    J Hypertens 3 (Suppl 3):S79-S81.
    Di Rienzo M et al. (2001). Baroreflex effectiveness index. Am J Physiol 280:R744-R751.
    doi:10.1152/ajpregu.2001.280.3.R744
    Westerhof BE et al. (2004). Time-domain cross-correlation baroreflex sensitivity. J Hypertens
    22:1371-1380. doi:10.1097/01.hjh.0000125439.28861.ed
    Robbe HWJ et al. (1987). Assessment of baroreceptor reflex sensitivity by means of spectral
    analysis. Hypertension 10:538-543. doi:10.1161/01.HYP.10.5.538
    Laude D et al. (2004). Comparison of various techniques used to estimate spontaneous
    baroreflex sensitivity. Am J Physiol 286:R226-R231. doi:10.1152/ajpregu.00709.2002
    Wessel N et al. (2020). doi:10.3389/fnins.2020.547433

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> sbp = 120 + 6 * np.sin(np.arange(240) * 2 * np.pi / 12)
    >>> times = np.concatenate(([0.0], np.cumsum(0.8 + 0.012 * (sbp - 120))))
    >>> pressure = pd.DataFrame({"systole_s": times[:-1] + 0.3, "SBP": sbp, "valid": True})
    >>> table = baroreflex(times, pressure)
    >>> table[["BRS_Sequence", "BRS_BEI", "BRS_xBRS", "BRS_TF_LF"]].round(3).values.tolist()
    [[12.0, 1.0, 12.0, 12.0]]
    """
    _check_parameters(lag, n_beats_min)
    bands = {"LF": _checked_band(lf, "lf"), "HF": _checked_band(hf, "hf")}
    times, sbp, rr = pair_pressure_with_intervals(beats, pressure_beats)
    bounds = as_windows(windows, _span(times))
    reasons = Reasons(len(bounds))
    criteria = {
        "lag": lag,
        "sbp_step_min": sbp_step_min,
        "rr_step_min": rr_step_min,
        "n_beats_min": n_beats_min,
        "r_min": r_min,
    }
    columns = _sequence_columns(times, sbp, rr, bounds, criteria, sequences_min, reasons)
    begins = times[: sbp.size]
    highest = max(band[1] for band in bands.values())
    spectra = _transfer.spectra_of(begins, sbp, rr, bounds, highest)
    columns |= _xbrs_columns(begins, sbp, rr, bounds, xbrs_min, reasons)
    columns |= _transfer_columns(spectra, bands, coherence_min, reasons)
    caution = [
        f"{100 * share:.0f} % of the time lies in beats left out" for share in spectra.bridged
    ]
    for name in ("BRS_xBRS", "BRS_TF_LF", "BRS_TF_HF"):
        reasons.flag(name, spectra.bridged > bridged_share_max, caution)
    return reasons.frame(columns)


def _sequence_columns(
    times: FloatArray,
    sbp: FloatArray,
    rr: FloatArray,
    bounds: FloatArray,
    criteria: dict[str, Any],
    sequences_min: int,
    reasons: Reasons,
) -> dict[str, FloatArray]:
    """Return the columns of the sequence method."""
    sequences = baroreflex_sequences(sbp, rr, **criteria)
    lag = int(criteria["lag"])
    # Interval j runs from times[j] to times[j + 1].
    begins = times[sequences["start"].to_numpy(dtype=np.int64)]
    ends = times[sequences["stop"].to_numpy(dtype=np.int64) + lag]
    slopes = sequences["slope"].to_numpy(dtype=np.float64)
    rising = sequences["direction"].to_numpy() == "up"
    columns: dict[str, FloatArray] = {}
    numbers: dict[str, FloatArray] = {}
    pairs = _pairs_in(times, np.isfinite(sbp) & np.isfinite(rr), bounds)
    for name, use, word in (
        ("Sequence", np.ones(slopes.size, dtype=bool), ""),
        ("Up", rising, "rising "),
        ("Down", ~rising, "falling "),
    ):
        columns[f"BRS_{name}"], n = _mean_inside(begins[use], ends[use], slopes[use], bounds)
        numbers[f"BRS_N_{name}s" if name == "Sequence" else f"BRS_N_{name}"] = n.astype(np.float64)
        texts = [
            f"{k} {word}sequences in {pair} beats with pressure, needs {sequences_min}"
            for k, pair in zip(n.tolist(), pairs.tolist(), strict=True)
        ]
        reasons.withhold(f"BRS_{name}", n < sequences_min, texts)
    columns |= numbers
    r = sequences["r"].to_numpy(dtype=np.float64)
    columns["BRS_R"], _ = _mean_inside(begins, ends, r, bounds)
    reasons.withhold("BRS_R", np.isnan(columns["BRS_R"]), "no sequence")
    ramps = _ramps(sbp, float(criteria["sbp_step_min"]), int(criteria["n_beats_min"]))
    columns["BRS_BEI"] = _effectiveness(times, sequences, ramps, bounds)
    reasons.withhold("BRS_BEI", np.isnan(columns["BRS_BEI"]), "no SBP ramp")
    for name, value in zip(_PARAMETERS, criteria.values(), strict=True):
        columns[name] = np.full(len(bounds), float(value))
    return columns


def _xbrs_columns(
    times: FloatArray,
    sbp: FloatArray,
    rr: FloatArray,
    bounds: FloatArray,
    least: int,
    reasons: Reasons,
) -> dict[str, FloatArray]:
    """Return the columns of xBRS."""
    found = _xbrs.summarize(_xbrs.estimates_of(times, sbp, rr), bounds)
    n, tested = found["n"], found["tested"]
    texts = [
        f"{k:.0f} estimates with p < {_xbrs.P_MAX:g} in {q:.0f} tested seconds, needs {least}"
        for k, q in zip(n.tolist(), tested.tolist(), strict=True)
    ]
    for name in ("BRS_xBRS", "BRS_xBRS_Delay", "BRS_xBRS_R"):
        reasons.withhold(name, n < least, texts)
    nothing = f"no {_xbrs.WINDOW_S} s of beats with pressure in a row"
    reasons.withhold("BRS_xBRS_Share", tested == 0, nothing)
    return {
        "BRS_xBRS": found["xbrs"],
        "BRS_xBRS_N": n,
        "BRS_xBRS_Share": found["share"],
        "BRS_xBRS_Delay": found["delay"],
        "BRS_xBRS_R": found["r"],
    }


def _transfer_columns(
    spectra: _transfer.Spectra,
    bands: dict[str, tuple[float, float]],
    coherence_min: float,
    reasons: Reasons,
) -> dict[str, FloatArray]:
    """Return the columns of the transfer function."""
    n = spectra.n_segments
    enough = np.maximum(_transfer.significant_coherence(n), coherence_min)
    columns: dict[str, FloatArray] = {}
    for band, (low, high) in bands.items():
        inside = (spectra.freqs >= low - 1e-9) & (spectra.freqs < high - 1e-9)
        gain, coherence = spectra.gain[:, inside], spectra.coherence[:, inside]
        with np.errstate(invalid="ignore"):
            used = coherence >= enough[:, None]
        count, total = used.sum(axis=1), max(int(inside.sum()), 1)
        mean = np.full(len(n), np.nan)
        np.divide(np.where(used, gain, 0.0).sum(axis=1), count, out=mean, where=count > 0)
        name = f"BRS_TF_{band}"
        columns[name] = mean
        columns[f"{name}_Coherence"] = coherence.sum(axis=1) / total
        columns[f"{name}_Share"] = np.where(n > 0, count / total, np.nan)
        texts = [
            f"{k} of {total} frequencies with a coherence of {limit:.2f}, needs {_FREQUENCIES_MIN}"
            for k, limit in zip(count.tolist(), enough.tolist(), strict=True)
        ]
        few = [f"{k} segments of 60 s without a gap, needs {_SEGMENTS_MIN}" for k in n.tolist()]
        for column in (name, f"{name}_Coherence", f"{name}_Share"):
            reasons.withhold(column, n < _SEGMENTS_MIN, few)
        reasons.withhold(name, count < _FREQUENCIES_MIN, texts)
        caution = [f"{k} segments, {_SEGMENTS_ADVISED} recommended" for k in n.tolist()]
        reasons.flag(name, n < _SEGMENTS_ADVISED, caution)
    columns["BRS_TF_N_Segments"] = n.astype(np.float64)
    return columns


def baroreflex_sequences(
    sbp: ArrayLike,
    rr_ms: ArrayLike,
    *,
    lag: int = 0,
    sbp_step_min: float = 1.0,
    rr_step_min: float = 4.0,
    n_beats_min: int = 3,
    r_min: float = 0.85,
) -> pd.DataFrame:
    """Find the stretches in which SBP and the RR interval rise or fall together beat by beat.

    Parameters
    ----------
    sbp : array-like, shape (n,)
        Systolic pressure of consecutive beats in mmHg; NaN interrupts.
    rr_ms : array-like, shape (n,)
        RR interval paired with each at lag 0, in ms; NaN interrupts.
    lag : int
        ``sbp[i]`` is related to ``rr_ms[i + lag]``.
    sbp_step_min, rr_step_min : float
        Smallest change from beat to beat, in mmHg and ms.
    n_beats_min : int
        Fewest beats of a sequence.
    r_min : float
        Correlation that a sequence must exceed.

    Returns
    -------
    DataFrame
        One row per sequence: ``start``, ``stop`` (index of its first SBP and one past its
        last), ``direction`` ("up" or "down"), ``slope`` (ms/mmHg, least squares of RR on SBP)
        and ``r``.

    Raises
    ------
    SignalError
        If the arrays differ in length or a parameter makes no sense.

    Examples
    --------
    >>> found = baroreflex_sequences([120, 119, 121, 123, 126], [800, 802, 801, 812, 828])
    >>> found[["start", "stop", "direction"]].values.tolist(), found["slope"].round(4).tolist()
    ([[2, 5, 'up']], [5.3947])
    """
    pressure, interval = as_signal(sbp, "sbp"), as_signal(rr_ms, "rr_ms")
    if pressure.size != interval.size:
        raise SignalError(
            f"sbp has {pressure.size} values and rr_ms {interval.size}: pass one pair per beat"
        )
    _check_parameters(lag, n_beats_min)
    size = max(pressure.size - lag, 0)
    pressure, interval = pressure[:size], interval[lag:]
    sbp_step, rr_step = np.diff(pressure), np.diff(interval)
    tables = []
    for direction, sign in (("up", 1.0), ("down", -1.0)):
        together = (sign * sbp_step >= sbp_step_min) & (sign * rr_step >= rr_step_min)
        runs = true_runs(together, n_beats_min - 1) + np.array([0, 1])
        slope, r = _regressions(pressure, interval, runs)
        tables.append(
            pd.DataFrame(
                {
                    "start": runs[:, 0],
                    "stop": runs[:, 1],
                    "direction": np.full(len(runs), direction, dtype=object),
                    "slope": slope,
                    "r": r,
                }
            )
        )
    found = pd.concat(tables, ignore_index=True)
    return found[found["r"] > r_min].sort_values("start", ignore_index=True)


def pair_pressure_with_intervals(
    beats: Beats | ArrayLike, pressure_beats: pd.DataFrame
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Pair each RR interval with the pressure beat whose systole falls in it.

    An interval without a valid systole has NaN as SBP; of several systoles the first counts. An
    interval that touches a corrected beat or a gap is NaN.

    Parameters
    ----------
    beats : Beats or array-like, shape (k,)
        Beats of the ECG, or their times in s.
    pressure_beats : DataFrame
        With the columns ``systole_s``, ``SBP``, ``valid``.

    Returns
    -------
    times_s : ndarray, shape (k,)
        Times of the beats; interval j runs from ``times_s[j]`` to ``times_s[j + 1]``.
    sbp, rr_ms : ndarray, shape (k - 1,)
        In mmHg and ms.

    Raises
    ------
    SignalError
        If an argument makes no sense.

    Examples
    --------
    >>> import pandas as pd
    >>> pressure = pd.DataFrame({"systole_s": [0.3, 2.0], "SBP": [120.0, 124.0], "valid": True})
    >>> pair_pressure_with_intervals([0.0, 0.8, 1.7, 2.5], pressure)[1].tolist()
    [120.0, nan, 124.0]
    """
    needed = ("systole_s", "SBP", "valid")
    table = as_table(pressure_beats, needed, "pressure_beats", source=PRESSURE_BEATS)
    times, rr = _intervals_of(beats)
    valid = table["valid"].to_numpy()
    systole, pressure = table["systole_s"].to_numpy()[valid], table["SBP"].to_numpy()[valid]
    sbp = np.full(rr.size, np.nan)
    slot = np.searchsorted(times, systole, side="right") - 1
    inside = (slot >= 0) & (slot < rr.size)
    slots, first = np.unique(slot[inside], return_index=True)
    sbp[slots] = pressure[inside][first]
    return times, sbp, rr


def _check_parameters(lag: int, n_beats_min: int) -> None:
    """Raise `SignalError` for a negative lag or sequences too short to have a slope."""
    if lag < 0:
        raise SignalError(f"lag is {lag}: use 0 or more beats")
    if n_beats_min < 3:
        raise SignalError(f"n_beats_min is {n_beats_min}: a sequence needs 3 beats or more")


def _checked_band(band: tuple[float, float], name: str) -> tuple[float, float]:
    """Return a band of the transfer function as floats; raise `SignalError` if it is none."""
    low, high = float(band[0]), float(band[1])
    if not 0 < low < high <= _transfer.RATE_HZ / 2:
        raise SignalError(f"{name} is {band!r}: use two ascending frequencies in Hz, at most 2")
    return low, high


def _intervals_of(beats: Beats | ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return beat times (k,) in s and the intervals between them (k - 1,) in ms."""
    if not isinstance(beats, Beats):
        times = as_signal(beats, "beats")
        if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            raise SignalError("beats must be finite, strictly ascending times in s")
        return times, np.diff(times) * 1000
    rr = beats.rr_s[1:] * 1000
    measured = beats.kind == "normal"
    return beats.times_s, np.where(measured[1:] & measured[:-1], rr, np.nan)


def _span(times: FloatArray) -> tuple[float, float]:
    """Return the window that holds every beat; (0, 0) when there are none."""
    if times.size == 0:
        return 0.0, 0.0
    return float(times[0]), float(np.nextafter(times[-1], np.inf))


def _regressions(x: FloatArray, y: FloatArray, runs: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return slope of y on x and correlation within each run of at least two samples."""
    if len(runs) == 0:
        return np.empty(0), np.empty(0)
    lengths = runs[:, 1] - runs[:, 0]
    firsts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    run = np.repeat(np.arange(len(runs)), lengths)
    at = np.arange(lengths.sum()) - firsts[run] + runs[run, 0]
    dx = x[at] - (np.add.reduceat(x[at], firsts) / lengths)[run]
    dy = y[at] - (np.add.reduceat(y[at], firsts) / lengths)[run]
    sxx, syy, sxy = (np.add.reduceat(p, firsts) for p in (dx * dx, dy * dy, dx * dy))
    return sxy / sxx, sxy / np.sqrt(sxx * syy)


def _ramps(sbp: FloatArray, step_min: float, n_beats_min: int) -> IntArray:
    """Return (q, 2) first and one past last beat of every SBP ramp, ascending."""
    step = np.diff(sbp)
    both = [true_runs(sign * step >= step_min, n_beats_min - 1) for sign in (1, -1)]
    runs = np.concatenate(both) + np.array([0, 1])
    ordered: IntArray = runs[np.argsort(runs[:, 0], kind="stable")]
    return ordered


def _inside(begins: FloatArray, ends: FloatArray, bounds: FloatArray) -> IntArray:
    """Return (m, 2) first and one past last of the ascending stretches that lie in each window."""
    first = np.searchsorted(begins, bounds[:, 0], side="left")
    last = np.searchsorted(ends, bounds[:, 1], side="left")
    return np.column_stack((first, np.maximum(last, first)))


def _mean_inside(
    begins: FloatArray, ends: FloatArray, values: FloatArray, bounds: FloatArray
) -> tuple[FloatArray, IntArray]:
    """Return mean and number of the values whose stretch lies in each window."""
    edges = _inside(begins, ends, bounds)
    total = np.concatenate(([0.0], np.cumsum(values)))
    n: IntArray = edges[:, 1] - edges[:, 0]
    mean = np.full(len(bounds), np.nan)
    np.divide(total[edges[:, 1]] - total[edges[:, 0]], n, out=mean, where=n > 0)
    return mean, n


def _effectiveness(
    times: FloatArray, sequences: pd.DataFrame, ramps: IntArray, bounds: FloatArray
) -> FloatArray:
    """Return per window the share of SBP ramps that hold a sequence; NaN without ramps."""
    starts = sequences["start"].to_numpy(dtype=np.int64)
    # A sequence belongs to the ramp that holds its first step.
    owner = np.searchsorted(ramps[:, 0], starts, side="right") - 1
    answered = np.zeros(len(ramps))
    answered[owner] = 1.0
    share, _ = _mean_inside(times[ramps[:, 0]], times[ramps[:, 1]], answered, bounds)
    return share


def _pairs_in(times: FloatArray, paired: BoolArray, bounds: FloatArray) -> IntArray:
    """Return how many paired intervals begin in each window."""
    edges = np.searchsorted(times[:-1][paired] if times.size else times, bounds, side="left")
    counts: IntArray = (edges[:, 1] - edges[:, 0]).astype(np.int64)
    return counts
