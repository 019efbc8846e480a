"""The smallest difference that a contrast could have shown."""

from __future__ import annotations

import numpy as np
from scipy import optimize, special, stats

from ._design import Contrast, Sample
from ._effect_size import pooled_sd
from ._tables import Row

_NOTE = (
    "from the standard error of this study; power for the effect that was observed is not given: "
    "it only restates p (Hoenig & Heisey 2001)"
)


def power_of_t(noncentrality: float, df: float, alpha: float) -> float:
    """Power of a two-sided t test for an effect of so many standard errors.

    Examples
    --------
    >>> round(power_of_t(2.8, 60, 0.05), 3)
    0.787
    """
    critical = stats.t.isf(alpha / 2, df)
    nc = abs(noncentrality)
    upper = 1 - float(special.nctdtr(df, nc, critical))
    lower = float(special.nctdtr(df, nc, -critical))
    return upper + (lower if np.isfinite(lower) else 0.0)


def smallest_effect(se: float, df: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Difference that a two-sided t test with this standard error shows with this power.

    Parameters
    ----------
    se : float
        Standard error of the difference, in its unit.
    df : float
        Degrees of freedom of the t test.
    alpha, power : float
        Two-sided level and power, between 0 and 1.

    Returns
    -------
    float
        In the unit of `se`; NaN where `se` or `df` is not above 0.

    Examples
    --------
    >>> round(smallest_effect(2.0, 85), 3)
    5.667
    """
    if not (se > 0 and df > 0 and np.isfinite(df)):
        return np.nan
    if power <= alpha:
        return 0.0

    def gap(nc: float) -> float:
        return power_of_t(nc, df, alpha) - power

    upper = stats.t.isf(alpha / 2, df) + stats.t.isf((1 - power) / 2, df) + 1
    while gap(upper) < 0 and upper < 1e6:
        upper *= 2
    return float(optimize.brentq(gap, 0.0, upper, xtol=1e-9) * se) if gap(upper) > 0 else np.nan


def power_rows(
    row: Row,
    sample: Sample,
    contrast: Contrast,
    *,
    planned: int,
    alpha: float,
    power: float,
    reference_g: float,
) -> list[Row]:
    """Smallest detectable difference of a contrast, uncorrected and at Holm's first step."""
    delta = sample.delta
    sd = pooled_sd(delta[sample.members(contrast.first)], delta[sample.members(contrast.second)])
    se, df = float(row.get("se", np.nan)), float(row.get("df2", np.nan))
    known = se > 0 and df > 0 and np.isfinite(sd) and sd > 0
    levels = dict.fromkeys([alpha, alpha / max(planned, 1)])
    rows = []
    for level in levels:
        effect = smallest_effect(se, df, level, power)
        step = "" if level == alpha else f"level of Holm's first step among {planned} contrasts; "
        rows.append(
            {
                "outcome": row["outcome"],
                "window": row["window"],
                "term": contrast.term,
                "n": row["n"],
                "df": df,
                "se": se,
                "alpha": level,
                "power": power,
                "smallest_effect": effect,
                "smallest_g": effect / sd if known else np.nan,
                "power_for_reference": (
                    power_of_t(reference_g * sd / se, df, level) if known else np.nan
                ),
                "reference_g": reference_g,
                "note": f"{step}{_NOTE}" if known else row.get("note", ""),
            }
        )
    return rows
