"""What is simulated: designs that are clean, and designs as they happen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from physio_hqc.simulate import load_effects

CONDITIONS = ("alone", "support", "nonsupport")
TERMS = ("support - nonsupport", "alone - nonsupport", "support - alone")
OUTCOME = "CUFF_SBP_Mean"
WINDOW = "speech"

_UNEQUAL = {"alone": 20, "support": 30, "nonsupport": 40}


@dataclass(frozen=True)
class Scenario:
    """One way in which studies come about.

    Attributes
    ----------
    name : str
    number : int
        Its studies have the seeds from ``number * 1_000_000``.
    cells : dict of str to int
    options : mapping
        Options of ``simulate_feature_study``.
    """

    name: str
    number: int
    cells: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(CONDITIONS, 30))
    options: Mapping[str, Any] = field(default_factory=dict)


_DESIGNS: tuple[tuple[str, dict[str, int] | None, dict[str, Any]], ...] = (
    ("30/30/30", None, {}),
    ("20/30/40", _UNEQUAL, {}),
    ("20/30/40, SD x 2 in the largest", _UNEQUAL, {"sd_ratio": {"nonsupport": 2}}),
    ("20/30/40, SD x 2 in the smallest", _UNEQUAL, {"sd_ratio": {"alone": 2}}),
    (
        "25 % readings, 10 % sessions missing",
        None,
        {"missing_readings": 0.25, "missing_share": 0.1},
    ),
    ("rest differs by 6 mmHg, truly", None, {"resting_shift": {"nonsupport": 6.0}}),
    ("rest differs by 6 mmHg, by chance", None, {"imbalance": {"nonsupport": 6.0}}),
    ("heavy tails (t, 4 df)", None, {"tails": 4.0}),
    (
        "all at once",
        _UNEQUAL,
        {
            "sd_ratio": {"alone": 2},
            "missing_readings": 0.25,
            "missing_share": 0.1,
            "imbalance": {"nonsupport": 6.0},
        },
    ),
)


def scenarios(effects: str) -> tuple[Scenario, ...]:
    """Return all designs with the named effects."""
    first, planted = {"none": 1, "lepore": 101}[effects], load_effects(effects, CONDITIONS)
    return tuple(
        Scenario(
            name,
            first + number,
            cells or dict.fromkeys(CONDITIONS, 30),
            {"effects": planted, **options},
        )
        for number, (name, cells, options) in enumerate(_DESIGNS)
    )
