"""The catalog: name, unit, definition and source of every feature column."""

from __future__ import annotations

from physio_hqc.features._catalog_hrv import CATALOG as _HRV
from physio_hqc.features._catalog_pressure_eda import CATALOG as _PRESSURE_EDA
from physio_hqc.features._catalog_respiration import CATALOG as _RESPIRATION
from physio_hqc.features._info import FeatureInfo

FEATURES: dict[str, FeatureInfo] = {
    info.name: info for info in (*_HRV, *_PRESSURE_EDA, *_RESPIRATION)
}
