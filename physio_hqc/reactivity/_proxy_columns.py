"""Columns of the allostatic-load proxy tables: unit and description, in their order."""

from __future__ import annotations

_ALLOSTATIC = {
    "participant": ("", "Identifier, as in the participants' table."),
    "proxy": ("", "Name of the definition."),
    "label": ("", "What the scores are, and of how many indicators."),
    "rule": ("", "What counts as risk: sample quartile (strictly beyond it) or cut points."),
    "count": ("1", "Indicators beyond their cut point, of those that the participant has."),
    "n_components": ("1", "Indicators that the participant has and that can be compared."),
    "n_defined": ("1", "Indicators of the definition."),
    "proportion": ("1", "count / n_components; nothing is imputed."),
    "count_low": ("1", "Lower end of the 95 % interval of count, participants resampled."),
    "count_high": ("1", "Upper end of it."),
    "z_sum": (
        "1",
        (
            "Sum of the z-scores (n - 1; protective indicators reversed), of participants who have "
            "every indicator that has a z-score in this sample."
        ),
    ),
    "z_mean": ("1", "Mean of the z-scores that the participant has."),
    "z_low": ("1", "Lower end of the 95 % interval of z_mean, participants resampled."),
    "z_high": ("1", "Upper end of it."),
    "missing": ("", "Indicators that the participant lacks."),
    "at_risk": ("", "Indicators beyond their cut point."),
    "reason": ("", "Why a score is missing, or a caution that begins with 'flag:'."),
}
_CUT_POINTS = {
    "component": ("", "Indicator."),
    "sex": ("", "Sex that the cut point holds for; empty for everybody."),
    "direction": ("", "Which end of the scale counts as risk: high or low."),
    "cut": ("unit of the indicator", "What values are compared with."),
    "rule": ("", "sample quartile (linear interpolation) or cut points (published)."),
    "n": ("1", "Values of the sample (of that sex)."),
    "reason": ("", "Why there is no cut point."),
}

ALLOSTATIC_COLUMNS: tuple[str, ...] = tuple(_ALLOSTATIC)
CUT_POINT_COLUMNS: tuple[str, ...] = tuple(_CUT_POINTS)


def allostatic_dictionary() -> dict[str, dict[str, tuple[str, str]]]:
    """Columns of the tables of the allostatic-load proxy, each with unit and description.

    Returns
    -------
    dict
        ``allostatic`` and ``cut_points``: column to (unit, description), in the order of columns.

    Examples
    --------
    >>> allostatic_dictionary()["cut_points"]["n"]
    ('1', 'Values of the sample (of that sex).')
    """
    return {"allostatic": dict(_ALLOSTATIC), "cut_points": dict(_CUT_POINTS)}
