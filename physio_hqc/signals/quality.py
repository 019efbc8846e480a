"""Electrocardiogram: how far it can be trusted, window by window."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from physio_hqc.signals._checks import as_signal, as_times, as_window_array
from physio_hqc.signals._clock import Clock
from physio_hqc.signals._ecg_filter import check_ecg_rate
from physio_hqc.signals._ecg_quality import Detected, judge_beats, quality_table
from physio_hqc.signals._ecg_scan import EcgScan
from physio_hqc.signals._r_peaks import BRIDGE_S
from physio_hqc.signals.beats import Beats, correct_beats
from physio_hqc.signals.ecg import detect_r_peaks

__all__ = ["ecg_quality"]


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
    for a second nor held at the limit of the converter, not in a stretch of artefact, and near
    plausible beats (intervals of 0.25 to 3 s); the share of beats that needed no correction; the
    agreement in shape; and how few beats are unlike the usual one.

    Shape is the correlation of the beats with their average, as in Orphanidou et al. (2015), whose
    limit of 0.66 halves the quality; 0.95 is full agreement. A single beat under that limit is a
    false detection in an artefact, or ectopic: 5 percent of such beats bring the quality to 0.8,
    20 percent to 0.5, and the agreement is that of the others. Two and more of them that come out
    of rhythm and do not resemble each other are a stretch of artefact: its time is not usable and
    its beats no longer count. A beat is seen in two ways, whole on a straight baseline and by its
    steep waves alone, and need only be alike in one, so that wander does not make a beat unlike.

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
        quality and usable_share (0 to 1); the parts missing_share, flat_share (flat, or held at the
        limit of the converter), movement_share (artefact), corrected_share, unlike_share (0 to 1)
        and template_r (correlation, NaN with fewer than two beats); corrected_kinds: how many
        beats of which kind ("2 ectopic, 1 missed"); n_beats, and reason: in words what lowers the
        quality.

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
    clock = Clock.even(x.size, rate)
    if times_s is not None:
        clock = Clock.of_samples(as_times(times_s, x.size, rate), rate)
    bounds = as_window_array(windows, clock.span)
    places = detect_r_peaks(x, rate) if beats is None else clock.places_of(beats.raw_times_s)
    scan = EcgScan(rate, places)
    scan.feed(x)
    facts = scan.finish()
    detected = judge_beats(clock.times_of(places), facts.shapes)
    if beats is None:
        beats = corrected_beats(detected, facts.missing, clock)
    return quality_table(facts, detected, beats, clock, bounds)


def corrected_beats(detected: Detected, missing: NDArray[np.int64], clock: Clock) -> Beats:
    """Correct beats after detection; missing samples and stretches of artefact are gaps.

    Beats inside artefact are left out, because nobody knows which of them are beats. Where fewer
    samples are missing than detection bridges, no beat can hide.
    """
    wide = missing[missing[:, 1] - missing[:, 0] >= BRIDGE_S * clock.rate]
    gaps = np.concatenate([clock.times_of(wide - np.array([1.0, 0.0])), detected.artifacts])
    return correct_beats(detected.times_s[~detected.inside], gaps=gaps)
