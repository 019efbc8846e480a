"""The pattern of Lepore et al. (1993): how often a study of 30 per condition shows it."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from validation.common import Figure, Outcome, Table, rate, worst
from validation.scenarios import TERMS, Scenario, scenarios
from validation.studies import Findings, find, simulate, truth

ALPHA = 0.05
WINDOWS = ("preparation", "speech")

Advance = Callable[[str, int, int], None]


def run(n: int, jobs: int, advance: Advance) -> Outcome:
    """Count studies in which nonsupport > alone > support for SBP comes out."""
    start = time.perf_counter()
    scenario = scenarios("lepore")[0]
    scenario = Scenario(scenario.name, 201, scenario.cells, scenario.options)
    outcome = Outcome("lepore", n)
    count = [0]

    def done(k: int) -> None:
        count[0] += k
        advance("Lepore's pattern", count[0], n)

    findings = find(scenario, n, jobs, windows=WINDOWS, done=done)
    spread = simulate(scenario, 0).truth["residual_sd"]["CUFF_SBP_Mean"]
    table = Table(
        f"Lepore's pattern, 30 per condition, {n} studies, {findings.primary} errors: power in % "
        "(two-sided, alpha .05)",
        ("window", "contrast", "planted, mmHg", "in SD", "mean estimate", "power", "after Holm"),
    )
    for w, window in enumerate(WINDOWS):
        sd = spread[window]["alone"]
        _contrasts(outcome, table, scenario, findings, w, sd)
        _patterns(outcome, findings, w)
    outcome.tables.append(table)
    shown = Table("The pattern as a whole", ("window", "what", "share in %", "MC error", "verdict"))
    shown.rows = [
        (f.scenario, f.name, f"{100 * f.value:.1f}", f"{100 * f.se:.1f}", worst([f]))
        for f in outcome.figures
        if f.name.startswith(("order", "all"))
    ]
    outcome.tables.append(shown)
    outcome.seconds = time.perf_counter() - start
    return outcome


def _contrasts(
    outcome: Outcome, table: Table, scenario: Scenario, findings: Findings, w: int, sd: float
) -> None:
    """State the power of every contrast; its estimates must not be biased."""
    window = WINDOWS[w]
    numbers = {
        name: findings.numbers[findings.primary, name][:, w] for name in ("estimate", "p", "p_holm")
    }
    for k, (term, planted) in enumerate(zip(TERMS, truth(scenario, WINDOWS)[w], strict=True)):
        estimate = numbers["estimate"][:, k]
        right = np.sign(estimate) == np.sign(planted)
        power, holm = (rate((numbers[name][:, k] < ALPHA) & right) for name in ("p", "p_holm"))
        mean, se = float(estimate.mean()), float(estimate.std(ddof=1) / np.sqrt(len(estimate)))
        bound = 0.1 * abs(float(planted))
        outcome.figures += [
            Figure(
                window, f"bias, mmHg: {term}", findings.primary, mean - planted, se, -bound, bound
            ),
            Figure(window, f"power: {term}", findings.primary, *power, 0.0, 1.0, judged=False),
            Figure(window, f"power, Holm: {term}", findings.primary, *holm, 0.0, 1.0, judged=False),
        ]
        table.rows.append(
            (
                *(window, term, f"{planted:+.1f}", f"{planted / sd:+.2f}"),
                f"{mean:+.2f} (MC {se:.2f})",
                *(f"{100 * share:.1f} (MC {100 * error:.1f})" for share, error in (power, holm)),
            )
        )


def _patterns(outcome: Outcome, findings: Findings, w: int) -> None:
    """Count studies with the order of the adjusted means, and with all contrasts significant."""
    estimate = findings.numbers[findings.primary, "estimate"][:, w]
    holm = findings.numbers[findings.primary, "p_holm"][:, w]
    # support - nonsupport < 0 follows from the other two.
    order = (estimate[:, 1] < 0) & (estimate[:, 2] < 0)
    every = order & (holm < ALPHA).all(axis=1)
    both = (estimate[:, :2] < 0).all(axis=1) & (holm[:, :2] < ALPHA).all(axis=1)
    least = 0.9 if WINDOWS[w] == "speech" else 0.0
    outcome.figures += [
        Figure(
            WINDOWS[w],
            "order of the means: nonsupport > alone > support",
            findings.primary,
            *rate(order),
            least,
            1.0,
            judged=least > 0,
        ),
        Figure(
            WINDOWS[w],
            "all against nonsupport significant after Holm",
            findings.primary,
            *rate(both),
            least - 0.1,
            1.0,
            judged=least > 0,
        ),
        Figure(
            WINDOWS[w],
            "all three contrasts significant after Holm",
            findings.primary,
            *rate(every),
            0.0,
            1.0,
            judged=False,
        ),
    ]
