"""Malformed packets for every decoder: nothing may be raised."""

from __future__ import annotations

from recording.common import Bench, Outcome
from recording.fuzz import fuzz


def run(bench: Bench, *, quick: bool = False, n: int | None = None) -> Outcome:
    """Feed every decoder of every device profile."""
    n = n or (500 if quick else 10_000)
    outcome = Outcome("fuzz")
    bench.advance(0, 1, f"{n} packets for every decoder")
    for line in fuzz(n):
        escaped = sum(line.escaped.values())
        outcome.add(
            f"{line.decoder}: packets whose error escaped",
            f"{escaped} of {line.packets} ({line.delivered} results, "
            f"{sum(line.troubles.values())} troubles told)",
            "0",
            escaped == 0 and line.packets >= n,
        )
        outcome.notes += [
            f"{line.decoder}: {count} x {text}" for text, count in line.escaped.items()
        ]
    return outcome
