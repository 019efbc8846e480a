"""Reactivity and ratings: people who feel more support, and moments in which a person does."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from physio_hqc.errors import StudyError
from physio_hqc.study._association_fit import (
    BETWEEN,
    WITHIN,
    Design,
    Fit,
    fit_mixed,
    fit_persons,
    independent_columns,
)
from physio_hqc.study.participants import unknown_word

ASSOCIATION_COLUMNS: tuple[str, ...] = (
    "outcome",
    "window_set",
    "rating",
    "level",
    "estimate",
    "se",
    "df",
    "statistic",
    "p",
    "ci_low",
    "ci_high",
    "standardized",
    "n_persons",
    "n_windows",
    "model",
    "note",
)
CORRELATION_COLUMNS: tuple[str, ...] = (
    "outcome",
    "window_set",
    "rating",
    "method",
    "r",
    "ci_low",
    "ci_high",
    "p",
    "n_persons",
    "note",
)

_MIN_PERSONS = 5
"""Persons with several rated windows that an estimate within persons needs."""
_MIN_DF = 3
_KEYS = ["participant", "session", "window"]


def rating_associations(
    scores: pd.DataFrame,
    ratings: pd.DataFrame,
    *,
    outcomes: Sequence[str],
    covariates: Sequence[str] = ("condition",),
    score: str = "delta",
    participants: pd.DataFrame | None = None,
    names: Sequence[str] | None = None,
    window_of: Mapping[str, str] | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Regress reactivity on ratings of the same windows, within and between persons.

    A rating is split in the mean of a person (between persons, about the mean of all persons) and
    the deviation of each window from it (within persons). Both enter one mixed model with a
    random intercept per participant, and per dyad where both of its members are there.

    Parameters
    ----------
    scores : DataFrame
        Reactivity table: session, participant, condition, window, feature, and `score`.
    ratings : DataFrame
        As from :func:`~physio_hqc.study.load_ratings` or :func:`~physio_hqc.study.score_scale`;
        rows of kind "item" are passed over.
    outcomes : sequence of str
        Features, for instance ``["CUFF_SBP_Mean"]``.
    covariates : sequence of str
        Columns of `scores` ("condition", "window", "baseline") or `participants` ("sex", "age").
        Text becomes one column per category but the first. "window" takes differences between
        windows that everybody shares out of the effect within persons.
    score : str
        Column of `scores` that is explained: "delta", "percent", "value", "residual", "peak" ...
    participants : DataFrame, optional
        As from :func:`~physio_hqc.study.load_participants`; gives covariates and dyads.
    names : sequence of str, optional
        Ratings to use; by default all.
    window_of : mapping of str to str, optional
        Window of the scores that a rating window belongs to, where the names differ.
    confidence : float
        Level of the intervals.

    Returns
    -------
    DataFrame
        Columns `ASSOCIATION_COLUMNS`, one row per outcome, rating and level ("within",
        "between"). `estimate` is units of the outcome per point of the rating; p values are not
        corrected for the number of outcomes and ratings. `note` says why a number is missing
        or what caution it carries. Where fewer than five persons have several rated windows there
        is a "between" row only, from least squares over the means of persons with HC3 errors
        (bias-reduced by dyad where dyads have both members).

    Raises
    ------
    StudyError
        A column, outcome, rating or covariate is missing, no rating belongs to a window of the
        scores, or several ratings of one name belong to one window.

    Notes
    -----
    ``t = estimate / se`` with between-within degrees of freedom: windows - persons - columns that
    vary within persons; persons - columns that do not - 1. With dyads, columns that vary within
    dyads have persons - dyads - columns of that level, which is on the safe side. `standardized`
    multiplies by the ratio of standard deviations of the level: of deviations from persons' means
    (pooled), or of persons' means. Means of persons and deviations are those of the windows in
    the model. The slope within persons is taken to be the same for everybody. A mean over few
    windows measures a person with error, which draws the estimate between persons towards the
    estimate within.

    References
    ----------
    Curran P. J., Bauer D. J. (2011). Annual Review of Psychology 62, 583.
    doi:10.1146/annurev.psych.093008.100356.
    Wang L., Maxwell S. E. (2015). Psychological Methods 20, 63. doi:10.1037/met0000030.
    Pinheiro J. C., Bates D. M. (2000). Mixed-Effects Models in S and S-PLUS. Springer.
    MacKinnon J. G., White H. (1985). Journal of Econometrics 29, 305.
    doi:10.1016/0304-4076(85)90158-7.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from physio_hqc.study import load_ratings
    >>> people = [f"p{i:02d}" for i in range(12)]
    >>> rated = pd.DataFrame({"participant": people, "window": "speech", "felt_support": range(12)})
    >>> scores = pd.DataFrame({"session": people, "participant": people, "condition": "support",
    ...                        "window": "speech", "feature": "BP_SBP_Mean",
    ...                        "delta": 20 - np.arange(12) + np.resize([0.5, -0.5], 12)})
    >>> found = rating_associations(scores, load_ratings(rated), outcomes=["BP_SBP_Mean"])
    >>> found.loc[0, ["level", "model"]].tolist()
    ['between', 'OLS, HC3: delta ~ rating_between']
    >>> round(float(found.loc[0, "estimate"]), 1)
    -1.0
    """
    if not 0 < confidence < 1:
        raise StudyError(f"confidence is {confidence}: pass a number between 0 and 1, as 0.95")
    outcomes, covariates = _names("outcomes", outcomes), _names("covariates", covariates)
    table = _scores(scores, outcomes, score, covariates, participants)
    rated, used = _ratings(ratings, names, window_of, table)
    rows: list[dict[str, Any]] = []
    for outcome in outcomes:
        mine = table[table["feature"] == outcome]
        for name in used:
            joined = _joined(mine, rated[rated["name"] == name], name)
            rows += _associated(joined, outcome, name, covariates, score, confidence)
    return pd.DataFrame(rows, columns=list(ASSOCIATION_COLUMNS))


def rated_windows(
    scores: pd.DataFrame,
    ratings: pd.DataFrame,
    *,
    outcome: str,
    rating: str,
    score: str = "delta",
    window_of: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Reactivity beside the rating of the same window, the rating split as in the model.

    Parameters
    ----------
    scores, ratings, score, window_of
        As for :func:`rating_associations`.
    outcome, rating : str
        One feature and one rating.

    Returns
    -------
    DataFrame
        participant, session, window, condition, `score`, rating, rating_within (deviation from
        the mean of the person), rating_between (that mean minus the mean of all persons). Rows
        without a score or a rating are left out.

    Examples
    --------
    >>> import pandas as pd
    >>> from physio_hqc.study import load_ratings
    >>> rated = pd.DataFrame({"participant": "p1", "window": ["talk", "speech"], "stress": [2, 4]})
    >>> scores = pd.DataFrame({"session": "s1", "participant": "p1", "condition": "alone",
    ...                        "window": ["talk", "speech"], "feature": "HR", "delta": [1.0, 9.0]})
    >>> both = rated_windows(scores, load_ratings(rated), outcome="HR", rating="stress")
    >>> both[["delta", "rating", "rating_within"]].to_numpy().tolist()
    [[1.0, 2.0, -1.0], [9.0, 4.0, 1.0]]
    """
    table = _scores(scores, [outcome], score, ("condition",), None)
    rated, _ = _ratings(ratings, [rating], window_of, table)
    joined = _split(_joined(table, rated, rating))
    columns = ["participant", "session", "window", "condition", "y", "rating", WITHIN, BETWEEN]
    return joined[columns].rename(columns={"y": score}).reset_index(drop=True)


def rating_correlations(
    scores: pd.DataFrame,
    ratings: pd.DataFrame,
    *,
    outcomes: Sequence[str],
    score: str = "delta",
    names: Sequence[str] | None = None,
    window_of: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Correlate the mean rating of a person with the mean reactivity in the rated windows.

    Parameters
    ----------
    scores, ratings, outcomes, score, names, window_of
        As for :func:`rating_associations`.

    Returns
    -------
    DataFrame
        Columns `CORRELATION_COLUMNS`: Pearson and Spearman r over persons with 95 % intervals
        (Fisher's z), without covariates. A description to put beside a figure.

    Examples
    --------
    >>> import pandas as pd
    >>> from physio_hqc.study import load_ratings
    >>> people = ["p1", "p2", "p3", "p4", "p5"]
    >>> rated = pd.DataFrame({"participant": people, "window": "speech", "stress": [1, 2, 3, 4, 5]})
    >>> scores = pd.DataFrame({"session": people, "participant": people, "condition": "alone",
    ...                        "window": "speech", "feature": "HR", "delta": [2, 1, 4, 3, 5]})
    >>> found = rating_correlations(scores, load_ratings(rated), outcomes=["HR"])
    >>> found[["method", "r"]].round(3).to_dict("split")["data"]
    [['pearson', 0.8], ['spearman', 0.8]]
    """
    outcomes = _names("outcomes", outcomes)
    table = _scores(scores, outcomes, score, ("condition",), None)
    rated, used = _ratings(ratings, names, window_of, table)
    rows: list[dict[str, Any]] = []
    for outcome in outcomes:
        mine = table[table["feature"] == outcome]
        for name in used:
            joined = _joined(mine, rated[rated["name"] == name], name)
            means = joined.groupby("participant", sort=False)[["rating", "y"]].mean()
            base: dict[str, Any] = {
                "outcome": outcome,
                "window_set": _windows_text(joined),
                "rating": name,
            }
            base["n_persons"] = len(means)
            rows += [{**base, **_correlated(means, method)} for method in ("pearson", "spearman")]
    return pd.DataFrame(rows, columns=list(CORRELATION_COLUMNS))


# ---- arranging -----------------------------------------------------------------------------------


def _names(what: str, names: Sequence[str]) -> list[str]:
    """Names as a list without repetitions."""
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise StudyError(f"{what}: pass a sequence of names, not {names!r}")
    if what == "outcomes" and not len(names):
        raise StudyError("outcomes: pass at least one feature")
    return list(dict.fromkeys(names))


def _scores(
    scores: pd.DataFrame,
    outcomes: Sequence[str],
    score: str,
    covariates: Sequence[str],
    participants: pd.DataFrame | None,
) -> pd.DataFrame:
    """Scores of the outcomes as y, with person, dyad and covariates."""
    needed = ("session", "participant", "window", "feature", score)
    missing = [name for name in needed if name not in scores.columns]
    if missing:
        raise StudyError(f"scores: the column '{missing[0]}' is missing; pass a reactivity table")
    known = list(dict.fromkeys(scores["feature"].astype(str)))
    for outcome in outcomes:
        if outcome not in known:
            raise StudyError(f"scores: feature {unknown_word(outcome, known[:200])}")
    table = scores[scores["feature"].isin(outcomes)].reset_index(drop=True)
    table["y"] = _floats(table[score], f"scores, column '{score}'")
    for name in ("session", "participant", "window"):
        table[name] = table[name].fillna("").astype(str)
    table["participant"] = table["participant"].where(table["participant"] != "", table["session"])
    _refuse_twice(table)
    table["condition"] = table["condition"].fillna("") if "condition" in table.columns else ""
    table["dyad"] = ""
    if participants is not None:
        table = _with_participants(table, participants, covariates)
    for name in covariates:
        if name not in table.columns:
            where = "scores" if participants is None else "scores or participants"
            raise StudyError(f"covariate '{name}' is no column of {where}")
    return table


def _refuse_twice(table: pd.DataFrame) -> None:
    """Refuse two scores of one window."""
    twice = table.duplicated([*_KEYS, "feature"])
    if twice.any():
        row = table[twice].iloc[0]
        raise StudyError(
            f"scores: session '{row['session']}', window '{row['window']}' holds "
            f"{row['feature']} twice"
        )


def _with_participants(
    table: pd.DataFrame, participants: pd.DataFrame, covariates: Sequence[str]
) -> pd.DataFrame:
    """Scores with the columns of the participants table that are asked for."""
    if "id" not in participants.columns:
        raise StudyError("participants: the column 'id' is missing; use load_participants")
    people = participants.drop_duplicates("id").set_index("id")
    for name in ("dyad", *covariates):
        if name in people.columns and (name == "dyad" or name not in table.columns):
            table[name] = table["participant"].map(people[name])
    table["dyad"] = table["dyad"].fillna("").astype(str)
    return table


def _floats(column: pd.Series, what: str) -> pd.Series:
    """Column as finite floats or NaN."""
    try:
        numbers = pd.to_numeric(column).astype(float)
    except (TypeError, ValueError) as error:
        raise StudyError(f"{what} is not numeric ({error})") from None
    return numbers.where(np.isfinite(numbers))


def _ratings(
    ratings: pd.DataFrame,
    names: Sequence[str] | None,
    window_of: Mapping[str, str] | None,
    table: pd.DataFrame,
) -> tuple[pd.DataFrame, list[str]]:
    """Ratings with person and window of the scores, and the names to use."""
    for column in ("window", "name", "value"):
        if column not in ratings.columns:
            raise StudyError(f"ratings: the column '{column}' is missing; use load_ratings")
    rated = ratings.copy().reset_index(drop=True)
    if "kind" in rated.columns:
        rated = rated[rated["kind"] != "item"].reset_index(drop=True)
    known = list(dict.fromkeys(rated["name"].astype(str)))
    used = known if names is None else _names("names", names)
    for name in used:
        if name not in known:
            raise StudyError(f"ratings: rating {unknown_word(name, known)}")
    for column in ("participant", "session", "window"):
        given = rated[column] if column in rated.columns else pd.Series("", index=rated.index)
        rated[column] = given.fillna("").astype(str)
    owner = table.drop_duplicates("session").set_index("session")["participant"]
    nobody = rated["participant"] == ""
    rated.loc[nobody, "participant"] = rated.loc[nobody, "session"].map(owner).fillna("")
    mapped = dict(window_of or {})
    unknown = [name for name in mapped if name not in set(rated["window"])]
    if unknown:
        raise StudyError(
            f"window_of: no rating has the window '{unknown[0]}'; rating windows: "
            + ", ".join(dict.fromkeys(rated["window"]))
        )
    rated["window"] = rated["window"].map(lambda name: mapped.get(name, name))
    rated["rating"] = _floats(rated["value"], "ratings, column 'value'")
    rated = rated[rated["name"].isin(used)]
    _refuse_nothing_joined(rated, table)
    return rated, used


def _refuse_nothing_joined(rated: pd.DataFrame, table: pd.DataFrame) -> None:
    """Refuse ratings none of which belongs to a window of the scores."""
    people = rated["participant"].isin(table["participant"])
    windows = rated["window"].isin(table["window"])
    if (people & windows).any():
        return
    if not people.any():
        theirs, ours = rated["participant"], table["participant"]
        what = "participant"
    else:
        theirs, ours = rated["window"], table["window"]
        what = "window"
    some = [", ".join(list(dict.fromkeys(side))[:4]) or "none" for side in (theirs, ours)]
    raise StudyError(
        f"ratings: no {what} of them is in the scores; ratings have {some[0]}, "
        f"scores have {some[1]}"
    )


def _joined(scores: pd.DataFrame, rated: pd.DataFrame, name: str) -> pd.DataFrame:
    """Rows that have a score and a rating, ordered as the scores."""
    left = scores.assign(order=np.arange(len(scores)))
    right = rated[[*_KEYS, "rating"]].rename(columns={"session": "rated_session"})
    both = left.merge(right, on=["participant", "window"], how="inner")
    both = both[(both["rated_session"] == "") | (both["rated_session"] == both["session"])]
    both = both[both["y"].notna() & both["rating"].notna()].sort_values("order", kind="stable")
    twice = both.duplicated("order")
    if twice.any():
        row = both[twice].iloc[0]
        raise StudyError(
            f"ratings: '{name}' of participant '{row['participant']}' has two values for window "
            f"'{row['window']}'; keep one of them"
        )
    again = both.duplicated(["participant", "window"])
    if again.any():
        row = both[again].iloc[0]
        raise StudyError(
            f"scores: participant '{row['participant']}' has two sessions with the rated window "
            f"'{row['window']}'; keep one of them"
        )
    return both.reset_index(drop=True)


def _split(joined: pd.DataFrame) -> pd.DataFrame:
    """Rating as mean of the person, about the mean of all persons, and deviation from it."""
    mean = joined.groupby("participant", sort=False)["rating"].transform("mean")
    overall = joined.groupby("participant", sort=False)["rating"].mean().mean()
    deviation = (joined["rating"] - mean).where(lambda gap: gap.abs() > 1e-12, 0.0)
    return joined.assign(**{WITHIN: deviation, BETWEEN: mean - overall})


def _windows_text(joined: pd.DataFrame) -> str:
    """Windows of the rows, in their order."""
    return ", ".join(dict.fromkeys(joined["window"]))


# ---- estimating ----------------------------------------------------------------------------------


def _associated(
    joined: pd.DataFrame,
    outcome: str,
    name: str,
    covariates: Sequence[str],
    score: str,
    confidence: float,
) -> list[dict[str, Any]]:
    """Rows of one outcome and one rating."""
    notes: list[str] = []
    rows, terms = _covariate_columns(joined, covariates, notes)
    data = _split(joined[rows].reset_index(drop=True))
    terms = terms[rows].reset_index(drop=True)
    base: dict[str, Any] = {"outcome": outcome, "window_set": _windows_text(data), "rating": name}
    per_person = data.groupby("participant", sort=False)
    moving = per_person[WITHIN].agg(lambda part: bool((part != 0).any()))
    several = int(moving.sum()) >= _MIN_PERSONS
    if not several:
        most = int(per_person.size().max()) if len(data) else 1
        notes.append(
            "one rated window per person: between persons only"
            if most == 1
            else f"between persons only: {int(moving.sum())} persons have ratings that differ "
            f"between windows, needs {_MIN_PERSONS}"
        )
    levels = ((WITHIN, "within"), (BETWEEN, "between")) if several else ((BETWEEN, "between"),)
    fit, model, dropped = _fitted(data, terms, several, covariates, score, notes)
    if several and data["window"].nunique() > 1 and not {"window", "phase"} & set(covariates):
        notes.append("flag: what windows have in common is not taken out (covariate 'window')")
    return [
        {**base, **_row(fit, column, level, data, confidence, dropped, notes), "model": model}
        for column, level in levels
    ]


def _covariate_columns(
    joined: pd.DataFrame, covariates: Sequence[str], notes: list[str]
) -> tuple[pd.Series, pd.DataFrame]:
    """Rows whose covariates are known, and the covariates as numeric columns."""
    keep = pd.Series(True, index=joined.index)
    for name in covariates:
        known = joined[name].notna() & (joined[name].astype(str) != "")
        if known.any():
            keep &= known
    lost = int((~keep).sum())
    if lost:
        notes.append(f"{lost} windows without a covariate left out")
    columns = {}
    for name in covariates:
        values = joined[name]
        if values[keep].nunique() < 2:
            notes.append(f"covariate '{name}' left out: it has one value")
        elif pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            columns[name] = values.astype(float)
        else:
            for word in sorted(values[keep].astype(str).unique())[1:]:
                columns[f"{name}[{word}]"] = (values.astype(str) == word).astype(float)
    return keep, pd.DataFrame(columns, index=joined.index)


def _fitted(
    data: pd.DataFrame,
    terms: pd.DataFrame,
    several: bool,
    covariates: Sequence[str],
    score: str,
    notes: list[str],
) -> tuple[Fit | None, str, list[str]]:
    """Fit of the model that the data can carry, its formula, and columns that had to go."""
    predictors = [WITHIN, BETWEEN] if several else [BETWEEN]
    columns = pd.concat([data[predictors], terms], axis=1)
    person = data["participant"].to_numpy(object)
    y = data["y"]
    if not several:
        y = y.groupby(person, sort=False).mean()
        columns = columns.groupby(person, sort=False).mean()
        person = np.array(list(y.index), dtype=object)
    columns, dropped = independent_columns(columns, predictors)
    extra = [name for name in dropped if name not in predictors]
    if extra:
        notes.append(f"flag: {', '.join(extra)} left out, the other covariates say the same")
    dyad = _dyads(data)
    if dyad is not None and not several:
        of_person = dict(zip(data["participant"], dyad, strict=True))
        dyad = np.array([of_person[name] for name in person], dtype=object)
    model = _model_text(columns, covariates, score, several, dyad is not None)
    left = [name for name in columns if name in predictors]
    n_persons = len(set(person))
    room = n_persons - 1 - sum(name != WITHIN for name in columns)
    if n_persons < _MIN_PERSONS or room < _MIN_DF:
        needed = max(_MIN_PERSONS, n_persons - room + _MIN_DF)
        notes.append(f"{n_persons} persons with score and rating, needs {needed}")
        return None, model, dropped
    if not left:
        return None, model, dropped
    outcome = y.to_numpy(np.float64)
    if float(np.ptp(outcome)) < 1e-12 * max(float(np.abs(outcome).max()), 1.0):
        notes.append("the outcome is the same in every window")
        return None, model, dropped
    design = Design(outcome, columns.reset_index(drop=True), person, dyad)
    fit = fit_mixed(design) if several else fit_persons(design)
    notes.extend(fit.notes)
    return fit, model, dropped


def _dyads(data: pd.DataFrame) -> np.ndarray[Any, Any] | None:
    """Dyad of every row (persons without one stand for themselves), None without dyads of two."""
    members = data[data["dyad"] != ""].groupby("dyad")["participant"].nunique()
    if not (members >= 2).any():
        return None
    alone = "person " + data["participant"].astype(object)
    return np.asarray(("dyad " + data["dyad"].astype(object)).where(data["dyad"] != "", alone))


def _model_text(
    columns: pd.DataFrame,
    covariates: Sequence[str],
    score: str,
    several: bool,
    dyads: bool,
) -> str:
    """Formula that gives the fit in statsmodels."""
    used = [name for name in (WITHIN, BETWEEN) if name in columns]
    for name in covariates:
        if name in columns:
            used.append(name)
        elif any(str(column).startswith(f"{name}[") for column in columns):
            used.append(f"C({name})")
    formula = f"{score} ~ " + (" + ".join(used) or "1")
    if not several and dyads:
        return f"GEE, independence, bias-reduced: {formula}, groups=dyad"
    if not several:
        return f"OLS, HC3: {formula}"
    if dyads:
        return (
            f"MixedLM, REML: {formula}, groups=dyad, re_formula='1', "
            "vc_formula={'participant': '0 + C(participant)'}"
        )
    return f"MixedLM, REML: {formula}, groups=participant"


def _row(
    fit: Fit | None,
    column: str,
    level: str,
    data: pd.DataFrame,
    confidence: float,
    dropped: Sequence[str],
    notes: list[str],
) -> dict[str, Any]:
    """Estimate, test and interval of one level."""
    from scipy import stats

    own = list(notes)
    if column in dropped:
        own.insert(0, _why_dropped(level, data, column))
    if fit is not None and fit.left_out:
        data = data[~data["participant"].isin(fit.left_out)]
    estimate = se = df = t = p = low = high = standardized = math.nan
    if fit is not None and column in fit.estimate:
        estimate, se, df = fit.estimate[column], fit.se[column], fit.df[column]
        if not (np.isfinite(estimate) and np.isfinite(se) and se > 0 and df >= 1):
            own.insert(0, "no test: the data leave no residual variance or degrees of freedom")
            se = math.nan
        else:
            t = estimate / se
            p = float(2 * stats.t.sf(abs(t), df))
            reach = float(stats.t.ppf(0.5 + confidence / 2, df)) * se
            low, high = estimate - reach, estimate + reach
        standardized = estimate * _spread_ratio(data, column)
    return {
        "level": level,
        "estimate": estimate,
        "se": se,
        "df": df,
        "statistic": t,
        "p": p,
        "ci_low": low,
        "ci_high": high,
        "standardized": standardized,
        "n_persons": int(data["participant"].nunique()),
        "n_windows": len(data),
        "note": "; ".join(dict.fromkeys(text for text in own if text)),
    }


def _why_dropped(level: str, data: pd.DataFrame, column: str) -> str:
    """Why a model is without the rating."""
    if float(data[column].abs().max()) < 1e-12:
        return "every person has the same mean rating"
    return f"the covariates explain the rating {level} persons completely"


def _spread_ratio(data: pd.DataFrame, column: str) -> float:
    """Standard deviation of the rating over that of the outcome, at the level of `column`."""
    per_person = data.groupby("participant", sort=False)
    if column == BETWEEN:
        spread = per_person[["rating", "y"]].mean().std(ddof=1)
    else:
        spread = (data[["rating", "y"]] - per_person[["rating", "y"]].transform("mean")).std(ddof=0)
    return float(spread["rating"] / spread["y"]) if spread["y"] > 0 else math.nan


def _correlated(means: pd.DataFrame, method: str) -> dict[str, Any]:
    """Correlation of persons' means by pingouin."""
    empty: dict[str, Any] = dict.fromkeys(("r", "ci_low", "ci_high", "p"), math.nan)
    if len(means) < 4:
        return {"method": method, **empty, "note": f"{len(means)} persons, needs 4"}
    if float(means.std().min()) < 1e-12:
        return {"method": method, **empty, "note": "rating or outcome does not differ"}
    import pingouin

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = pingouin.corr(means["rating"], means["y"], method=method).iloc[0]
    said = dict.fromkeys(" ".join(str(entry.message).split()) for entry in caught)
    # The interval in pingouin's table is rounded to two decimals.
    low, high = pingouin.compute_esci(
        stat=float(found["r"]), nx=len(means), ny=len(means), eftype="r", decimals=12
    )
    p = next(found[name] for name in ("p-val", "p_val") if name in found.index)
    return {
        "method": method,
        "r": float(found["r"]),
        "ci_low": float(low),
        "ci_high": float(high),
        "p": float(p),
        "note": "; ".join(f"flag: {text}" for text in said),
    }
