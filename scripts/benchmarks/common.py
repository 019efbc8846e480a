"""What the parts of the benchmark share: results, scoring and fair timing."""

from __future__ import annotations

import importlib.util
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

OURS = "physio_hqc"
TOLERANCE_S = 0.15


class NotRunError(Exception):
    """A part cannot run here; the message says why."""


@dataclass(frozen=True)
class Options:
    """How the benchmark was asked to run."""

    quick: bool
    data: Path
    out: Path


@dataclass(frozen=True)
class Table:
    """One table: rows of plain values below named columns.

    A number is printed with the digits given for its column; None and NaN as a dash.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    digits: Mapping[str, int] = field(default_factory=dict)

    def records(self) -> list[dict[str, Any]]:
        """Return the rows as dictionaries."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass
class PartResult:
    """What one part of the benchmark found."""

    name: str
    title: str
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)
    seconds: float = 0.0


@contextmanager
def quiet():
    """Silence what a library says: its warnings and anything it prints."""
    with (
        warnings.catch_warnings(),
        open(os.devnull, "w", encoding="utf-8") as nowhere,  # noqa: PTH123
    ):
        warnings.simplefilter("ignore")
        before, sys.stdout = sys.stdout, nowhere
        try:
            yield
        finally:
            sys.stdout = before


def seconds_of(call: Callable[[], Any]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def interleaved(calls: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Time several calls in turns and return the median of each, s.

    Turns, so that whatever else the machine does hits all alike; one turn before counts warms
    caches and imports.
    """
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            with quiet():
                took = seconds_of(call)
            if turn:
                spent[name].append(took)
    return {name: statistics.median(times) for name, times in spent.items()}


def ratio(over: float, under: float) -> float:
    """Divide, NaN where that makes no sense."""
    return over / under if under else float("nan")


def match(true: np.ndarray, found: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Match two ascending arrays one to one, closest pairs first; return index pairs."""
    first = np.searchsorted(found, true - reach - 1e-12, side="left")
    last = np.searchsorted(found, true + reach + 1e-12, side="right")
    count = last - first
    i = np.repeat(np.arange(true.size), count)
    j = np.repeat(first - np.cumsum(count) + count, count) + np.arange(i.size)
    free_i, free_j = np.ones(true.size, bool), np.ones(found.size, bool)
    pairs = []
    for k in np.lexsort((j, i, np.abs(found[j] - true[i]))).tolist():
        if free_i[i[k]] and free_j[j[k]]:
            free_i[i[k]] = free_j[j[k]] = False
            pairs.append((i[k], j[k]))
    matched = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    return matched[:, 0], matched[:, 1]


def f1_counts(true: np.ndarray, found: np.ndarray, reach: float = TOLERANCE_S) -> np.ndarray:
    """Return how many were matched, missed and invented, (3,)."""
    i, _ = match(np.sort(true), np.sort(found), reach)
    return np.array([i.size, true.size - i.size, found.size - i.size])


def f1(counts: np.ndarray) -> float:
    """Return the F1 score of matched, missed and invented, in percent; NaN for nothing at all."""
    tp, fn, fp = (float(value) for value in counts)
    return 100.0 * ratio(2 * tp, 2 * tp + fn + fp)


def shared_scorer(data: Path) -> Any:
    """Return the module score_beats.py that lies in the tools folder beside the data."""
    path = data.parent / "tools" / "score_beats.py"
    if not path.is_file():
        raise NotRunError(f"the scorer {path.name} is not in {path.parent}")
    spec = importlib.util.spec_from_file_location("score_beats", path)
    if spec is None or spec.loader is None:
        raise NotRunError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def folder_of(options: Options, name: str) -> Path:
    """Return a folder of the shared recordings."""
    folder = options.data / name
    if not folder.is_dir():
        raise NotRunError(f"there are no recordings in {folder}: give their place with --data")
    return folder


def truth_at_rest(seed: int, minutes: float, **fixed: Any) -> Any:
    """Simulate a participant who only rests, so that nothing but chance changes over time."""
    from physio_hqc.protocol import parse_protocol
    from physio_hqc.simulate import draw_person, simulate_truth

    design = parse_protocol(
        "name: rest\ntitle: Rest\nphases:\n"
        f"  - {{name: rest, role: baseline, duration_s: {60.0 * minutes:g}}}\n"
        "baseline: {phase: rest}\n"
    )
    person = draw_person(seed, fixed=fixed)
    return simulate_truth(seed=seed, protocol=design, condition="alone", person=person)


def missing_peers(names: Sequence[str]) -> list[str]:
    """Return which packages are not installed."""
    return [name for name in names if importlib.util.find_spec(name) is None]
