"""XDF files of any content: chunks, XML headers, samples, clock offsets, gzip."""

from __future__ import annotations

import gzip
import random
import struct
from xml.sax.saxutils import escape

import pytest
from fuzzing import any_of, fuzz, garbled, mutated, one_in
from importing import Reading, joined, name, number

CODES = {"float32": "f", "double64": "d", "int8": "b", "int16": "h", "int32": "i", "int64": "q"}
STAMPS = (float("nan"), float("inf"), -1e300, 1e300, 0.0, -5.0, 1e12, 5e-324)
BOMB = '<!DOCTYPE a [<!ENTITY x "xxxxxxxx"><!ENTITY y "&x;&x;&x;&x;">]>'


def varlen(value: int) -> bytes:
    return b"\x01" + bytes([value]) if value < 256 else b"\x04" + struct.pack("<I", value)


def chunk(rng: random.Random, n: int, tag: int, content: bytes) -> bytes:
    length = varlen(len(content) + 2)
    if one_in(rng, n * 8):
        length = rng.choice((b"\x04\xff\xff\xff\xff", b"\x08" + b"\xff" * 8, b"\x01\x00", b"\x03"))
    return length + struct.pack("<H", tag) + content


def header(rng: random.Random, n: int, stream: int, form: str, rate: float, count: int) -> bytes:
    channels = "".join(
        f"<channel><label>{escape(name(rng, 'ECG', n))}</label><unit>{name(rng, 'mV', n * 9)}"
        f"</unit><type>{rng.choice(('ECG', 'ACC', 'EDA', ''))}</type></channel>"
        for _ in range(count)
    )
    xml = (
        f"<?xml version='1.0'?>{BOMB if one_in(rng, n * 4) else ''}<info>"
        f"<name>{escape(name(rng, 'amp', n * 4))}</name>"
        f"<type>{rng.choice(('ECG', 'Markers', 'ACC', ''))}</type>"
        f"<channel_count>{number(rng, count, n * 4)}</channel_count>"
        f"<nominal_srate>{number(rng, rate, n * 2)}</nominal_srate>"
        f"<channel_format>{name(rng, form, n * 4)}</channel_format>"
        f"<desc><channels>{channels}</channels></desc></info>"
    )
    xml = "".join("?" if sign < " " or "\ud7ff" < sign < "\ue000" else sign for sign in xml)
    encoding = "utf-16" if one_in(rng, n * 8) else "utf-8"
    return chunk(rng, n, 2, struct.pack("<I", stream) + xml.encode(encoding, "replace"))


def samples(rng: random.Random, n: int, stream: int, form: str, count: int, start: float) -> bytes:
    body = varlen(rng.choice((0, 255, 2**31)) if one_in(rng, n * 8) else 6)
    for i in range(6):
        stamp = rng.choice(STAMPS) if one_in(rng, n * 8) else start + i / 10
        body += b"\x00" if one_in(rng, 5) else b"\x08" + struct.pack("<d", stamp)
        for _ in range(count):
            if form == "string":
                word = name(rng, "stress", n).encode("utf-8", "replace")
                body += varlen(len(word)) + word
            else:
                body += struct.pack(f"<{CODES[form]}", rng.randrange(-100, 100))
    return chunk(rng, n, 3, struct.pack("<I", stream) + body)


def xdf(rng: random.Random, n: int) -> bytes:
    """One to three streams, each field nasty once in n cases."""
    parts = [chunk(rng, n, 1, b"<?xml version='1.0'?><info><version>1.0</version></info>")]
    for stream in range(1, rng.randrange(2, 4)):
        form = rng.choice((*CODES, "string"))
        rate = rng.choice((10.0, 0.0))
        count = rng.choice((1, 3))
        parts.append(header(rng, n, stream, form, rate, count))
        for k in range(rng.randrange(4)):
            gap = 100 * (k > 1)
            parts.append(samples(rng, n, stream, form, count, 50 + 0.6 * k + gap))
        clock = (
            struct.pack("<Idd", stream, 50 + i, 0.1) for i in range(2 if one_in(rng, 20) else 1)
        )
        parts += [chunk(rng, n, 4, content) for content in clock]
        end = f"<info><sample_count>{number(rng, 6, n)}</sample_count></info>".encode()
        parts.append(chunk(rng, n, 6, struct.pack("<I", stream) + end))
    whole = b"XDF:" + (joined(rng, parts) if one_in(rng, n) else b"".join(parts))
    return gzip.compress(whole, 1) if one_in(rng, 20) else whole


GOOD = [xdf(random.Random(i), 10**6) for i in range(12)]


@pytest.fixture(scope="module")
def reading():
    made = Reading()
    yield made
    made.finish()


@fuzz(
    any_of(
        mutated(GOOD),
        lambda rng: xdf(rng, 12),
        lambda rng: xdf(rng, 60),
        lambda rng: garbled(rng, xdf(rng, 100)),
    )
)
def test_any_xdf(reading, data):
    path = reading.folder / "a.xdfz"
    path.write_bytes(data)
    reading.try_out(path)
