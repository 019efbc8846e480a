"""Readings and minutes of baseline and tasks: the rows of the mixed model."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ._design import (
    Covariate,
    Design,
    Sample,
    counted,
    covariate_of,
    refuse_out_of_range,
    told_apart,
)

Array = NDArray[np.float64]

_LAST = re.compile(r"^(.+)_last_(\d+(?:\.\d+)?)s$")
_COURSE_COLUMNS = {"window", "feature", "since_s", "value", "duration_s"}
BASELINE = "baseline"
_LOGARITHM_OF = {"HRV_lnRMSSD": "HRV_RMSSD", "HRV_LnHF": "HRV_HF"}


@dataclass(frozen=True, eq=False)
class Readings:
    """Values of participants in phases; the first phase is the baseline.

    ``value``, ``person``, ``phase`` are (rows,), sorted by person and phase; ``codes`` (persons,)
    point into `conditions`; covariate columns are (persons, k).
    """

    value: Array
    person: NDArray[np.intp]
    phase: NDArray[np.intp]
    phases: tuple[str, ...]
    codes: NDArray[np.int64]
    conditions: tuple[str, ...]
    counts: dict[str, int]
    covariates: tuple[Covariate, ...]
    dyads: NDArray[np.int64] | None
    source: str
    notes: tuple[str, ...]
    phase_notes: tuple[tuple[str, ...], ...] = ()

    @property
    def n(self) -> int:
        """Number of participants."""
        return len(self.codes)

    @property
    def n_by_condition(self) -> str:
        """Participants per condition, as text."""
        return ", ".join(f"{name} {count}" for name, count in self.counts.items())

    def means(self) -> Readings:
        """One value per participant and phase: the mean of its readings."""
        key = self.person * len(self.phases) + self.phase
        cells, where = np.unique(key, return_inverse=True)
        return Readings(
            value=np.bincount(where, self.value) / np.bincount(where),
            person=cells // len(self.phases),
            phase=cells % len(self.phases),
            phases=self.phases,
            codes=self.codes,
            conditions=self.conditions,
            counts=self.counts,
            covariates=self.covariates,
            dyads=self.dyads,
            source=self.source,
            notes=self.notes,
            phase_notes=self.phase_notes,
        )

    def per_cell(self) -> NDArray[np.int64]:
        """Number of readings (persons, phases)."""
        counts = np.zeros((self.n, len(self.phases)), dtype=np.int64)
        np.add.at(counts, (self.person, self.phase), 1)
        return counts

    def present(self) -> NDArray[np.bool_]:
        """Who has which phase (persons, phases)."""
        found: NDArray[np.bool_] = self.per_cell() > 0
        return found

    def counts_in(self, phase: int) -> dict[str, int]:
        """Participants with a phase per condition; one who is in no model is counted, too."""
        codes = self.codes[self.present()[:, phase]]
        found = np.bincount(codes, minlength=len(self.conditions))
        here = dict(zip(self.conditions, map(int, found), strict=True))
        return {**self.counts, **here}

    def notes_in(self, phase: int) -> tuple[str, ...]:
        """Who was left out of a phase."""
        return self.phase_notes[phase] if self.phase_notes else ()


def readings_of_sample(sample: Sample) -> Readings:
    """Baseline and window of a sample as two readings of every participant."""
    persons = np.arange(sample.n)
    covariates, notes = told_apart(sample.codes, sample.covariates)
    return Readings(
        value=np.column_stack([sample.baseline, sample.value]).ravel(),
        person=np.repeat(persons, 2),
        phase=np.tile([0, 1], sample.n),
        phases=(BASELINE, sample.window),
        codes=sample.codes,
        conditions=sample.conditions,
        counts=sample.counts,
        covariates=covariates,
        dyads=sample.dyads,
        source="reactivity: baseline and value",
        notes=(*sample.notes, *notes),
    )


def readings_of_courses(
    design: Design, courses: pd.DataFrame | None, outcome: str
) -> Readings | str:
    """Readings of an outcome in baseline and tasks, or why they cannot carry the model."""
    if courses is None or not len(courses):
        return "no courses"
    missing = sorted(_COURSE_COLUMNS - set(courses.columns))
    if missing:
        return f"courses lack {missing[0]}"
    table, said = _of_outcome(courses, outcome)
    if table.empty:
        return "courses do not hold this outcome"
    refuse_out_of_range(table, outcome, "courses")
    table = table.assign(person=_persons(design, table))
    table = table[table["person"] >= 0]
    resting, notes = _resting(design, table, outcome)
    notes = [*said, *notes]
    phase = np.where(resting, 0, -1)
    for position, window in enumerate(design.windows, start=1):
        phase[(table["window"] == window).to_numpy()] = position
    absent = [name for i, name in enumerate(("baseline", *design.windows)) if i not in phase]
    if absent:
        return f"courses do not hold {', '.join(absent)}"
    return _built(design, table.assign(phase=phase)[phase >= 0], outcome, notes)


def _of_outcome(courses: pd.DataFrame, outcome: str) -> tuple[pd.DataFrame, list[str]]:
    """Rows of an outcome; a logarithm is taken where courses hold what it is the logarithm of."""
    features = courses["feature"].to_numpy()
    table = courses[features == outcome]
    source = _LOGARITHM_OF.get(outcome)
    if len(table) or source is None:
        return table, []
    table = courses[features == source]
    numbers = pd.to_numeric(table["value"], errors="coerce")
    return table.assign(value=np.log(numbers.where(numbers > 0))), [f"values: ln of {source}"]


def _persons(design: Design, table: pd.DataFrame) -> NDArray[np.intp]:
    """Position of every row's participant among those of the design; -1 where there is none."""
    sessions = design.scores.drop_duplicates("session").set_index("session")["participant"]
    names = pd.Series("", index=table.index, dtype=object)
    if "session" in table:
        names = table["session"].astype(str).map(sessions).fillna("")
    if "participant" in table:
        own = table["participant"].fillna("").astype(str)
        names = names.where(names != "", own)
    found: NDArray[np.intp] = design.people.index.get_indexer(names)
    return found


def _resting(
    design: Design, table: pd.DataFrame, outcome: str
) -> tuple[NDArray[np.bool_], list[str]]:
    """Rows of the baseline: the same stretch that the scores took theirs from."""
    scored = design.scores[design.scores["feature"] == outcome]
    names = {part for text in scored["baseline_window"].unique() for part in text.split("; ")}
    names.discard("")
    windows = set(table["window"])
    inside = table["window"].isin(names).to_numpy(dtype=bool)
    notes: list[str] = []
    for name in sorted(names - windows):
        match = _LAST.match(name)
        if match and match[1] in windows:
            inside |= _last(table, match[1], float(match[2]))
            notes.append(f"baseline: readings and minutes of the last {match[2]} s of {match[1]}")
    if not inside.any() and "role" in table:
        inside = (table["role"] == "baseline").to_numpy(dtype=bool)
        if names:
            notes.append("baseline: all of the baseline phase")
    return inside & ~table["window"].isin(design.windows).to_numpy(dtype=bool), notes


def _last(table: pd.DataFrame, window: str, seconds: float) -> NDArray[np.bool_]:
    """Rows whose middle lies in the last seconds of a window."""
    inside = (table["window"] == window).to_numpy(dtype=bool)
    ends = (table["since_s"] + table["duration_s"] / 2).where(inside)
    end = ends.groupby(table["person"]).transform("max")
    late = (table["since_s"] >= end - seconds).to_numpy(dtype=bool)
    both: NDArray[np.bool_] = inside & late
    return both


def _built(design: Design, table: pd.DataFrame, outcome: str, notes: list[str]) -> Readings | str:
    """Usable rows of usable participants."""
    value = pd.to_numeric(table["value"], errors="coerce").to_numpy(dtype=np.float64)
    if outcome in design.log_outcomes:
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.log(value)
    usable = np.isfinite(value)
    if "quality" in table:
        quality = pd.to_numeric(table["quality"], errors="coerce").to_numpy(dtype=np.float64)
        poor = quality < design.quality_min
        if (usable & poor).any():
            notes = [
                *notes,
                f"{int((usable & poor).sum())} readings or minutes of low quality left out",
            ]
        usable &= ~poor
    person = table["person"].to_numpy(dtype=np.intp)[usable]
    phase = table["phase"].to_numpy(dtype=np.intp)[usable]
    phases = (BASELINE, *design.windows)
    why = [design.left_out(outcome, window) for window in design.windows]
    unknown = design.without_baseline(outcome)
    scored = np.column_stack([unknown, *(item != "" for item in why)])
    stays = ~scored[person, phase]
    person, phase, value = person[stays], phase[stays], value[usable][stays]
    cells = np.zeros((len(design.people), len(phases)), dtype=bool)
    cells[person, phase] = True
    keep, more = _complete(design, cells, unknown)
    codes = design.people["code"].to_numpy()
    counts = np.bincount(codes[keep], minlength=len(design.conditions))
    enough = counts >= 2
    more += [
        f"{name} is not in the model: 1 participant"
        for name, count in zip(design.conditions, counts, strict=True)
        if count == 1
    ]
    keep &= enough[codes]
    if enough.sum() < 2:
        return "fewer than two conditions have two participants"
    empty = _empty_cell(design, cells[keep], codes[keep], enough)
    if empty:
        return empty
    position = np.cumsum(keep) - 1
    rows = np.flatnonzero(keep[person])
    order = rows[np.lexsort((rows, phase[rows], person[rows]))]
    people = design.people[keep]
    found = [covariate_of(name, people[name]) for name in design.covariates]
    kept_codes = (np.cumsum(enough) - 1)[codes[keep]].astype(np.int64)
    covariates, aliased = told_apart(kept_codes, [item for item in found if item is not None])
    more += [
        f"{name} is the same for everybody: not in the model"
        for name, item in zip(design.covariates, found, strict=True)
        if item is None
    ]
    return Readings(
        value=value[order],
        person=position[person[order]],
        phase=phase[order],
        phases=phases,
        codes=kept_codes,
        conditions=tuple(np.array(design.conditions, dtype=object)[enough]),
        counts=dict(zip(design.conditions, map(int, counts), strict=True)),
        covariates=covariates,
        dyads=people["dyad"].to_numpy() if "dyad" in people else None,
        source=f"courses where feature is {outcome}, phase = window",
        notes=(*design.notes, *more, *aliased, *notes),
        phase_notes=((), *(tuple(counted(item)) for item in why)),
    )


def _complete(
    design: Design, cells: NDArray[np.bool_], unknown: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], list[str]]:
    """Who has a baseline and all covariates; who is left out, and who has no task.

    The baseline of people who lack the tasks tells how the others differ from all.
    """
    why = np.full(len(cells), "", dtype=object)
    for name in design.covariates:
        why[design.people[name].isna().to_numpy()] = f"{name} is missing"
    why[~cells[:, 0]] = "no reading in the baseline"
    why[unknown] = "no baseline in the scores"
    n = int((~cells[:, 1:].any(axis=1) & (why == "")).sum())
    only = [f"{n} with only a baseline: they inform the baseline"] if n else []
    return why == "", [*counted(why), *only]


def _empty_cell(
    design: Design, cells: NDArray[np.bool_], codes: NDArray[np.int64], enough: NDArray[np.bool_]
) -> str:
    """Name a condition and phase in which fewer than two participants have readings."""
    for code in np.flatnonzero(enough):
        few = cells[codes == code].sum(axis=0) < 2
        if few.any():
            window = (BASELINE, *design.windows)[int(np.argmax(few))]
            name = design.conditions[code]
            return f"fewer than two participants of {name} have readings in {window}"
    return ""
