"""Deliver what is known beforehand (a file, a simulation) when its time has come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from physio_hqc.acquisition.source import Sink

Delivery = tuple[float, Callable[[], None]]
"""Seconds after the source's start, and what is to be done then."""

_BREATH_S: Final = 0.01


async def deliver(deliveries: Iterable[Delivery], sink: Sink, start: float) -> None:
    """Do each thing at its time; what is late is done at once, in order, and nothing is skipped.

    Deadlines are absolute, so that lateness does not add up. Before each delivery the recorder is
    asked for room; a source that was held up catches up afterwards.

    Parameters
    ----------
    deliveries : iterable of (float, callable)
        In ascending time.
    sink : Sink
    start : float
        Session time that the times of the deliveries count from.
    """
    breathed = sink.now()
    for due, hand_over in deliveries:
        late = sink.now() - (start + due)
        if late < 0:
            await asyncio.sleep(-late)
            breathed = sink.now()
        elif sink.now() - breathed > _BREATH_S:
            # A source in arrears must not keep the others from the event loop.
            await asyncio.sleep(0)
            breathed = sink.now()
        await sink.room()
        hand_over()
