"""The same numbers in any array or table that research code holds them in; nothing is changed.

`CASES` has an entry for every public function of the rooms that take arrays: a new function
without one fails here.
"""

import copy
import inspect

import numpy as np
import pandas as pd
import pytest

from physio_hqc import features, reactivity, signals
from physio_hqc.errors import SignalError, StudyError

RNG = np.random.default_rng(7)
SFREQ = 100.0
N = 18_000
WINDOWS = np.array([[0.0, 90.0], [90.0, 180.0], [20.0, 170.0]])
# Whole numbers of milliseconds as float32 have: what is exact in every type stays the same number.
TIMES = np.cumsum(np.round((0.8 + 0.05 * np.sin(np.arange(220) / 2.5)) * 64) / 64)


def eighths(x):
    """Round to what float32 holds exactly, so that a narrower type is the same number."""
    return np.round(np.asarray(x) * 1024) / 1024


def pulses(width_s, low, high, at_s, swing=0.0):
    """One pulse after each beat."""
    t = np.arange(N) / SFREQ
    since = t - np.append(0.0, TIMES)[np.searchsorted(TIMES, t, side="right")]
    beat = np.searchsorted(TIMES, t, side="right")
    size = 1 + swing * np.sin(beat / 2.5)
    return eighths(low + (high - low) * size * np.exp(-(((since - at_s) / width_s) ** 2)))


ECG = eighths(pulses(0.012, 0.0, 1.0, at_s=0.02) + 0.01 * RNG.standard_normal(N))
PRESSURE = pulses(0.12, 80.0, 122.0, at_s=0.4, swing=0.2)
BREATHING = eighths(np.sin(2 * np.pi * 0.25 * np.arange(N) / SFREQ))
EDA_RATE = 20.0
STARTS = np.arange(5.0, 175.0, 12.0)
EDA_T = np.arange(0, 180, 1 / EDA_RATE) - STARTS[:, None]
PHASIC = eighths(
    0.4 * np.where(EDA_T > 0, np.exp(-EDA_T.clip(0) / 3) - np.exp(-EDA_T.clip(0)), 0).sum(axis=0)
)
TONIC = eighths(np.linspace(4.0, 5.0, PHASIC.size))
OFF_SCALE = np.where(np.arange(TONIC.size) // 40 == 50, 70.0, TONIC)

BEATS = signals.detect_pressure_beats(PRESSURE, SFREQ)
BREATHS = signals.detect_breaths(BREATHING, SFREQ)
COURSE = signals.ecg_respiration(TIMES)
SCRS = signals.detect_scrs(PHASIC, EDA_RATE)
READINGS = pd.DataFrame(
    {
        "time_s": [10.0, 80.0, 100.0, 150.0],
        "SBP": [120.0, 125.0, 300.0, 130.0],
        "DBP": [80.0, 82.0, 85.0, np.nan],
        "MAP": [93.0, np.nan, 100.0, 99.0],
        "HR": [70.0, 72.0, 71.0, 75.0],
    }
)
ARTIFACTS = pd.DataFrame({"onset_s": [60.0, 20.0], "offset_s": [70.0, 26.0], "reason": ["a", "b"]})
MINUTES = np.arange(11.0)
FALLING = np.array([140, 136, 132, 128, 125, 123, 122, 121.5, 121, 120.5, 120])
NO_ARRAYS = {
    # They take names, definitions and whole tidy tables; their own tests are in tests/reactivity.
    *("allostatic_dictionary", "recovery_dictionary", "load_proxy"),
}
TIDY = pd.DataFrame(
    [
        (f"s{i}", f"p{i}", "c", w, "phase", on, 60.0, name, "u", 100.0 + 7 * i * j + k, 1.0, "")
        for i in range(7)
        for j, (w, on) in enumerate([("baseline", 0.0), ("speech", 60.0), ("recovery", 120.0)])
        for k, name in enumerate(["CUFF_SBP_Mean", "CUFF_HR_Mean", "ECG_Rate_Mean", "BP_SBP_Mean"])
    ],
    columns=[
        *("session", "participant", "condition", "window", "kind", "onset", "duration", "feature"),
        *("unit", "value", "quality", "reason"),
    ],
)
PLACES = pd.DataFrame(
    [
        (f"s{i}", w, "phase", w, on, 60.0, w, role, w == "speech")
        for i in range(7)
        for w, on, role in [
            ("baseline", 0.0, "baseline"),
            ("speech", 60.0, "task"),
            ("recovery", 120.0, "recovery"),
        ]
    ],
    columns=[
        *("session", "window", "kind", "label", "onset", "duration", "phase", "role", "speech"),
    ],
)
SLIDING = pd.concat(
    [
        TIDY,
        *(
            TIDY[(TIDY["window"] == w) & (TIDY["feature"] == "BP_SBP_Mean")].assign(
                window=f"{w}_slide_{n:03d}",
                kind="sliding",
                duration=10.0,
                onset=lambda t, n=n: t["onset"] + 10 * n,
                value=lambda t, n=n: t["value"] + np.sin(n),
            )
            for w in ("baseline", "speech", "recovery")
            for n in range(6)
        ),
    ],
    ignore_index=True,
)
COURSES = reactivity.feature_courses(SLIDING, PLACES)
SCORES = reactivity.reactivity_scores(TIDY, courses=COURSES)
RECOVERY = reactivity.recovery_scores(SCORES, COURSES, windows=PLACES)
VALUES = reactivity.proxy_values("session", SLIDING, RECOVERY)
PROXY = reactivity.allostatic_proxy(VALUES, n_boot=0)
PROXY.attrs.clear()
PEOPLE = pd.DataFrame({"id": [f"p{i}" for i in range(7)], "condition": list("aaabbbb")})

# Name: the arrays and tables it takes, then the other arguments.
CASES = {
    features.hrv: ({"beats": TIMES, "windows": WINDOWS}, {}),
    features.hrv_time: ({"beats": TIMES, "windows": WINDOWS}, {}),
    features.hrv_frequency: ({"beats": TIMES, "windows": WINDOWS}, {}),
    features.hrv_nonlinear: ({"beats": TIMES, "windows": WINDOWS}, {}),
    features.rsa: ({"beats": TIMES, "windows": WINDOWS, "breaths": BREATHS}, {}),
    features.respiration: ({"breaths": BREATHS, "windows": WINDOWS}, {}),
    features.breathing_in_band: ({"breaths": COURSE, "windows": WINDOWS}, {}),
    features.blood_pressure: (
        {"pressure_beats": BEATS, "windows": WINDOWS, "beats": TIMES, "heart_rate": np.ones(3)},
        {},
    ),
    features.cuff_pressure: ({"readings": READINGS, "windows": WINDOWS}, {}),
    features.cuff_readings: ({"readings": READINGS}, {}),
    features.pulse_arrival: ({"beats": TIMES, "pressure_beats": BEATS}, {}),
    features.baroreflex: ({"beats": TIMES, "pressure_beats": BEATS, "windows": WINDOWS}, {}),
    features.baroreflex_sequences: (
        {"sbp": eighths(BEATS["SBP"][:200]), "rr_ms": np.diff(TIMES)[:200] * 1000},
        {},
    ),
    features.pair_pressure_with_intervals: ({"beats": TIMES, "pressure_beats": BEATS}, {}),
    features.eda: (
        {
            "tonic": TONIC,
            "phasic": PHASIC,
            "windows": WINDOWS,
            "scrs": SCRS,
            "times_s": np.arange(PHASIC.size) / 16,
            "artifacts": ARTIFACTS,
        },
        {"sfreq": EDA_RATE},
    ),
    features.scr_latency: (
        {"scrs": SCRS, "events_s": np.append(STARTS, np.nan), "artifacts": ARTIFACTS},
        {},
    ),
    signals.clean_ecg: ({"ecg": ECG}, {"sfreq": SFREQ}),
    signals.detect_r_peaks: ({"ecg": ECG}, {"sfreq": SFREQ}),
    signals.ecg_quality: ({"ecg": ECG, "windows": WINDOWS}, {"sfreq": SFREQ}),
    signals.r_wave_heights: ({"ecg": ECG, "peaks": TIMES * 100}, {"sfreq": SFREQ}),
    signals.correct_beats: ({"peak_times_s": TIMES, "gaps": np.array([[40.5, 42.0]])}, {}),
    signals.ecg_respiration: ({"beats": TIMES, "r_heights": np.sin(TIMES)}, {}),
    signals.clean_respiration: ({"resp": BREATHING}, {"sfreq": SFREQ}),
    signals.detect_breaths: ({"resp": BREATHING}, {"sfreq": SFREQ}),
    signals.detect_pressure_beats: ({"pressure": PRESSURE}, {"sfreq": SFREQ}),
    signals.pressure_quality: (
        {
            "pressure": PRESSURE,
            "windows": WINDOWS,
            "beats": BEATS,
            "times_s": np.arange(N) / SFREQ,
        },
        {"sfreq": SFREQ},
    ),
    signals.decompose_eda: ({"eda": TONIC + PHASIC}, {"sfreq": EDA_RATE}),
    signals.detect_scrs: ({"phasic": PHASIC}, {"sfreq": EDA_RATE}),
    signals.eda_artifacts: (
        {"eda": np.where(np.arange(TONIC.size) // 40 == 50, 70.0, TONIC)},
        {"sfreq": EDA_RATE},
    ),
    signals.eda_quality: ({"eda": TONIC + PHASIC, "windows": WINDOWS}, {"sfreq": EDA_RATE}),
    reactivity.recovery_curve: (
        {"times_s": 60 * MINUTES, "values": FALLING, "durations_s": np.full(11, 30.0)},
        {"baseline": 120, "task": 140},
    ),
    reactivity.area_above_baseline: (
        {"times_s": 60 * MINUTES, "values": FALLING},
        {"baseline": 120},
    ),
    reactivity.area_under_curve: ({"times": 60 * MINUTES, "values": FALLING}, {}),
    reactivity.half_recovery_time: (
        {"times_s": 60 * MINUTES, "values": FALLING},
        {"baseline": 120, "task": 140},
    ),
    reactivity.residual_elevation: (
        {"times_s": 60 * MINUTES, "values": FALLING},
        {"baseline": 120},
    ),
    reactivity.percent_recovery: ({"value": FALLING}, {"baseline": 120, "task": 140}),
    reactivity.value_at_time: (
        {"times_s": 60 * MINUTES, "values": FALLING, "durations_s": np.zeros(11)},
        {"at_s": 75.0},
    ),
    reactivity.feature_courses: ({"features": SLIDING, "windows": PLACES}, {}),
    reactivity.reactivity_scores: ({"features": TIDY, "courses": COURSES}, {}),
    reactivity.recovery_scores: ({"scores": SCORES, "courses": COURSES, "windows": PLACES}, {}),
    reactivity.residualized_change: ({"scores": SCORES}, {}),
    reactivity.adjusted_recovery: ({"recovery": RECOVERY}, {}),
    reactivity.combine_windows: (
        {"table": SCORES},
        {"combined": {"all": ["speech", "recovery"]}},
    ),
    reactivity.with_rate_pressure: ({"features": TIDY}, {}),
    reactivity.proxy_values: (
        {"features": SLIDING, "recovery": RECOVERY},
        {"definition": "session"},
    ),
    reactivity.allostatic_proxy: ({"values": VALUES}, {"n_boot": 0}),
    reactivity.proxy_summary: (
        {"allostatic": PROXY, "participants": PEOPLE},
        {"n_boot": 0},
    ),
}
IDS = {"ids": lambda function: function.__name__}
OF_ARRAYS = [
    function
    for function, (given, _) in CASES.items()
    if any(isinstance(value, np.ndarray) for value in given.values())
]
OF_TABLES = [
    function
    for function, (given, _) in CASES.items()
    if any(isinstance(value, pd.DataFrame) for value in given.values())
]


def strided(x):
    wide = np.zeros((len(x), 3, *x.shape[1:]))
    wide[:, 1] = x
    return wide[:, 1]


def frozen(x):
    copied = x.copy()
    copied.setflags(write=False)
    return copied


def nullable(x):
    if x.ndim == 2:
        return pd.DataFrame(x).astype("Float64")
    return pd.Series(x, index=np.arange(x.size) * 3 + 100).astype("Float64")


def indexed(x):
    index = np.random.default_rng(1).integers(0, 9, len(x))
    return pd.DataFrame(x, index=index) if x.ndim == 2 else pd.Series(x, index=index)


def narrow(x):
    """As float32, and no other number thereby."""
    return x.astype(np.float32) if (x.astype(np.float32) == x).all() else x


def whole(x):
    """As integers, where the numbers are; else as they are."""
    return x.astype(np.int32) if (x == np.round(x)).all() else x


ARRAYS = {
    "list": lambda x: x.tolist(),
    "tuple": lambda x: tuple(map(tuple, x)) if x.ndim == 2 else tuple(x.tolist()),
    "series with any index": indexed,
    "nullable": nullable,
    "objects": lambda x: x.astype(object),
    "masked": np.ma.masked_invalid,
    "float32": narrow,
    "integers": whole,
    "big-endian": lambda x: x.astype(">f8"),
    "every third of a longer one": strided,
    "backwards": lambda x: x[::-1].copy()[::-1],
    "Fortran order": np.asfortranarray,
    "read-only": frozen,
    "array of another library": lambda x: type("Lent", (), {"__array__": x.__array__})(),
}


def shuffled_columns(table):
    return table[list(table.columns[::-1])]


def other_index(table):
    return table.set_index(pd.Index(np.arange(len(table)) % 3 + 50))


def other_types(table):
    """Nullable numbers and texts, and validity in which pandas knows of missing values."""
    return table.convert_dtypes()


TABLES = {
    "shuffled columns": shuffled_columns,
    "another index": other_index,
    "nullable types": other_types,
    "more columns": lambda table: table.assign(note="x", extra=1),
    "categories": lambda table: table.astype(
        {name: "category" for name in table.columns if table[name].dtype == object}
    ),
}


def call(function, given):
    return function(**given, **CASES[function][1])


def assert_same(one, other):
    if isinstance(one, tuple):
        for part, again in zip(one, other, strict=True):
            assert_same(part, again)
    elif isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
        assert one.attrs.get("reasons") == other.attrs.get("reasons")
    elif isinstance(one, signals.Beats | reactivity.RecoveryCurve):
        for name in type(one).__dataclass_fields__:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    else:
        np.testing.assert_array_equal(one, other)


def changed(given, kind, change):
    return {
        name: change(value) if isinstance(value, kind) else value for name, value in given.items()
    }


@pytest.mark.parametrize("room", [features, signals, reactivity])
def test_every_public_function_has_a_case(room):
    functions = {name for name in room.__all__ if inspect.isfunction(getattr(room, name))}
    named = {function.__name__ for function in CASES}
    assert functions - NO_ARRAYS <= named


@pytest.mark.parametrize("function", list(CASES), **IDS)
def test_the_example_tells_something(function):
    result = call(function, CASES[function][0])
    parts = result if isinstance(result, tuple) else (result,)
    for part in parts:
        if isinstance(part, pd.DataFrame | np.ndarray):
            assert len(part)


@pytest.mark.parametrize("kind", list(ARRAYS))
@pytest.mark.parametrize("function", OF_ARRAYS, **IDS)
def test_the_same_numbers_in_any_array_are_the_same(function, kind):
    given = CASES[function][0]
    other = changed(given, np.ndarray, ARRAYS[kind])
    kept = copy.deepcopy(other) if kind != "array of another library" else other
    assert_same(call(function, given), call(function, other))
    for name, value in other.items():
        if isinstance(value, pd.DataFrame | pd.Series):
            assert value.equals(kept[name])
        elif not hasattr(value, "__array__") or isinstance(value, np.ndarray):
            assert str(np.asarray(value).tolist()) == str(np.asarray(kept[name]).tolist())


@pytest.mark.parametrize("function", OF_ARRAYS, **IDS)
def test_a_file_mapped_into_memory(function, tmp_path):
    given = CASES[function][0]

    def mapped(x):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.npy"
        np.save(path, x)
        return np.load(path, mmap_mode="r")

    assert_same(call(function, given), call(function, changed(given, np.ndarray, mapped)))


@pytest.mark.parametrize("function", OF_ARRAYS, **IDS)
def test_missing_of_any_kind_is_missing(function):
    """NaN, None, pd.NA and masked samples are one thing."""
    given = CASES[function][0]
    fitting = {
        name: np.where(np.arange(value.size) % 50 == 7, np.nan, value)
        for name, value in given.items()
        if isinstance(value, np.ndarray) and value.size > 3000 and name != "times_s"
    }
    if not fitting:
        pytest.skip("takes no signal")
    expected = call(function, given | fitting)
    for other in (
        lambda x: pd.Series(x).astype("Float64").mask(np.isnan(x)),
        lambda x: [None if np.isnan(value) else value for value in x],
        lambda x: [pd.NA if np.isnan(value) else value for value in x],
        lambda x: np.ma.array(np.nan_to_num(x, nan=5.0), mask=np.isnan(x)),
    ):
        parts = {name: other(value) for name, value in fitting.items()}
        assert_same(expected, call(function, given | parts))


@pytest.mark.parametrize("kind", list(TABLES))
@pytest.mark.parametrize("function", OF_TABLES, **IDS)
def test_the_same_table_in_any_form_is_the_same(function, kind):
    given = CASES[function][0]
    other = changed(given, pd.DataFrame, TABLES[kind])
    kept = {name: value.copy() for name, value in other.items() if isinstance(value, pd.DataFrame)}
    one, two = call(function, given), call(function, other)
    if isinstance(one, pd.DataFrame) and "cut_points" in one.attrs:
        cuts = [table.attrs.pop("cut_points") for table in (one, two)]
        pd.testing.assert_frame_equal(*cuts)
    if kind == "another index" and function in ROW_BY_ROW:
        two = two.reset_index(drop=True)
    if kind in ("nullable types", "categories", "more columns") and isinstance(one, pd.DataFrame):
        # What is passed through keeps the type in which it came.
        two = two[list(one.columns)].astype(one.dtypes)
    if function in (reactivity.combine_windows, reactivity.with_rate_pressure):
        one, two = (table.reset_index(drop=True)[sorted(one)] for table in (one, two))
    elif kind == "shuffled columns" and isinstance(one, pd.DataFrame):
        two = two[list(one.columns)]
    assert_same(one, two)
    for name, table in kept.items():
        pd.testing.assert_frame_equal(other[name], table)


@pytest.mark.parametrize(
    "names",
    [("onset", "offset"), ("onset_s", "offset_s"), ("onset", "duration")],
    ids=lambda names: names[1],
)
def test_windows_as_a_table_go_by_their_names(names):
    table = pd.DataFrame({"label": "w", names[1]: WINDOWS[:, 1], names[0]: WINDOWS[:, 0]})
    if names[1] == "duration":
        table["duration"] -= table["onset"]
    expected = features.hrv_time(TIMES, WINDOWS)
    assert_same(expected, features.hrv_time(TIMES, table))
    assert_same(signals.ecg_quality(ECG, SFREQ, WINDOWS), signals.ecg_quality(ECG, SFREQ, table))


HOPELESS = {
    "text": "abc",
    "texts": ["1.0", "2.0"],
    "texts as objects": np.array(["1.0", "2.0"], dtype=object),
    "nullable texts": pd.Series(["1", "2"], dtype="string"),
    "objects": np.array([object(), object()]),
    "a number and a text": [1.0, "2"],
    "complex": np.ones(4) * 1j,
    "dates": pd.date_range("2026-01-01", periods=4),
    "dates with a zone": pd.Series(pd.date_range("2026-01-01", periods=4, tz="UTC")),
    "durations": pd.to_timedelta([1, 2], unit="s"),
    "categories": pd.Series(["a", "b"], dtype="category"),
    "three dimensions": np.ones((2, 2, 2)),
    "ragged": [[1.0, 2.0], [3.0]],
    "dict": {"a": 1},
    "set": {1.0, 2.0},
    "a number no float holds": [10**400],
    "nothing": None,
}


IN_NUMBERS = ("systole_s", "amplitude", "rate", "value", "onset_s", "SBP")
# What these read of a table depends on their other arguments.
ROW_BY_ROW = (reactivity.residualized_change, reactivity.adjusted_recovery)
CHOOSY = (reactivity.proxy_summary, reactivity.adjusted_recovery, reactivity.proxy_values)
ALLOWED = {
    (reactivity.percent_recovery, "value", "nothing"),
    (reactivity.percent_recovery, "value", "three dimensions"),
    (reactivity.proxy_values, "features", "nothing"),
}


def optional(function, name):
    return inspect.signature(function).parameters[name].default is not inspect.Parameter.empty


@pytest.mark.parametrize("kind", list(HOPELESS))
@pytest.mark.parametrize("function", list(CASES), **IDS)
def test_what_is_hopeless_is_refused_in_one_line(function, kind):
    given = CASES[function][0]
    for name in given:
        if (function, name, kind) in ALLOWED or (kind == "nothing" and optional(function, name)):
            continue
        with pytest.raises((SignalError, StudyError)) as error:
            call(function, given | {name: HOPELESS[kind]})
        assert "\n" not in str(error.value), name
        assert len(str(error.value)) < 300, name


@pytest.mark.parametrize("function", OF_ARRAYS, **IDS)
def test_two_dimensions_are_no_signal(function):
    given = CASES[function][0]
    for name, value in given.items():
        if (function, name, "three dimensions") in ALLOWED:
            continue
        if isinstance(value, np.ndarray) and value.ndim == 1:
            for matrix in (np.ones((4, 3)), pd.DataFrame(np.ones((4, 3)))):
                with pytest.raises(SignalError, match=r"^[^\n]+$"):
                    call(function, given | {name: matrix})


@pytest.mark.parametrize("function", OF_TABLES, **IDS)
def test_a_table_with_texts_for_numbers_is_refused(function):
    given, _ = CASES[function]
    for name, table in given.items():
        if not isinstance(table, pd.DataFrame):
            continue
        numbers = [column for column in IN_NUMBERS if column in table]
        if function in CHOOSY or not numbers:
            continue
        broken = table.assign(**{numbers[0]: "high"})
        with pytest.raises((SignalError, StudyError), match=r"^[^\n]+$"):
            call(function, given | {name: broken})


def test_a_table_in_place_of_a_course_says_what_to_use():
    table = pd.DataFrame({"time_s": [0.0, 60.0], "value": [140.0, 130.0]})
    with pytest.raises(SignalError, match="recovery_scores"):
        reactivity.recovery_curve(table)
    with pytest.raises(SignalError, match="values"):
        reactivity.recovery_curve([0.0, 60.0])
    with pytest.raises(SignalError, match="baseline"):
        reactivity.recovery_curve([0.0, 60.0], [140.0, 130.0])
