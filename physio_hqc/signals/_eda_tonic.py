"""The tonic part of skin conductance, three ways."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from scipy.linalg import solveh_banded
from scipy.signal import butter, lfilter, sosfiltfilt

from physio_hqc.errors import SignalError
from physio_hqc.signals._eda_grid import FloatArray, smooth_derivatives
from physio_hqc.signals._eda_scrs import TAU_DECAY, TAU_RISE, bateman_peak, scrs_of_run

HIGHPASS_HZ = 0.05
_SIGMA_S = 0.3
_CUTOFF_HZ = 0.05
_NOISE_US = 0.01
_LEAN = 0.2
_BLOCK_S, _MARGIN_S = 7200.0, 300.0


def _tonic_deconvolution(x: FloatArray, rate: float) -> FloatArray:
    """Tonic part as the line through what lies between the pulses of the undone decay."""
    smooth, slope = smooth_derivatives(x, rate, _SIGMA_S)
    sharp = smooth + TAU_DECAY * slope
    tail = _expected_pulses(x, rate)
    # What a pulse still adds is an error of the line there; noise sets the rest.
    weights = 1 / (1 + (tail / _NOISE_US) ** 2) + 1e-6
    return _with_decay(_lower_line(sharp, weights, rate), rate)


def _expected_pulses(x: FloatArray, rate: float) -> FloatArray:
    """Return the height that the pulses of the responses found in ``x`` have at each sample."""
    scrs = scrs_of_run(x, rate, 0.01, 0.0, 8.0)
    # Half a second early, because smoothing spreads the pulse to before its onset.
    start = np.maximum(np.floor((scrs["onset_s"].to_numpy() - 0.5) * rate).astype(np.int64), 0)
    # A response of 1 µS begins as a step of this height once its decay is undone.
    step = (TAU_DECAY / TAU_RISE - 1) / bateman_peak()
    impulses = np.zeros(x.size)
    np.add.at(impulses, start, scrs["amplitude"].to_numpy() * step)
    expected: FloatArray = lfilter([1.0], [1.0, -np.exp(-1 / (TAU_RISE * rate))], impulses)
    return expected


def _lower_line(z: FloatArray, weights: FloatArray, rate: float) -> FloatArray:
    """Fit a smooth line to ``z`` that leans to its lower side (an expectile)."""
    stiffness = (rate / (2 * np.pi * _CUTOFF_HZ)) ** 4
    penalty = _second_difference_bands(z.size) * stiffness
    line, lean = z, weights
    for _ in range(8):
        bands = penalty.copy()
        bands[-1] += lean
        line = solveh_banded(bands, lean * z, overwrite_ab=True, check_finite=False)
        lean = weights * np.where(z > line, _LEAN, 1 - _LEAN)
    return line


def _with_decay(x: FloatArray, rate: float) -> FloatArray:
    """Apply the first-order decay again (the inverse of ``x + tau dx/dt``)."""
    keep = np.exp(-1 / (TAU_DECAY * rate))
    ahead = max(1, min(int(rate), x.size - 1))
    # The start continues the line of the first second, so that a drift has no transient there.
    begin = x[0] - TAU_DECAY * (x[ahead] - x[0]) * rate / ahead
    # Mid-step input: a plain one-pole filter would lead by half a sample.
    middle = np.concatenate(([x[0]], (x[1:] + x[:-1]) / 2))
    out, _ = lfilter([1 - keep], [1, -keep], middle[1:], zi=[keep * begin])
    return np.concatenate(([begin], out))


def _second_difference_bands(n: int) -> FloatArray:
    """Return D'D of the second difference of n points as upper bands for `solveh_banded`."""
    bands = np.zeros((3, n))
    for offset, product in ((0, (1, 4, 1)), (1, (-2, -2)), (2, (1,))):
        for shift, value in enumerate(product):
            bands[2 - offset, offset + shift : n - 2 + offset + shift] += value
    return bands


def _tonic_highpass(x: FloatArray, rate: float) -> FloatArray:
    """Tonic part as what a 0.05 Hz high-pass of order 2 takes away."""
    sos = butter(2, HIGHPASS_HZ, btype="highpass", fs=rate, output="sos")
    phasic: FloatArray = sosfiltfilt(sos, x, padlen=min(x.size - 1, int(20 * rate)))
    return x - phasic


def _tonic_cvxeda(x: FloatArray, rate: float) -> FloatArray:
    """Tonic part of cvxEDA through NeuroKit2, rescaled from standard scores to µS."""
    if find_spec("cvxopt") is None:
        raise SignalError("method 'cvxeda' needs the package cvxopt: install physio-hqc[cvxeda]")
    import neurokit2 as nk

    center, scale = float(x.mean()), float(x.std(ddof=1))
    if scale < 1e-9:
        return x.copy()
    parts = nk.eda_phasic((x - center) / scale, sampling_rate=rate, method="cvxeda")
    tonic: FloatArray = parts["EDA_Tonic"].to_numpy(dtype=np.float64)
    return tonic * scale + center


def _in_blocks(
    method: Callable[[FloatArray, float], FloatArray],
) -> Callable[[FloatArray, float], FloatArray]:
    """Make a method whose memory is short work on two hours at a time."""

    def blockwise(x: FloatArray, rate: float) -> FloatArray:
        core, margin = int(_BLOCK_S * rate), int(_MARGIN_S * rate)
        if x.size <= core + margin:
            return method(x, rate)
        tonic = np.empty(x.size)
        for start in range(0, x.size, core):
            low, high = max(start - margin, 0), min(start + core + margin, x.size)
            piece = method(x[low:high], rate)
            tonic[start : start + core] = piece[start - low : start - low + core]
        return tonic

    return blockwise


TONIC_METHODS: dict[str, Callable[[FloatArray, float], FloatArray]] = {
    "deconvolution": _in_blocks(_tonic_deconvolution),
    "highpass": _in_blocks(_tonic_highpass),
    "cvxeda": _tonic_cvxeda,
}
