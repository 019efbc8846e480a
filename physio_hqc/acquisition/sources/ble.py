"""Bluetooth wearables: ``polar_h10``, ``./my_band.yaml``, ``polar_h10=1A2B3C4D``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from physio_hqc.acquisition.profiles import load_device_profile
from physio_hqc.acquisition.source import Source, SourceOptions
from physio_hqc.errors import ConfigError


def from_spec(text: str, options: SourceOptions) -> Source:
    """Make the source of a wearable.

    Parameters
    ----------
    text : str
        Name of a device profile or path of its file; behind an equals sign the serial number,
        the end of the advertised name, or the address of the device.
    options : SourceOptions

    Returns
    -------
    Source

    Raises
    ------
    ConfigError
        If there is no such profile, it has no such stream, or two serial numbers are given.

    Examples
    --------
    >>> from_spec("polar_h10=1A2B3C4D", SourceOptions()).name
    'polar_h10 1A2B3C4D'
    """
    from physio_hqc.acquisition.ble import BleSource

    name, serial = split_serial(text)
    if serial and options.serial and serial != options.serial:
        raise ConfigError(
            f"{text}: two serial numbers, {serial} and {options.serial}; give one of them"
        )
    return BleSource(
        load_device_profile(name), options=replace(options, serial=serial or options.serial)
    )


def split_serial(text: str) -> tuple[str, str]:
    """Split a specification into profile and serial number.

    Examples
    --------
    >>> split_serial("polar_h10=1A2B3C4D"), split_serial("heart_rate")
    (('polar_h10', '1A2B3C4D'), ('heart_rate', ''))
    """
    if "=" not in text or Path(text).is_file():
        return text, ""
    name, serial = text.rsplit("=", 1)
    return name.strip(), serial.strip()
