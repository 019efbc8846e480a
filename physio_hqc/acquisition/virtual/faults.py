"""What can be wrong with a wearable's clock and with the way its packets come."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Faults:
    """Everything off by default.

    Attributes
    ----------
    drift_ppm : float
        How much faster the device's clock runs than the host's, in parts per million. Its
        sample rate is meant by its own clock.
    clock_start_s : float, optional
        Reading of its clock when it is switched on; the device's own habit by default.
    clock_restarts_s : tuple of float
        Seconds after switching on at which its clock starts again.
    latency_s : float
        How long every packet takes.
    jitter_s : float
        How much longer a packet may take; drawn evenly. The order is kept.
    burst_s : float
        Packets are held and let go together every so often; 0 for at once.
    lag_growth : float
        Seconds of further delay per second since the stream's start.
    lag_max_s : float
        Where that growth ends.
    duplicates : float
        Share of packets that are sent twice.
    reorders : float
        Share of packets that come after their successor.
    same_stamps : float
        Share of packets that carry the stamp of the packet before.
    stamp_jumps : float
        Share of packets whose stamp is off by up to `stamp_jump_s`, forth or back.
    stamp_jump_s : float
    seed : int
    """

    drift_ppm: float = 0.0
    clock_start_s: float | None = None
    clock_restarts_s: tuple[float, ...] = ()
    latency_s: float = 0.0
    jitter_s: float = 0.0
    burst_s: float = 0.0
    lag_growth: float = 0.0
    lag_max_s: float = math.inf
    duplicates: float = 0.0
    reorders: float = 0.0
    same_stamps: float = 0.0
    stamp_jumps: float = 0.0
    stamp_jump_s: float = 1.0
    seed: int = 0


class DeviceClock:
    """A device's clock against the host's monotonic one.

    Parameters
    ----------
    start_s : float
        Its reading when it was switched on, and again after each restart.
    faults : Faults, optional

    Examples
    --------
    >>> clock = DeviceClock(100.0, Faults(drift_ppm=50.0, clock_restarts_s=(2000.0,)))
    >>> clock.switch_on(10.0)
    >>> round(clock.at(1010.0), 6), round(clock.at(2011.0), 6)
    (1100.05, 101.00005)
    """

    def __init__(self, start_s: float, faults: Faults | None = None) -> None:
        faults = faults or Faults()
        self._start = start_s if faults.clock_start_s is None else faults.clock_start_s
        self._pace = 1.0 + faults.drift_ppm * 1e-6
        self._after = sorted(faults.clock_restarts_s)
        self._restarts: list[float] = []
        self.origin = math.nan

    def switch_on(self, t_host: float) -> None:
        """Start the clock."""
        self.origin = t_host
        self._restarts = [t_host + after for after in self._after]

    def restart(self, t_host: float) -> None:
        """Let the clock start again at a host time."""
        self._restarts = sorted([*self._restarts, t_host])

    def nanoseconds(self, t_host: float) -> int:
        """Its reading in ns at a host time."""
        began = max((t for t in self._restarts if t <= t_host), default=self.origin)
        return round(self._start * 1e9) + round((t_host - began) * self._pace * 1e9)

    def at(self, t_host: float) -> float:
        """Its reading in s at a host time."""
        return self.nanoseconds(t_host) / 1e9

    def host_span(self, device_s: float) -> float:
        """Host seconds in which the clock advances by some of its own."""
        return device_s / self._pace


class Delivery:
    """When the packets of one stream come.

    Parameters
    ----------
    faults : Faults
    t_start : float
        Host time at which the stream began.
    """

    def __init__(self, faults: Faults, t_start: float, salt: str = "") -> None:
        self._faults = faults
        self._start = t_start
        self._last = -math.inf
        self._dice = random.Random(f"{faults.seed}:{salt}")

    def due(self, t: float) -> float:
        """Host time at which a packet made at host time `t` is to be handed over."""
        faults = self._faults
        delay = faults.latency_s + min(faults.lag_growth * (t - self._start), faults.lag_max_s)
        if faults.jitter_s:
            delay += self._dice.uniform(0.0, faults.jitter_s)
        at = t + delay
        if faults.burst_s:
            at = self._start + math.ceil((at - self._start) / faults.burst_s) * faults.burst_s
        self._last = max(self._last, at)
        return self._last

    def happens(self, share: float) -> bool:
        """Draw whether something happens to the next packet."""
        return share > 0 and self._dice.random() < share

    def jump(self) -> float:
        """Draw by how much a stamp is off, s."""
        return self._dice.uniform(-self._faults.stamp_jump_s, self._faults.stamp_jump_s)
