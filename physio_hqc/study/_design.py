"""From a table of scores and participants to the sample behind every test."""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.config import nearest
from physio_hqc.errors import SignalError, StudyError
from physio_hqc.reactivity import reactivity_scores

from ._tables import joined

Array = NDArray[np.float64]

LEPORE_CONDITIONS = ("alone", "nonsupport", "support")
_LEPORE_CONTRASTS = ("support - nonsupport", "alone - nonsupport", "support - alone")
DEFAULT_OUTCOMES: tuple[str, ...] = (
    "CUFF_SBP_Mean",
    "CUFF_DBP_Mean",
    "BP_SBP_Mean",
    "BP_DBP_Mean",
    "ECG_Rate_Mean",
    "HRV_lnRMSSD",
    "HRV_LnHF",
    "EDA_Tonic_Mean",
    "SCR_Rate",
)
_NUMBERS = ("value", "baseline", "delta", "quality")
_NEEDED = ("session", "window", "feature", "value")
_SAME_UNIT = {"uS": "µS", "\u03bcS": "µS", "degC": "°C"}
_TEXTS = (
    "session",
    "condition",
    "window",
    "feature",
    "unit",
    "kind",
    "role",
    "baseline_window",
    "reason",
)
_POOR = "quality is below the limit of the scores"
_FEW_TEXT = re.compile(r"\brests on .*\bneeds\b")
_QUALITY_TEXT = re.compile(r"\bquality .*\bbelow\b")
# What stands in the reason of a score that is there, or of its percentage.
_CAUTIONS = ("flag:", "no percent", "baseline flag:")
# Beyond these, squares of squares leave what a float can hold.
_LARGEST, _SMALLEST = 1e50, 1e-50
_TASK_ROLES = frozenset({"task", "preparation"})
# A condition that so few have, and that is so much like another one, is taken for a misspelling.
_RARE = 2
_TYPO = 0.75


@dataclass(frozen=True)
class Contrast:
    """A planned difference between two conditions."""

    term: str
    first: str
    second: str


def lacking(contrast: Contrast, conditions: Sequence[str], counts: dict[str, int]) -> str:
    """Why a contrast cannot be tested where these conditions are in the model."""
    short = []
    for name in (contrast.first, contrast.second):
        if name not in conditions:
            count = counts.get(name, 0)
            who = "participant" if count == 1 else "participants"
            short.append(f"{name} has {count} {who}, needs 2")
    return "; ".join(short)


@dataclass(frozen=True, eq=False)
class Covariate:
    """A covariate of a sample as columns (n, k) of a design matrix, centered."""

    name: str
    columns: Array
    labels: tuple[str, ...]
    formula: str


@dataclass(frozen=True, eq=False)
class Sample:
    """The participants of one outcome in one window, complete in all that the model needs.

    Arrays are (n,); `codes` point into `conditions`, which holds the conditions of the model.
    """

    outcome: str
    window: str
    unit: str
    participant: NDArray[np.object_]
    value: Array
    baseline: Array
    codes: NDArray[np.int64]
    conditions: tuple[str, ...]
    counts: dict[str, int]
    covariates: tuple[Covariate, ...] = ()
    dyads: NDArray[np.int64] | None = None
    flagged: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    notes: tuple[str, ...] = ()
    log: bool = False

    @property
    def n(self) -> int:
        """Number of participants."""
        return len(self.value)

    @property
    def delta(self) -> Array:
        """Change from baseline (n,)."""
        return self.value - self.baseline

    @property
    def n_by_condition(self) -> str:
        """Participants per condition, as text."""
        return ", ".join(f"{name} {count}" for name, count in self.counts.items())

    def members(self, condition: str) -> NDArray[np.bool_]:
        """Who is in a condition (n,)."""
        if condition not in self.conditions:
            return np.zeros(self.n, dtype=bool)
        found: NDArray[np.bool_] = self.codes == self.conditions.index(condition)
        return found

    def lacking(self, contrast: Contrast) -> str:
        """Why a contrast cannot be tested in this sample; empty where it can."""
        return lacking(contrast, self.conditions, self.counts)

    def without(self, gone: NDArray[np.bool_]) -> Sample:
        """The sample without some of its participants."""
        return _kept(self, ~gone)


@dataclass(frozen=True, eq=False)
class Design:
    """What is compared: checked scores, participants, conditions, contrasts, covariates."""

    scores: pd.DataFrame
    people: pd.DataFrame
    conditions: tuple[str, ...]
    contrasts: tuple[Contrast, ...]
    outcomes: tuple[str, ...]
    windows: tuple[str, ...]
    covariates: tuple[str, ...]
    quality_min: float
    log_outcomes: frozenset[str]
    notes: tuple[str, ...]
    cells: dict[tuple[Hashable, ...], NDArray[np.intp]]

    def sample(
        self,
        outcome: str,
        window: str,
        *,
        covariates: tuple[str, ...] | None = None,
        quality_min: float | None = None,
    ) -> Sample:
        """Who has what an outcome in a window needs; `quality_min` 0 takes every quality."""
        floor = self.quality_min if quality_min is None else quality_min
        names = self.covariates if covariates is None else covariates
        rows = self.cells.get((outcome, window), np.zeros(0, dtype=np.intp))
        values = {name: self._column(name, rows) for name in ("value", "baseline")}
        persons = self._column("person", rows).astype(np.int64)
        log = outcome in self.log_outcomes
        with np.errstate(divide="ignore", invalid="ignore"):
            value, baseline = (
                np.log(values[name]) if log else values[name] for name in ("value", "baseline")
            )
        data = self.people.iloc[persons]
        why = _left_out(self.scores.iloc[rows], value, baseline, floor, data, names, log)
        keep = why == ""
        notes = [*self._absent(len(rows)), *counted(why)]
        sample = Sample(
            outcome=outcome,
            window=window,
            unit=self._unit(rows, log),
            participant=data.index.to_numpy(dtype=object),
            value=value,
            baseline=baseline,
            codes=data["code"].to_numpy(),
            conditions=self.conditions,
            counts={},
            dyads=data["dyad"].to_numpy() if "dyad" in data else None,
            flagged=self.scores["flagged"].to_numpy()[rows],
            notes=(*self.notes, *notes),
            log=log,
        )
        sample = _kept(sample, keep)
        return _with_covariates(sample, self.people, names)

    def left_out(self, outcome: str, window: str) -> NDArray[np.object_]:
        """Why each participant has no usable score, whatever their covariates (persons,)."""
        why = np.full(len(self.people), "no row for this outcome and window", dtype=object)
        rows = self.cells.get((outcome, window), np.zeros(0, dtype=np.intp))
        table = self.scores.iloc[rows]
        log = outcome in self.log_outcomes
        value, baseline = self._column("value", rows), self._column("baseline", rows)
        if log:
            with np.errstate(divide="ignore", invalid="ignore"):
                value, baseline = np.log(value), np.log(baseline)
        persons = table["person"].to_numpy(dtype=np.intp)
        data = self.people.iloc[persons]
        why[persons] = _left_out(table, value, baseline, self.quality_min, data, (), log)
        return why

    def without_baseline(self, outcome: str) -> NDArray[np.bool_]:
        """Whose scores of an outcome all lack a baseline (persons,)."""
        table = self.scores[self.scores["feature"] == outcome]
        persons = table["person"].to_numpy(dtype=np.intp)
        rows = np.bincount(persons, minlength=len(self.people))
        known = np.isfinite(table["baseline"].to_numpy(dtype=np.float64))
        found: NDArray[np.bool_] = (rows > 0) & (
            np.bincount(persons[known], minlength=len(self.people)) == 0
        )
        return found

    def _column(self, name: str, rows: NDArray[np.intp]) -> Array:
        """Some rows of a numeric column of the scores."""
        column: Array = self.scores[name].to_numpy(dtype=np.float64)[rows]
        return column

    def _unit(self, rows: NDArray[np.intp], log: bool) -> str:
        """Unit of an outcome."""
        unit = str(self.scores["unit"].to_numpy()[rows[0]]) if len(rows) else ""
        return f"ln {unit}".strip() if log else unit

    def _absent(self, rows: int) -> list[str]:
        """Say how many participants have no row at all."""
        absent = len(self.people) - rows
        return [f"{absent} left out: no row for this outcome and window"] if absent > 0 else []


def _left_out(
    table: pd.DataFrame,
    value: Array,
    baseline: Array,
    quality_min: float,
    people: pd.DataFrame,
    covariates: Sequence[str],
    log: bool,
) -> NDArray[np.object_]:
    """Why each participant is not in the sample; empty for those who are."""
    why = np.full(len(value), "", dtype=object)
    for name in covariates:
        why[people[name].isna().to_numpy()] = f"{name} is missing"
    hint = " or not above 0" if log else ""
    why[~np.isfinite(baseline)] = f"no baseline{hint}"
    rejected = table["rejected"].to_numpy(dtype=object)
    if quality_min <= 0:
        rejected = np.where(rejected == _POOR, "", rejected)
    why = np.where(rejected != "", rejected, why)
    why[table["quality"].to_numpy(dtype=np.float64) < quality_min] = (
        f"quality is below {quality_min:g}"
    )
    why[~np.isfinite(value)] = f"no value{hint}"
    return why


def counted(why: NDArray[np.object_]) -> list[str]:
    """How many are left out for each reason."""
    reasons, counts = np.unique(why[why != ""].astype(str), return_counts=True)
    return [f"{count} left out: {reason}" for reason, count in zip(reasons, counts, strict=True)]


def _kept(sample: Sample, keep: NDArray[np.bool_]) -> Sample:
    """Part of a sample; conditions with fewer than two participants leave the model."""
    codes = sample.codes[keep]
    counts = np.bincount(codes, minlength=len(sample.conditions))
    names = tuple(name for name, count in zip(sample.conditions, counts, strict=True) if count >= 2)
    position = np.cumsum(counts >= 2) - 1
    stays = (counts >= 2)[codes]
    single = [
        f"{name} is not in the model: 1 participant"
        for name, count in zip(sample.conditions, counts, strict=True)
        if count == 1
    ]
    rows = np.flatnonzero(keep)[stays]
    before = dict.fromkeys(sample.counts, 0)
    return replace(
        sample,
        participant=sample.participant[rows],
        value=sample.value[rows],
        baseline=sample.baseline[rows],
        codes=position[codes[stays]].astype(np.int64),
        conditions=names,
        counts={**before, **dict(zip(sample.conditions, map(int, counts), strict=True))},
        covariates=tuple(
            replace(item, columns=_centred(item.columns[rows])) for item in sample.covariates
        ),
        dyads=None if sample.dyads is None else sample.dyads[rows],
        flagged=sample.flagged[rows],
        notes=(*sample.notes, *single),
    )


def _centred(columns: Array) -> Array:
    """Columns around their mean; nobody has none."""
    return columns - columns.mean(axis=0) if len(columns) else columns


def _with_covariates(sample: Sample, people: pd.DataFrame, names: Sequence[str]) -> Sample:
    """The sample with its covariates as columns; one that is the same for everybody is left out."""
    found: list[Covariate] = []
    notes: list[str] = []
    data = people.loc[sample.participant, list(names)]
    for name in names:
        covariate = covariate_of(name, data[name]) if sample.n else None
        if covariate is not None:
            found.append(covariate)
        elif sample.n:
            notes.append(f"{name} is the same for everybody: not in the model")
    return replace(sample, covariates=tuple(found), notes=(*sample.notes, *notes))


def covariate_of(name: str, values: pd.Series) -> Covariate | None:
    """A covariate as centered columns: numbers as they are, words as one column per level."""
    if pd.api.types.is_numeric_dtype(values):
        numbers = values.to_numpy(dtype=np.float64)
        if np.ptp(numbers) == 0:
            return None
        return Covariate(name, (numbers - numbers.mean())[:, None], (name,), name)
    levels = sorted(set(values.astype(str)))
    if len(levels) < 2:
        return None
    words = values.astype(str).to_numpy()
    columns = (words[:, None] == np.array(levels[1:])[None, :]).astype(np.float64)
    labels = tuple(f"{name}: {level} - {levels[0]}" for level in levels[1:])
    return Covariate(name, columns - columns.mean(axis=0), labels, f"C({name})")


def told_apart(
    codes: NDArray[np.int64], covariates: Sequence[Covariate]
) -> tuple[tuple[Covariate, ...], list[str]]:
    """Covariates that are no combination of the conditions and each other; what is left out."""
    design = np.eye(int(codes.max()) + 1)[codes]
    kept: list[Covariate] = []
    notes: list[str] = []
    for covariate in covariates:
        scale = np.sqrt((covariate.columns**2).mean(axis=0))
        wider = np.column_stack([design, covariate.columns / np.where(scale > 0, scale, 1)])
        if np.linalg.matrix_rank(wider) == wider.shape[1]:
            design, kept = wider, [*kept, covariate]
        else:
            notes.append(f"{covariate.name} is a combination of the other terms: not in the model")
    return tuple(kept), notes


def build_design(
    scores: pd.DataFrame,
    *,
    participants: pd.DataFrame | None,
    courses: pd.DataFrame | None,
    outcomes: Sequence[str] | None,
    windows: Sequence[str] | None,
    conditions: Sequence[str] | None,
    contrasts: Sequence[str] | None,
    covariates: Sequence[str],
    quality_min: float,
    baseline: str | Sequence[str],
    log_outcomes: Sequence[str],
) -> Design:
    """Check everything that was given and bring it together."""
    table = _checked_scores(scores, baseline, quality_min)
    people, notes = _people(table, participants, tuple(covariates))
    names = _conditions(people, conditions)
    planned = _contrasts(contrasts, names)
    chosen = _chosen(outcomes, _default_outcomes(table, log_outcomes), table["feature"], "outcome")
    of_outcomes = table[table["feature"].isin(chosen)]
    phases = _chosen(
        windows, _default_windows(of_outcomes, courses), of_outcomes["window"], "window"
    )
    people, left = _in_conditions(people, names)
    table = of_outcomes[of_outcomes["participant"].isin(people.index)].reset_index(drop=True)
    _refuse_mixed_units(table, "scores")
    for outcome, rows in table.groupby("feature", sort=False):
        refuse_out_of_range(rows, str(outcome), "scores")
    table["person"] = people.index.get_indexer(table["participant"])
    return Design(
        scores=table,
        people=people,
        conditions=names,
        contrasts=planned,
        outcomes=chosen,
        windows=phases,
        covariates=tuple(name for name in covariates if name in people.columns),
        quality_min=quality_min,
        log_outcomes=frozenset(_listed(log_outcomes, "log_outcomes")),
        notes=(*notes, *left),
        cells=table.groupby(["feature", "window"], sort=False).indices,
    )


def _listed(names: Sequence[str] | str, what: str) -> tuple[str, ...]:
    """Names as a tuple, each once."""
    listed = (names,) if isinstance(names, str) else tuple(names)
    if not all(isinstance(name, str) and name for name in listed):
        raise StudyError(f"{what}: pass names, not {listed!r}")
    return tuple(dict.fromkeys(listed))


def _checked_scores(
    scores: pd.DataFrame, baseline: str | Sequence[str], quality_min: float
) -> pd.DataFrame:
    """Scores with all columns that are used, from a table of scores or of features."""
    if not isinstance(scores, pd.DataFrame):
        raise StudyError(f"scores is a {type(scores).__name__}: pass a DataFrame")
    missing = [name for name in _NEEDED if name not in scores.columns]
    if missing:
        raise StudyError(f"scores lack the column {missing[0]!r}: pass a reactivity table")
    if not len(scores):
        raise StudyError("scores are empty: no session was processed")
    given = scores[scores["kind"] != "sliding"] if "kind" in scores else scores
    numbers = [name for name in _NUMBERS if name in given.columns]
    given = given.assign(**{name: _numeric(given, name) for name in numbers})
    given = given.assign(participant=_participants_of(given)).reset_index(drop=True)
    _refuse_twice(given)
    if "baseline" not in given.columns:
        given = _reactivity(given, baseline, quality_min)
    return _tidy(given)


def _numeric(table: pd.DataFrame, name: str) -> pd.Series:
    """Column as floats; a word in it is named."""
    column = table[name]
    if pd.api.types.is_float_dtype(column):
        return column
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = numbers.isna() & column.notna()
    if wrong.any():
        row = table[wrong].iloc[0]
        raise StudyError(
            f"scores: {name} {row[name]!r} of session {row['session']!r}, {row['window']}, "
            f"{row['feature']} is not a number: correct it or leave it empty"
        )
    return numbers.astype(np.float64)


def _texts(column: pd.Series) -> pd.Series:
    """Column as stripped text, missing as empty."""
    codes, different = pd.factorize(column)
    words = np.array([*(str(word).strip() for word in different), ""], dtype=object)
    return pd.Series(words[codes], index=column.index, dtype=object)


def _participants_of(table: pd.DataFrame) -> pd.Series:
    """Participant of every row; the session where none is named."""
    sessions = _texts(table["session"])
    named = _texts(table["participant"]) if "participant" in table else sessions
    found = named.where(named != "", sessions)
    if (found == "").any():
        raise StudyError("scores: a row names neither participant nor session")
    return found


def _refuse_twice(table: pd.DataFrame) -> None:
    """Refuse a participant who is there twice."""
    keys = ["participant", "window", "feature"]
    twice = table.duplicated(keys)
    if not twice.any():
        return
    row = table[twice].iloc[0]
    same = (table[keys] == row[keys]).all(axis=1)
    sessions = ", ".join(map(repr, dict.fromkeys(table.loc[same, "session"].astype(str))))
    raise StudyError(
        f"participant {row['participant']!r} has {row['feature']} in {row['window']} more than "
        f"once (session {sessions}): keep one session per participant"
    )


def _reactivity(
    features: pd.DataFrame, baseline: str | Sequence[str], quality_min: float
) -> pd.DataFrame:
    """Reactivity scores of a table of features."""
    try:
        return reactivity_scores(features, baseline=baseline, quality_min=quality_min)
    except SignalError as error:
        raise StudyError(f"features: {error}") from error


def _tidy(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that are used, in steady types."""
    columns: dict[str, Any] = {"participant": table["participant"].to_numpy()}
    for name in _TEXTS:
        columns[name] = _texts(table[name]).to_numpy() if name in table else ""
    for name in ("value", "baseline"):
        columns[name] = table[name].to_numpy(dtype=np.float64)
    for name in ("quality", "onset"):
        known = pd.to_numeric(table[name], errors="coerce") if name in table else None
        columns[name] = np.nan if known is None else known.to_numpy(dtype=np.float64)
    reasons = columns["reason"]
    codes, different = pd.factorize(
        np.full(len(table), "") if isinstance(reasons, str) else reasons
    )
    columns["flagged"] = np.array(["flag:" in text for text in different], dtype=bool)[codes]
    columns["rejected"] = _rejected(table, columns)
    for name in table.columns.difference(list(columns)):
        columns[name] = table[name].to_numpy()
    return pd.DataFrame(columns, index=pd.RangeIndex(len(table)))


def _rejected(table: pd.DataFrame, columns: dict[str, Any]) -> NDArray[np.object_]:
    """Why scores gave no change although value and baseline are there; empty where they did."""
    why = np.full(len(table), "", dtype=object)
    if "delta" not in table:
        return why
    both = np.isfinite(columns["value"]) & np.isfinite(columns["baseline"])
    for row in np.flatnonzero(both & np.isnan(table["delta"].to_numpy(dtype=np.float64))):
        reason = columns["reason"] if isinstance(columns["reason"], str) else columns["reason"][row]
        why[row] = _rejection(reason)
    return why


def _rejection(reason: str) -> str:
    """What in the reason of a score took its change: too few readings, else quality, else that.

    Cautions about the value, and what is said of its course, stand in the same reason.
    """
    parts = [part.strip() for part in reason.split(";")]
    parts = [part for part in parts if part and not part.startswith(_CAUTIONS)]
    few = [part for part in parts if _FEW_TEXT.search(part)]
    if few:
        return few[0]
    if any(_QUALITY_TEXT.search(part) for part in parts):
        return _POOR
    return parts[0] if parts else "the scores give no change from baseline"


def has_dyads(dyads: NDArray[np.int64] | None) -> bool:
    """Whether any two participants form a dyad."""
    return dyads is not None and len(np.unique(dyads)) < len(dyads)


def dyad_caution(dyads: NDArray[np.int64] | None) -> str:
    """What a row says whose errors take the members of a dyad for strangers."""
    return "likeness within dyads is not allowed for" if has_dyads(dyads) else ""


def refuse_out_of_range(table: pd.DataFrame, outcome: str, where: str) -> None:
    """Refuse values whose squares a float cannot hold."""
    for name in ("value", "baseline"):
        if name not in table:
            continue
        size = np.abs(pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64))
        known = np.isfinite(size)
        wrong = known & (size > _LARGEST)
        if (size[known] > 0).any() and size[known].max() < _SMALLEST:
            wrong = known & (size > 0)
        if wrong.any():
            row = table[wrong].iloc[0]
            who = row.get("participant") or row.get("session")
            raise StudyError(
                f"{where}: {name} {float(row[name]):g} of participant {who!r}, {row['window']}, "
                f"{outcome} is out of range: check its unit"
            )


def _refuse_mixed_units(table: pd.DataFrame, where: str) -> None:
    """Refuse an outcome that is in one unit for some and in another for others."""
    units = table["unit"].replace(_SAME_UNIT)
    known = table.assign(unit=units)[(units != "") & np.isfinite(table["value"])]
    different = known.drop_duplicates(["feature", "unit"])
    for outcome, rows in different.groupby("feature", sort=False):
        if len(rows) > 1:
            said = " and ".join(
                f"in {unit} for participant {who!r}"
                for unit, who in zip(rows["unit"], rows["participant"], strict=True)
            )
            raise StudyError(f"{where}: {outcome} is {said}: bring them to one unit")


def _people(
    table: pd.DataFrame, participants: pd.DataFrame | None, covariates: tuple[str, ...]
) -> tuple[pd.DataFrame, list[str]]:
    """One row per participant with condition, covariates and dyad; what is to be noted."""
    first = table.drop_duplicates("participant").set_index("participant")
    known = table[table["condition"] != ""].drop_duplicates(["participant", "condition"])
    _refuse_two_conditions(known)
    conditions = known.set_index("participant")["condition"].reindex(first.index).fillna("")
    people = pd.DataFrame({"condition": conditions})
    listed = _matched(participants, first) if participants is not None else None
    if listed is not None and "condition" in listed:
        people["condition"] = _agreeing(people["condition"], _texts(listed["condition"]))
    notes = []
    for name in covariates:
        source = listed if listed is not None and name in listed else first
        if name in source and name != "condition":
            people[name] = _clean_covariate(source[name])
        elif name == "sex":
            notes.append("sex is not known: not in the model")
        else:
            columns = [] if listed is None else list(listed.columns)
            raise StudyError(f"no covariate {name!r} in the participants: {nearest(name, columns)}")
    for name, source in (("dyad", listed), ("dyad", first), ("dyad_id", first)):
        if source is not None and name in source and "dyad" not in people:
            _add_dyads(people, _texts(source[name]))
    return people, notes


def _refuse_two_conditions(known: pd.DataFrame) -> None:
    """Refuse a participant who has two conditions."""
    twice = known["participant"].duplicated()
    if twice.any():
        who = known.loc[twice, "participant"].iloc[0]
        both = " and ".join(map(repr, known.loc[known["participant"] == who, "condition"]))
        raise StudyError(f"participant {who!r} has the conditions {both}: keep one")


def _matched(participants: pd.DataFrame, first: pd.DataFrame) -> pd.DataFrame:
    """Rows of the participants' table in the order of the scores' participants."""
    if not isinstance(participants, pd.DataFrame):
        raise StudyError(f"participants is a {type(participants).__name__}: pass a DataFrame")
    key = next((name for name in ("id", "participant") if name in participants.columns), None)
    if key is None:
        raise StudyError("participants lack the column 'id'")
    listed = participants.assign(**{key: _texts(participants[key])})
    twice = listed[key].duplicated()
    if twice.any():
        raise StudyError(
            f"participant {listed.loc[twice, key].iloc[0]!r} is listed twice in the participants: "
            "keep one row"
        )
    return listed.set_index(key).reindex(first.index)


def _agreeing(measured: pd.Series, listed: pd.Series) -> pd.Series:
    """Conditions from both places; two different ones are refused."""
    differ = (measured != "") & (listed != "") & (measured != listed)
    if differ.any():
        who = measured.index[differ][0]
        raise StudyError(
            f"participant {who!r} has condition {listed[who]!r} in the participants and "
            f"{measured[who]!r} in the session: correct one of them"
        )
    return listed.where(listed != "", measured)


def _clean_covariate(values: pd.Series) -> pd.Series:
    """A covariate as numbers where all are numbers, else as text; blanks are missing."""
    if pd.api.types.is_bool_dtype(values):
        return values.astype(np.float64)
    if pd.api.types.is_numeric_dtype(values):
        numbers = values.astype(np.float64)
        return numbers.where(np.isfinite(numbers))
    texts = _texts(values)
    present = texts[~texts.str.lower().isin(["", "nan", "n/a"])]
    numbers = pd.to_numeric(present, errors="coerce")
    if len(present) and numbers.notna().all():
        return numbers.reindex(values.index)
    return present.reindex(values.index).astype(object)


def _add_dyads(people: pd.DataFrame, dyads: pd.Series) -> None:
    """Number the dyads, if any has two members or more; who is in none is one of their own."""
    named = dyads.where(dyads != "", "\0" + dyads.index.astype(str))
    if named.duplicated().any():
        people["dyad"] = pd.factorize(named)[0]


def _conditions(people: pd.DataFrame, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Conditions that are compared; a misspelt one is refused."""
    present = sorted(set(people["condition"]) - {""})
    if not present:
        raise StudyError("no participant has a condition: give it in the session or participants")
    names = _listed(wanted, "conditions") if wanted is not None else tuple(present)
    for name in names:
        if " - " in name:
            raise StudyError(
                f"condition {name!r}: ' - ' stands between the conditions of a contrast, rename it"
            )
        if name not in present:
            raise StudyError(f"no participant has the condition {name!r}: {nearest(name, present)}")
    _refuse_misspelt(people["condition"], names if wanted is not None else None)
    if len(names) < 2:
        raise StudyError(f"only one condition ({names[0]!r}): a contrast needs two")
    return names


def _refuse_misspelt(conditions: pd.Series, wanted: tuple[str, ...] | None) -> None:
    """Refuse a condition that differs from another one by case, or that few have and is near it."""
    counts = conditions[conditions != ""].value_counts(sort=False)
    folded: dict[str, str] = {}
    for name in sorted(counts.index, key=lambda name: (-counts[name], name)):
        near = folded.setdefault(name.casefold(), name)
        if near == name:
            near = _meant(name, counts, wanted)
        if near != name:
            who = conditions.index[conditions == name][0]
            raise StudyError(f"participant {who!r} has condition {name!r}: did you mean {near!r}?")


def _meant(name: str, counts: pd.Series, wanted: tuple[str, ...] | None) -> str:
    """The condition that a rare name probably stands for; the name itself where there is none."""
    known = wanted if wanted is not None else tuple(counts.index[counts > counts[name]])
    if name in known or name in LEPORE_CONDITIONS or counts[name] > _RARE:
        return name
    likeness = {word: _likeness(name, word) for word in known}
    best = max(likeness, key=lambda word: likeness[word], default=name)
    return best if likeness.get(best, 0.0) >= _TYPO else name


def _likeness(name: str, word: str) -> float:
    """How much a name looks like a misspelling of a word; names of a series do not."""
    first, second = name.casefold(), word.casefold()
    if re.sub(r"\d|_?[a-z]$", "", first) == re.sub(r"\d|_?[a-z]$", "", second) and (
        len(first) == len(second)
    ):
        return 0.0
    return difflib.SequenceMatcher(None, first, second).ratio()


def _contrasts(wanted: Sequence[str] | None, conditions: tuple[str, ...]) -> tuple[Contrast, ...]:
    """Planned contrasts; those of the model experiment, or all pairs, where none are named."""
    if wanted is None and set(conditions) <= set(LEPORE_CONDITIONS):
        terms: Sequence[str] = [
            term for term in _LEPORE_CONTRASTS if set(term.split(" - ")) <= set(conditions)
        ]
    elif wanted is None:
        terms = [
            f"{second} - {first}"
            for i, first in enumerate(conditions)
            for second in conditions[i + 1 :]
        ]
    else:
        terms = _listed(wanted, "contrasts")
    return tuple(_contrast(term, conditions) for term in terms)


def _contrast(term: str, conditions: tuple[str, ...]) -> Contrast:
    """``"support - alone"`` as a contrast."""
    parts = [part.strip() for part in term.split(" - ")]
    if len(parts) != 2 or parts[0] == parts[1]:
        raise StudyError(f"contrast {term!r}: write two conditions as 'support - alone'")
    for name in parts:
        if name not in conditions:
            raise StudyError(
                f"contrast {term!r}: no condition {name!r}; {nearest(name, conditions)}"
            )
    return Contrast(f"{parts[0]} - {parts[1]}", parts[0], parts[1])


def _default_outcomes(table: pd.DataFrame, log_outcomes: Sequence[str]) -> list[str]:
    """The measures that stand first in every report, as far as they are there."""
    present = set(table["feature"])
    found = [name for name in DEFAULT_OUTCOMES if name in present]
    found += [name for name in _listed(log_outcomes, "log_outcomes") if name not in found]
    return found or (sorted(present) if len(present) == 1 else [])


def _default_windows(table: pd.DataFrame, courses: pd.DataFrame | None) -> list[str]:
    """Preparation and task phases by role; where roles are not known, phases other than rest."""
    if not len(table):
        return []
    ordered = table.drop_duplicates("window").sort_values("onset", kind="stable")
    names = list(ordered["window"])
    roles = dict(zip(ordered["window"], ordered["role"], strict=True))
    if courses is not None and {"window", "role"} <= set(courses.columns):
        roles.update(zip(courses["window"], courses["role"], strict=True))
    tasks = [name for name in names if roles.get(name) in _TASK_ROLES]
    kinds = dict(zip(ordered["window"], ordered["kind"], strict=True))
    tasks = [name for name in tasks if kinds[name] in ("phase", "")]
    if tasks:
        return tasks
    resting = {part for text in table["baseline_window"].unique() for part in str(text).split("; ")}
    phases = [name for name in names if kinds[name] in ("phase", "") and name not in resting]
    return [
        name for name in phases if not any(rest.startswith(f"{name}_last_") for rest in resting)
    ]


def _chosen(
    wanted: Sequence[str] | None, default: list[str], present: pd.Series, what: str
) -> tuple[str, ...]:
    """Outcomes or windows that were asked for, all of them there; else the default ones."""
    there = list(dict.fromkeys(present))
    if wanted is None:
        if not default:
            raise StudyError(f"no {what} to compare by default: name them in {what}s=[...]")
        return tuple(default)
    names = _listed(wanted, f"{what}s")
    if not names:
        raise StudyError(f"{what}s is empty: name one, or leave it out for the default ones")
    for name in names:
        if name not in there:
            raise StudyError(f"no {what} {name!r} in the scores: {nearest(name, there)}")
    return names


def _in_conditions(
    people: pd.DataFrame, conditions: tuple[str, ...]
) -> tuple[pd.DataFrame, list[str]]:
    """Participants of the conditions that are compared, in steady order; who is left out."""
    inside = people["condition"].isin(conditions)
    left = people.loc[~inside, "condition"].to_numpy()
    notes = [
        f"{int((left == name).sum())} left out: "
        + (f"condition {name!r} is not compared" if name else "no condition")
        for name in sorted(set(left))
    ]
    people = people[inside].sort_index()
    codes = {name: code for code, name in enumerate(conditions)}
    return people.assign(code=people["condition"].map(codes).astype(np.int64)), notes


def note_of(sample: Sample, *more: str) -> str:
    """Notes of a sample and of a row as one text."""
    return joined(sample.notes, more)


def facts(sample: Sample) -> dict[str, Any]:
    """What every row about a sample says."""
    return {
        "outcome": f"ln {sample.outcome}" if sample.log else sample.outcome,
        "unit": sample.unit,
        "window": sample.window,
        "n": sample.n,
        "n_by_condition": sample.n_by_condition,
    }
