"""The session file, format version 1: names, row types, flags and limits.

One HDF5 file per session. Everything that the writer and the reader must agree on stands here.
"""

from __future__ import annotations

import re
from enum import IntFlag
from typing import Final

import numpy as np

FORMAT: Final = "physio-hqc/session"
FORMAT_VERSION: Final = 1
LIBVER: Final = ("v110", "v110")

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
SUPERBLOCK_BYTES: Final = 48
"""Signature, version 3, two sizes, flags, base, extension, end of file, root, checksum."""

GROWING: Final = 5
"""Flags of the superblock: being written, and in such a way that it can be read meanwhile."""

MODALITIES: Final = ("ecg", "bp", "cuff", "eda", "rr", "ppg", "resp", "acc", "temp", "other")
"""What a stream can be; ``other`` is a channel that was kept although nobody said what it is."""

EVENT_KINDS: Final = ("phase", "interaction", "marker", "rating", "note", "system")

BLOCK_DTYPE: Final = np.dtype(
    [
        ("first_sample", "<i8"),
        ("n_samples", "<i8"),
        ("t_received", "<f8"),
        ("t_device", "<f8"),
        ("flags", "<u4"),
    ]
)
"""One row per packet. Both times belong to the packet's last sample, in seconds."""

EVENT_DTYPE: Final = np.dtype(
    [
        ("onset", "<f8"),
        ("duration", "<f8"),
        ("kind", "S16"),
        ("label", "S256"),
        ("source", "S128"),
        ("payload", "S4096"),
    ]
)

UNKNOWN_T0: Final = 0
"""``t0_unix_ns`` of a recording that does not tell when it began."""

ROOT_ATTRIBUTES: Final = (
    *("format", "format_version", "session_id", "participant_id", "condition", "dyad_id", "role"),
    *("protocol", "created_utc", "software", "t0_unix_ns", "closed"),
)
STREAM_ATTRIBUTES: Final = (
    *("modality", "units", "sfreq", "channels", "device", "scale", "offset"),
)
STREAM_PARTS: Final = ("samples", "blocks", "times")

STREAM_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
"""A letter, then letters, digits and underscores."""

MAX_TIME_S: Final = 1e9
"""Seconds since the session's start; thirty years, so that no clock error is mistaken for time."""

MIN_SFREQ: Final = 1e-6
MAX_SFREQ: Final = 1e6
MAX_STREAMS: Final = 1024
MAX_CHANNELS: Final = 1024
MAX_EVENTS: Final = 5_000_000
MAX_TEXT_BYTES: Final = 1_000_000
MAX_ID_CHARACTERS: Final = 1000
"""Of participant, condition, dyad and role: they stand in every row of the results."""
MAX_FACT_BYTES: Final = 4_000_000
MIN_VALUES: Final = 1 << 24
VALUES_PER_BYTE: Final = 128
"""A file may hold this many numbers for each of its bytes (and `MIN_VALUES` in any case)."""

MAX_EVENTS_RATIO: Final = 300
MAX_BLOCKS_RATIO: Final = 50
MAX_COMPRESSION_RATIO: Final = 1100
"""DEFLATE cannot exceed about 1032:1; a data set that claims more was never written."""


class BlockFlag(IntFlag):
    """What happened just before, or in, a packet."""

    GAP_BEFORE = 1
    CLOCK_RESET = 2
    RECONNECT = 4
    DUPLICATE_DROPPED = 8
    SATURATED = 16
