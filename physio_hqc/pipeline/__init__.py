"""One session end to end: read, signals, features, reactivity, provenance, results on disk.

`process` is the road; `streams` chooses and reads, `parts` computes per stream, `tidy` builds the
features table, `schema` knows every column, `store` writes the folder whole or not at all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from physio_hqc.pipeline.config import PipelineConfig, load_pipeline_config
    from physio_hqc.pipeline.process import is_up_to_date, process_session
    from physio_hqc.pipeline.result import TABLES, SessionResult
    from physio_hqc.pipeline.store import load_result

__all__ = [
    "TABLES",
    "PipelineConfig",
    "SessionResult",
    "is_up_to_date",
    "load_pipeline_config",
    "load_result",
    "process_session",
]

_MODULE_OF = {
    "TABLES": "result",
    "PipelineConfig": "config",
    "SessionResult": "result",
    "is_up_to_date": "process",
    "load_pipeline_config": "config",
    "load_result": "store",
    "process_session": "process",
}


def __getattr__(name: str) -> Any:
    """Load the module that holds ``name`` when it is first asked for."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return __all__
