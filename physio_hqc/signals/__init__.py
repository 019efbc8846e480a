"""Waveforms to beats, pressure beats and electrodermal components; arrays in, arrays out.

Every function takes NumPy arrays (or what converts to them), the sampling rate in Hz, and NaN
for a missing sample. None reads a file, logs, or changes its input. Modules are loaded on first
use, so that importing one function stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from physio_hqc.signals.beats import Beats, correct_beats
    from physio_hqc.signals.ecg import clean_ecg, detect_r_peaks, ecg_quality
    from physio_hqc.signals.eda import decompose_eda, detect_scrs, eda_quality
    from physio_hqc.signals.pressure import detect_pressure_beats, pressure_quality

__all__ = [
    "Beats",
    "clean_ecg",
    "correct_beats",
    "decompose_eda",
    "detect_pressure_beats",
    "detect_r_peaks",
    "detect_scrs",
    "ecg_quality",
    "eda_quality",
    "pressure_quality",
]

_MODULE_OF = {
    "Beats": "beats",
    "correct_beats": "beats",
    "clean_ecg": "ecg",
    "detect_r_peaks": "ecg",
    "ecg_quality": "ecg",
    "decompose_eda": "eda",
    "detect_scrs": "eda",
    "eda_quality": "eda",
    "detect_pressure_beats": "pressure",
    "pressure_quality": "pressure",
}


def __getattr__(name: str) -> Any:
    """Load the module that holds ``name`` when it is first asked for."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return __all__
