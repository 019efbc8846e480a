"""AcqKnowledge files of any content: versions before and after 4, plain and compressed."""

from __future__ import annotations

import random
import zlib
from functools import cache, lru_cache

import numpy as np
import pytest
from fuzzing import fuzz, garbled, one_in
from importing import Reading

N = 40
PRE, POST = 38, 132
EDGES = (0, 1, -1, 2, 127, 255, 32767, -32768, 2**31 - 1, -(2**31), 65536, 10**6)


def head(kind: str, version: int, **fields: object) -> bytes:
    """One header, laid out by the structures that bioread documents; other fields are zero."""
    from bioread import headers

    layout = getattr(headers, kind).for_revision(version, "<")._struct_class
    made = layout()
    for key, value in fields.items():
        setattr(made, key, value)
    return bytes(made)


def channels(version: int) -> list[bytes]:
    size = len(head("ChannelHeader", version))
    return [
        head(
            "ChannelHeader",
            version,
            lChanHeaderLen=size,
            szCommentText=text,
            szUnitsText=units,
            lBufLength=N,
            dAmplScale=0.1,
            dAmplOffset=1.0,
            nChanOrder=i,
            nNum=i,
            nVarSampleDivider=1,
        )
        for i, (text, units) in enumerate(((b"ECG", b"mV"), (b"EDA", b"microsiemens")))
    ]


def graph(version: int, **more: object) -> bytes:
    size = len(head("GraphHeader", version))
    return head(
        "GraphHeader", version, lVersion=version, lExtItemHeaderLen=size, nChannels=2,
        dSampleTime=4.0, **more,
    )  # fmt: skip


def markers(version: int) -> bytes:
    if version == PRE:
        items = b"".join(
            head("MarkerItemHeader", PRE, lSample=i * 9, nTextLength=5) + b"Event\x00"
            for i in range(3)
        )
        return head("MarkerHeader", PRE, lLength=8 + len(items), lMarkers=3) + items
    items = b"".join(
        head(
            "MarkerItemHeader", POST, lSample=i * 9, nChannel=-1, sMarkerStyle=style,
            llDateCreated=1583143872000, nTextLength=6,
        ) + b"Event\x00"
        for i, style in enumerate((b"apnd", b"flag", b"apnd"))
    )  # fmt: skip
    # The count of a file of version 4 and later is one more than its markers.
    return head("MarkerHeader", POST, lLength=41 + len(items), lMarkersExtra=4) + items


@cache
def corpus() -> list[bytes]:
    """A file of each kind: before version 4, after it, and compressed."""
    values = np.arange(2 * N, dtype="<i2")
    types = b"".join(head("ChannelDTypeHeader", PRE, nSize=2, nType=2) for _ in range(2))
    files = []
    for version in (PRE, POST):
        foreign = {"nLength": 4} if version == PRE else {"lLength": 4}
        front = b"".join(channels(version)) + head("ForeignHeader", version, **foreign) + types
        # The journal of version 3: a tag, whether it is shown, its length, its text.
        journal = bytes.fromhex("443322110000 05000000") + b"hello" if version == PRE else bytes(40)
        files.append(graph(version) + front + values.tobytes() + markers(version) + journal)
        if version == POST:
            packed = [zlib.compress(values[i * N : (i + 1) * N].tobytes()) for i in range(2)]
            blocks = b"".join(
                head(
                    "ChannelCompressionHeader", POST, lChannelLabelLen=0, lUnitLabelLen=0,
                    lUncompressedLen=2 * N, lCompressedLen=len(block),
                ) + block
                for block in packed
            )  # fmt: skip
            main = head("MainCompressionHeader", POST)
            journal = head("JournalLengthHeader", POST, lJournalDataLen=4)
            files.append(
                graph(POST, bCompressed=1) + front + markers(POST) + journal + main + blocks
            )
    return files


@lru_cache(maxsize=500)
def layout(kind: type, order: str, revision: int) -> type:
    """The structure of a header of bioread, which builds it anew for every header it looks at."""
    made = kind(revision, order, "utf-8", True)
    return type("Layout", (kind.BASES[order],), {
        "_pack_": 1, "_fields_": made._fields_for_current_version(),
    })  # fmt: skip


def damaged(rng: random.Random) -> bytes:
    """A file with a few numbers of its headers replaced."""
    data = bytearray(rng.choice(corpus()))
    length = int.from_bytes(data[6:10], "little")
    for _ in range(rng.randrange(4)):
        # The fields that are read stand at the start, and from the channel headers on.
        at = rng.randrange(32) if one_in(rng, 4) else rng.randrange(length, len(data))
        size = rng.choice((1, 2, 2, 4, 4, 8))
        if size == 8:
            value = np.float64(rng.choice((0, -1, np.nan, np.inf, 1e300, 1e-300, 5e-324))).tobytes()
        else:
            bits = 8 * size
            value = (rng.choice(EDGES) % 2**bits).to_bytes(size, "little")
        data[at : at + size] = value
    return garbled(rng, bytes(data), 2) if one_in(rng, 3) else bytes(data)


@pytest.fixture(scope="module")
def reading():
    from bioread import headers

    remembered = property(lambda self: layout(type(self), self.byte_order_char, self.file_revision))
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(headers.Header, "_struct_class", remembered)
    made = Reading()
    path = made.folder / "a.acq"
    for data in corpus():
        path.write_bytes(data)
        made.try_out(path)
    assert made.outcomes["read"] == len(corpus())
    yield made
    monkeypatch.undo()
    made.finish()


@fuzz(damaged)
def test_any_acq(reading, data):
    path = reading.folder / "a.acq"
    path.write_bytes(data)
    reading.try_out(path)
