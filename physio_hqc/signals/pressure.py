"""Continuous arterial pressure: beats with systole, foot, diastole and mean, and quality."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from physio_hqc.errors import SignalError
from physio_hqc.signals._checks import as_table, as_times, as_window_array, check_sfreq
from physio_hqc.signals._pressure_quality import on_clock, quality_of_beats
from physio_hqc.signals._pressure_scan import PressureScan
from physio_hqc.signals._pressure_verdict import BEAT_COLUMNS

__all__ = ["detect_pressure_beats", "pressure_quality"]

FloatArray = NDArray[np.float64]


def detect_pressure_beats(
    pressure: ArrayLike,
    sfreq: float,
    *,
    sbp_limits: tuple[float, float] = (50.0, 280.0),
    dbp_limits: tuple[float, float] = (20.0, 180.0),
    pp_min: float = 15.0,
) -> pd.DataFrame:
    """Find the beats of continuous arterial pressure and measure each of them.

    Upstrokes are found with the slope sum function of Zong et al. (2003): the sum of the rises
    within 128 ms, compared with the local height of the pulses. A small rise shortly after a
    beat is its dicrotic wave where most beats have one at that delay, and a weak or early beat
    elsewhere (premature beats, alternans, atrial fibrillation). Without the ECG the two cannot
    be told apart when every second beat is so weak and early that it looks like such a wave
    (bigeminy), and a premature beat that ejects nothing has no pulse to be found. SBP is the
    maximum after the upstroke, DBP the minimum (foot) before it, both on a signal smoothed by a
    cubic over 50 ms, with a parabola through the highest samples. The foot time is where the
    tangent of the steepest rise meets the diastolic level (Chiu et al., 1991). MAP is the area
    from foot to foot over its duration, PP is SBP - DBP. Spikes of up to 16 ms are taken out
    first.

    Beats that are no blood pressure stay in the table, marked ``valid = False`` with a reason:
    outside plausible limits, held at the limit of the converter (flush, clipping), on or beside
    a line that does not move (zeroing, calibration pause, open line), rising or falling faster
    than pressure can (flush, disconnection), going up and down within the beat (movement),
    leaping away from the beats around, or damped (a slow upstroke in beat after beat, or pulse
    pressure down to half at an unchanged mean). The limits on single beats follow the idea of
    Sun et al. (2006); a single beat may lie up to 10 mmHg beyond them where the beats around
    lie inside. Missing samples (NaN) end a stretch; each stretch of a second and more is
    searched alone. Time and memory are proportional to the length; only the beats are kept.

    Parameters
    ----------
    pressure : array-like, shape (n,)
        Arterial pressure in mmHg; NaN where missing.
    sfreq : float
        Sampling rate in Hz, best 60 and more.
    sbp_limits, dbp_limits : tuple of float
        Smallest and largest plausible SBP and DBP in mmHg.
    pp_min : float
        Smallest plausible pulse pressure in mmHg.

    Returns
    -------
    DataFrame
        One row per beat: ``foot_s``, ``systole_s`` (sample / sfreq), ``SBP``, ``DBP``, ``MAP``,
        ``PP`` (mmHg), ``valid`` (bool), ``reason`` (why not valid; or, on a valid beat, a
        caution that starts with "flag: ": no end before a gap and therefore NaN as MAP, a spike
        taken out).

    Raises
    ------
    SignalError
        If an argument makes no sense.

    References
    ----------
    Zong W, Heldt T, Moody GB, Mark RG (2003). An open-source algorithm to detect onset of
    arterial blood pressure pulses. Comput Cardiol 30:259-262. doi:10.1109/CIC.2003.1291140
    Chiu YC, Arand PW, Shroff SG, Feldman T, Carroll JD (1991). Determination of pulse wave
    velocities with computerized algorithms. Am Heart J 121:1460-1470.
    doi:10.1016/0002-8703(91)90153-9
    Sun JX, Reisner AT, Mark RG (2006). A signal abnormality index for arterial blood pressure
    waveforms. Comput Cardiol 33:13-16.

    Examples
    --------
    >>> import numpy as np
    >>> phase = np.arange(0, 10, 0.01) % 1.0
    >>> beats = detect_pressure_beats(80 + 40 * np.exp(-(((phase - 0.3) / 0.1) ** 2)), 100)
    >>> len(beats), beats["SBP"].round().unique().tolist(), beats["DBP"].round().unique().tolist()
    (10, [120.0], [80.0])
    """
    _check_limits(sbp_limits, "sbp_limits")
    _check_limits(dbp_limits, "dbp_limits")
    scan = PressureScan(sfreq, sbp_limits=sbp_limits, dbp_limits=dbp_limits, pp_min=pp_min)
    scan.feed(pressure)
    return scan.finish()


def pressure_quality(
    pressure: ArrayLike,
    sfreq: float,
    windows: ArrayLike | None = None,
    *,
    beats: pd.DataFrame | None = None,
    times_s: ArrayLike | None = None,
) -> pd.DataFrame:
    """Tell per window how much of it is covered by valid pressure beats, and why not the rest.

    Parameters
    ----------
    pressure : array-like, shape (n,)
        Arterial pressure in mmHg; NaN where missing.
    sfreq : float
        Sampling rate in Hz.
    windows : array-like, shape (m, 2), optional
        Onset and offset in s, half-open; default the whole signal.
    beats : DataFrame, optional
        Beats as `detect_pressure_beats` returns them, with times on the clock of ``windows``;
        default: detected here.
    times_s : array-like, shape (n,), optional
        Time of each sample in s, default sample / sfreq.

    Returns
    -------
    DataFrame
        One row per window: ``quality`` (0 to 1, the smaller of the two shares that follow),
        ``usable_share`` (share of the window's time inside valid beats, foot to foot),
        ``valid_share`` (share of its beats that are valid), ``n_beats`` (valid beats) and
        ``reason`` (what is missing, in words; empty when nothing is).

    Raises
    ------
    SignalError
        If an argument makes no sense.

    Examples
    --------
    >>> import numpy as np
    >>> phase = np.arange(0, 20, 0.01) % 1.0
    >>> signal = 80 + 40 * np.exp(-(((phase - 0.3) / 0.1) ** 2))
    >>> signal[1000:] = 0.0
    >>> pressure_quality(signal, 100, [[1, 9], [12, 20]])[["n_beats", "reason"]].values.tolist()
    [[8, ''], [0, 'no beats: 100 % flat line']]
    """
    rate = check_sfreq(sfreq)
    scan = PressureScan(rate, search=beats is None)
    scan.feed(pressure)
    found = scan.finish()
    times = None if times_s is None else as_times(times_s, scan.n_samples, rate)
    present, flat = (on_clock(span, times, rate) for span in (scan.present_s, scan.flat_s))
    if beats is None:
        moved = {name: on_clock(found[name], times, rate) for name in ("foot_s", "systole_s")}
        table = found.assign(**moved)
    else:
        table = _checked_beats(beats)
    ends = on_clock(np.array([0.0, scan.n_samples / rate]), times, rate)
    bounds = as_window_array(windows, (float(ends[0]), float(ends[1])))
    return quality_of_beats(table, present, flat, bounds)


def _check_limits(limits: tuple[float, float], name: str) -> None:
    """Raise `SignalError` unless ``limits`` are two ascending numbers."""
    if len(limits) != 2 or not limits[0] < limits[1]:
        raise SignalError(f"{name} is {limits!r}: use (smallest, largest) in mmHg")


def _checked_beats(beats: pd.DataFrame) -> pd.DataFrame:
    """Return beats with plain types; raise `SignalError` unless they have all columns."""
    numbers = [name for name in BEAT_COLUMNS if name != "reason"]
    source = "what detect_pressure_beats returns"
    table = as_table(beats, numbers, "beats", source=source)
    if "reason" not in beats.columns:
        raise SignalError(f"beats lacks the columns ['reason']: pass {source}")
    return table.assign(reason=beats["reason"].astype(object).fillna("").to_numpy())
