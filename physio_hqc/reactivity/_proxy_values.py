"""From the tables of a study to one row of component values per participant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.errors import StudyError
from physio_hqc.reactivity._proxy_models import (
    LOGISTIC_ELEVATION,
    Component,
    ProxyDefinition,
    Source,
    load_proxy,
)
from physio_hqc.reactivity._proxy_numbers import FLAG, Texts, numbers, screened

_SEXES = {"f": "female", "w": "female", "woman": "female", "m": "male", "man": "male"}
_UNIT_SPELLINGS = {"uS": "µS", "μS": "µS", "bpm": "1/min"}  # the second mu is a Greek letter
_CUFF = "CUFF_"


def proxy_values(
    definition: ProxyDefinition | str | Path,
    features: pd.DataFrame | None,
    recovery: pd.DataFrame | None = None,
    participants: pd.DataFrame | None = None,
    *,
    baseline: str | Sequence[str] = "baseline",
    quality_min: float = 0.5,
    min_readings: int = 2,
) -> pd.DataFrame:
    """Collect what an allostatic-load proxy is made of, one row per participant.

    Parameters
    ----------
    definition : ProxyDefinition, str or Path
        The proxy, or the name or path that :func:`load_proxy` takes.
    features : DataFrame or None
        Tidy features of the sessions. Needed columns: session, window, feature, value. Used where
        present: participant, kind, unit, quality, reason.
    recovery : DataFrame, optional
        Recovery scores. Needed columns: session, feature. Used where present: participant,
        window, reason, and the columns that the definition names.
    participants : DataFrame, optional
        Needed column: id. Used where present: sex, session, and the columns that the definition
        names. Its order is the order of the result.
    baseline : str or sequence of str
        Name of the resting window for components that name none; of several, the first that a
        session has is used.
    quality_min : float
        Resting values of lower quality are not used. A missing quality passes.
    min_readings : int
        Valid cuff readings (``CUFF_N`` of the window) that a ``CUFF_`` feature needs.

    Returns
    -------
    DataFrame
        Columns participant, sex (female, male, "" if unknown, other words as they are) and one
        per component, in its unit. Of several sessions of a participant the mean is taken.
        ``attrs["reasons"]`` (dict of component to list of str, in the order of
        ``attrs["participants"]``) says why a value is NaN, or begins with ``flag:`` where a present
        value carries a caution.

    Raises
    ------
    StudyError
        If a table lacks a needed column, names a participant twice, or holds a feature twice in a
        window of a session; if there is neither a session nor a participant.
    ConfigError
        If the definition does not exist or is wrong.

    Examples
    --------
    >>> import pandas as pd
    >>> features = pd.DataFrame({"session": ["p1", "p2"], "window": "baseline",
    ...                          "feature": "HRV_RMSSD", "value": [42.0, -1.0]})
    >>> values = proxy_values("session", features)
    >>> values[["participant", "resting_rmssd"]].to_dict("list")
    {'participant': ['p1', 'p2'], 'resting_rmssd': [42.0, nan]}
    >>> values.attrs["reasons"]["resting_rmssd"]
    ['', 'HRV_RMSSD: -1 ms lies outside 0.5 to 400 ms, a wrong unit?']
    """
    if not 0 <= quality_min <= 1:
        raise StudyError(f"quality_min is {quality_min}: pass a number from 0 to 1")
    if min_readings < 1:
        raise StudyError(f"min_readings is {min_readings}: pass 1 or more")
    model = definition if isinstance(definition, ProxyDefinition) else load_proxy(definition)
    rests = [baseline] if isinstance(baseline, str) else list(baseline)
    people = _people(participants)
    rest = _checked(features, "features", ("session", "window", "feature", "value"), people)
    after = _checked(recovery, "recovery", ("session", "feature"), people)
    rest = _resting(rest, quality_min, min_readings)
    tables = _Tables(_order(people, rest, after), people, rest, after, rests)
    columns: dict[str, NDArray[np.float64]] = {}
    reasons: dict[str, list[str]] = {}
    for component in model.components:
        columns[component.name], texts = _component(component, tables)
        reasons[component.name] = texts.tolist()
    values = pd.DataFrame({"participant": tables.order, "sex": tables.sex(), **columns})
    values.attrs["reasons"] = reasons
    values.attrs["participants"] = list(tables.order)
    return values


@dataclass(frozen=True)
class _Tables:
    """Everything that components are taken from; every table has the column `person`."""

    order: list[str]
    people: pd.DataFrame
    rest: pd.DataFrame
    after: pd.DataFrame
    baseline: list[str]

    def sex(self) -> list[str]:
        """Sex of every participant, in one spelling."""
        if "sex" not in self.people:
            return [""] * len(self.order)
        spelled = dict(zip(self.people["person"], words(self.people["sex"]), strict=True))
        return [normal_sex(spelled.get(person, "")) for person in self.order]


def normal_sex(word: str) -> str:
    """One spelling of female and male; other words as they are."""
    lower = word.lower()
    return _SEXES.get(lower, lower if lower in _SEXES.values() else word)


def _word(cell: Any) -> str:
    """A cell that names something, as text; 7.0 is 7, a missing cell is empty."""
    if cell is None or cell is pd.NA or (isinstance(cell, float) and np.isnan(cell)):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def words(cells: pd.Series) -> NDArray[np.object_]:
    """Cells as words; every different cell is looked at once."""
    codes, different = pd.factorize(cells.astype(object), use_na_sentinel=False)
    words = np.array([_word(cell) for cell in different], dtype=object)
    return words[codes] if len(words) else np.empty(len(cells), dtype=object)


def _people(participants: pd.DataFrame | None) -> pd.DataFrame:
    """Participants with their identifier in the column `person`; each of them once."""
    if participants is None:
        return pd.DataFrame({"person": pd.Series(dtype=object)})
    _needs(participants, "participants", ("id",))
    people = participants.reset_index(drop=True).copy()
    people.attrs = {}
    people["person"] = pd.Series(words(people["id"]), dtype=object)
    blank = people["person"] == ""
    if blank.any():
        row = int(np.flatnonzero(blank)[0]) + 1
        raise StudyError(f"participants, row {row}: the id is empty; give every participant one")
    twice = people["person"].duplicated()
    if twice.any():
        raise StudyError(
            f"participants: id {people['person'][twice].iloc[0]!r} appears twice; "
            "give every participant one row"
        )
    return people


def _needs(table: pd.DataFrame, name: str, columns: Sequence[str]) -> None:
    """Refuse a table that lacks a column."""
    if not isinstance(table, pd.DataFrame):
        raise StudyError(f"{name} is a {type(table).__name__}: pass a DataFrame")
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise StudyError(f"{name}: there is no column {missing[0]!r}; pass a table that has it")


def _checked(
    table: pd.DataFrame | None, name: str, columns: Sequence[str], people: pd.DataFrame
) -> pd.DataFrame:
    """Copy of a table of sessions, with the participant of every row in the column `person`."""
    if table is None:
        empty: dict[str, pd.Series] = {column: pd.Series(dtype=object) for column in columns}
        return pd.DataFrame({**empty, "person": pd.Series(dtype=object)})
    _needs(table, name, columns)
    table = table.reset_index(drop=True).copy()
    table.attrs = {}
    sessions = pd.Series(words(table["session"]), dtype=object)
    owner = sessions.map(_owners(people))
    own = sessions.to_numpy()
    if "participant" in table:
        given = words(table["participant"])
        own = np.where(given == "", own, given)
    table["session"] = sessions
    table["person"] = owner.where(owner.notna(), pd.Series(own, dtype=object))
    return table


def _owners(people: pd.DataFrame) -> dict[str, str]:
    """Participant of every session that the participants' table names."""
    if "session" not in people:
        return {}
    sessions = words(people["session"])
    return {name: who for name, who in zip(sessions, people["person"], strict=True) if name}


def _order(*tables: pd.DataFrame) -> list[str]:
    """Every participant once, in the order of the first table that has them."""
    order = list(dict.fromkeys(person for table in tables for person in table["person"]))
    if not order:
        raise StudyError("there is no session and no participant: pass features or participants")
    return order


def _resting(rest: pd.DataFrame, quality_min: float, min_readings: int) -> pd.DataFrame:
    """Rows with a number in `value`, and in `text` why there is none."""
    if "kind" in rest:
        rest = rest[rest["kind"] != "sliding"].reset_index(drop=True)
    twice = rest.duplicated(["session", "window", "feature"])
    if twice.any():
        row = rest[twice].iloc[0]
        raise StudyError(
            f"session {row['session']!r}: window {row['window']!r} holds {row['feature']} twice; "
            "sessions and windows need unique names"
        )
    values, texts = numbers(rest["value"])
    texts = _own_reasons(rest, texts)
    if "quality" in rest:
        quality, _ = numbers(rest["quality"])
        for row_at in np.flatnonzero((quality < quality_min) & ~np.isnan(values)):
            texts[row_at] = f"quality {quality[row_at]:.2f} is below {quality_min:g}"
    readings = _readings(rest, values)
    for row_at in np.flatnonzero((readings < min_readings) & ~np.isnan(values)):
        texts[row_at] = f"cuff readings: {readings[row_at]:.0f}, needs {min_readings}"
    values[texts != ""] = np.nan
    return rest.assign(value=values, text=texts)


def _own_reasons(table: pd.DataFrame, texts: Texts, column: str = "reason") -> Texts:
    """Texts of missing values, replaced by the reasons that the table itself gives."""
    texts = np.where(texts == "empty", "no value", texts)
    if column not in table:
        return texts
    own = words(table[column])
    return np.where((texts == "no value") & (own != ""), own, texts)


def _readings(rest: pd.DataFrame, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Number of cuff readings behind every row; NaN where it is not known or no cuff gave it."""
    keys = ["session", "window"]
    counts = rest[keys].assign(readings=values)[rest["feature"] == f"{_CUFF}N"]
    merged = rest[keys].merge(counts, on=keys, how="left")["readings"].to_numpy(np.float64)
    is_cuff = rest["feature"].astype(str).str.startswith(_CUFF).to_numpy(bool)
    return np.where(is_cuff, merged, np.nan)


def _component(component: Component, tables: _Tables) -> tuple[NDArray[np.float64], Texts]:
    """Values of one component, and why a value is missing or what caution it carries."""
    values = np.full(len(tables.order), np.nan)
    used = np.full(len(tables.order), -1)
    missing: list[Texts] = []
    cautions = np.full(len(tables.order), "", dtype=object)
    for index, source in enumerate(component.sources):
        found, texts = screened(*_from(source, component, tables), component)
        take = np.isnan(values) & ~np.isnan(found)
        values[take], used[take] = found[take], index
        cautions[take] = texts[take]
        missing.append(texts)
    cautions = _mixed(component, used, cautions)
    sources = [source.text for source in component.sources]
    why = [
        ", ".join(f"{name}: {text}" for name, text in zip(sources, row, strict=True))
        for row in zip(*missing, strict=True)
    ]
    return values, np.where(np.isnan(values), np.array(why, dtype=object), cautions)


def _mixed(component: Component, used: NDArray[np.int_], cautions: Texts) -> Texts:
    """Add a caution where a value comes from another source than those of most others do."""
    kinds = [source.column is None for source in component.sources]
    present = sorted(set(used[used >= 0].tolist()))
    if len(present) < 2 or not any(kinds[index] for index in present):
        return cautions
    sources = [source.text for source in component.sources]
    cautions = cautions.copy()
    for row in np.flatnonzero(used > present[0]):
        text = f"from {sources[used[row]]}, others from {sources[present[0]]}"
        cautions[row] = f"{cautions[row]}, {text}" if cautions[row] else FLAG + text
    return cautions


def _from(
    source: Source, component: Component, tables: _Tables
) -> tuple[NDArray[np.float64], Texts]:
    """Value of every participant from one source, and why it is missing."""
    if source.column is not None:
        return _from_participants(source, tables)
    if source.recovery is not None:
        rows, absent = _recovery_rows(source, tables), "no recovery window has it"
    else:
        rows, absent = _resting_rows(source, component, tables), "no resting window has it"
    return _per_person(rows, tables, absent)


def _resting_rows(source: Source, component: Component, tables: _Tables) -> pd.DataFrame:
    """One row per session: person, value, text."""
    names = tables.baseline if source.window is None else [source.window]
    rest = tables.rest
    rows = rest[(rest["feature"] == source.feature) & rest["window"].isin(names)].copy()
    rows["rank"] = rows["window"].map({name: rank for rank, name in enumerate(names)})
    rows = rows.sort_values("rank", kind="stable").drop_duplicates("session").sort_index()
    if "unit" in rows:
        given = rows["unit"].astype(object).map(_word).map(_spelled)
        other = (given != "") & (given != _spelled(component.unit)) & rows["value"].notna()
        words = "is in " + given + f", needs {component.unit}"
        rows["text"] = rows["text"].where(~other, words)
        rows["value"] = rows["value"].where(~other)
    return rows


def _spelled(unit: str) -> str:
    """One spelling of a unit."""
    return _UNIT_SPELLINGS.get(unit, unit)


def _recovery_rows(source: Source, tables: _Tables) -> pd.DataFrame:
    """One row per session: person, value, text."""
    after = tables.after
    rows = after[after["feature"] == source.feature]
    if source.window is not None:
        if "window" not in rows:
            raise StudyError("recovery: there is no column 'window'; pass a table that has it")
        rows = rows[rows["window"] == source.window]
    rows = rows.drop_duplicates("session").copy()
    values, texts = _recovery_scores(str(source.recovery), rows)
    own = "logistic_reason" if str(source.recovery).startswith("logistic") else "reason"
    return rows.assign(value=values, text=_own_reasons(rows, texts, own))


def _recovery_scores(name: str, rows: pd.DataFrame) -> tuple[NDArray[np.float64], Texts]:
    """One score of recovery, and why it is missing."""
    needed = ("logistic_level", "baseline") if name == LOGISTIC_ELEVATION else (name,)
    for column in needed:
        if column not in rows:
            text = f"the recovery table has no column {column}"
            return np.full(len(rows), np.nan), np.full(len(rows), text, dtype=object)
    values, texts = numbers(rows[needed[0]])
    if len(needed) == 1:
        return values, texts
    level, level_texts = numbers(rows["baseline"])
    return values - level, np.where(texts == "", level_texts, texts)


def _per_person(
    rows: pd.DataFrame, tables: _Tables, absent: str
) -> tuple[NDArray[np.float64], Texts]:
    """Mean over the sessions of every participant, and why there is none."""
    grouped = rows.groupby("person", sort=False, observed=True)
    means = grouped["value"].mean().reindex(tables.order).to_numpy(np.float64)
    counts = grouped["value"].count().reindex(tables.order, fill_value=0).to_numpy()
    why = grouped["text"].agg(lambda texts: ", ".join(dict.fromkeys(filter(None, texts))))
    known = set(tables.rest["person"]) | set(tables.after["person"])
    texts = np.array(
        [why.get(person, absent if person in known else "no session") for person in tables.order],
        dtype=object,
    )
    texts[counts > 0] = ""
    texts[counts > 1] = [f"{FLAG}mean of {count} sessions" for count in counts[counts > 1]]
    return means, texts


def _from_participants(source: Source, tables: _Tables) -> tuple[NDArray[np.float64], Texts]:
    """Value of every participant from the participants' table."""
    values, texts = _column(str(source.column), tables)
    if source.over is None:
        return values, texts
    below, below_texts = _column(source.over, tables)
    texts, below_texts = _naming(texts, str(source.column)), _naming(below_texts, source.over)
    zero = (below <= 0) & (texts == "")
    below_texts = np.where(zero, f"{source.over} is not above 0", below_texts)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(zero, np.nan, values / below)
    return values, np.where(texts == "", below_texts, texts)


def _naming(texts: Texts, name: str) -> Texts:
    """Texts that say which column of two they are about."""
    return np.where(texts == "", "", texts + f" ({name})")


def _column(name: str, tables: _Tables) -> tuple[NDArray[np.float64], Texts]:
    """One column of the participants' table, whatever its capitals."""
    people, n = tables.people, len(tables.order)
    spelled = {str(column).strip().lower(): column for column in people.columns}
    column = name if name in people.columns else spelled.get(name.lower())
    if column is None:
        text = "no such column" if len(people) else "no participants' table"
        return np.full(n, np.nan), np.full(n, text, dtype=object)
    found, why = numbers(people[column])
    values = np.full(n, np.nan)
    texts = np.full(n, "not in the participants' table", dtype=object)
    values[: len(people)], texts[: len(people)] = found, why  # they come first in the order
    return values, texts
