"""Answers to a questionnaire on the quality of the connection, from a planted quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.errors import SignalError

FloatArray = NDArray[np.float64]

LOWEST, HIGHEST = 1, 7
SUBSCALES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        name: tuple(f"{key}_{number}" for number in range(1, 6))
        for name, key in (
            ("emotional_carrying_capacity", "ecc"),
            ("tensility", "ten"),
            ("connectivity", "con"),
            ("positive_regard", "reg"),
            ("mutuality", "mut"),
            ("vitality", "vit"),
        )
    }
)
"""Subscale to item keys: those of the shipped scale ``hqc``."""

# Mean quality by condition, in SD of people within a condition; 0 for every other condition.
QUALITY: Mapping[str, float] = MappingProxyType(
    {"support": 0.8, "acquainted": 0.5, "nonsupport": -0.8, "strangers": -0.5}
)

_MIDDLE = 4.2
_OCCASION_SD = 0.4
_SUBSCALE_SD = 0.4
_ITEM_SD = 1.0


def draw_quality(
    conditions: Sequence[str],
    reactivity: FloatArray,
    *,
    reactivity_sd: float,
    rating_effect: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Draw the quality of the connection of everybody, tied to how strongly they react.

    Quality has SD 1 within a condition, and a person whose quality lies 1 higher than that of
    others in the same condition reacts by `rating_effect` more (less, where it is negative).
    It is drawn from the reactivity, so that no session changes with it.

    Parameters
    ----------
    conditions : sequence of str, length n
    reactivity : ndarray, shape (n,)
        Personal systolic reactivity around what is expected of condition and sex, mmHg.
    reactivity_sd : float
        Its SD in the population, mmHg.
    rating_effect : float
        mmHg of systolic reactivity per SD of quality; at most `reactivity_sd` in size.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    SignalError
        If `rating_effect` is larger than the reactivity varies.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> reactivity = 4.0 * rng.standard_normal(10_000)
    >>> quality = draw_quality(["alone"] * 10_000, reactivity, reactivity_sd=4.0,
    ...                        rating_effect=-2.0, rng=rng)
    >>> round(float(np.polyfit(quality, reactivity, 1)[0]))
    -2
    """
    if not abs(rating_effect) <= reactivity_sd:
        raise SignalError(
            f"rating_effect is {rating_effect} mmHg per SD of quality: reactivity varies by "
            f"{reactivity_sd:g} mmHg, so choose a number from {-reactivity_sd:g} to "
            f"{reactivity_sd:g}."
        )
    r = rating_effect / reactivity_sd if reactivity_sd > 0 else 0.0
    standard = np.asarray(reactivity) / reactivity_sd if reactivity_sd > 0 else np.zeros(1)
    own = r * standard + np.sqrt(1.0 - r**2) * rng.standard_normal(len(conditions))
    return np.asarray(np.array([QUALITY.get(name, 0.0) for name in conditions]) + own)


def draw_answers(
    participants: Sequence[str],
    windows: Sequence[Sequence[str]],
    quality: FloatArray,
    *,
    missing_share: float,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Draw the answers to all items.

    An answer is the quality of the person, moved a little by the occasion, by what a subscale has
    of its own and by the item, rounded to the range of the answers.

    Parameters
    ----------
    participants : sequence of str, length n
    windows : sequence of n sequences of str
        Windows that each of them rates.
    quality : ndarray, shape (n,)
    missing_share : float
        Share of the items not answered, at random.
    rng : numpy.random.Generator

    Returns
    -------
    DataFrame
        Columns participant, window, and the items.

    Examples
    --------
    >>> table = draw_answers(["P1"], [["speech"]], np.array([0.8]), missing_share=0.0,
    ...                      rng=np.random.default_rng(1))
    >>> table.shape, table.columns[2]
    ((1, 32), 'ecc_1')
    """
    person = np.repeat(np.arange(len(participants)), [len(names) for names in windows])
    n, per = len(person), np.array([len(items) for items in SUBSCALES.values()])
    level = quality[person] + _OCCASION_SD * rng.standard_normal(n)
    own = _SUBSCALE_SD * rng.standard_normal((n, len(per)))
    noise = _ITEM_SD * rng.standard_normal((n, per.sum()))
    felt = _MIDDLE + level[:, None] + np.repeat(own, per, axis=1) + noise
    given = np.clip(np.rint(felt), LOWEST, HIGHEST)
    given[rng.random(given.shape) < missing_share] = np.nan
    keys = [key for items in SUBSCALES.values() for key in items]
    return pd.DataFrame(
        {
            "participant": np.array(participants, dtype=object)[person],
            "window": np.array([name for names in windows for name in names], dtype=object),
            **{key: pd.array(given[:, k], dtype="Int64") for k, key in enumerate(keys)},
        }
    )
