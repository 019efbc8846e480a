"""Blood pressure per window: from beats of continuous pressure, and from cuff readings."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from physio_hqc.errors import SignalError
from physio_hqc.features._baroreflex import PRESSURE_BEATS, pair_pressure_with_intervals
from physio_hqc.features._windows import Reasons, as_windows
from physio_hqc.signals._checks import as_signal, as_table
from physio_hqc.signals._spans import count_in
from physio_hqc.signals.beats import Beats

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_BEAT_COLUMNS = ("foot_s", "systole_s", "SBP", "DBP", "MAP", "PP", "valid")


def blood_pressure(
    pressure_beats: pd.DataFrame,
    windows: ArrayLike | None = None,
    *,
    heart_rate: ArrayLike | None = None,
    beats: Beats | ArrayLike | None = None,
    arrival_limits_ms: tuple[float, float] = (50.0, 600.0),
    mean_beats_min: int = 5,
    sd_beats_min: int = 10,
    invalid_share_max: float = 0.2,
) -> pd.DataFrame:
    """Summarize the valid beats of continuous pressure in each window.

    A beat belongs to the window that its systole falls in. Beats marked not valid are never
    averaged; where they are more than ``invalid_share_max`` of all, the values carry a caution.

    With ``beats`` the rate pressure product is taken beat by beat, SBP times 60 / RR of the
    interval in which the systole occurs, and averaged. Pulse arrival time runs from the R peak
    to the foot of the pulse that it causes, the last R peak that is at least 50 ms before the
    foot; it holds the pre-ejection period and the time that the pulse travels. Beats that
    correction touched do not count.

    Parameters
    ----------
    pressure_beats : DataFrame
        As `physio_hqc.signals.detect_pressure_beats` returns them, times on the clock of
        ``windows``.
    windows : array-like, shape (m, 2), optional
        Onset and offset in s, half-open; default from the first to the last beat.
    heart_rate : array-like, shape (m,), optional
        Heart rate of each window in 1/min; adds ``BP_RPP_Mean``, mean SBP times heart rate,
        unless there are ``beats``.
    beats : Beats or array-like, shape (k,), optional
        Beats of the ECG, or their times in s, on the same clock; adds ``BP_RPP_Mean`` and gives
        the pulse arrival time.
    arrival_limits_ms : tuple of float
        Smallest and largest plausible pulse arrival time in ms.
    mean_beats_min, sd_beats_min : int
        Fewest valid beats for means and for standard deviations.
    invalid_share_max : float
        Share of invalid beats (0 to 1) above which values carry a caution.

    Returns
    -------
    DataFrame
        One row per window: ``BP_SBP_Mean``, ``BP_DBP_Mean``, ``BP_MAP_Mean``, ``BP_PP_Mean``,
        ``BP_SBP_SD``, ``BP_DBP_SD`` (n - 1), all in mmHg, ``BP_N``, ``BP_PAT_Mean``,
        ``BP_PAT_SD`` (ms), ``BP_PAT_N`` and, with ``beats`` or ``heart_rate``, ``BP_RPP_Mean``
        (mmHg/min).

        ``attrs["reasons"]`` maps each column to a list of one text per window: why the value is
        NaN, ``"flag: ..."`` for a caution that it carries, or ``""``.

    Raises
    ------
    SignalError
        If an argument makes no sense.

    References
    ----------
    Shapiro D et al. (1996). Blood pressure publication guidelines. Psychophysiology 33:1-12.
    doi:10.1111/j.1469-8986.1996.tb02103.x
    Gobel FL et al. (1978). The rate-pressure product as an index of myocardial oxygen
    consumption. Circulation 57:549-556. doi:10.1161/01.CIR.57.3.549
    Mukkamala R et al. (2015). Toward ubiquitous blood pressure monitoring via pulse transit
    time. IEEE Trans Biomed Eng 62:1879-1901. doi:10.1109/TBME.2015.2441951

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> time = np.arange(20.0)
    >>> beats = pd.DataFrame({"foot_s": time, "systole_s": time + 0.2, "SBP": 120 + time % 2,
    ...                       "DBP": 80.0, "MAP": 93.0, "PP": 40 + time % 2, "valid": True})
    >>> blood_pressure(beats, [[0, 20]])[["BP_SBP_Mean", "BP_MAP_Mean", "BP_N"]].values.tolist()
    [[120.5, 93.0, 20.0]]
    """
    table = as_table(pressure_beats, _BEAT_COLUMNS, "pressure_beats", source=PRESSURE_BEATS)
    table = table.sort_values("systole_s", kind="stable")
    times = table["systole_s"].to_numpy(dtype=np.float64)
    valid = table["valid"].to_numpy(dtype=bool)
    bounds = as_windows(windows, _span(table["foot_s"].to_numpy(dtype=np.float64), times))
    reasons = Reasons(len(bounds))
    columns: dict[str, FloatArray] = {}
    rate = None if heart_rate is None else _per_window(heart_rate, bounds)
    counts, n_all = count_in(times[valid], bounds), count_in(times, bounds)
    for name in ("SBP", "DBP", "MAP", "PP"):
        values = table[name].to_numpy(dtype=np.float64)
        use = valid & np.isfinite(values)
        mean, sd, n = _moments(times[use], values[use], bounds)
        columns[f"BP_{name}_Mean"] = mean
        _gate(reasons, f"BP_{name}_Mean", n, n_all, mean_beats_min)
        if name in ("SBP", "DBP"):
            columns[f"BP_{name}_SD"] = sd
            _gate(reasons, f"BP_{name}_SD", n, n_all, sd_beats_min)
    if beats is not None:
        columns["BP_RPP_Mean"] = _rate_pressure(beats, table, bounds, mean_beats_min, reasons)
    elif rate is not None:
        columns["BP_RPP_Mean"] = columns["BP_SBP_Mean"] * rate
        _gate(reasons, "BP_RPP_Mean", counts, n_all, mean_beats_min)
        reasons.withhold("BP_RPP_Mean", np.isnan(columns["BP_RPP_Mean"]), "no heart rate")
    columns |= _arrival(
        beats, table, bounds, arrival_limits_ms, mean_beats_min, sd_beats_min, reasons
    )
    share = np.divide(n_all - counts, n_all, out=np.zeros(len(bounds)), where=n_all > 0)
    caution = [
        f"{bad} of {total} beats not valid"
        for bad, total in zip((n_all - counts).tolist(), n_all.tolist(), strict=True)
    ]
    for name in columns.keys() - {"BP_PAT_N"}:
        reasons.flag(name, share > invalid_share_max, caution)
    columns["BP_N"] = counts.astype(np.float64)
    return reasons.frame(columns)


def cuff_pressure(
    readings: pd.DataFrame,
    windows: ArrayLike | None = None,
    *,
    sbp_limits: tuple[float, float] = (60.0, 260.0),
    dbp_limits: tuple[float, float] = (30.0, 160.0),
    pp_min: float = 15.0,
    readings_recommended: int = 2,
) -> pd.DataFrame:
    """Summarize the valid cuff readings in each window.

    A reading is valid when SBP and DBP are numbers within their limits (both included), SBP is
    above DBP and pulse pressure reaches ``pp_min``. What is left out is counted and named in
    the reasons. MAP is taken as the monitor sent it; where it is absent (NaN, 0 or no such
    column) it is computed as (SBP + 2 DBP) / 3, and ``CUFF_MAP_Computed_N`` counts how often.

    Parameters
    ----------
    readings : DataFrame
        Columns ``time_s``, ``SBP``, ``DBP`` (mmHg) and, if there, ``MAP`` (mmHg) and ``HR``
        (1/min); NaN where missing.
    windows : array-like, shape (m, 2), optional
        Onset and offset in s, half-open; default from the first to the last reading.
    sbp_limits, dbp_limits : tuple of float
        Smallest and largest plausible SBP and DBP in mmHg.
    pp_min : float
        Smallest plausible pulse pressure in mmHg.
    readings_recommended : int
        Below this many valid readings the values carry a caution.

    Returns
    -------
    DataFrame
        One row per window: ``CUFF_SBP_Mean``, ``CUFF_DBP_Mean``, ``CUFF_MAP_Mean``,
        ``CUFF_PP_Mean`` (mmHg), ``CUFF_HR_Mean`` (1/min), ``CUFF_RPP_Mean`` (mmHg/min, mean of
        SBP times HR of each reading), ``CUFF_N``, ``CUFF_MAP_Computed_N``.

        ``attrs["reasons"]`` maps each column to a list of one text per window: why the value is
        NaN, ``"flag: ..."`` for a caution that it carries, or ``""``.

    Raises
    ------
    SignalError
        If an argument makes no sense.

    References
    ----------
    Shapiro D et al. (1996). Blood pressure publication guidelines. Psychophysiology 33:1-12.
    doi:10.1111/j.1469-8986.1996.tb02103.x

    Examples
    --------
    >>> import pandas as pd
    >>> readings = pd.DataFrame({"time_s": [10, 70, 130], "SBP": [118, 122, 300],
    ...                          "DBP": [76, 80, 80], "HR": [70, 74, 71]})
    >>> cuff = cuff_pressure(readings, [[0, 180]])
    >>> cuff[["CUFF_SBP_Mean", "CUFF_MAP_Mean", "CUFF_N"]].values.tolist()
    [[120.0, 92.0, 2.0]]
    >>> cuff.attrs["reasons"]["CUFF_SBP_Mean"]
    ['flag: 1 of 3 readings left out: SBP outside 60-260 mmHg (1)']
    """
    table = _readings(readings)
    times = as_signal(table["time_s"], "time_s")
    sbp, dbp = as_signal(table["SBP"], "SBP"), as_signal(table["DBP"], "DBP")
    sent, heart_rate = (_optional(table, name) for name in ("MAP", "HR"))
    bounds = as_windows(windows, _span(times, times))
    faults = _reading_faults(sbp, dbp, sbp_limits, dbp_limits, pp_min)
    valid = ~np.logical_or.reduce(list(faults.values())) & np.isfinite(times)
    absent = ~(sent > 0)
    series = {
        "CUFF_SBP_Mean": sbp,
        "CUFF_DBP_Mean": dbp,
        "CUFF_MAP_Mean": np.where(absent, _computed_map(sbp, dbp), sent),
        "CUFF_PP_Mean": _finite(np.subtract, sbp, dbp),
        "CUFF_HR_Mean": np.where(heart_rate > 0, heart_rate, np.nan),
        "CUFF_RPP_Mean": np.where(heart_rate > 0, _finite(np.multiply, sbp, heart_rate), np.nan),
    }
    reasons = Reasons(len(bounds))
    left_out = _left_out(times, faults, bounds)
    columns: dict[str, FloatArray] = {}
    for name, values in series.items():
        use = valid & np.isfinite(values)
        columns[name], _, n = _moments(times[use], values[use], bounds)
        lacking = "no valid reading" if name not in _NEEDS_HR else "no valid reading with HR"
        reasons.withhold(name, n == 0, [f"{lacking}; {text}".rstrip("; ") for text in left_out])
        reasons.flag(name, np.array([bool(text) for text in left_out], dtype=bool), left_out)
        few = [f"{k} reading, {readings_recommended} recommended" for k in n.tolist()]
        reasons.flag(name, n < readings_recommended, few)
    columns["CUFF_N"] = count_in(times[valid], bounds).astype(np.float64)
    columns["CUFF_MAP_Computed_N"] = count_in(times[valid & absent], bounds).astype(np.float64)
    return reasons.frame(columns)


def _finite(
    operation: Callable[[FloatArray, FloatArray], FloatArray], a: FloatArray, b: FloatArray
) -> FloatArray:
    """Result of an operation; NaN where it leaves the range of numbers, as no reading does."""
    with np.errstate(over="ignore", invalid="ignore"):
        result = operation(a, b)
    return np.where(np.isfinite(result), result, np.nan)


def _computed_map(sbp: FloatArray, dbp: FloatArray) -> FloatArray:
    """Two thirds of the way from SBP down to DBP."""
    return _finite(np.add, sbp / 3, dbp / 3 * 2)


_NEEDS_HR = ("CUFF_HR_Mean", "CUFF_RPP_Mean")


def cuff_readings(
    readings: pd.DataFrame,
    *,
    sbp_limits: tuple[float, float] = (60.0, 260.0),
    dbp_limits: tuple[float, float] = (30.0, 160.0),
    pp_min: float = 15.0,
) -> pd.DataFrame:
    """Judge cuff readings one by one, by the rules of :func:`cuff_pressure`.

    Parameters
    ----------
    readings : DataFrame
        Columns ``time_s``, ``SBP``, ``DBP`` (mmHg) and, if there, ``MAP`` (mmHg) and ``HR``
        (1/min); NaN where missing.
    sbp_limits, dbp_limits : tuple of float
        Smallest and largest plausible SBP and DBP in mmHg.
    pp_min : float
        Smallest plausible pulse pressure in mmHg.

    Returns
    -------
    DataFrame
        One row per reading in ascending time: ``time_s``, ``SBP``, ``DBP``, ``MAP``, ``HR``,
        ``map_computed`` (True where MAP is (SBP + 2 DBP) / 3 because none was sent), ``valid``
        and ``reason``, the rule that an invalid reading breaks.

    Raises
    ------
    SignalError
        If a column is missing or not numeric.

    References
    ----------
    Shapiro D et al. (1996). Blood pressure publication guidelines. Psychophysiology 33:1-12.
    doi:10.1111/j.1469-8986.1996.tb02103.x

    Examples
    --------
    >>> import pandas as pd
    >>> table = cuff_readings(pd.DataFrame({"time_s": [10, 70], "SBP": [118, 300],
    ...                                     "DBP": [76, 80]}))
    >>> table[["MAP", "valid", "reason"]].values.tolist()
    [[90.0, True, ''], [153.33333333333334, False, 'SBP outside 60-260 mmHg']]
    """
    table = _readings(readings)
    times = as_signal(table["time_s"], "time_s")
    sbp, dbp = as_signal(table["SBP"], "SBP"), as_signal(table["DBP"], "DBP")
    sent, heart_rate = (_optional(table, name) for name in ("MAP", "HR"))
    reason = np.full(times.size, "", dtype=object)
    reason[~np.isfinite(times)] = "time missing"
    for text, mask in _reading_faults(sbp, dbp, sbp_limits, dbp_limits, pp_min).items():
        reason[mask & (reason == "")] = text
    absent = ~(sent > 0)
    return pd.DataFrame(
        {
            "time_s": times,
            "SBP": sbp,
            "DBP": dbp,
            "MAP": np.where(absent, _computed_map(sbp, dbp), sent),
            "HR": np.where(heart_rate > 0, heart_rate, np.nan),
            "map_computed": absent,
            "valid": reason == "",
            "reason": reason,
        }
    )


def _rate_pressure(
    beats: Beats | ArrayLike,
    table: pd.DataFrame,
    bounds: FloatArray,
    least: int,
    reasons: Reasons,
) -> FloatArray:
    """Return the mean over the beats of SBP times 60 / RR."""
    times, sbp, rr = pair_pressure_with_intervals(beats, table)
    product = sbp * 60_000 / rr
    use = np.isfinite(product)
    mean, _, n = _moments(times[: rr.size][use], product[use], bounds)
    texts = [f"{k} RR intervals with a valid pressure beat, needs {least}" for k in n.tolist()]
    reasons.withhold("BP_RPP_Mean", n < least, texts)
    return mean


def _arrival(
    beats: Beats | ArrayLike | None,
    table: pd.DataFrame,
    bounds: FloatArray,
    limits_ms: tuple[float, float],
    mean_least: int,
    sd_least: int,
    reasons: Reasons,
) -> dict[str, FloatArray]:
    """Return mean, standard deviation and number of the pulse arrival times."""
    names = ("BP_PAT_Mean", "BP_PAT_SD")
    if beats is None:
        for name in names:
            reasons.withhold(name, True, "no R peaks of an ECG")
        nothing = np.full(len(bounds), np.nan)
        return dict.fromkeys(names, nothing) | {"BP_PAT_N": np.zeros(len(bounds))}
    at, arrival = pulse_arrival(beats, table, limits_ms=limits_ms)
    mean, sd, n = _moments(at, arrival, bounds)
    for name, least in zip(names, (mean_least, sd_least), strict=True):
        texts = [
            f"{k} valid pulses with an R peak {limits_ms[0]:g}-{limits_ms[1]:g} ms before, "
            f"needs {least}"
            for k in n.tolist()
        ]
        reasons.withhold(name, n < least, texts)
    return {"BP_PAT_Mean": mean, "BP_PAT_SD": sd, "BP_PAT_N": n.astype(np.float64)}


def pulse_arrival(
    beats: Beats | ArrayLike,
    pressure_beats: pd.DataFrame,
    *,
    limits_ms: tuple[float, float] = (50.0, 600.0),
) -> tuple[FloatArray, FloatArray]:
    """Return the pulse arrival time of every valid pressure beat that an R peak causes.

    Parameters
    ----------
    beats : Beats or array-like, shape (k,)
        Beats of the ECG, or their times in s. Beats that correction touched do not count.
    pressure_beats : DataFrame
        With the columns ``foot_s``, ``systole_s``, ``valid``; ascending.
    limits_ms : tuple of float
        Smallest and largest plausible arrival time in ms.

    Returns
    -------
    systole_s : ndarray, shape (j,)
        When those pulses peak.
    arrival_ms : ndarray, shape (j,)
        From R peak to foot.

    Raises
    ------
    SignalError
        If an argument makes no sense.

    Examples
    --------
    >>> pulses = pd.DataFrame({"foot_s": [0.25, 1.26], "systole_s": [0.4, 1.4], "valid": True})
    >>> pulse_arrival([0.0, 1.0, 2.0], pulses)[1].round().tolist()
    [250.0, 260.0]
    """
    if not 0 <= limits_ms[0] < limits_ms[1]:
        raise SignalError(f"arrival_limits_ms is {limits_ms!r}: use (smallest, largest) in ms")
    peaks, normal = _r_peaks(beats)
    needed = ("foot_s", "systole_s", "valid")
    table = as_table(pressure_beats, needed, "pressure_beats", source=PRESSURE_BEATS)
    valid = table["valid"].to_numpy()
    foot, systole = table["foot_s"].to_numpy()[valid], table["systole_s"].to_numpy()[valid]
    if peaks.size == 0 or foot.size == 0:
        return np.empty(0), np.empty(0)
    cause = np.searchsorted(peaks, foot - limits_ms[0] / 1000, side="right") - 1
    arrival = (foot - peaks[np.maximum(cause, 0)]) * 1000
    use = (cause >= 0) & normal[np.maximum(cause, 0)] & (arrival <= limits_ms[1])
    # An R peak causes one pulse, the first that follows.
    use[1:] &= cause[1:] != cause[:-1]
    return systole[use], arrival[use]


def _r_peaks(beats: Beats | ArrayLike) -> tuple[FloatArray, BoolArray]:
    """Return times of the beats in s, and which of them are as they were detected."""
    if isinstance(beats, Beats):
        return beats.times_s, np.asarray(beats.kind == "normal")
    times = as_signal(beats, "beats")
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise SignalError("beats must be finite, strictly ascending times in s")
    return times, np.ones(times.size, dtype=bool)


def _readings(readings: pd.DataFrame) -> pd.DataFrame:
    """Return cuff readings in the order of time."""
    table = as_table(
        readings,
        ("time_s", "SBP", "DBP"),
        "readings",
        source="a table with time_s, SBP, DBP and, where there are, MAP and HR",
        optional=("MAP", "HR"),
    )
    return table.sort_values("time_s", kind="stable", ignore_index=True)


def _optional(table: pd.DataFrame, name: str) -> FloatArray:
    """Return a column as floats, all NaN when the table does not have it."""
    if name not in table.columns:
        return np.full(len(table), np.nan)
    return as_signal(table[name], name)


def _span(start: FloatArray, stop: FloatArray) -> tuple[float, float]:
    """Return the window that holds all of ascending times; (0, 0) when there are none."""
    if start.size == 0 or not np.isfinite(start).any():
        return 0.0, 0.0
    return float(np.nanmin(start)), float(np.nextafter(np.nanmax(stop), np.inf))


def _per_window(values: ArrayLike, bounds: FloatArray) -> FloatArray:
    """Return one value per window; raise `SignalError` when the number differs."""
    array = as_signal([values] if isinstance(values, Real) else values, "heart_rate")
    if array.size != len(bounds):
        raise SignalError(
            f"heart_rate has {array.size} values for {len(bounds)} windows: pass one per window"
        )
    return array


def _moments(
    times: FloatArray, values: FloatArray, bounds: FloatArray
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return mean, standard deviation (n - 1) and number of the values in each window."""
    edges = np.searchsorted(times, bounds, side="left")
    counts: IntArray = (edges[:, 1] - edges[:, 0]).astype(np.int64)
    # Sums of centered values, so that little is lost in their difference.
    center = values.mean() if values.size else 0.0
    sums = np.concatenate(([0.0], np.cumsum(values - center)))
    squares = np.concatenate(([0.0], np.cumsum((values - center) ** 2)))
    total = sums[edges[:, 1]] - sums[edges[:, 0]]
    square = squares[edges[:, 1]] - squares[edges[:, 0]]
    nothing = np.full(len(bounds), np.nan)
    mean = np.divide(total, counts, out=nothing.copy(), where=counts > 0)
    spread = np.maximum(square - total * np.where(counts > 0, mean, 0.0), 0.0)
    variance = np.divide(spread, counts - 1, out=nothing, where=counts > 1)
    return mean + center, np.sqrt(variance), counts


def _gate(reasons: Reasons, column: str, n: IntArray, n_all: IntArray, least: int) -> None:
    """Withhold a column where fewer than ``least`` beats are valid."""
    texts = [
        f"{good} valid beats of {total}, needs {least}"
        for good, total in zip(n.tolist(), n_all.tolist(), strict=True)
    ]
    reasons.withhold(column, n < least, texts)


def _reading_faults(
    sbp: FloatArray,
    dbp: FloatArray,
    sbp_limits: tuple[float, float],
    dbp_limits: tuple[float, float],
    pp_min: float,
) -> dict[str, BoolArray]:
    """Return per rule which readings break it; a reading is named under its first fault only."""
    rules: dict[str, BoolArray] = {
        "SBP or DBP missing": np.isnan(sbp) | np.isnan(dbp),
        f"SBP outside {sbp_limits[0]:g}-{sbp_limits[1]:g} mmHg": ~(
            (sbp >= sbp_limits[0]) & (sbp <= sbp_limits[1])
        ),
        f"DBP outside {dbp_limits[0]:g}-{dbp_limits[1]:g} mmHg": ~(
            (dbp >= dbp_limits[0]) & (dbp <= dbp_limits[1])
        ),
        "SBP not above DBP": ~(sbp > dbp),
        f"pulse pressure under {pp_min:g} mmHg": ~(_finite(np.subtract, sbp, dbp) >= pp_min),
    }
    known = np.zeros(sbp.size, dtype=bool)
    for name, mask in rules.items():
        rules[name] = mask & ~known
        known |= mask
    return rules


def _left_out(times: FloatArray, faults: dict[str, BoolArray], bounds: FloatArray) -> list[str]:
    """Return one text per window that names the readings left out; empty when none."""
    n_all = count_in(times, bounds)
    counts = {name: count_in(times[mask], bounds) for name, mask in faults.items()}
    texts = []
    for row, total in enumerate(n_all.tolist()):
        found = {name: int(count[row]) for name, count in counts.items() if count[row]}
        listed = ", ".join(f"{name} ({count})" for name, count in found.items())
        bad = sum(found.values())
        texts.append(f"{bad} of {total} readings left out: {listed}" if found else "")
    return texts
