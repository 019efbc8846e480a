"""Breaths of a simulated participant, and breathing of any given breaths."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from physio_hqc.errors import SignalError
from physio_hqc.simulate._courses import FloatArray
from physio_hqc.simulate.truth import SimulatedTruth

# sin(2 pi cycles) is the chest: lowest at three quarters of a cycle, highest at one quarter.
_LOWEST, _HIGHEST = 0.75, 1.25


def true_breaths(truth: SimulatedTruth) -> pd.DataFrame:
    """Return every whole breath of a simulated participant.

    Parameters
    ----------
    truth : SimulatedTruth

    Returns
    -------
    DataFrame
        One row per breath that begins and ends within the session: ``inhale_s``, ``exhale_s``,
        ``end_s`` (start of inspiration, start of expiration, start of the next breath, s), and
        ``swing_ms``: by how much breathing alone lengthens the longest interval that begins in
        the breath against the shortest; NaN for breaths with fewer than two beats.

    Examples
    --------
    >>> from physio_hqc.simulate import simulate_truth, true_breaths
    >>> truth = simulate_truth(seed=1, time_scale=0.1)
    >>> breaths = true_breaths(truth)
    >>> bool((breaths["exhale_s"] > breaths["inhale_s"]).all() and (breaths["swing_ms"] > 0).all())
    True
    """
    breaths = breath_table(truth.grid_s, truth.breath_cycles, truth.beat_times_s, truth.breath_rr_s)
    return breaths[breaths["end_s"] <= truth.duration_s].reset_index(drop=True)


def breath_table(
    grid_s: FloatArray, cycles: FloatArray, beats: FloatArray, breath_rr_s: FloatArray
) -> pd.DataFrame:
    """Return the breaths of a course of breathing and how far each swings the intervals."""
    lowest = np.arange(np.ceil(cycles[0] - _LOWEST), cycles[-1] - _LOWEST - 1) + _LOWEST
    inhale, exhale, end = (
        np.interp(at, cycles, grid_s) for at in (lowest, lowest + _HIGHEST - _LOWEST, lowest + 1)
    )
    first, stop = np.searchsorted(beats, inhale), np.searchsorted(beats, end)
    swing = np.full(lowest.size, np.nan)
    some = stop - first > 1
    if some.any():
        edges = np.column_stack([first, stop])[some].ravel()
        padded = np.append(breath_rr_s, np.nan)
        highest, shortest = (pick.reduceat(padded, edges)[::2] for pick in (np.fmax, np.fmin))
        swing[some] = 1000.0 * (highest - shortest)
    return pd.DataFrame({"inhale_s": inhale, "exhale_s": exhale, "end_s": end, "swing_ms": swing})


def breathing_waveform(
    times_s: ArrayLike,
    inhale_s: ArrayLike,
    exhale_s: ArrayLike,
    rest_s: ArrayLike,
    depth: ArrayLike = 1.0,
) -> FloatArray:
    """Render the chest movement of given breaths: sighs, pauses and any rhythm.

    From the start of inspiration the chest rises along half a cosine to ``depth``, falls from the
    start of expiration, fast at first, and rests at 0 from ``rest_s`` until the next breath.

    Parameters
    ----------
    times_s : array-like, shape (n,)
        Sample times, s.
    inhale_s, exhale_s, rest_s : array-like, shape (b,)
        Start of inspiration, start and end of expiration of each breath, s; ascending from
        breath to breath.
    depth : float or array-like, shape (b,)
        Size of each breath.

    Returns
    -------
    ndarray, shape (n,)
        In the unit of ``depth``; 0 before the first breath.

    Raises
    ------
    SignalError
        If the times of the breaths do not ascend.

    Examples
    --------
    >>> import numpy as np
    >>> chest = breathing_waveform(np.arange(0, 8, 0.5), [1, 5], [2.5, 6.5], [4, 8], [1.0, 2.0])
    >>> chest[[2, 5, 8, 13]].round(2).tolist()
    [0.0, 1.0, 0.0, 2.0]
    """
    times = np.asarray(times_s, dtype=np.float64)
    inhale, exhale, rest = (
        np.asarray(edge, dtype=np.float64) for edge in (inhale_s, exhale_s, rest_s)
    )
    if not inhale.shape == exhale.shape == rest.shape or inhale.ndim != 1:
        raise SignalError("inhale_s, exhale_s and rest_s must have one value per breath.")
    order = np.column_stack([inhale, exhale, rest]).ravel()
    steps = np.diff(order)
    if (steps < 0).any() or (exhale <= inhale).any() or (rest <= exhale).any():
        raise SignalError("the times of the breaths must ascend from breath to breath.")
    if not inhale.size:
        return np.zeros_like(times)
    size = np.broadcast_to(np.asarray(depth, dtype=np.float64), inhale.shape)
    breath = np.searchsorted(inhale, times, side="right") - 1
    at = np.maximum(breath, 0)
    risen = np.clip((times - inhale[at]) / (exhale - inhale)[at], 0.0, 1.0)
    fallen = np.clip((times - exhale[at]) / (rest - exhale)[at], 0.0, 1.0)
    shape = 0.5 - 0.5 * np.cos(np.pi * (risen - fallen**0.8))
    return np.where(breath >= 0, shape * size[at], 0.0)
