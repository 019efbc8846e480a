"""Detectors of R peaks behind one face: (ecg, sfreq) to positions in samples.

Every peer runs as its documentation shows it for raw ECG, with its own cleaning and defaults.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import OURS, missing_peers, quiet

FloatArray = NDArray[np.float64]
Detector = Callable[[FloatArray, float], FloatArray]

XQRS = "wfdb xqrs"
HAMILTON = "BioSPPy Hamilton"
SLEEPECG = "SleepECG"
NEUROKIT = "NeuroKit2"
PAN_TOMPKINS = "NeuroKit2 pantompkins1985"


def _ours(ecg: FloatArray, sfreq: float) -> FloatArray:
    from physio_hqc.signals import detect_r_peaks

    return detect_r_peaks(ecg, sfreq)


def _xqrs(ecg: FloatArray, sfreq: float) -> FloatArray:
    from wfdb.processing import xqrs_detect

    return np.asarray(xqrs_detect(ecg, sfreq, verbose=False), dtype=np.float64)


def _hamilton(ecg: FloatArray, sfreq: float) -> FloatArray:
    """Do what `biosppy.signals.ecg.ecg` does up to the peaks, without its plots and templates."""
    from biosppy.signals import ecg as room
    from biosppy.signals import tools

    filtered, *_ = tools.filter_signal(
        signal=ecg,
        ftype="FIR",
        band="bandpass",
        order=int(1.5 * sfreq),
        frequency=[0.67, 45],
        sampling_rate=sfreq,
    )
    (rough,) = room.hamilton_segmenter(signal=filtered, sampling_rate=sfreq)
    (peaks,) = room.correct_rpeaks(signal=filtered, rpeaks=rough, sampling_rate=sfreq, tol=0.05)
    return np.asarray(peaks, dtype=np.float64)


def _sleepecg(ecg: FloatArray, sfreq: float) -> FloatArray:
    from sleepecg import detect_heartbeats

    return np.asarray(detect_heartbeats(ecg, sfreq), dtype=np.float64)


def _neurokit(ecg: FloatArray, sfreq: float, method: str = "neurokit") -> FloatArray:
    import neurokit2

    # Its cleaning looks for the rate in a table of whole numbers.
    rate = int(sfreq) if float(sfreq).is_integer() else sfreq
    clean = neurokit2.ecg_clean(ecg, sampling_rate=rate, method=method)
    _, info = neurokit2.ecg_peaks(clean, sampling_rate=rate, method=method)
    return np.asarray(info["ECG_R_Peaks"], dtype=np.float64)


def _pan_tompkins(ecg: FloatArray, sfreq: float) -> FloatArray:
    return _neurokit(ecg, sfreq, "pantompkins1985")


_NEEDS = {
    OURS: ("physio_hqc",),
    XQRS: ("wfdb",),
    HAMILTON: ("biosppy", "peakutils"),
    SLEEPECG: ("sleepecg",),
    NEUROKIT: ("neurokit2",),
    PAN_TOMPKINS: ("neurokit2",),
}
_DETECTORS: dict[str, Detector] = {
    OURS: _ours,
    XQRS: _xqrs,
    HAMILTON: _hamilton,
    SLEEPECG: _sleepecg,
    NEUROKIT: _neurokit,
    PAN_TOMPKINS: _pan_tompkins,
}


def detectors(skip: tuple[str, ...] = ()) -> tuple[dict[str, Detector], list[str]]:
    """Return the detectors that are installed, and one note for each that is not."""
    chosen, notes = {}, []
    for name, detect in _DETECTORS.items():
        if name in skip:
            continue
        missing = missing_peers(_NEEDS[name])
        if missing:
            notes.append(f"{name} was left out: {', '.join(missing)} is not installed.")
        else:
            chosen[name] = detect
    return chosen, notes


def peaks_of(detect: Detector, ecg: FloatArray, sfreq: float) -> FloatArray | None:
    """Return the peaks in samples, ascending; None where a peer gives up with an error.

    Ours never may: its errors are not caught.
    """
    with quiet():
        try:
            found = detect(ecg, sfreq)
        except Exception:  # what a peer raises on noise is its own
            if detect is _ours:
                raise
            return None
    return np.sort(found[np.isfinite(found)])
