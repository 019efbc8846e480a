"""Arrays that no device sends, through every function of the room: results, or one clear line."""

import numpy as np
import pandas as pd
import pytest

from physio_hqc import features, signals
from physio_hqc.errors import SignalError

ARRAYS = {
    "booleans": lambda n, _: np.zeros(n, bool),
    "bytes": lambda n, rng: rng.integers(-128, 127, n).astype(np.int8),
    "large integers": lambda n, rng: rng.integers(0, 2**63, n).astype(np.uint64),
    "half precision": lambda n, rng: rng.standard_normal(n).astype(np.float16),
    "holes": lambda n, rng: np.where(rng.random(n) < 0.3, np.nan, rng.standard_normal(n)),
    "infinities": lambda n, rng: np.where(rng.random(n) < 0.02, np.inf, rng.standard_normal(n)),
    "huge": lambda n, rng: 1e307 * rng.standard_normal(n),
    "tiny": lambda n, rng: 1e-308 * rng.standard_normal(n),
    "smallest": lambda n, _: np.full(n, 5e-324),
    "largest": lambda n, _: np.where(np.arange(n) % 2, 1e308, -1e308),
    "walk": lambda n, rng: np.cumsum(rng.standard_normal(n)),
    "square": lambda n, _: np.sign(np.sin(np.arange(n) / 7)),
    "growing": lambda n, _: np.exp(np.minimum(np.arange(n) / 10, 700)),
    "list": lambda n, rng: rng.standard_normal(n).tolist(),
    "series": lambda n, rng: pd.Series(rng.standard_normal(n), index=rng.integers(0, 9, n)),
    "far from zero": lambda n, rng: np.full(n, 1e16) + rng.standard_normal(n),
}
SAMPLED = (
    signals.detect_r_peaks,
    signals.clean_ecg,
    signals.ecg_quality,
    signals.detect_pressure_beats,
    signals.pressure_quality,
    signals.decompose_eda,
    signals.eda_quality,
    signals.detect_breaths,
    signals.clean_respiration,
)
TIMES = (signals.correct_beats, signals.ecg_respiration, features.hrv, features.rsa)


def as_bytes(result):
    if isinstance(result, tuple):
        return tuple(as_bytes(part) for part in result)
    return result.to_csv() if isinstance(result, pd.DataFrame) else result.tobytes()


@pytest.mark.parametrize("kind", list(ARRAYS))
@pytest.mark.parametrize("function", SAMPLED, ids=lambda function: function.__name__)
def test_any_array_gives_the_same_result_twice(function, kind):
    for n in (0, 1, 2, 3, 50, 700, 3000):
        x = ARRAYS[kind](n, np.random.default_rng(n))
        for sfreq in (80.0, 249.89):
            assert as_bytes(function(x, sfreq)) == as_bytes(function(x, sfreq))


@pytest.mark.parametrize("kind", list(ARRAYS))
@pytest.mark.parametrize("function", TIMES, ids=lambda function: function.__name__)
def test_any_times_give_a_result_or_one_clear_line(function, kind):
    for n in (0, 1, 2, 3, 50, 700):
        result, said = None, ""
        try:
            result = function(ARRAYS[kind](n, np.random.default_rng(n)))
        except SignalError as error:
            said = str(error)
        assert (result is None) == bool(said)
        assert "\n" not in said


@pytest.mark.parametrize(
    "wrong",
    ["abc", [[1, 2], [3]], None, np.ones((3, 3)), 1j * np.ones(5), np.array(["a"]), {"a": 1}],
    ids=["text", "ragged", "none", "matrix", "complex", "texts", "dict"],
)
@pytest.mark.parametrize("function", SAMPLED, ids=lambda function: function.__name__)
def test_what_is_no_row_of_numbers_is_refused(function, wrong):
    with pytest.raises(SignalError):
        function(wrong, 100.0)
