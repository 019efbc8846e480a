"""Markers from a channel of trigger codes (BDF status, FIF stimulus channels)."""

from __future__ import annotations

from typing import Final

import numpy as np

from physio_hqc.importers.recording import Channel, Marker

_MAX_MARKERS: Final = 20_000


def trigger_markers(channel: Channel, mask: int = -1) -> list[Marker]:
    """Return a marker wherever a trigger channel changes to a code other than zero.

    Parameters
    ----------
    channel : Channel
        Integer codes, one per sample.
    mask : int
        Bits of the stored value that carry the code.

    Examples
    --------
    >>> from physio_hqc.importers.recording import Segment
    >>> codes = np.array([0, 0, 5, 5, 0, 7])
    >>> [(m.onset, m.label) for m in trigger_markers(Channel("STI", "", 2.0, (Segment(0, codes),)))]
    [(1.0, '5'), (2.5, '7')]
    """
    markers: list[Marker] = []
    before = 0
    for segment in channel.segments:
        codes = segment.samples.astype(np.int64) & mask
        if not len(codes):
            continue
        changes = np.flatnonzero(np.diff(codes, prepend=before) != 0)
        before = int(codes[-1])
        rate = segment.sfreq or channel.sfreq
        markers += [
            Marker(
                segment.t_start + float(i) / rate, str(codes[i]), payload={"trigger": channel.name}
            )
            for i in changes[codes[changes] != 0]
        ]
    return markers[:_MAX_MARKERS]
