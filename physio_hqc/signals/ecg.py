"""Electrocardiogram: cleaning and R peaks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from physio_hqc.signals._checks import as_signal, as_signal_view, finite_runs
from physio_hqc.signals._ecg_filter import (
    blocks,
    check_ecg_rate,
    clean_butterworth,
)
from physio_hqc.signals._r_peaks import PeakFinder

__all__ = ["RPeakDetector", "clean_ecg", "detect_r_peaks"]


def clean_ecg(ecg: ArrayLike, sfreq: float) -> NDArray[np.float64]:
    """Remove baseline wander, muscle noise and mains from an ECG, without moving it in time.

    A second-order band-pass from 0.5 to 40 Hz and narrow notches at 50 and 60 Hz, forward and
    backward.

    Parameters
    ----------
    ecg : array-like, shape (n,)
        ECG in any unit; NaN where samples are missing.
    sfreq : float
        Sampling rate in Hz, at least 80.

    Returns
    -------
    ndarray, shape (n,)
        Cleaned ECG in the unit of the input, around 0. Each stretch between missing samples is
        filtered by itself; missing samples stay NaN.

    Raises
    ------
    SignalError
        If ``ecg`` is not one row of numbers, or ``sfreq`` is under 80 Hz.

    References
    ----------
    Kligfield P. et al. (2007). Recommendations for the standardization and interpretation of the
    electrocardiogram, part I. Circulation 115, 1306. doi:10.1161/CIRCULATIONAHA.106.180200.

    Examples
    --------
    >>> import numpy as np
    >>> from physio_hqc.signals import clean_ecg
    >>> times = np.arange(5000) / 500
    >>> hum = 3 + 0.2 * np.sin(2 * np.pi * 50 * times)
    >>> bool(np.abs(clean_ecg(hum, 500)[500:-500]).max() < 0.01)
    True
    """
    x = as_signal(ecg, "ecg")
    rate = check_ecg_rate(sfreq)
    cleaned = np.full(x.size, np.nan)
    for start, stop in finite_runs(x):
        for block in blocks(int(start), int(stop), rate):
            part = clean_butterworth(x[block.start : block.stop], rate)
            inner = slice(block.core_start - block.start, block.core_stop - block.start)
            cleaned[block.core_start : block.core_stop] = part[inner]
    return cleaned


class RPeakDetector:
    """Finds the R peaks of an ECG that arrives piece by piece; memory does not grow with it.

    How the samples are cut into pieces makes no difference: the result is that of
    `detect_r_peaks` for the whole.

    Parameters
    ----------
    sfreq : float
        Sampling rate in Hz, at least 80.

    Raises
    ------
    SignalError
        If ``sfreq`` is under 80 Hz.

    Examples
    --------
    >>> import numpy as np
    >>> from physio_hqc.signals import RPeakDetector
    >>> times = np.arange(0, 10, 1 / 250)
    >>> ecg = np.exp(-0.5 * (((times % 0.8) - 0.4) / 0.012) ** 2)
    >>> detector = RPeakDetector(250)
    >>> for piece in np.array_split(ecg, 7):
    ...     detector.feed(piece)
    >>> detector.finish()[:3].round(2) / 250
    array([0.4, 1.2, 2. ])
    """

    def __init__(self, sfreq: float) -> None:
        self._finder = PeakFinder(check_ecg_rate(sfreq))
        self._held: list[NDArray[np.float64]] = []
        self._n_held = 0
        self._first = 0
        self._low = 0

    def feed(self, samples: ArrayLike) -> None:
        """Take the next samples, in any unit; NaN where they are missing.

        Parameters
        ----------
        samples : array-like, shape (n,)

        Raises
        ------
        SignalError
            If ``samples`` is not one row of numbers.
        """
        piece = as_signal(samples, "samples")
        self._held.append(piece)
        self._n_held += piece.size
        core, context = self._finder.core, self._finder.context
        while self._first + self._n_held >= self._low + core + context:
            self._search(self._low + core)

    def finish(self) -> NDArray[np.float64]:
        """Search what is left.

        Returns
        -------
        ndarray, shape (k,)
            Peak positions in samples since the first, ascending, with fractions.
        """
        if self._n_held:
            self._search(None)
        return self._finder.peaks()

    @property
    def skipped(self) -> pd.DataFrame:
        """What was not searched so far: start, stop (samples) and reason, one row a stretch."""
        return pd.DataFrame(self._finder.skipped(), columns=["start", "stop", "reason"])

    def _search(self, high: int | None) -> None:
        """Search up to ``high`` (None: the end) and drop what no later block needs."""
        held = self._held[0] if len(self._held) == 1 else np.concatenate(self._held)
        end = held.size if high is None else high + self._finder.context - self._first
        stop = np.inf if high is None else high
        self._finder.block(held[:end], self._first, self._low, stop)
        drop = held.size if high is None else max(0, high - self._finder.context - self._first)
        self._first += drop
        self._low = self._first if high is None else high
        rest = held[drop:].copy()
        self._held, self._n_held = ([rest], rest.size) if rest.size else ([], 0)


def detect_r_peaks(ecg: ArrayLike, sfreq: float) -> NDArray[np.float64]:
    """Find the R peaks of an ECG and place them between samples.

    Candidates are the peaks of the energy of the slope in the QRS band (4 to 25 Hz, smoothed over
    0.14 s) that are the highest within 0.2 s. Which of them are beats is decided for all at once:
    every candidate has evidence for it - its height, in the QRS band and in a slower one that
    wide complexes reach, beside the beats around it; more is asked where the floor between the
    beats is loud; and the likeness of its shape to theirs - every step from one to the next
    costs what early beats, long gaps and T waves make it cost, and the sequence with the largest
    sum is taken (dynamic programming, Viterbi 1967). So a small beat counts where one is due, and
    a tall T wave, a P wave or a burst of noise between two regular beats does not. At the end,
    what follows a beat within 0.36 s, less steep and three times as wide, is its T wave; and what
    looks unlike the others between two beats of a regular rhythm, without a pause, is a movement,
    unless it comes again and again with the same shape, as ventricular beats do.

    A peak is placed at the largest deflection within 0.06 s, in the signal smoothed over 8 ms, by
    a parabola. Whether deflections up or down count follows from the recording, so that an inverted
    lead needs no setting and positions do not hop between waves; a beat whose other deflection is
    three times as large (a ventricular one) is placed there.

    Not searched, and listed by `RPeakDetector.skipped`: missing samples (NaN, infinite; fewer
    than 0.04 s are bridged), a line that stays constant for 3 s, and less than 2 s of signal
    between them.

    Parameters
    ----------
    ecg : array-like, shape (n,)
        ECG in any unit, scale and offset; raw or cleaned. NaN where samples are missing.
    sfreq : float
        Sampling rate in Hz, at least 80.

    Returns
    -------
    ndarray, shape (k,)
        Peak positions in samples, ascending, with fractions; divide by ``sfreq`` for seconds.
        Empty where there is nothing to find.

    Raises
    ------
    SignalError
        If ``ecg`` is not one row of numbers, or ``sfreq`` is under 80 Hz.

    References
    ----------
    Pan J., Tompkins W. J. (1985). A real-time QRS detection algorithm. IEEE Trans Biomed Eng 32,
    230. doi:10.1109/TBME.1985.325532 (slope energy, noise level, T waves, beats that are due).
    Viterbi A. J. (1967). Error bounds for convolutional codes and an asymptotically optimum
    decoding algorithm. IEEE Trans Inf Theory 13, 260. doi:10.1109/TIT.1967.1054010.
    Laguna P., Jane R., Caminal P. (1994). Automatic detection of wave boundaries in multilead ECG
    signals. Comput Biomed Res 27, 45. doi:10.1006/cbmr.1994.1006 (slope of the filtered signal).

    Examples
    --------
    >>> import numpy as np
    >>> from physio_hqc.signals import detect_r_peaks
    >>> times = np.arange(0, 10, 1 / 250)
    >>> ecg = np.exp(-0.5 * (((times % 0.8) - 0.4) / 0.012) ** 2)
    >>> detect_r_peaks(ecg, 250)[:3].round(2) / 250
    array([0.4, 1.2, 2. ])
    """
    x = as_signal_view(ecg, "ecg")
    finder = PeakFinder(check_ecg_rate(sfreq))
    core, context = finder.core, finder.context
    # The last block takes what is too short to be one.
    n_blocks = max(0, x.size - context) // core + 1
    for n in range(n_blocks):
        low, high = n * core, (n + 1) * core if n < n_blocks - 1 else np.inf
        first = max(0, low - context)
        stop = x.size if np.isinf(high) else int(high) + context
        finder.block(x[first:stop], first, low, high)
    return finder.peaks()
