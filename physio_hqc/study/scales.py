"""Questionnaires: which items belong together, how they are scored, how they hang together."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, StringConstraints, model_validator

from physio_hqc.config import ConfigModel, Name, WrongKeyError, load_config, nearest
from physio_hqc.errors import StudyError
from physio_hqc.study.ratings import RATING_COLUMNS

RELIABILITY_COLUMNS: tuple[str, ...] = (
    "scale",
    "subscale",
    "n_items",
    "n",
    "alpha",
    "alpha_low",
    "alpha_high",
    "note",
)

ItemKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=24)]
"""Short name of an item: no room for what it asks."""

_WHO = ["participant", "session", "window"]
_FEW = 30


class Subscale(ConfigModel):
    """Items that are averaged."""

    name: Name = Field(description="Name under which the score is stored.")
    items: tuple[ItemKey, ...] = Field(min_length=1, description="Keys of the items.")
    reversed: tuple[ItemKey, ...] = Field(
        default=(), description="Items that count as min + max - answer."
    )

    @model_validator(mode="after")
    def _known_items(self) -> Subscale:
        """Demand that items are named once and reversed ones belong to the subscale."""
        for index, item in enumerate(self.items):
            if item in self.items[:index]:
                raise WrongKeyError(("items", index), f"'{item}' is listed twice")
        for index, item in enumerate(self.reversed):
            if item not in self.items:
                hint = nearest(item, self.items)
                raise WrongKeyError(("reversed", index), f"'{item}' is no item of it; {hint}")
        return self


class Composite(ConfigModel):
    """Subscales that are averaged."""

    name: Name = Field(description="Name under which the score is stored.")
    subscales: tuple[Name, ...] = Field(min_length=1, description="Names of subscales.")


class ScaleDefinition(ConfigModel):
    """A questionnaire without its wording: keys, range, what is reversed, what is averaged."""

    name: Name = Field(description="One word for the scale.")
    title: Annotated[str, StringConstraints(max_length=120)] = Field(
        default="", description="Name of the instrument."
    )
    references: tuple[str, ...] = Field(default=(), description="Where the scale comes from.")
    min: float = Field(description="Lowest answer.")
    max: float = Field(description="Highest answer.")
    share_answered: float = Field(
        default=0.8, gt=0, le=1, description="Share of the items that a score needs answered."
    )
    subscales: tuple[Subscale, ...] = Field(min_length=1, description="What is averaged.")
    composites: tuple[Composite, ...] = Field(
        default=(), description="Means of subscales; each of them must be there."
    )

    @model_validator(mode="after")
    def _consistent(self) -> ScaleDefinition:
        """Demand a range, items of one subscale only, and composites of known subscales."""
        if not (math.isfinite(self.min) and math.isfinite(self.max) and self.min < self.max):
            raise WrongKeyError(("max",), f"{self.max:g} is not above min ({self.min:g})")
        owner: dict[str, str] = {}
        for index, subscale in enumerate(self.subscales):
            for position, item in enumerate(subscale.items):
                if item.lower() in owner:
                    where = ("subscales", index, "items", position)
                    raise WrongKeyError(where, f"'{item}' is in {owner[item.lower()]} already")
                owner[item.lower()] = subscale.name
        known = [subscale.name for subscale in self.subscales]
        names = known + [composite.name for composite in self.composites]
        for index, name in enumerate(names):
            if name in names[:index] or name.lower() in owner:
                raise WrongKeyError(("name",), f"'{name}' names two things")
        for index, composite in enumerate(self.composites):
            for position, name in enumerate(composite.subscales):
                if name not in known:
                    where = ("composites", index, "subscales", position)
                    hint = nearest(name, known)
                    raise WrongKeyError(where, f"'{name}' is no subscale; {hint}")
        return self

    @property
    def items(self) -> tuple[str, ...]:
        """Keys of all items, in the order of the subscales."""
        return tuple(item for subscale in self.subscales for item in subscale.items)


def load_scale(name_or_path: str | Path) -> ScaleDefinition:
    """Read the definition of a questionnaire.

    Parameters
    ----------
    name_or_path : str or Path
        Name of a shipped definition, or a YAML file.

    Returns
    -------
    ScaleDefinition
        Item keys, range and what is averaged; there is no place for the wording of items.

    Raises
    ------
    ConfigError
        The file is missing or wrong.

    References
    ----------
    Carmeli A., Brueller D., Dutton J. E. (2009). Systems Research and Behavioral Science 26, 81.
    doi:10.1002/sres.932.

    Examples
    --------
    >>> scale = load_scale("hqc")
    >>> [composite.name for composite in scale.composites]
    ['capacities', 'experiences']
    """
    return load_config("scales", name_or_path, ScaleDefinition)


def score_scale(items: pd.DataFrame, definition: ScaleDefinition) -> pd.DataFrame:
    """Score a questionnaire, once per participant and window.

    A reversed item counts as ``min + max - answer``. A subscale is the mean of its answered items
    where at least `share_answered` of them are answered, a composite the mean of its subscales
    where all of them are there.

    Parameters
    ----------
    items : DataFrame
        Ratings as from :func:`~physio_hqc.study.load_ratings`. Ratings that are no item of the
        scale pass through as they are (kind "single").
    definition : ScaleDefinition
        As from :func:`load_scale`. Case does not count in item keys.

    Returns
    -------
    DataFrame
        Columns ``RATING_COLUMNS``: items as answered, single ratings, then subscales and
        composites. ``n_items`` says how many answers a score rests on; a score that could not be
        made is NaN with a reason, one with missing items carries a flag.

    Raises
    ------
    StudyError
        No rating is an item of the scale, or an answer is outside its range.

    Examples
    --------
    >>> import pandas as pd
    >>> from physio_hqc.study import load_ratings
    >>> one = Subscale(name="vitality", items=("v1", "v2"), reversed=("v2",))
    >>> scale = ScaleDefinition(name="demo", min=1, max=7, subscales=(one,))
    >>> wide = pd.DataFrame({"id": ["p1"], "window": "speech", "v1": [6], "v2": [3]})
    >>> scored = score_scale(load_ratings(wide), scale)
    >>> scored.loc[scored["kind"] == "subscale", "value"].tolist()
    [5.5]
    """
    table, answers = _answers(items, definition)
    scores = {
        subscale.name: _subscale(answers, subscale, definition) for subscale in definition.subscales
    }
    blocks = [_rows(answers, name, "subscale", part) for name, part in scores.items()]
    for composite in definition.composites:
        part = _composite([scores[name] for name in composite.subscales], composite)
        blocks.append(_rows(answers, composite.name, "composite", part))
    made = pd.concat(blocks, ignore_index=True)
    made = made.assign(scale=definition.name, min=definition.min, max=definition.max)
    made["order"] = made.groupby(_WHO, sort=False).ngroup()
    made = made.sort_values("order", kind="stable")
    both = pd.concat([table, made[list(RATING_COLUMNS)]], ignore_index=True)
    return both[list(RATING_COLUMNS)]


def reliability(items: pd.DataFrame, definition: ScaleDefinition) -> pd.DataFrame:
    """Cronbach's alpha of every subscale, with a 95 % confidence interval.

    Parameters
    ----------
    items : DataFrame
        Ratings as for :func:`score_scale`.
    definition : ScaleDefinition
        As from :func:`load_scale`.

    Returns
    -------
    DataFrame
        Columns `RELIABILITY_COLUMNS`. `n` counts completely answered questionnaires (one per
        participant and window; others are left out), `note` says of how many people, why an
        alpha is missing, and McDonald's omega of a model with one factor. Repeated questionnaires
        of one person are not independent: alpha then mixes differences between and within
        persons, and its interval is too narrow.

    References
    ----------
    Cronbach L. J. (1951). Psychometrika 16, 297. doi:10.1007/BF02310555.
    Feldt L. S., Woodruff D. J., Salih F. A. (1987). Applied Psychological Measurement 11, 93.
    doi:10.1177/014662168701100107.
    McDonald R. P. (1999). Test Theory. Erlbaum.

    Examples
    --------
    >>> import pandas as pd
    >>> from physio_hqc.study import load_ratings
    >>> one = Subscale(name="vitality", items=("v1", "v2"))
    >>> scale = ScaleDefinition(name="demo", min=1, max=7, subscales=(one,))
    >>> wide = pd.DataFrame({"id": list("abcd"), "v1": [1, 3, 4, 6], "v2": [2, 3, 5, 5]})
    >>> reliability(load_ratings(wide), scale)[["n_items", "n", "alpha"]].round(3).values.tolist()
    [[2.0, 4.0, 0.925]]
    """
    _, answers = _answers(items, definition)
    rows = [_alpha(answers, subscale, definition) for subscale in definition.subscales]
    return pd.DataFrame(rows, columns=list(RELIABILITY_COLUMNS))


def _answers(items: pd.DataFrame, definition: ScaleDefinition) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ratings with their kind, and a wide table of answers: questionnaires x items."""
    missing = [name for name in RATING_COLUMNS if name not in items.columns]
    if missing:
        raise StudyError(f"ratings: the column '{missing[0]}' is missing; use load_ratings")
    keys = {item.lower(): item for item in definition.items}
    raw = items[items["kind"].isin(["item", "single"])].reset_index(drop=True)
    key = raw["name"].astype(str).str.lower().map(keys)
    if not key.notna().any():
        known = ", ".join(dict.fromkeys(raw["name"].astype(str).head(200)))[:200]
        raise StudyError(
            f"ratings: no rating is an item of the scale {definition.name} "
            f"({', '.join(definition.items[:3])}, ...); ratings: {known or 'none'}"
        )
    is_item = key.notna().to_numpy()
    out = is_item & ((raw["value"] < definition.min) | (raw["value"] > definition.max)).to_numpy()
    if out.any():
        position = int(out.argmax())
        row = raw.iloc[position]
        who = row["participant"] or row["session"]
        raise StudyError(
            f"ratings, row {position + 1}: item '{row['name']}' of '{who}' in window "
            f"'{row['window']}' is {row['value']:g}, outside {definition.min:g} to "
            f"{definition.max:g} of the scale {definition.name}"
        )
    _refuse_other_range(raw[is_item], definition)
    table = raw.assign(
        name=key.fillna(raw["name"]),
        kind=np.where(is_item, "item", "single"),
        scale=np.where(is_item, definition.name, raw["scale"]),
        min=raw["min"].mask(is_item, definition.min),
        max=raw["max"].mask(is_item, definition.max),
    )
    given = table[is_item]
    twice = given.duplicated([*_WHO, "name"])
    if twice.any():
        row = given[twice].iloc[0]
        who = row["participant"] or row["session"]
        raise StudyError(
            f"ratings: item '{row['name']}' of '{who}' in window '{row['window']}' is there twice"
        )
    wide = given.set_index([*_WHO, "name"])["value"].unstack("name")
    order = pd.MultiIndex.from_frame(given[_WHO].drop_duplicates())
    return table, wide.reindex(order).reindex(columns=list(definition.items))


def _refuse_other_range(given: pd.DataFrame, scale: ScaleDefinition) -> None:
    """Refuse items that were answered on another range: reversal would be wrong."""
    other = ((given["min"] != scale.min) & given["min"].notna()) | (
        (given["max"] != scale.max) & given["max"].notna()
    )
    if other.any():
        row = given[other].iloc[0]
        raise StudyError(
            f"ratings: item '{row['name']}' was answered on {row['min']:g} to {row['max']:g}, the "
            f"scale {scale.name} says {scale.min:g} to {scale.max:g}; correct one of them"
        )


def _counted(answers: pd.DataFrame, subscale: Subscale, scale: ScaleDefinition) -> pd.DataFrame:
    """Answers of a subscale, reversed items turned round."""
    part = answers[list(subscale.items)].copy()
    turned = list(subscale.reversed)
    part[turned] = scale.min + scale.max - part[turned]
    return part


def _subscale(answers: pd.DataFrame, subscale: Subscale, scale: ScaleDefinition) -> pd.DataFrame:
    """Score, number of answers and reason of one subscale."""
    part = _counted(answers, subscale, scale)
    given = part.notna().sum(axis=1).to_numpy()
    total = len(subscale.items)
    needed = math.ceil(scale.share_answered * total - 1e-9)
    enough = given >= needed
    value = part.mean(axis=1).where(enough).to_numpy()
    few = [f"{n} of {total} items answered, needs {needed}" for n in given]
    some = [f"flag: {n} of {total} items answered" if n < total else "" for n in given]
    return pd.DataFrame({"value": value, "n_items": given, "reason": np.where(enough, some, few)})


def _composite(parts: list[pd.DataFrame], composite: Composite) -> pd.DataFrame:
    """Score, number of answers and reason of one composite."""
    values = np.column_stack([part["value"] for part in parts])
    absent = np.isnan(values)
    value = np.where(absent.any(axis=1), np.nan, values.mean(axis=1))
    lacking = [
        ", ".join(name for name, gone in zip(composite.subscales, row, strict=True) if gone)
        for row in absent
    ]
    cautious = [any(text) for text in zip(*(part["reason"] for part in parts), strict=True)]
    reason = [
        f"no score of {names}" if names else ("flag: items missing" if careful else "")
        for names, careful in zip(lacking, cautious, strict=True)
    ]
    count = np.sum([part["n_items"] for part in parts], axis=0)
    return pd.DataFrame({"value": value, "n_items": count, "reason": reason})


def _rows(answers: pd.DataFrame, name: str, kind: str, part: pd.DataFrame) -> pd.DataFrame:
    """Rating rows of one score."""
    who = answers.index.to_frame(index=False)
    return pd.concat([who, part], axis=1).assign(name=name, kind=kind)


def _alpha(answers: pd.DataFrame, subscale: Subscale, scale: ScaleDefinition) -> tuple[object, ...]:
    """Row of one subscale."""
    part = _counted(answers, subscale, scale)
    complete = part.dropna()
    n, k = len(complete), len(subscale.items)
    people = complete.index.to_frame(index=False)
    who = people["participant"].where(people["participant"] != "", people["session"])
    note = [f"n = {n} complete questionnaires of {who.nunique()} persons"]
    if len(part) > n:
        note.append(f"{len(part) - n} incomplete left out")
    if n > who.nunique():
        note.append("flag: repeated questionnaires, alpha mixes within and between persons")
    alpha = low = high = math.nan
    if k < 2:
        note.append("no alpha: one item")
    elif n < 3:
        note.append("no alpha: needs 3 complete questionnaires")
    elif float(complete.sum(axis=1).var()) < 1e-12:
        note.append("no alpha: the sums do not differ")
    else:
        alpha, low, high = _cronbach(complete, note)
        note.append(_omega(complete))
        if n < _FEW:
            note.append(f"flag: fewer than {_FEW} questionnaires")
        if alpha < 0:
            note.append("flag: negative, check which items are reversed")
    return (
        scale.name,
        subscale.name,
        k,
        n,
        alpha,
        low,
        high,
        "; ".join(text for text in note if text),
    )


def _cronbach(complete: pd.DataFrame, note: list[str]) -> tuple[float, float, float]:
    """Alpha and its interval by pingouin; its warnings go into the note."""
    import pingouin

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        alpha, (low, high) = pingouin.cronbach_alpha(complete.reset_index(drop=True))
    note.extend(f"flag: {' '.join(str(entry.message).split())}" for entry in caught)
    return float(alpha), float(low), float(high)


def _omega(complete: pd.DataFrame) -> str:
    """McDonald's omega of one factor by maximum likelihood, or why there is none."""
    from statsmodels.multivariate.factor import Factor

    spread = complete.std().to_numpy()
    if complete.shape[1] < 3 or not (spread > 0).all():
        return "no omega: needs 3 items that differ"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = Factor(complete.to_numpy(np.float64), n_factor=1, method="ml").fit()
        except (np.linalg.LinAlgError, ValueError) as error:
            return f"no omega: {' '.join(str(error).split())}"
    loading = found.loadings[:, 0] * spread
    unique = found.uniqueness * spread**2
    omega = float(loading.sum() ** 2 / (loading.sum() ** 2 + unique.sum()))
    if caught or not math.isfinite(omega) or (found.uniqueness < 0.005).any():
        return "no omega: one factor does not fit"
    return f"omega {omega:.2f}"
