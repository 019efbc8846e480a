"""Bluetooth Low Energy wearables as live sources: found, recognized, started, kept, stopped."""

from physio_hqc.acquisition.ble.discovery import FoundDevice, find_devices
from physio_hqc.acquisition.ble.fit import fit, fitting_profiles
from physio_hqc.acquisition.ble.source import BleSource
from physio_hqc.acquisition.ble.timing import BleTiming

__all__ = ["BleSource", "BleTiming", "FoundDevice", "find_devices", "fit", "fitting_profiles"]
