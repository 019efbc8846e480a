"""Part `hrv`: heart-rate variability in the many windows of a day."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.common import Options, PartResult, Table, interleaved, quiet, ratio, truth_at_rest

FloatArray = NDArray[np.float64]

LENGTH_S, STEP_S, WINDOWS = 300.0, 30.0, 2870
SEGMENT_S = 100.0
SAME = (
    "MeanNN", "SDNN", "RMSSD", "SDSD", "CVNN", "MedianNN", "MadNN", "IQRNN", "MinNN", "MaxNN",
    "SampEn", "ApEn", "DFA_alpha1", "DFA_alpha2",
)  # fmt: skip
POWERS = ("LF", "HF")


def run(options: Options) -> PartResult:
    """Compute all windows with ours, some with NeuroKit2, and compare."""
    m, few, fewer, repeats = (287, 10, 2, 1) if options.quick else (WINDOWS, 60, 12, 3)
    beats = np.round(truth_at_rest(41, (m * STEP_S + LENGTH_S) / 60.0 + 1.0).beat_times_s, 3)
    onset = STEP_S * np.arange(m)
    windows = np.column_stack([onset, onset + LENGTH_S])
    some = windows[np.linspace(0, m - 1, few).astype(int)]
    return PartResult(
        "hrv",
        f"Heart-rate variability: {m:,} windows of 5 min, step 30 s",
        [
            _speed(beats, windows, some, some[:: few // fewer][:fewer], repeats),
            _values(beats, some),
        ],
        [
            (
                f"Ours does all {m:,} windows in one call. NeuroKit2 is timed window by window, "
                f"time and frequency on {few} windows, the rest on {fewer}, and scaled."
            ),
            (
                "NeuroKit2's hrv_nonlinear computes more indices than ours; 'same indices' times "
                "only its sample and approximate entropy and both DFA exponents."
            ),
            (
                "Values: largest relative deviation over the sampled windows. Powers at like "
                "settings (4 Hz, cubic, not normalised, segments of 100 s); ours removes the mean "
                "of each segment, NeuroKit2 that of the window, and it leaves out the edges of a "
                "band."
            ),
            (
                "Not compared, as the definitions differ: pNN, TINN, HTI, SD2 and what follows "
                "from it (see the docstrings)."
            ),
        ],
    )


def _inside(beats: FloatArray, window: FloatArray) -> FloatArray:
    """Return the beats of a window in whole ms, as NeuroKit2 takes peaks at 1000 Hz."""
    first, stop = np.searchsorted(beats, window)
    return np.round(1000.0 * beats[first:stop]).astype(np.int64)


def _each(compute: Callable[[Any], Any], beats: FloatArray, windows: FloatArray) -> None:
    for window in windows:
        compute(_inside(beats, window))


def _time_frequency(peaks: NDArray[np.int64]) -> None:
    import neurokit2

    neurokit2.hrv_time(peaks, sampling_rate=1000)
    neurokit2.hrv_frequency(peaks, sampling_rate=1000)


def _nonlinear(peaks: NDArray[np.int64]) -> None:
    import neurokit2

    neurokit2.hrv_nonlinear(peaks, sampling_rate=1000)


def _same_indices(peaks: NDArray[np.int64]) -> dict[str, float]:
    import neurokit2

    rr = np.diff(peaks).astype(np.float64)
    given = {"delay": 1, "dimension": 2, "tolerance": 0.2 * np.std(rr, ddof=1)}
    return {
        "SampEn": neurokit2.entropy_sample(rr, **given)[0],
        "ApEn": neurokit2.entropy_approximate(rr, **given)[0],
        "DFA_alpha1": neurokit2.fractal_dfa(rr, scale=range(4, 17), overlap=False)[0],
        "DFA_alpha2": neurokit2.fractal_dfa(rr, scale=range(16, 65), overlap=False)[0],
    }


def _speed(
    beats: FloatArray, windows: FloatArray, some: FloatArray, few: FloatArray, repeats: int
) -> Table:
    from physio_hqc.features import hrv

    m = len(windows)
    light = partial(hrv, beats, windows, domains=["time", "frequency"])
    heavy = partial(hrv, beats, windows, domains=["nonlinear"])
    first = interleaved(
        {"ours": light, "peer": partial(_each, _time_frequency, beats, some)}, repeats
    )
    second = interleaved(
        {
            "ours": heavy,
            "peer": partial(_each, _nonlinear, beats, few),
            "same": partial(_each, _same_indices, beats, few),
        },
        repeats,
    )
    rows = []
    for domain, ours, peer, scale in (
        ("time + frequency", first["ours"], first["peer"], m / len(some)),
        ("nonlinear", second["ours"], second["peer"], m / len(few)),
        ("nonlinear, same indices", second["ours"], second["same"], m / len(few)),
    ):
        rows.append(
            (domain, ours, peer * scale, 1000 * peer * scale / m, ratio(peer * scale, ours))
        )
    columns = ("domain", "physio_hqc s", "NeuroKit2 s", "NeuroKit2 ms a window", "times as fast")
    digits = {columns[1]: 3, columns[2]: 1, columns[3]: 1, columns[4]: 0}
    return Table("All windows", columns, rows, digits)


def _values(beats: FloatArray, windows: FloatArray) -> Table:
    """Compare the values window by window."""
    import neurokit2

    from physio_hqc.features import hrv, hrv_frequency

    ours = hrv(beats, windows)
    like = hrv_frequency(beats, windows, segment_s=SEGMENT_S, detrend="constant")
    theirs = []
    with quiet():
        for window in windows:
            peaks = _inside(beats, window)
            row = neurokit2.hrv_time(peaks, sampling_rate=1000).iloc[0].to_dict()
            row |= {f"HRV_{k}": v for k, v in _same_indices(peaks).items()}
            theirs.append(row | _their_powers(peaks))
    other = pd.DataFrame(theirs)
    rows = [
        (name, _deviation(ours[f"HRV_{name}"], other[f"HRV_{name}"]), "equal to 1e-9")
        for name in SAME
    ]
    rows += [
        (name, _deviation(like[f"HRV_{name}"], other[f"HRV_{name}"]), "within 1 %")
        for name in POWERS
    ]
    return Table("Values beside NeuroKit2", ("index", "largest deviation", "aim"), rows)


def _their_powers(peaks: NDArray[np.int64]) -> dict[str, float]:
    """Return NeuroKit2's LF and HF, ms², from a cubic 4 Hz tachogram.

    `hrv_frequency` passes one set of keywords to interpolation and spectrum and so cannot be told
    to interpolate by cubics: these are the two steps that it takes.
    """
    import neurokit2

    rr, *_ = neurokit2.intervals_process(
        np.diff(peaks), peaks[1:] / 1000.0, interpolate=True, interpolation_rate=4, method="cubic"
    )
    power = neurokit2.signal_power(
        rr,
        frequency_band=[(0, 0.0033), (0.0033, 0.04), (0.04, 0.15), (0.15, 0.4), (0.4, 0.5)],
        sampling_rate=4,
        method="welch",
        max_frequency=0.5,
        normalize=False,
        window=SEGMENT_S,
    )
    _, _, lf, hf, _ = power.iloc[0]
    return {"HRV_LF": float(lf), "HRV_HF": float(hf)}


def _deviation(ours: pd.Series, theirs: pd.Series) -> float:
    a, b = ours.to_numpy(dtype=np.float64), theirs.to_numpy(dtype=np.float64)
    known = np.isfinite(a) & np.isfinite(b) & (b != 0)
    return float(np.max(np.abs(a[known] / b[known] - 1.0))) if known.any() else float("nan")
