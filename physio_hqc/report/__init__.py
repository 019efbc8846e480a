"""Reports: figures and HTML from what the pipeline left.

`session_report` writes the file; `figures` draws, one module per kind of figure; the modules with
an underscore gather facts and make the tables and the words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from physio_hqc.report.session_report import write_session_report

__all__ = ["write_session_report"]


def __getattr__(name: str) -> Any:
    """Load the module that holds ``name`` when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from physio_hqc.report import session_report

    return getattr(session_report, name)


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return __all__
