"""From wearable and lab recordings to cardiovascular reactivity.

`physio_hqc` takes ECG, blood pressure and EDA from recorded files or a session file, turns them
into beats, HRV, pressure and EDA features per tagged phase and interaction window, and into
reactivity scores. The names below are loaded when they are first used, so that
``import physio_hqc`` stays light.

>>> import physio_hqc
>>> physio_hqc.open_session
<function open_session at ...>
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from physio_hqc.errors import PhysioError
    from physio_hqc.importers import import_recording
    from physio_hqc.pipeline import process_session
    from physio_hqc.session import open_session

__version__ = "0.1.0.dev0"

_PUBLIC = {
    "PhysioError": "physio_hqc.errors",
    "import_recording": "physio_hqc.importers",
    "open_session": "physio_hqc.session",
    "process_session": "physio_hqc.pipeline",
}

__all__ = ["PhysioError", "__version__", "import_recording", "open_session", "process_session"]


def __getattr__(name: str) -> Any:
    """Load a public name from its room on first use (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'physio_hqc' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
