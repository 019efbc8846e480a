"""Part `eda`: skin conductance responses on simulated EDA."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import (
    OURS,
    Options,
    PartResult,
    Table,
    f1,
    interleaved,
    match,
    missing_peers,
    quiet,
    ratio,
    truth_at_rest,
)

FloatArray = NDArray[np.float64]
Finder = Callable[[FloatArray, float], FloatArray]

NEUROKIT = "NeuroKit2 default"
NEUROKIT_LOW = "NeuroKit2, 1 % amplitude"
BIOSPPY = "BioSPPy default"
RATES = (4.0, 16.0, 100.0, 1000.0)
# Responses as the simulator draws them: one shape, 2.5 s apart and more, well above the criterion;
# or freely: each with time constants of its own, s, closer, and down to half the criterion.
DRAWN = ("simulator", "freely")
DECAY_S, RISE_S = (1.2, 5.0), (0.4, 1.1)
APART_S, MEDIAN_US, SD_LOG, FAINTEST_US = 1.2, 0.12, 0.9, 0.01
_LASTS_S = 40.0
NOISE_US = {"none": 0.0, "usual": 0.001, "strong": 0.01}
RESPONSES_PER_MIN = (3.0, 9.0)
_NEAR_S = 1.0
_SMALLEST_US = 0.02


def _ours(eda: FloatArray, sfreq: float) -> FloatArray:
    from physio_hqc.signals import decompose_eda, detect_scrs

    _, phasic = decompose_eda(eda, sfreq)
    return detect_scrs(phasic, sfreq)["peak_s"].to_numpy(dtype=np.float64)


def _neurokit(eda: FloatArray, sfreq: float, **options: Any) -> FloatArray:
    import neurokit2

    clean = neurokit2.eda_clean(eda, sampling_rate=sfreq)
    phasic = neurokit2.eda_phasic(clean, sampling_rate=sfreq)["EDA_Phasic"].to_numpy()
    _, info = neurokit2.eda_peaks(phasic, sampling_rate=sfreq, **options)
    return np.asarray(info["SCR_Peaks"], dtype=np.float64) / sfreq


def _biosppy(eda: FloatArray, sfreq: float) -> FloatArray:
    from biosppy.signals import eda as room

    return np.asarray(room.eda(eda, sfreq, show=False)["peaks"], dtype=np.float64) / sfreq


def run(options: Options) -> PartResult:
    """Score responses over rates, noise and how many there are."""
    seeds, minutes = (2, 10.0) if options.quick else (5, 20.0)
    rates = (4.0, 100.0) if options.quick else RATES
    noises = ("usual", "strong") if options.quick else tuple(NOISE_US)
    finders: dict[str, Finder] = {
        OURS: _ours,
        NEUROKIT: _neurokit,
        NEUROKIT_LOW: partial(_neurokit, amplitude_min=0.01),
    }
    notes = []
    if missing_peers(["biosppy", "peakutils"]):
        notes.append("BioSPPy is not installed.")
    else:
        finders[BIOSPPY] = _biosppy
    return PartResult(
        "eda",
        f"Skin conductance responses: F1, %, {seeds} simulated participants of {minutes:g} min",
        [_scores(finders, rates, noises, seeds, minutes), _speed(finders, minutes, options)],
        [
            (
                "A response counts as found within 1 s of its true peak. True responses under "
                f"{_SMALLEST_US:g} µS need not be found and are not false when they are."
            ),
            (
                "NeuroKit2's default keeps responses over a tenth of the largest of the record; "
                "with 1 % of the largest it is shown too."
            ),
            (
                "Simulator: decay 2 s and rise 0.7 s, 2.5 s apart and more, 0.05 µS and more. "
                f"Freely: decay {DECAY_S[0]:g} to {DECAY_S[1]:g} s and rise {RISE_S[0]:g} to "
                f"{RISE_S[1]:g} s, {APART_S:g} s apart and more, log-normal around "
                f"{MEDIAN_US:g} µS down to {FAINTEST_US:g} µS; some of them nobody could tell."
            ),
            "A dash: the peer gave up with an error at that rate.",
            *notes,
        ],
    )


def _scores(
    finders: dict[str, Finder],
    rates: tuple[float, ...],
    noises: tuple[str, ...],
    seeds: int,
    minutes: float,
) -> Table:
    from physio_hqc.simulate import Noise, render_eda

    truths = {
        rate: [truth_at_rest(seed, minutes, scr_rate=rate) for seed in range(70, 70 + seeds)]
        for rate in RESPONSES_PER_MIN
    }
    rows = []
    for sfreq, label, per_min, drawn in product(rates, noises, truths, DRAWN):
        counts = {name: np.zeros(3) for name in finders}
        for truth in truths[per_min]:
            signal = render_eda(truth, sfreq, Noise(eda_us=NOISE_US[label]))
            known = truth.scr_peak_s, truth.scr_amplitude
            if drawn == "freely":
                change, *known = _drawn_freely(truth, per_min, signal.size, sfreq)
                signal += change
            for name, find in finders.items():
                counts[name] += _counts(find, signal, sfreq, *known)
        scores = {name: f1(count) for name, count in counts.items()}
        ahead = scores[OURS] - scores[NEUROKIT]
        rows.append((f"{sfreq:g} Hz", label, per_min, drawn, *scores.values(), ahead))
    columns = ("rate", "noise", "responses/min", "drawn", *finders, "ours minus NeuroKit2 default")
    return Table("F1", columns, rows, {"responses/min": 0} | dict.fromkeys(columns[4:], 1))


def _drawn_freely(
    truth: Any, per_min: float, n: int, sfreq: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return what to add to replace the responses by others, their peak times and amplitudes."""
    from physio_hqc.simulate import scr_waveform

    rng = np.random.default_rng([truth.seed, 1])
    times = np.arange(n) / sfreq
    change = -scr_waveform(times, truth.scr_onset_s, truth.scr_amplitude)
    waits = APART_S + rng.exponential(60.0 / per_min - APART_S, int(2 * per_min * times[-1] / 60))
    onsets = np.cumsum(waits)
    onsets = onsets[onsets < times[-1] - 5.0]
    amplitude = MEDIAN_US * np.exp(SD_LOG * rng.standard_normal(onsets.size))
    amplitude = np.clip(amplitude, FAINTEST_US, None)
    decay = rng.uniform(*DECAY_S, onsets.size)
    rise = np.minimum(rng.uniform(*RISE_S, onsets.size), 0.6 * decay)
    to_peak = np.log(decay / rise) / (1.0 / rise - 1.0 / decay)
    height = amplitude / (np.exp(-to_peak / decay) - np.exp(-to_peak / rise))
    for k, onset in enumerate(onsets.tolist()):
        first, stop = np.searchsorted(times, [onset, onset + _LASTS_S])
        age = times[first:stop] - onset
        change[first:stop] += height[k] * (np.exp(-age / decay[k]) - np.exp(-age / rise[k]))
    return change, onsets + to_peak, amplitude


def _counts(
    find: Finder, signal: FloatArray, sfreq: float, peaks_s: FloatArray, amplitude: FloatArray
) -> FloatArray:
    """Return matched, missed and invented; NaN where the finder gives up."""
    with quiet():
        try:
            found = np.sort(find(signal, sfreq))
        except Exception:  # what a peer raises is its own
            if find is _ours:
                raise
            return np.full(3, np.nan)
    found = found[np.isfinite(found)]
    order = np.argsort(peaks_s)
    asked = amplitude[order] >= _SMALLEST_US
    i, j = match(peaks_s[order], found, _NEAR_S)
    matched = int(asked[i].sum())
    return np.array([matched, int(asked.sum()) - matched, found.size - j.size], dtype=float)


def _speed(finders: dict[str, Finder], minutes: float, options: Options) -> Table:
    """Time all on the same signals."""
    from physio_hqc.simulate import Noise, render_eda

    truth = truth_at_rest(70, minutes)
    rows = []
    for sfreq in (100.0,) if options.quick else (100.0, 1000.0):
        signal = render_eda(truth, sfreq, Noise())
        calls = {n: partial(f, signal, sfreq) for n, f in finders.items() if n != NEUROKIT_LOW}
        took = interleaved(calls, 2 if options.quick else 5)
        for name, seconds in took.items():
            rows.append(
                (name, f"{sfreq:g} Hz", seconds, signal.size / 1e6 / seconds,
                 ratio(took[NEUROKIT], seconds))
            )  # fmt: skip
    columns = ("method", "rate", "seconds", "Msamples/s", "times as fast as NeuroKit2")
    digits = {"seconds": 3, "Msamples/s": 2, columns[4]: 1}
    return Table(f"Speed on {minutes:g} min", columns, rows, digits)
