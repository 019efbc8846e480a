"""How the measures of a study at the level of features are distributed and what they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Law:
    """How one measure varies between and within people.

    Attributes
    ----------
    name : str
        Key in the mappings that replace a default.
    feature : str
        Column name of its phase mean.
    unit : str
    source : {"cuff", "sliding"}
        Read by the cuff, or computed minute by minute.
    rest : float
        Mean of women and men at rest.
    rest_sd : float
        SD of the true resting level within one sex; of its logarithm where `multiplies`.
    sex_rest : float
        Men minus women at rest.
    reactivity_sd : float
        SD between people of the true change in a task within one condition and sex.
    phase_sd : float
        SD of what a person's change in one phase has of its own.
    error_sd : float
        SD of one reading or minute around the person's level in the phase.
    multiplies : bool
        Effects, reactivity and errors are factors (their logarithms are normal).
    """

    name: str
    feature: str
    unit: str
    source: str
    rest: float
    rest_sd: float
    sex_rest: float
    reactivity_sd: float
    phase_sd: float
    error_sd: float
    multiplies: bool = False

    def changed(self, number: str, value: float) -> Law:
        """Return the law with one of its numbers replaced."""
        numbers: dict[str, Any] = {number: value}
        return replace(self, **numbers)


# Within one sex; with the difference of 8 mmHg between the sexes, systolic pressure at rest has an
# SD of 11 mmHg in a sample of both. The mean of four readings has a reliability of 0.95 within sex.
LAWS: tuple[Law, ...] = (
    Law("sbp", "CUFF_SBP_Mean", "mmHg", "cuff", 116.0, 10.25, 8.0, 8.0, 2.0, 4.5),
    Law("dbp", "CUFF_DBP_Mean", "mmHg", "cuff", 72.0, 7.5, 3.6, 6.0, 1.5, 3.5),
    Law("hr", "CUFF_HR_Mean", "1/min", "cuff", 70.5, 9.5, -3.0, 7.0, 2.0, 4.0),
    Law("ecg_hr", "ECG_Rate_Mean", "1/min", "sliding", 70.5, 9.5, -3.0, 7.0, 2.0, 2.0),
    Law("rmssd", "HRV_RMSSD", "ms", "sliding", 41.0, 0.40, 0.0, 0.20, 0.06, 0.15, True),
    Law("scl", "EDA_Tonic_Mean", "µS", "sliding", 5.5, 1.4, 0.0, 0.8, 0.2, 0.25),
)

# How traits go together: systolic, diastolic, heart rate, RMSSD, skin conductance level.
TRAITS = ("sbp", "dbp", "hr", "rmssd", "scl")
_REST_R = np.array(
    [
        [1.0, 0.6, 0.2, -0.1, 0.0],
        [0.6, 1.0, 0.2, -0.1, 0.0],
        [0.2, 0.2, 1.0, -0.4, 0.1],
        [-0.1, -0.1, -0.4, 1.0, 0.0],
        [0.0, 0.0, 0.1, 0.0, 1.0],
    ]
)
_REACTIVITY_R = np.array(
    [
        [1.0, 0.6, 0.4, -0.2, 0.2],
        [0.6, 1.0, 0.3, -0.2, 0.2],
        [0.4, 0.3, 1.0, -0.5, 0.2],
        [-0.2, -0.2, -0.5, 1.0, -0.1],
        [0.2, 0.2, 0.2, -0.1, 1.0],
    ]
)
REST_ROOT: FloatArray = np.linalg.cholesky(_REST_R)
REACTIVITY_ROOT: FloatArray = np.linalg.cholesky(_REACTIVITY_R)

# What is computed from two readings taken together: weights of SBP and DBP.
DERIVED: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"CUFF_MAP_Mean": (1 / 3, 2 / 3), "CUFF_PP_Mean": (1.0, -1.0)}
)

# The share of a person's task reactivity that shows in phases of a role.
SHARES: Mapping[str, float] = MappingProxyType({"preparation": 0.5, "task": 1.0})


def trait_of(law: Law) -> int:
    """Return which trait a measure belongs to: both heart rates measure one heart."""
    return TRAITS.index("hr" if law.name == "ecg_hr" else law.name)


def standard(rng: np.random.Generator, shape: tuple[int, ...], tails: float | None) -> FloatArray:
    """Draw values of variance 1: normal, or Student's t with `tails` degrees of freedom."""
    if tails is None:
        return rng.standard_normal(shape)
    return np.asarray(rng.standard_t(tails, shape) * np.sqrt((tails - 2.0) / tails))
