"""The study design as data: phases, conditions, ratings, and the windows that follow from them."""

from physio_hqc.protocol.load import load_protocol, parse_protocol
from physio_hqc.protocol.models import (
    BaselineRule,
    Condition,
    Interaction,
    Phase,
    PhaseLast,
    Protocol,
    RatingScale,
    Sliding,
    WindowRules,
)
from physio_hqc.protocol.windows import WINDOW_COLUMNS, derive_windows

__all__ = [
    "WINDOW_COLUMNS",
    "BaselineRule",
    "Condition",
    "Interaction",
    "Phase",
    "PhaseLast",
    "Protocol",
    "RatingScale",
    "Sliding",
    "WindowRules",
    "derive_windows",
    "load_protocol",
    "parse_protocol",
]
