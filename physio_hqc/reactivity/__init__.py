"""Feature tables to reactivity: what a window is, relative to the baseline of its session.

DataFrame in, DataFrame out; one session or many below each other.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from physio_hqc.reactivity.scores import REACTIVITY_COLUMNS, reactivity_scores

__all__ = ["REACTIVITY_COLUMNS", "reactivity_scores"]


def __getattr__(name: str) -> Any:
    """Load the module that holds ``name`` when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.scores"), name)


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return __all__
