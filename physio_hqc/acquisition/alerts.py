"""What endangers the file while a session runs."""

from __future__ import annotations

from typing import Final

from physio_hqc.acquisition.view import Alert

FEW_BYTES: Final = 200 << 20
VERY_FEW_BYTES: Final = 50 << 20
QUEUE_WARNING: Final = 0.25


def disk_alerts(
    free_bytes: int | None = None, queue_fill: float = 0.0, n_dropped: int = 0
) -> tuple[Alert, ...]:
    """Judge whether the disk has room and keeps up.

    Parameters
    ----------
    free_bytes : int, optional
        Room on the disk of the session file; None where the system does not tell.
    queue_fill : float
        How full the recorder's queue is, from 0 to 1.
    n_dropped : int
        Packets that found the queue full.

    Returns
    -------
    tuple of Alert

    Examples
    --------
    >>> [alert.text for alert in disk_alerts(free_bytes=30_000_000)]
    ['DISK: 30 MB LEFT']
    """
    found = []
    if n_dropped:
        found.append(Alert(f"DISK TOO SLOW: {n_dropped} PACKETS LOST", urgent=True))
    elif queue_fill > QUEUE_WARNING:
        found.append(Alert(f"the disk does not keep up: the queue is {queue_fill:.0%} full"))
    if free_bytes is not None and free_bytes < FEW_BYTES:
        urgent = free_bytes < VERY_FEW_BYTES
        found.append(Alert(f"DISK: {free_bytes / 1e6:.0f} MB LEFT", urgent=urgent))
    return tuple(found)
