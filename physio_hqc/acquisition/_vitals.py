"""What a few seconds of signal say: a value that people read, and how good the signal is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from physio_hqc.errors import SignalError
from physio_hqc.signals import (
    correct_beats,
    detect_pressure_beats,
    detect_r_peaks,
    ecg_quality,
    eda_quality,
    pressure_quality,
)

Floats = NDArray[np.float64]

WATCHED = ("ecg", "bp", "eda")
"""Modalities whose waveform is looked at while it is recorded."""

WINDOW_S = 10.0
NEEDED_S = 3.0
_MIN_ECG_SFREQ = 80.0
_RECENT_S = 4.0
_BEATS = 6

# What odd data can make numerical code raise; the screen goes on without a verdict.
_ODD = (SignalError, ValueError, ArithmeticError, IndexError)


def heart_rate(ecg: Floats, sfreq: float) -> float | None:
    """Heart rate of the last beats in an ECG, 1/min; None if there were no beats of late."""
    if sfreq < _MIN_ECG_SFREQ or ecg.size < NEEDED_S * sfreq:
        return None
    try:
        peaks = detect_r_peaks(ecg, sfreq) / sfreq
    except _ODD:
        return None
    if peaks.size < 3 or peaks[-1] < ecg.size / sfreq - _RECENT_S:
        return None
    return beats_per_minute(np.diff(peaks[-_BEATS - 1 :]).tolist())


def beats_per_minute(intervals_s: Sequence[float]) -> float | None:
    """Rate of the median of plausible intervals, 1/min; None if there is none."""
    plausible = [x for x in intervals_s if 0.25 <= x <= 3.0]
    return 60.0 / float(np.median(plausible)) if plausible else None


def quality(modality: str, signal: Floats, sfreq: float) -> tuple[float | None, str]:
    """Quality (0 to 1) of a stretch of signal and what is wrong with it; None if unknown."""
    if signal.size < NEEDED_S * sfreq:
        return None, ""
    try:
        if modality == "ecg":
            if sfreq < _MIN_ECG_SFREQ:
                return None, ""
            beats = correct_beats(detect_r_peaks(signal, sfreq) / sfreq)
            row = ecg_quality(signal, sfreq, beats=beats).iloc[0]
        elif modality == "bp":
            # A beat needs its neighbours: the edges of the stretch are no fault of the signal.
            inner = [[1.0, signal.size / sfreq - 1.5]]
            row = pressure_quality(signal, sfreq, inner).iloc[0]
        else:
            row = eda_quality(signal, sfreq).iloc[0]
    except _ODD:
        return None, ""
    value = float(row["quality"])
    return (value, str(row["reason"])) if math.isfinite(value) else (None, "")


def pressure(signal: Floats, sfreq: float) -> tuple[float, float] | None:
    """Systolic and diastolic pressure, median of the last beats, mmHg; None without beats."""
    if signal.size < NEEDED_S * sfreq:
        return None
    try:
        beats = detect_pressure_beats(signal, sfreq)
    except _ODD:
        return None
    valid = beats[beats["valid"].astype(bool)].tail(_BEATS)
    if not len(valid) or valid["systole_s"].iloc[-1] < signal.size / sfreq - _RECENT_S:
        return None
    return float(valid["SBP"].median()), float(valid["DBP"].median())


def level(signal: Floats) -> float | None:
    """Mean of what is present; None if nothing is."""
    present = signal[np.isfinite(signal)]
    return float(present.mean()) if present.size else None
