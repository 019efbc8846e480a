"""A rehearsal: virtual wearables on one virtual participant."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physio_hqc.acquisition.virtual.air import VirtualAir
from physio_hqc.acquisition.virtual.cuff import VirtualCuff
from physio_hqc.acquisition.virtual.eda_band import VirtualEdaBand
from physio_hqc.acquisition.virtual.heart_rate import VirtualHeartRate
from physio_hqc.acquisition.virtual.participant import VirtualParticipant
from physio_hqc.acquisition.virtual.peripheral import VirtualPeripheral
from physio_hqc.acquisition.virtual.polar_h10 import VirtualPolarH10
from physio_hqc.config import nearest
from physio_hqc.errors import ConfigError

REHEARSED = ("polar_h10", "blood_pressure", "nordic_uart_eda")

_MEASURING_S = 25.0
_QUICKEST_S = 1.0
_MEASURING_SHARE = 0.4  # of the time between two readings
_LATE_S = 1.0
_LOG_LIMIT = 2000  # packets a stream: a rehearsal's memory does not grow


class ScheduledCuff(VirtualCuff):
    """A cuff that measures by itself: once when somebody listens, then when the protocol asks.

    Parameters
    ----------
    participant : VirtualParticipant
    first_after_s : float, optional
        How long after somebody began to listen it measures for the first time; None for not at
        all.
    scheduled : bool
        Whether it measures at the protocol's times once the participant has begun.
    **kwargs
        See :class:`VirtualCuff`. A measurement takes 25 s, or less where the protocol's readings
        follow each other more quickly.
    """

    def __init__(
        self,
        participant: VirtualParticipant,
        *,
        first_after_s: float | None = 3.0,
        scheduled: bool = True,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("name", "Virtual Cuff")
        kwargs.setdefault("pressure", participant.pressure)
        kwargs.setdefault("measuring_s", _measuring_s(participant.truth.cuff_times_s))
        super().__init__(**kwargs)
        self._participant = participant
        self._first = first_after_s
        self._scheduled = scheduled

    def began(self, t: float) -> None:
        """Measure by itself from now on."""
        super().began(t)
        if self._first is not None:
            self._spawn(self._measure_first(self._first))
        if self._scheduled:
            self._spawn(self._follow_protocol())

    async def _measure_first(self, after_s: float) -> None:
        """Measure once somebody listens."""
        await self.wait_listened()
        await asyncio.sleep(after_s)
        await self.measure()

    async def _follow_protocol(self) -> None:
        """Measure when the protocol asks; what was missed is not made up for."""
        person = self._participant
        await person.wait_begun()
        for due in person.truth.cuff_times_s:
            wait = person.t_begin + float(due) - time.monotonic()
            if wait > -_LATE_S:
                await asyncio.sleep(wait)
                await self.measure()


def _measuring_s(times: NDArray[np.float64]) -> float:
    """How long a measurement may take so that the next one is not missed."""
    closest = float(np.diff(times).min()) if len(times) > 1 else math.inf
    return min(max(_MEASURING_SHARE * closest, _QUICKEST_S), _MEASURING_S)


def _polar_h10(who: VirtualParticipant, options: dict[str, Any]) -> VirtualPeripheral:
    options.setdefault("serial", "A1B2C3D4")
    return VirtualPolarH10(ecg=who.ecg, acc=who.acceleration, beats=who.beats, **options)


def _heart_rate(who: VirtualParticipant, options: dict[str, Any]) -> VirtualPeripheral:
    return VirtualHeartRate(beats=who.beats, **options)


def _blood_pressure(who: VirtualParticipant, options: dict[str, Any]) -> VirtualPeripheral:
    return ScheduledCuff(who, **options)


def _eda_band(who: VirtualParticipant, options: dict[str, Any]) -> VirtualPeripheral:
    return VirtualEdaBand(eda=who.eda, temperature=who.temperature, **options)


_MAKERS: Mapping[str, Callable[[VirtualParticipant, dict[str, Any]], VirtualPeripheral]] = {
    "polar_h10": _polar_h10,
    "heart_rate": _heart_rate,
    "blood_pressure": _blood_pressure,
    "nordic_uart_eda": _eda_band,
}


def virtual_peripheral_for(
    profile_name: str, participant: VirtualParticipant, **options: Any
) -> VirtualPeripheral:
    """Make the virtual counterpart of a device profile, worn by a participant.

    Parameters
    ----------
    profile_name : str
        Such as ``"polar_h10"``.
    participant : VirtualParticipant
    **options
        Parameters of the peripheral: ``serial``, ``battery``, ``faults``, ``address``, ...

    Returns
    -------
    VirtualPeripheral

    Raises
    ------
    ConfigError
        If there is no virtual one of that profile.

    Examples
    --------
    >>> import asyncio
    >>> async def main() -> str:
    ...     person = VirtualParticipant(time_scale=0.05)
    ...     return virtual_peripheral_for("polar_h10", person, serial="00C0FFEE").name
    >>> asyncio.run(main())
    'Polar H10 00C0FFEE'
    """
    maker = _MAKERS.get(profile_name)
    if maker is None:
        hint = nearest(profile_name, _MAKERS)
        raise ConfigError(f"there is no virtual device for the profile {profile_name!r}; {hint}")
    return maker(participant, options)


async def rehearsal(
    air: VirtualAir,
    participant: VirtualParticipant,
    profiles: Sequence[str] = REHEARSED,
    **options: Any,
) -> dict[str, VirtualPeripheral]:
    """Put the wearables of a rehearsal on the air.

    Parameters
    ----------
    air : VirtualAir
    participant : VirtualParticipant
        Its ``begin()`` is called when the protocol starts.
    profiles : sequence of str
        A profile that is named twice gets two devices; ``polar_h10=1234ABCD`` gives its device
        a serial number.
    **options
        For all peripherals.

    Returns
    -------
    dict of str to VirtualPeripheral
        By profile; a second one of a kind as ``name_2``.

    Raises
    ------
    ConfigError
        If there is no virtual one of a profile.
    """
    options.setdefault("log_limit", _LOG_LIMIT)
    worn: dict[str, VirtualPeripheral] = {}
    for entry in profiles:
        name, _, serial = entry.partition("=")
        number = sum(key == name or key.startswith(f"{name}_") for key in worn) + 1
        own = options | _told_apart(name, number, serial)
        key = name if number == 1 else f"{name}_{number}"
        worn[key] = virtual_peripheral_for(name, participant, **own)
    for peripheral in worn.values():
        await air.add(peripheral)
    return worn


def _told_apart(profile_name: str, number: int, serial: str) -> dict[str, str]:
    """What tells a device from others: its serial number, and the end of its name."""
    if number == 1 and not serial:
        return {}
    if profile_name == "polar_h10":
        return {"serial": serial or f"A1B2C3{number:02d}"}
    if profile_name == "nordic_uart_eda":
        return {"serial": serial or f"{number:02d}"}
    title = {"heart_rate": "Virtual HR", "blood_pressure": "Virtual Cuff"}.get(profile_name, "")
    return {"name": f"{title} {serial or number}", "serial": serial}
