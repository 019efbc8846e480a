"""Quality of pressure per window, from beats and from what the signal holds between them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from physio_hqc.signals._pressure_verdict import INTERVAL_S
from physio_hqc.signals._spans import count_in, covered_time

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


def quality_of_beats(
    beats: pd.DataFrame, present: FloatArray, flat: FloatArray, bounds: FloatArray
) -> pd.DataFrame:
    """Judge windows from beats and stretches alone, without the signal.

    Parameters
    ----------
    beats : DataFrame
        As `detect_pressure_beats` returns them.
    present, flat : ndarray, shape (r, 2) and (q, 2)
        Stretches without missing samples, and stretches in which pressure does not move, in s,
        as `PressureScan` tells them.
    bounds : ndarray, shape (m, 2)
        Onset and offset of the windows in s; all on one clock.

    Returns
    -------
    DataFrame
        As `physio_hqc.signals.pressure_quality` returns it.
    """
    start, stop, valid = _beat_spans(beats)
    stop = np.maximum(np.minimum(stop, _next_missing(present, start)), start)
    length = bounds[:, 1] - bounds[:, 0]

    def share(spans: tuple[FloatArray, FloatArray]) -> FloatArray:
        covered = covered_time(*spans, bounds)
        parts = np.divide(covered, length, out=np.zeros(length.size), where=length > 0)
        return np.clip(parts, 0, 1)

    usable = share((start[valid], stop[valid]))
    systole = beats["systole_s"].to_numpy(dtype=np.float64)
    n_all, n_valid = count_in(systole, bounds), count_in(systole[valid], bounds)
    of_beats = np.divide(n_valid, n_all, out=np.zeros(length.size), where=n_all > 0)
    shares = {
        "missing": np.where(length > 0, 1 - share((present[:, 0], present[:, 1])), 0.0),
        "flat line": share((flat[:, 0], flat[:, 1])),
    }
    return pd.DataFrame(
        {
            "quality": np.minimum(usable, of_beats),
            "usable_share": usable,
            "valid_share": of_beats,
            "n_beats": n_valid,
            "reason": _window_reasons(shares, bounds, beats, n_all, usable),
        }
    )


def on_clock(places_s: ArrayLike, times: FloatArray | None, rate: float) -> FloatArray:
    """Move times counted as sample / sfreq to the clock of the sample times."""
    places = np.asarray(places_s, dtype=np.float64)
    if times is None or times.size == 0:
        return places
    index = places * rate
    moved: FloatArray = np.interp(index, np.arange(times.size), times)
    # The end of the last sample lies one sample after it.
    return moved + np.maximum(index - (times.size - 1), 0) / rate


def _beat_spans(beats: pd.DataFrame) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return start, stop and validity of each beat; a beat without end takes the usual length."""
    start = beats["foot_s"].to_numpy(dtype=np.float64)
    valid = beats["valid"].to_numpy(dtype=bool)
    length = np.append(np.diff(start), np.nan)[: start.size]
    whole = np.isfinite(beats["MAP"].to_numpy(dtype=np.float64)) & (length <= INTERVAL_S[1])
    usual = np.median(length[whole]) if whole.any() else 0.0
    length[~whole] = np.minimum(np.nan_to_num(length[~whole], nan=usual), usual)
    return start, start + length, valid


def _next_missing(present: FloatArray, start: FloatArray) -> FloatArray:
    """Return where the stretch without missing samples ends that each start lies in."""
    if len(present) == 0:
        return start
    at = np.searchsorted(present[:, 0], start, side="right") - 1
    found: FloatArray = present[np.maximum(at, 0), 1]
    return found


def _window_reasons(
    shares: dict[str, FloatArray],
    bounds: FloatArray,
    beats: pd.DataFrame,
    n_all: IntArray,
    usable: FloatArray,
) -> list[str]:
    """Return one text per window: what its signal and its beats lack."""
    systole = beats["systole_s"].to_numpy(dtype=np.float64)
    invalid = ~beats["valid"].to_numpy(dtype=bool)
    causes, code = np.unique(beats["reason"].to_numpy(dtype=str)[invalid], return_inverse=True)
    counts = np.column_stack(
        [count_in(systole[invalid][code == k], bounds) for k in range(causes.size)]
        or [np.zeros(len(bounds), dtype=np.int64)]
    )
    return [
        _reason_text(
            {name: float(share[row]) for name, share in shares.items()},
            dict(zip(causes.tolist(), counts[row].tolist(), strict=False)),
            int(n_all[row]),
            float(usable[row]),
        )
        for row in range(len(bounds))
    ]


def _reason_text(
    shares: dict[str, float], causes: dict[str, int], n_all: int, usable: float
) -> str:
    """Put into words why one window is not fully usable; empty when it is."""
    found = {name: count for name, count in causes.items() if count}
    parts = [f"{100 * shares[k]:.0f} % {k}" for k in ("missing", "flat line") if shares[k] >= 0.005]
    if n_all == 0:
        return "no beats: " + (", ".join(parts) or "no pressure pulse")
    if found:
        ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
        listed = ", ".join(f"{name} ({count})" for name, count in ordered)
        parts.append(f"{sum(found.values())} of {n_all} beats not valid: {listed}")
    if not parts and usable < 0.9:
        parts.append(f"{100 * (1 - usable):.0f} % without a pressure pulse")
    return "; ".join(parts)
