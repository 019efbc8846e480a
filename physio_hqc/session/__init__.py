"""The session file: format, writer, reader, events and time base."""

from physio_hqc.session.format import (
    BLOCK_DTYPE,
    EVENT_DTYPE,
    EVENT_KINDS,
    FORMAT,
    FORMAT_VERSION,
    MODALITIES,
    BlockFlag,
)
from physio_hqc.session.reader import Session, Stream, open_session
from physio_hqc.session.recover import RecoverReport, recover_session
from physio_hqc.session.summary import import_notes, summarize
from physio_hqc.session.timebase import TimeBase, reconstruct
from physio_hqc.session.writer import SessionWriter

__all__ = [
    "BLOCK_DTYPE",
    "EVENT_DTYPE",
    "EVENT_KINDS",
    "FORMAT",
    "FORMAT_VERSION",
    "MODALITIES",
    "BlockFlag",
    "RecoverReport",
    "Session",
    "SessionWriter",
    "Stream",
    "TimeBase",
    "import_notes",
    "open_session",
    "reconstruct",
    "recover_session",
    "summarize",
]
