"""What is in the air."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from physio_hqc.acquisition.ble.air import Air, Sighting
from physio_hqc.acquisition.ble.fit import fitting_profiles, serial_in_name
from physio_hqc.acquisition.ble.waiting import next_of
from physio_hqc.acquisition.profiles import DeviceProfile, list_device_profiles
from physio_hqc.acquisition.source import BleBackend


@dataclass(frozen=True)
class FoundDevice:
    """A device that advertised.

    Attributes
    ----------
    address : str
    name : str
        Advertised name, or "".
    rssi : int or None
        Strongest signal that was seen, in dBm.
    services : tuple of str
        Advertised services.
    profiles : tuple of str
        Names of the profiles that fit, the most specific first; empty where none does.
    serial : str
        Serial number where the name shows it, or "".
    """

    address: str
    name: str
    rssi: int | None
    services: tuple[str, ...]
    profiles: tuple[str, ...]
    serial: str


async def find_devices(
    timeout_s: float,
    *,
    backend: BleBackend | None = None,
    profiles: list[DeviceProfile] | None = None,
) -> list[FoundDevice]:
    """Listen to what is in the air.

    Parameters
    ----------
    timeout_s : float
        How long, in seconds.
    backend : BleBackend, optional
        The platform's own by default.
    profiles : list of DeviceProfile, optional
        Profiles to recognize; those that ship with the package by default.

    Returns
    -------
    list of FoundDevice
        Devices with a profile first, and the nearest of them first.

    Raises
    ------
    RecordingError
        If there is no Bluetooth, with what to do about it.

    Examples
    --------
    >>> import asyncio
    >>> from physio_hqc.acquisition import find_devices
    >>> from physio_hqc.acquisition.virtual import VirtualAir, VirtualHeartRate
    >>> async def look() -> list[str]:
    ...     async with VirtualAir() as air:
    ...         await air.add(VirtualHeartRate("HR 7"))
    ...         return [device.name for device in await find_devices(0.5, backend=air.backend)]
    >>> asyncio.run(look())
    ['HR 7']
    """
    known = list_device_profiles() if profiles is None else profiles
    loop = asyncio.get_running_loop()
    seen: dict[str, Sighting] = {}
    async with Air.of(backend).listen() as queue:
        end = loop.time() + timeout_s
        while (left := end - loop.time()) > 0:
            event = await next_of(queue, left)
            if isinstance(event, Exception):
                raise event
            if event is not None:
                seen[event.address] = event.after(seen.get(event.address))
    found = [_found(each, known) for each in seen.values()]
    return sorted(found, key=lambda d: (not d.profiles, -(d.rssi or -127), d.name, d.address))


def _found(seen: Sighting, profiles: list[DeviceProfile]) -> FoundDevice:
    """A device and what fits it."""
    return FoundDevice(
        address=seen.address,
        name=seen.name,
        rssi=seen.rssi,
        services=seen.services,
        profiles=fitting_profiles(profiles, seen.name, seen.services),
        serial=serial_in_name(seen.name),
    )
