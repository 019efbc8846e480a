"""False positives without effects, coverage with effects: the ANCOVA and the mixed model."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from validation.common import Figure, Outcome, Table, rate, worst
from validation.scenarios import TERMS, Scenario, scenarios
from validation.studies import ERRORS, Findings, find, true_g, truth

ALPHA = 0.05
FALSE_POSITIVES, FAMILY, COVERAGE = (0.04, 0.06), (0.0, 0.05), (0.93, 0.97)

Advance = Callable[[str, int, int], None]


def run(
    analysis: str, n: int, jobs: int, advance: Advance, only: Sequence[str] | None = None
) -> Outcome:
    """Run every scenario without and with effects.

    Parameters
    ----------
    analysis : {"ANCOVA", "mixed model"}
    n : int
        Studies per scenario.
    jobs : int
        Processes.
    advance : callable
        Called with description, studies done, studies in all.
    only : sequence of str, optional
        Scenarios whose name holds one of these texts.
    """
    start = time.perf_counter()
    outcome = Outcome(analysis, n)
    chosen = [
        (effects, scenario)
        for effects in ("none", "lepore")
        for scenario in scenarios(effects)
        if only is None or any(text in scenario.name for text in only)
    ]
    tables = {"none": _false_positive_table(n), "lepore": _coverage_table(n)}
    total = n * len(chosen)
    for number, (effects, scenario) in enumerate(chosen):
        before = [number * n]

        def done(k: int, scenario: Scenario = scenario, before: list[int] = before) -> None:
            before[0] += k
            advance(f"{analysis}: {scenario.name}", before[0], total)

        batch = 25 if analysis == "ANCOVA" else 5
        findings = find(scenario, n, jobs, analysis=analysis, batch=batch, done=done)
        add = _false_positives if effects == "none" else _coverage
        add(outcome, tables[effects], scenario, findings)
        _say_failed(outcome, scenario, findings, n)
    outcome.tables += [table for table in tables.values() if table.rows]
    outcome.seconds = time.perf_counter() - start
    return outcome


def _false_positive_table(n: int) -> Table:
    """Return the empty table of scenarios without effects."""
    _, se = rate(np.zeros(n), ALPHA)
    return Table(
        f"No effect: false positives in % at p < .05 ({n} studies each, MC error {100 * se:.2f}); "
        "to be 4-6 each, and at most 5 in the family after Holm",
        ("scenario", "errors", *TERMS, "family", "verdict"),
    )


def _coverage_table(n: int) -> Table:
    """Return the empty table of scenarios with effects."""
    _, se = rate(np.zeros(n), 1 - ALPHA)
    return Table(
        f"With effects: 95 % intervals that cover the truth, in % ({n} studies each, MC error "
        f"{100 * se:.2f}); to be 93-97",
        ("scenario", "errors", *TERMS, *("g", "g", "g"), "bias, mmHg", "verdict"),
    )


def _false_positives(
    outcome: Outcome, table: Table, scenario: Scenario, findings: Findings
) -> None:
    """Count false positives."""
    for errors in ERRORS:
        judged = errors == findings.primary
        p = findings.numbers[errors, "p"][:, 0]
        if not np.isfinite(p).any():
            continue
        given = np.isfinite(p).all(axis=1)
        found = [
            Figure(
                scenario.name,
                f"false positives: {term}",
                errors,
                *rate(p[given, k] < ALPHA, ALPHA),
                *FALSE_POSITIVES,
                judged,
            )
            for k, term in enumerate(TERMS)
        ]
        holm = findings.numbers[errors, "p_holm"][given, 0]
        family = rate((holm < ALPHA).any(axis=1), ALPHA)
        name = "false positives: family after Holm"
        found.append(Figure(scenario.name, name, errors, *family, *FAMILY, judged))
        cells = (f"{100 * figure.value:.2f}" for figure in found)
        table.rows.append((scenario.name, errors, *cells, worst(found)))
        outcome.figures += found


def _coverage(outcome: Outcome, table: Table, scenario: Scenario, findings: Findings) -> None:
    """Count intervals that cover what was planted."""
    planted, size = truth(scenario)[0], true_g(scenario)[0]
    if "tails" in scenario.options:
        outcome.notes.append(
            f"{scenario.name}: the interval of Hedges g is not judged, it is one for normal data"
        )
    for errors in ERRORS:
        judged = errors == findings.primary
        estimate = findings.numbers[errors, "estimate"][:, 0]
        if not np.isfinite(estimate).any():
            continue
        found = []
        for low, high, true, what in (
            ("ci_low", "ci_high", planted, ""),
            ("g_low", "g_high", size, "Hedges g of "),
        ):
            found += [
                Figure(
                    scenario.name,
                    f"coverage: {what}{term}",
                    errors,
                    *rate(_covered(findings, errors, low, high, k, true[k]), 1 - ALPHA),
                    *COVERAGE,
                    judged and not (what and "tails" in scenario.options),
                )
                for k, term in enumerate(TERMS)
            ]
        bias = np.nanmean(estimate, axis=0) - planted
        cells = (f"{100 * figure.value:.2f}" for figure in found)
        shown = " ".join(f"{value:+.2f}" for value in bias)
        table.rows.append((scenario.name, errors, *cells, shown, worst(found)))
        outcome.figures += found


def _covered(
    findings: Findings, errors: str, low: str, high: str, term: int, true: float
) -> np.ndarray[Any, Any]:
    """Return whether each study's interval holds the truth; studies without one are left out."""
    lower, upper = (findings.numbers[errors, name][:, 0, term] for name in (low, high))
    given = np.isfinite(lower) & np.isfinite(upper)
    return np.asarray((lower[given] <= true) & (true <= upper[given]))


def _say_failed(outcome: Outcome, scenario: Scenario, findings: Findings, n: int) -> None:
    """Say how many studies gave no result, and why."""
    p = findings.numbers[findings.primary or ERRORS[0], "p"][:, 0]
    lost = int((~np.isfinite(p).all(axis=1)).sum())
    if lost:
        why = findings.failed[0] if findings.failed else "no row"
        outcome.notes.append(f"{scenario.name}: {lost} of {n} studies gave no test ({why})")
        share, se = rate(~np.isfinite(p).all(axis=1))
        outcome.figures.append(
            Figure(scenario.name, "studies without a test", "", share, se, 0.0, 0.01)
        )
