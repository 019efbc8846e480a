"""Importers: vendor files to session files (WFDB, EDF, AcqKnowledge, XDF, Empatica, ...).

`formats` knows the formats, one module each reads them, `channels` tells what a channel is,
`road` writes the session.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from physio_hqc.importers.formats import FORMATS, read_recording
    from physio_hqc.importers.road import ImportReport, import_recording

__all__ = ["FORMATS", "ImportReport", "import_recording", "read_recording"]

_HOME = {
    "FORMATS": "formats",
    "ImportReport": "road",
    "import_recording": "road",
    "read_recording": "formats",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that importing the package stays fast."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
