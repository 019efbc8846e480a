"""Electrocardiogram: cleaning, R peaks, quality."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from physio_hqc.errors import SignalError
from physio_hqc.signals._checks import (
    as_signal,
    as_times,
    as_window_array,
    finite_runs,
    repeats,
    true_runs,
)
from physio_hqc.signals._ecg_filter import (
    Block,
    blocks,
    check_ecg_rate,
    clean_butterworth,
    clean_neurokit,
)
from physio_hqc.signals._ecg_quality import (
    beat_shapes,
    near_beats,
    quality_table,
    shape_agreement,
    stuck_samples,
    unlike_beats,
)
from physio_hqc.signals.beats import Beats, correct_beats

__all__ = ["clean_ecg", "detect_r_peaks", "ecg_quality"]

_MIN_RUN_S = 2.0
_FLAT_S = 3.0
_TINY = np.finfo(np.float64).tiny
_REFRACTORY_S = 0.2
_SEARCH_S = 0.05
_DETECT_HZ = 200.0
_MUCH_STEEPER = 3.0
_MIN_HEIGHT = 0.2
_NEIGHBORS = 11


def clean_ecg(ecg: ArrayLike, sfreq: float, *, method: str = "butterworth") -> NDArray[np.float64]:
    """Remove baseline wander, muscle noise and mains from an ECG, without moving it in time.

    Parameters
    ----------
    ecg : array-like, shape (n,)
        ECG in any unit; NaN where samples are missing.
    sfreq : float
        Sampling rate in Hz, at least 80.
    method : {"butterworth", "neurokit"}
        ``"butterworth"``: second-order band-pass 0.5 to 40 Hz and narrow notches at 50 and
        60 Hz, forward and backward. ``"neurokit"``: high-pass at 0.5 Hz, fifth order, and a
        moving average over one period of 50 Hz mains, as NeuroKit2 cleans.

    Returns
    -------
    ndarray, shape (n,)
        Cleaned ECG in the unit of the input, around 0. Each stretch between missing samples is
        filtered by itself; missing samples stay NaN.

    Raises
    ------
    SignalError
        If ``ecg`` is not one row of numbers, ``sfreq`` is under 80 Hz, or ``method`` is unknown.

    References
    ----------
    Kligfield P. et al. (2007). Recommendations for the standardization and interpretation of the
    electrocardiogram, part I. Circulation 115, 1306. doi:10.1161/CIRCULATIONAHA.106.180200.
    Makowski D. et al. (2021). NeuroKit2. Behavior Research Methods 53, 1689.
    doi:10.3758/s13428-020-01516-y.

    Examples
    --------
    >>> import numpy as np
    >>> from physio_hqc.signals import clean_ecg
    >>> times = np.arange(5000) / 500
    >>> hum = 3 + 0.2 * np.sin(2 * np.pi * 50 * times)
    >>> bool(np.abs(clean_ecg(hum, 500)[500:-500]).max() < 0.01)
    True
    """
    cleaners = {"butterworth": clean_butterworth, "neurokit": clean_neurokit}
    if method not in cleaners:
        raise SignalError(f"method {method!r} is unknown: use one of {', '.join(cleaners)}")
    x = as_signal(ecg, "ecg")
    rate = check_ecg_rate(sfreq)
    cleaned = np.full(x.size, np.nan)
    for start, stop in finite_runs(x):
        for block in blocks(int(start), int(stop), rate):
            part = cleaners[method](x[block.start : block.stop], rate)
            inner = slice(block.core_start - block.start, block.core_stop - block.start)
            cleaned[block.core_start : block.core_stop] = part[inner]
    return cleaned


def detect_r_peaks(
    ecg: ArrayLike, sfreq: float, *, method: str = "sleepecg"
) -> NDArray[np.float64]:
    """Find the R peaks of an ECG and place them between samples.

    Each stretch between missing samples (NaN, or a line that stays constant for 3 s) is searched
    by itself; stretches under 2 s give no beats. Whether deflections up or down count is decided
    once for the recording, so that an inverted lead needs no setting and positions do not hop
    between waves. A detection is moved to the largest such deflection within 0.05 s in the
    cleaned signal and placed by a parabola through three samples; one under a fifth of the
    height of the beats around it is dropped.

    Parameters
    ----------
    ecg : array-like, shape (n,)
        ECG in any unit, scale and offset; raw or cleaned. NaN where samples are missing.
    sfreq : float
        Sampling rate in Hz, at least 80.
    method : {"sleepecg", "neurokit"}
        ``"sleepecg"``: adaptive thresholds after Pan and Tompkins as SleepECG implements them.
        ``"neurokit"``: gradient steepness, NeuroKit2's default.

    Returns
    -------
    ndarray, shape (k,)
        Peak positions in samples, ascending, with fractions; divide by ``sfreq`` for seconds.
        Empty where there is nothing to find.

    Raises
    ------
    SignalError
        If ``ecg`` is not one row of numbers, ``sfreq`` is under 80 Hz, or ``method`` is unknown.

    References
    ----------
    Pan J., Tompkins W. J. (1985). A real-time QRS detection algorithm. IEEE Trans Biomed Eng 32,
    230. doi:10.1109/TBME.1985.325532.
    Brunner C., Hofer F. (2023). SleepECG: a Python package for sleep staging based on heart rate.
    Journal of Open Source Software 8, 5411. doi:10.21105/joss.05411.

    Examples
    --------
    >>> import numpy as np
    >>> from physio_hqc.signals import detect_r_peaks
    >>> times = np.arange(0, 10, 1 / 250)
    >>> ecg = np.exp(-0.5 * (((times % 0.8) - 0.4) / 0.012) ** 2)
    >>> detect_r_peaks(ecg, 250)[:3].round(2) / 250
    array([0.4, 1.2, 2. ])
    """
    finders: dict[str, _Finder] = {"sleepecg": _find_sleepecg, "neurokit": _find_neurokit}
    if method not in finders:
        raise SignalError(f"method {method!r} is unknown: use one of {', '.join(finders)}")
    x = as_signal(ecg, "ecg")
    rate = check_ecg_rate(sfreq)
    _mark_flat(x, rate)
    # Only the shape matters: numbers near 1 keep squares of any input from overflowing.
    x /= max(-np.fmin.reduce(x, initial=0.0), np.fmax.reduce(x, initial=0.0), _TINY)
    runs = finite_runs(x, int(np.ceil(_MIN_RUN_S * rate)))
    if runs.size == 0:
        return np.empty(0)
    sign = _polarity(x, runs, rate)
    found = [
        _find_in_block(x, block, rate, sign, finders[method])
        for start, stop in runs
        for block in blocks(int(start), int(stop), rate)
    ]
    position = np.concatenate([peaks.position for peaks in found])
    height = np.concatenate([peaks.height for peaks in found])
    # Searching back through a quiet stretch turns up ripples; beats are never that small.
    usual = ndimage.median_filter(height, size=_NEIGHBORS, mode="reflect")
    beats = height >= _MIN_HEIGHT * usual
    return _one_per_refractory(position[beats], height[beats], _REFRACTORY_S * rate)


def ecg_quality(
    ecg: ArrayLike,
    sfreq: float,
    windows: ArrayLike | None = None,
    *,
    beats: Beats | None = None,
    times_s: ArrayLike | None = None,
) -> pd.DataFrame:
    """Say how far an ECG can be trusted, window by window.

    Quality is the product of four parts: the share of samples that are present, neither flat
    for a second nor held at the limit of the converter, and near plausible beats (intervals of
    0.25 to 3 s); the share of beats that needed no correction; the agreement in shape; and how
    few beats are unlike the usual one. Shape is the mean correlation of the beats with their
    average, as in Orphanidou et al. (2015), whose limit of 0.66 counts as full agreement and half
    of it as none. A single beat under that limit is a false detection in an artefact, or ectopic:
    5 percent of such beats bring the quality to 0.8, 20 percent to 0.5.

    Parameters
    ----------
    ecg : array-like, shape (n,)
        ECG in any unit; NaN where samples are missing.
    sfreq : float
        Sampling rate in Hz, at least 80.
    windows : array-like, shape (m, 2), optional
        Onset and offset in s, half-open. Default: one window, the whole signal.
    beats : Beats, optional
        Corrected beats on the same clock. Default: detected and corrected here.
    times_s : array-like, shape (n,), optional
        Time of each sample in s. Default: index / ``sfreq``.

    Returns
    -------
    DataFrame, m rows
        quality, usable_share, corrected_share (0 to 1), template_r (correlation, NaN with fewer
        than two beats), n_beats, and reason: in words what lowers the quality.

    Raises
    ------
    SignalError
        If an argument has the wrong shape or ``sfreq`` is under 80 Hz.

    References
    ----------
    Orphanidou C. et al. (2015). Signal-quality indices for the electrocardiogram and
    photoplethysmogram. IEEE J Biomed Health Inform 19, 832. doi:10.1109/JBHI.2014.2338351.

    Examples
    --------
    >>> import numpy as np
    >>> from physio_hqc.signals import ecg_quality
    >>> times = np.arange(0, 60, 1 / 250)
    >>> ecg = np.exp(-0.5 * (((times % 0.8) - 0.4) / 0.012) ** 2)
    >>> ecg[7500:] = np.nan
    >>> table = ecg_quality(ecg, 250, [[0, 30], [20, 40]])
    >>> table["quality"].round(2).tolist(), table["reason"].tolist()
    ([1.0, 0.5], ['', '50 % missing'])
    """
    x = as_signal(ecg, "ecg")
    rate = check_ecg_rate(sfreq)
    times = as_times(times_s, x.size, rate)
    span = (float(times[0]), float(times[-1]) + 1 / rate) if x.size else (0.0, 0.0)
    bounds = as_window_array(windows, span)
    if beats is None:
        beats = _corrected_beats(x, rate, times)
    place = np.interp(beats.times_s, times, np.arange(x.size)) if x.size else np.empty(0)
    present = np.isfinite(x)
    # A beat that was given for a time without samples has no shape.
    held = (beats.times_s >= span[0]) & (beats.times_s <= span[1]) if x.size else place > 0
    shapes = beat_shapes(clean_ecg(x, rate), np.where(held, place, -np.inf), rate)
    beat_edges = np.searchsorted(beats.times_s, bounds)
    return quality_table(
        {
            "present": present,
            "stuck": present & stuck_samples(x, rate),
            "beating": near_beats(times, beats),
        },
        np.maximum((bounds[:, 1] - bounds[:, 0]) * rate, 1.0),
        np.searchsorted(times, bounds),
        beats,
        beat_edges,
        shape_agreement(shapes, beat_edges),
        unlike_beats(shapes),
    )


def _corrected_beats(x: NDArray[np.float64], sfreq: float, times: NDArray[np.float64]) -> Beats:
    """Detect and correct beats, on the clock of ``times``; missing samples are gaps."""
    found = detect_r_peaks(x, sfreq)
    peaks = np.interp(found, np.arange(x.size), times) if x.size else found
    missing = true_runs(~np.isfinite(x))
    gaps = np.column_stack([times[missing[:, 0]], times[missing[:, 1] - 1]])
    return correct_beats(peaks, gaps=gaps)


class _Peaks(NamedTuple):
    """Positions in samples and heights of found peaks, each (k,)."""

    position: NDArray[np.float64]
    height: NDArray[np.float64]


_Finder = Callable[[NDArray[np.float64], float], NDArray[np.int64]]


def _mark_flat(x: NDArray[np.float64], sfreq: float) -> None:
    """Set stretches that stay constant for 3 s to NaN, in place: no electrode does that."""
    steady = repeats(x)
    for start, stop in true_runs(steady, int(_FLAT_S * sfreq)):
        x[start - 1 : stop] = np.nan


def _polarity(x: NDArray[np.float64], runs: NDArray[np.int64], sfreq: float) -> float:
    """Return 1 where the larger deflections of the recording point up, -1 where down.

    Up to 60 pieces of 10 s, spread over the recording, are looked at second by second: the
    medians of the largest deflection either way are compared.
    """
    length, second = int(10 * sfreq), int(sfreq)
    starts = np.concatenate([np.arange(a, max(a + 1, b - length + 1), length) for a, b in runs])
    chosen = starts[np.unique(np.linspace(0, starts.size - 1, 60).astype(int))]
    extremes = []
    for start in chosen.tolist():
        piece = x[start : start + length]
        piece = piece[np.isfinite(piece)]
        rows = clean_butterworth(piece, sfreq)[: piece.size // second * second]
        rows = rows.reshape(-1, second)
        extremes.append(np.column_stack([rows.max(axis=1), -rows.min(axis=1)]))
    up, down = np.median(np.concatenate(extremes), axis=0)
    return 1.0 if up >= down else -1.0


def _find_in_block(
    x: NDArray[np.float64], block: Block, sfreq: float, sign: float, find: _Finder
) -> _Peaks:
    """Return the peaks of one block, in samples of the whole signal."""
    raw = x[block.start : block.stop]
    spread = float(np.std(raw))
    if not spread > 1e-9 * float(np.max(np.abs(raw))):
        return _Peaks(np.empty(0), np.empty(0))
    raw = (raw - np.median(raw)) * (sign / spread)
    cleaned = clean_butterworth(raw, sfreq)
    coarse = _to_complex(cleaned, find(cleaned, sfreq), sfreq)
    peaks = _refine(cleaned, coarse, sfreq)
    middle = coarse + block.start
    keep = (middle >= block.core_start) & (middle < block.core_stop)
    return _Peaks(peaks.position[keep] + block.start, peaks.height[keep] * spread)


def _find_sleepecg(cleaned: NDArray[np.float64], sfreq: float) -> NDArray[np.int64]:
    """Detect beats with SleepECG's compiled Pan-Tompkins variant.

    Its five-point derivative is not scaled with the rate and takes noise for slope at high
    rates, so it is given every q-th sample of the cleaned (40 Hz) signal, at 200 to 400 Hz.
    """
    from sleepecg import detect_heartbeats

    step = max(1, int(sfreq // _DETECT_HZ))
    thinned = np.ascontiguousarray(cleaned[::step])
    beats = np.asarray(detect_heartbeats(thinned, sfreq / step), dtype=np.int64)
    return beats * step


def _find_neurokit(cleaned: NDArray[np.float64], sfreq: float) -> NDArray[np.int64]:
    """Detect beats with NeuroKit2's default, QRS complexes by the steepness of the gradient."""
    import neurokit2

    with warnings.catch_warnings():
        # It averages the widths of the complexes that it found, also when there are none.
        warnings.simplefilter("ignore", RuntimeWarning)
        info = neurokit2.ecg_findpeaks(cleaned, sampling_rate=sfreq)
    beats: NDArray[np.int64] = np.asarray(info["ECG_R_Peaks"], dtype=np.int64)
    return beats


def _to_complex(
    cleaned: NDArray[np.float64], coarse: NDArray[np.int64], sfreq: float
) -> NDArray[np.int64]:
    """Move a detection to a slope within 0.2 s that is several times as steep.

    A detector that once takes P waves for beats loses the R waves to its refractory period, and
    stays with the P waves.
    """
    steepness = np.abs(np.gradient(cleaned))
    near, wide = (
        _highest_around(steepness, coarse, max(1, int(reach * sfreq)))
        for reach in (_SEARCH_S, _REFRACTORY_S)
    )
    aside = steepness[wide] > _MUCH_STEEPER * steepness[near]
    moved: NDArray[np.int64] = np.where(aside, wide, coarse)
    return moved


def _highest_around(
    x: NDArray[np.float64], place: NDArray[np.int64], reach: int
) -> NDArray[np.int64]:
    """Return where ``x`` is highest within ``reach`` samples of each place."""
    index = np.clip(place[:, None] + np.arange(-reach, reach + 1), 1, x.size - 2)
    highest: NDArray[np.int64] = index[np.arange(place.size), np.argmax(x[index], axis=1)]
    return highest


def _refine(cleaned: NDArray[np.float64], coarse: NDArray[np.int64], sfreq: float) -> _Peaks:
    """Move each detection to the highest point near it, between samples."""
    reach = max(1, int(_SEARCH_S * sfreq))
    top = _highest_around(cleaned, coarse, reach)
    low = cleaned[_highest_around(-cleaned, coarse, reach)]
    return _Peaks(top + _parabola_offset(cleaned, top), cleaned[top] - low)


def _parabola_offset(x: NDArray[np.float64], top: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return where the parabola through three samples peaks, -0.5 to 0.5 samples from ``top``."""
    left, middle, right = x[top - 1], x[top], x[top + 1]
    curvature = left - 2 * middle + right
    offset = np.zeros(top.size)
    np.divide(0.5 * (left - right), curvature, out=offset, where=curvature < 0)
    return np.clip(offset, -0.5, 0.5)


def _one_per_refractory(
    position: NDArray[np.float64], height: NDArray[np.float64], refractory: float
) -> NDArray[np.float64]:
    """Keep the higher of two peaks that are closer than the heart can beat."""
    order = np.argsort(position, kind="stable")
    position, height = position[order], height[order]
    while (close := np.flatnonzero(np.diff(position) < refractory)).size:
        # Every round drops the lower of each close pair, so that it ends after few rounds.
        lower = np.where(height[close] < height[close + 1], close, close + 1)
        position, height = np.delete(position, lower), np.delete(height, lower)
    return position
