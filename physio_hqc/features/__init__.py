"""Beats and components over windows to feature tables; arrays in, DataFrame out.

One row per window, one column per feature, named as NeuroKit2 names it. Every table carries
``attrs["reasons"]``: for each column one text per window, which says why a value is NaN or what
caution a present value carries. `FEATURES` describes every column with unit and source.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from physio_hqc.features.baroreflex import baroreflex
    from physio_hqc.features.blood_pressure import blood_pressure, cuff_pressure
    from physio_hqc.features.catalog import FEATURES
    from physio_hqc.features.eda import eda
    from physio_hqc.features.hrv import hrv, hrv_frequency, hrv_nonlinear, hrv_time

__all__ = [
    "FEATURES",
    "baroreflex",
    "blood_pressure",
    "cuff_pressure",
    "eda",
    "hrv",
    "hrv_frequency",
    "hrv_nonlinear",
    "hrv_time",
]

_MODULE_OF = {
    "FEATURES": "catalog",
    "baroreflex": "baroreflex",
    "blood_pressure": "blood_pressure",
    "cuff_pressure": "blood_pressure",
    "eda": "eda",
    "hrv": "hrv",
    "hrv_frequency": "hrv",
    "hrv_nonlinear": "hrv",
    "hrv_time": "hrv",
}


class _Room(ModuleType):
    """The package itself: loads a module on first use, and never lets it hide its function.

    Some modules are named after the function they hold. Importing a module sets it as an
    attribute of its package; that must not replace the function.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name in _MODULE_OF):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)

    def __dir__(self) -> list[str]:
        return __all__


sys.modules[__name__].__class__ = _Room
