"""Columns of the tables of a study: name, type, unit, meaning and source of each."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from physio_hqc.features import FEATURES
from physio_hqc.pipeline.schema import COLUMNS as OF_SESSION
from physio_hqc.pipeline.schema import Column, number, text, truth
from physio_hqc.reactivity import allostatic_dictionary, recovery_dictionary

_TABLE = "participants table"
_CONFIG = "study settings"
_ROBUST = "Imbens & Kolesár 2016, doi 10.1162/REST_a_00552"
_HOLM = "Holm 1979, Scandinavian Journal of Statistics 6, 65"
_HEDGES = "Hedges 1981, doi 10.3102/10769986006002107"
_CRONBACH = "Cronbach 1951, doi 10.1007/BF02310555"

_SESSION = text("session", "Name of the session: the stem of its file.", "session file")
_PERSON = text("participant", "Id of the participant.", _TABLE)
_CONDITION = text("condition", "Level of what the design manipulates.", _TABLE)
_WINDOW = text("window", "Name of the window.", "events and protocol of the session")
_FEATURE = text("feature", "Name of the feature.")
_OUTCOME = text("outcome", "The feature that is tested.", _CONFIG)
_UNIT = text("unit", "Unit of the values; 1 for a pure number.")
_REASON = text("reason", "Why a value is missing; after 'flag:', what caution it carries.")
_NOTE = text("note", "What the reader should know: why something is missing, cautions.")
_TERM = text("term", "Effect, covariate, contrast (first minus second) or condition.")
_SEE = "see unit"


_COURSES = (
    _SESSION,
    _PERSON,
    _CONDITION,
    _WINDOW,
    text("kind", "phase or interaction."),
    text("role", "baseline, preparation, task, recovery or other."),
    _FEATURE,
    number("time_s", "s", "Middle of the piece, or time of the reading, since session start."),
    number("since_s", "s", "The same since the start of the window."),
    number("duration_s", "s", "Length of the piece; 0 for a cuff reading."),
    number("value", _SEE, "Mean of the piece, or the reading."),
    _UNIT,
    number("quality", "1", "Quality of the piece, from 0 to 1."),
    text("source", "sliding: a piece of the window; cuff: one reading."),
)

_RESIDUAL = (
    number("residual", _SEE, "Residualised change: value minus what the baseline predicts."),
    number("residual_z", "1", "The same, internally studentised."),
    number("residual_n", "1", "Sessions in the regression of value on baseline."),
)


def _reactivity() -> tuple[Column, ...]:
    """Columns of the reactivity table of a session, and those that need a sample."""
    columns = list(OF_SESSION["reactivity"])
    place = [column.name for column in columns].index("quality")
    return (*columns[:place], *_RESIDUAL, *columns[place:])


def _described(columns: Mapping[str, tuple[str, str]]) -> tuple[Column, ...]:
    """Columns from name to unit and meaning; those without a unit are words."""
    return tuple(
        number(name, _SEE if unit == "unit" else unit, words) if unit else text(name, words)
        for name, (unit, words) in columns.items()
    )


FIXED: dict[str, tuple[Column, ...]] = {
    "flow": (
        _PERSON,
        _SESSION,
        _CONDITION,
        text("status", "analysed, excluded, no session, not processed, or not in the table."),
        text("reason", "Why a participant is not analysed."),
    ),
    "windows": (
        _SESSION,
        _PERSON,
        _CONDITION,
        *OF_SESSION["windows"],
    ),
    "features_long": OF_SESSION["features"],
    "courses": _COURSES,
    "cuff": (_SESSION, _PERSON, _CONDITION, *OF_SESSION["cuff"]),
    "quality": (_SESSION, _PERSON, _CONDITION, *OF_SESSION["quality"]),
    "allostatic": _described(allostatic_dictionary()["allostatic"]),
    "cut_points": _described(allostatic_dictionary()["cut_points"]),
    "allostatic_summary": (
        text("proxy", "Name of the definition."),
        text("label", "What to call the numbers, with the indicators they rest on."),
        text("score", "proportion (of indicators in the range of risk) or z_mean."),
        _CONDITION,
        number("n", "1", "Participants with that score."),
        number("n_missing", "1", "Participants without."),
        number("mean", "1", "Mean."),
        number("sd", "1", "Standard deviation (n - 1)."),
        number("ci_low", "1", "Lower end of the bootstrap interval of the mean."),
        number("ci_high", "1", "Upper end."),
        _REASON,
    ),
    "ratings": (
        _PERSON,
        _SESSION,
        _WINDOW,
        text("scale", "Scale that the score belongs to; empty for single ratings."),
        text("name", "Item, single rating, subscale or composite."),
        number("value", "points of the scale", "Score; items as they were answered."),
        number("min", "points of the scale", "Lowest possible value."),
        number("max", "points of the scale", "Highest possible value."),
        text("kind", "item, single, subscale or composite."),
        number("n_items", "1", "Answered items that the score rests on."),
        _REASON,
    ),
    "reliability": (
        text("scale", "Scale."),
        text("subscale", "Subscale or composite."),
        number("n_items", "1", "Items."),
        number("n", "1", "Complete sets of answers."),
        number("alpha", "1", "Cronbach's alpha.", _CRONBACH),
        number("alpha_low", "1", "Lower end of its 95 % interval."),
        number("alpha_high", "1", "Upper end."),
        _NOTE,
    ),
    "descriptives": (
        _FEATURE,
        _UNIT,
        _WINDOW,
        _CONDITION,
        number("n", "1", "Participants."),
        number("mean", _SEE, "Mean."),
        number("sd", _SEE, "Standard deviation (n - 1)."),
        number("median", _SEE, "Median."),
        number("q25", _SEE, "First quartile."),
        number("q75", _SEE, "Third quartile."),
        number("min", _SEE, "Smallest value."),
        number("max", _SEE, "Largest value."),
        number("baseline_mean", _SEE, "Mean of their baselines."),
        number("delta_mean", _SEE, "Mean change from baseline."),
        number("delta_sd", _SEE, "Standard deviation of the change."),
        number("delta_low", _SEE, "Lower end of the 95 % interval of the mean change."),
        number("delta_high", _SEE, "Upper end."),
    ),
    "statistics": (
        _OUTCOME,
        _UNIT,
        _WINDOW,
        text("analysis", "ANCOVA, delta or mixed model."),
        text(
            "errors", "Kind of standard errors: classical, or robust to unequal variances.", _ROBUST
        ),
        truth("primary", "Whether this row belongs to the analysis chosen beforehand.", _CONFIG),
        text("kind", "omnibus, covariate, contrast or adjusted mean."),
        _TERM,
        number("estimate", _SEE, "Difference, slope or adjusted mean."),
        number("se", _SEE, "Its standard error."),
        number("df1", "1", "Degrees of freedom of the effect."),
        number("df2", "1", "Degrees of freedom of the error."),
        number("statistic", "1", "Value of the test statistic."),
        text("statistic_name", "t or F."),
        number("p", "1", "Two-sided p value, uncorrected."),
        number("p_holm", "1", "p after Holm over the planned contrasts of this test.", _HOLM),
        number("ci_low", _SEE, "Lower end of the confidence interval."),
        number("ci_high", _SEE, "Upper end."),
        number(
            "hedges_g", "1", "Difference in pooled SD of the change scores, corrected.", _HEDGES
        ),
        number("g_low", "1", "Lower end of its confidence interval."),
        number("g_high", "1", "Upper end."),
        number("partial_eta2", "1", "Partial eta squared."),
        number("n", "1", "Participants in the model."),
        text("n_by_condition", "Participants in each condition."),
        text("model", "Formula of the model."),
        _NOTE,
    ),
    "assumptions": (
        _OUTCOME,
        _WINDOW,
        text("analysis", "Model that the assumption belongs to."),
        text("check", "What is assumed."),
        text("test", "How it is checked."),
        number("statistic", "1", "Value of the test statistic."),
        number("df1", "1", "Degrees of freedom of the effect."),
        number("df2", "1", "Degrees of freedom of the error."),
        number("p", "1", "p value."),
        number("value", "see test", "Other figure, such as the largest influence."),
        truth("passed", "Whether nothing speaks against the assumption."),
        text("consequence", "What the tables do about it."),
    ),
    "sensitivity": (
        _OUTCOME,
        _WINDOW,
        text("variant", "What was done otherwise."),
        _TERM,
        number("estimate", _SEE, "Difference."),
        number("se", _SEE, "Its standard error."),
        number("ci_low", _SEE, "Lower end of the confidence interval."),
        number("ci_high", _SEE, "Upper end."),
        number("p", "1", "Two-sided p value, uncorrected."),
        number("n", "1", "Participants."),
        _NOTE,
    ),
    "power": (
        _OUTCOME,
        _WINDOW,
        _TERM,
        number("n", "1", "Participants."),
        number("df", "1", "Degrees of freedom."),
        number("se", _SEE, "Standard error of the contrast."),
        number("alpha", "1", "Two-sided level."),
        number("power", "1", "Power that the smallest effect refers to."),
        number("smallest_effect", _SEE, "Smallest difference detected with this power."),
        number("smallest_g", "1", "The same as Hedges g."),
        number("power_for_reference", "1", "Power for the reference effect."),
        number("reference_g", "1", "Reference effect.", _CONFIG),
        _NOTE,
    ),
    "associations": (
        _OUTCOME,
        text("window_set", "Windows that are rated and scored."),
        text("rating", "Rating, subscale or composite."),
        text("level", "within or between persons."),
        number("estimate", "unit of the outcome per point", "Slope."),
        number("se", "unit of the outcome per point", "Its standard error."),
        number("df", "1", "Degrees of freedom."),
        number("statistic", "1", "t."),
        number("p", "1", "Two-sided p value, uncorrected."),
        number("ci_low", "unit of the outcome per point", "Lower end of the 95 % interval."),
        number("ci_high", "unit of the outcome per point", "Upper end."),
        number("standardized", "1", "Slope in standard deviations at its level."),
        number("n_persons", "1", "Participants."),
        number("n_windows", "1", "Rated windows."),
        text("model", "Model."),
        _NOTE,
    ),
}

TABLES = (
    *("participants", "flow", "windows", "features_long", "features_wide", "courses", "cuff"),
    *("quality", "reactivity", "recovery", "allostatic", "allostatic_summary", "cut_points"),
    *("ratings", "reliability"),
    *("descriptives", "statistics", "assumptions", "sensitivity", "power", "associations"),
)
"""Tables of a study; each becomes ``<name>.csv`` with a ``<name>.json`` dictionary."""

_PEOPLE = {
    "id": text("id", "Id of the participant.", _TABLE),
    "sex": text("sex", "female, male, or as given.", _TABLE),
    "age": number("age", "years", "Age.", _TABLE),
    "condition": _CONDITION,
    "dyad": text("dyad", "Dyad that the participant belongs to.", _TABLE),
    "session": _SESSION,
}


def columns_of(
    tables: Mapping[str, pd.DataFrame], at_s: tuple[float, ...]
) -> dict[str, tuple[Column, ...]]:
    """Columns of every table of one study; those of participants and wide features depend on it.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        The tables ``participants`` and ``features_wide``.
    at_s : tuple of float
        Times after the task, in s, at which recovery is read.

    Returns
    -------
    dict of str to tuple of Column
        For every name of `TABLES`.
    """
    own = {
        "participants": _people(tables["participants"]),
        "features_wide": _wide(tables["features_wide"]),
        "reactivity": _reactivity(),
        "recovery": _described(recovery_dictionary(at_s)),
    }
    return {name: own[name] if name in own else FIXED[name] for name in TABLES}


def _people(table: pd.DataFrame) -> tuple[Column, ...]:
    """Columns of the participants table: ours, then the covariates of the lab."""
    return tuple(
        _PEOPLE.get(str(name)) or _covariate(str(name), table[name]) for name in table.columns
    )


def _covariate(name: str, values: pd.Series) -> Column:
    if pd.api.types.is_bool_dtype(values):
        return truth(name, "As given.", _TABLE)
    if pd.api.types.is_numeric_dtype(values):
        return number(name, "as given", "As given.", _TABLE)
    return text(name, "As given.", _TABLE)


def _wide(table: pd.DataFrame) -> tuple[Column, ...]:
    """Columns of the wide features: who, then feature by window."""
    columns = []
    for name in map(str, table.columns):
        if name in _PEOPLE or name == "participant":
            columns.append(_PERSON if name == "participant" else _PEOPLE[name])
            continue
        feature, _, window = name.partition("__")
        info = FEATURES.get(feature)
        said = "As in features_long." if info is None else info.description
        unit = "as in features_long" if info is None else info.unit
        source = "physio_hqc" if info is None else info.source
        columns.append(number(name, unit, f"{said} Window: {window}.", source))
    return tuple(columns)
