"""Which profile fits a device that advertises, and whether it is the one that is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from physio_hqc.acquisition.profiles import DeviceProfile

Identity = Literal["it", "maybe", "other"]

_BY_NAME = 2
_BY_SERVICE = 1


def fit(profile: DeviceProfile, name: str, services: Iterable[str]) -> int:
    """How well a profile fits: 2 by its name, 1 by a service, 0 not at all.

    Parameters
    ----------
    profile : DeviceProfile
    name : str
        Advertised name.
    services : iterable of str
        Advertised services, 128-bit UUIDs in lower case.

    Returns
    -------
    int

    Examples
    --------
    >>> from physio_hqc.acquisition import load_device_profile
    >>> fit(load_device_profile("polar_h10"), "Polar H10 1A2B3C4D", [])
    2
    """
    shown = profile.advertised
    if any(fnmatchcase(name.lower(), pattern.lower()) for pattern in shown.names):
        return _BY_NAME
    return _BY_SERVICE if set(shown.services) & set(services) else 0


def fitting_profiles(
    profiles: Sequence[DeviceProfile], name: str, services: Iterable[str]
) -> tuple[str, ...]:
    """Name the profiles that fit a device, the most specific first.

    Examples
    --------
    >>> from physio_hqc.acquisition import list_device_profiles
    >>> heart_rate = "0000180d-0000-1000-8000-00805f9b34fb"
    >>> fitting_profiles(list_device_profiles(), "Polar H10 1A2B3C4D", [heart_rate])
    ('polar_h10', 'heart_rate')
    """
    services = tuple(services)
    ranks = [(fit(profile, name, services), profile.name) for profile in profiles]
    return tuple(name for rank, name in sorted(ranks, key=lambda r: (-r[0], r[1])) if rank)


def serial_in_name(name: str) -> str:
    """Return the last word of an advertised name where it looks like a serial number.

    Examples
    --------
    >>> serial_in_name("Polar H10 1A2B3C4D"), serial_in_name("EDA Band")
    ('1A2B3C4D', '')
    """
    word = name.split()[-1] if len(name.split()) > 1 else ""
    return word if len(word) > 1 and any(c.isdigit() for c in word) else ""


def identity(serial: str, name: str, address: str) -> Identity:
    """Whether a device is the one with this serial number, as far as its advertisement tells.

    ``"maybe"`` is a device whose serial number can only be read after connecting. A name that ends
    in another serial number of the same length is another device.

    Examples
    --------
    >>> identity("3C4D", "Polar H10 1A2B3C4D", ""), identity("1A2B3C99", "Polar H10 1A2B3C4D", "")
    ('it', 'other')
    """
    wanted = serial.strip().lower()
    if name.lower().endswith(wanted) or _plain(address) == _plain(wanted):
        return "it"
    shown = serial_in_name(name)
    return "other" if len(shown) == len(wanted) else "maybe"


def same_serial(wanted: str, read: str) -> bool:
    """Whether a serial number read from the device is the wanted one, or ends with it.

    Examples
    --------
    >>> same_serial("3c4d", "1A2B3C4D"), same_serial("3c4d", "")
    (True, False)
    """
    return bool(read) and read.strip().lower().endswith(wanted.strip().lower())


@dataclass(frozen=True)
class Wanted:
    """What one source looks for."""

    profile: DeviceProfile
    serial: str

    def fit(self, name: str, services: Iterable[str]) -> int:
        """How well a device fits; a device with another serial number does not."""
        if self.serial and identity(self.serial, name, "") == "other":
            return 0
        return fit(self.profile, name, services)

    def names(self, name: str, address: str) -> bool:
        """Whether this very device is named by its serial number or address."""
        return bool(self.serial) and identity(self.serial, name, address) == "it"


def _plain(address: str) -> str:
    """Address without its separators."""
    return address.lower().replace(":", "").replace("-", "")
