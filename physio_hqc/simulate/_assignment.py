"""Who is in which condition: balanced blocks, sexes alternating within a condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from physio_hqc.config import nearest
from physio_hqc.errors import SignalError
from physio_hqc.simulate.person import SEXES

# Where these three are compared, the contrasts are written as the design asks its question.
_DESIGN = (("support", "nonsupport"), ("alone", "nonsupport"), ("support", "alone"))


def cells(n_per_condition: int | Mapping[str, int], conditions: Sequence[str]) -> dict[str, int]:
    """Return how many participants each condition gets."""
    if isinstance(conditions, str) or not conditions or len(set(conditions)) != len(conditions):
        raise SignalError("conditions must be a list of different names.")
    if isinstance(n_per_condition, Mapping):
        check_conditions(n_per_condition, conditions, "n_per_condition")
        counts = {name: int(n_per_condition.get(name, 0)) for name in conditions}
    else:
        counts = dict.fromkeys(conditions, int(n_per_condition))
    if min(counts.values()) < 0 or sum(counts.values()) == 0:
        raise SignalError("n_per_condition must not be negative, and somebody must take part.")
    return counts


def check_conditions(
    given: Mapping[str, object] | None, conditions: Sequence[str], name: str
) -> None:
    """Refuse a mapping that names something else than a condition."""
    unknown = sorted(set(given or {}) - set(conditions))
    if unknown:
        hint = nearest(unknown[0], conditions)
        raise SignalError(f"{name} names {unknown[0]!r}, which is no condition; {hint}")


def assign(counts: Mapping[str, int], rng: np.random.Generator) -> list[tuple[str, str]]:
    """Return condition and sex of every participant, in the order in which they take part."""
    first_sex = {name: int(rng.integers(2)) for name in counts}
    order: list[tuple[str, str]] = []
    for block in range(max(counts.values())):
        names = [name for name, count in counts.items() if count > block]
        order += [
            (names[i], SEXES[(first_sex[names[i]] + block) % 2])
            for i in rng.permutation(len(names))
        ]
    return order


def contrasts_of(conditions: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs (first, second) that are compared, as first - second."""
    if set(conditions) == {"alone", "support", "nonsupport"}:
        return list(_DESIGN)
    return [(second, first) for first, second in combinations(conditions, 2)]
