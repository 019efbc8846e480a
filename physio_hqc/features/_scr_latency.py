"""Responses to tagged events: latency and size."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from physio_hqc.errors import SignalError
from physio_hqc.features._artifacts import as_stretches, touches
from physio_hqc.features._windows import Reasons
from physio_hqc.signals._checks import as_signal, as_table

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_NEEDED = ("onset_s", "amplitude", "rise_time_s")


def scr_latency(
    scrs: pd.DataFrame,
    events_s: ArrayLike,
    *,
    window: tuple[float, float] = (1.0, 4.0),
    artifacts: pd.DataFrame | ArrayLike | None = None,
    span: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Find the skin conductance response that each event evoked.

    A response belongs to an event when it begins in the latency window after it; the first one
    does. Boucsein et al. (2012) give 1 to 3 s or 1 to 4 s after the onset of a stimulus: what
    begins earlier cannot be due to it, what begins later is counted as spontaneous.

    Parameters
    ----------
    scrs : DataFrame
        As `physio_hqc.signals.detect_scrs` returns them, times on the clock of ``events_s``.
    events_s : array-like, shape (m,)
        Times of the events in s, in any order; NaN where an event has none.
    window : tuple of float
        Earliest and latest begin of a response after its event, in s; both included.
    artifacts : DataFrame or array-like, shape (k, 2), optional
        Stretches in which responses cannot be told, as `physio_hqc.signals.eda_artifacts` returns
        them. An event whose latency window meets one and that has no response gets that reason.
    span : tuple of float, optional
        Begin and end of the recording in s; events whose latency window is not inside get that
        reason.

    Returns
    -------
    DataFrame
        One row per event: ``SCR_Latency`` (s, from the event to the onset of the response),
        ``SCR_Amplitude`` (µS), ``SCR_RiseTime`` (s). NaN where there is no response: an amplitude
        of 0 in its place makes a magnitude of it, which is for the analyst to choose.

        ``attrs["reasons"]`` maps each column to a list of one text per event: why the value is
        NaN, ``"flag: ..."`` for a caution that it carries, or ``""``.

    Raises
    ------
    SignalError
        If an argument makes no sense.

    References
    ----------
    Boucsein W et al. (2012). Publication recommendations for electrodermal measurements.
    Psychophysiology 49:1017-1034. doi:10.1111/j.1469-8986.2012.01384.x

    Examples
    --------
    >>> import pandas as pd
    >>> scrs = pd.DataFrame(
    ...     {"onset_s": [11.5, 30.0], "amplitude": [0.2, 0.1], "rise_time_s": [1.1, 1.2]}
    ... )
    >>> table = scr_latency(scrs, [10.0, 29.5])
    >>> table["SCR_Latency"].tolist()
    [1.5, nan]
    >>> table.attrs["reasons"]["SCR_Latency"]
    ['', 'no SCR begins 1 to 4 s after the event']
    """
    earliest, latest = _checked_window(window)
    events = as_signal(events_s, "events_s")
    onsets, amplitudes, rises = _responses(scrs)
    first = np.searchsorted(onsets, events + earliest, side="left")
    found = np.append(onsets, np.nan)[first]
    with np.errstate(invalid="ignore"):
        answered = found <= events + latest
    taken = np.where(answered, first, onsets.size)
    columns = {
        "SCR_Latency": np.where(answered, found - events, np.nan),
        "SCR_Amplitude": np.append(amplitudes, np.nan)[taken],
        "SCR_RiseTime": np.append(rises, np.nan)[taken],
    }
    reasons = Reasons(events.size)
    for name in columns:
        reasons.withhold(name, np.isnan(events), "the event has no time")
        if span is not None:
            with np.errstate(invalid="ignore"):
                outside = (events + earliest < span[0]) | (events + latest > span[1])
            reasons.withhold(name, outside & ~answered, "not recorded in the latency window")
        disturbed = touches(as_stretches(artifacts), events + earliest, events + latest)
        reasons.withhold(name, disturbed & ~answered, "artifact in the latency window")
        text = f"no SCR begins {earliest:g} to {latest:g} s after the event"
        reasons.withhold(name, ~answered, text)
        reasons.flag(name, _shared(taken, onsets.size), "the SCR follows another event, too")
    reasons.withhold("SCR_RiseTime", np.isnan(columns["SCR_RiseTime"]), "no peak of its own")
    return reasons.frame(columns)


def _checked_window(window: tuple[float, float]) -> tuple[float, float]:
    """Return the latency window; raise `SignalError` unless it is two ascending times."""
    try:
        earliest, latest = (float(limit) for limit in window)
    except (TypeError, ValueError) as error:
        raise SignalError(f"window is {window!r}: pass earliest and latest latency in s") from error
    if not (np.isfinite([earliest, latest]).all() and 0 <= earliest <= latest):
        raise SignalError(f"window is {earliest:g} to {latest:g} s: use 0 <= earliest <= latest")
    return earliest, latest


def _responses(scrs: pd.DataFrame) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return onsets, amplitudes and rise times in the order of onsets."""
    table = as_table(scrs, _NEEDED, "scrs", source="what detect_scrs returns")
    onsets, amplitudes, rises = (table[name].to_numpy() for name in _NEEDED)
    order = np.argsort(onsets, kind="stable")[: np.count_nonzero(np.isfinite(onsets))]
    return onsets[order], amplitudes[order], rises[order]


def _shared(taken: IntArray, none: int) -> NDArray[np.bool_]:
    """Tell which events have their response in common with another."""
    counts = np.bincount(taken, minlength=none + 1)
    counts[none] = 0
    return np.asarray(counts[taken] > 1)
