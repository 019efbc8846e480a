"""What the fuzz tests share: how many cases, which seed, and bytes that are nearly right.

PHYSIO_FUZZ_CASES and PHYSIO_FUZZ_SEED choose other numbers than the 20,000 cases of seed 0.
"""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st

from physio_hqc.errors import PhysioError

CASES = int(os.environ.get("PHYSIO_FUZZ_CASES", "20000"))
SEED = int(os.environ.get("PHYSIO_FUZZ_SEED", "0"))

# Numbers at which counts, sizes and offsets break, little and big endian.
_EDGES = (0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63)
_WORDS = (
    *(b"", b"\x00", b"\xff", b"\n", b" ", b"\t", b",", b";", b"\x14", b"\x15", b"%s%n"),
    *(b"-1", b"0", b"1e309", b"nan", b"inf", b"-inf", b"99999999"),
    *(b"../../x", b"/etc/passwd", b"\xc3\x28", b"\xef\xbb\xbf"),
)
NASTY = _WORDS + tuple(
    edge.to_bytes(size, order)
    for edge in _EDGES
    for size in (2, 4, 8)
    for order in ("little", "big")
    if edge < 256**size
)


def fuzz(test: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a hypothesis test as fuzzing: slow, many cases, the same ones for the same seed."""
    many = settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        derandomize=False,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    return pytest.mark.slow(seed(SEED)(many(test)))


@st.composite
def mutated(draw: st.DrawFn, corpus: Sequence[bytes], most: int = 6) -> bytes:
    """One of the corpus with a few places overwritten, cut, doubled, moved or joined."""
    data = bytearray(draw(st.sampled_from(corpus)))
    for _ in range(draw(st.integers(0, most))):
        at = draw(st.integers(0, len(data)))
        how = draw(st.sampled_from(("flip", "put", "insert", "cut", "drop", "repeat", "splice")))
        if how == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif how in ("put", "insert"):
            what = draw(st.sampled_from(NASTY) | st.binary(max_size=12))
            data[at : at + (len(what) if how == "put" else 0)] = what
        elif how == "cut":
            del data[at:]
        elif how == "drop":
            del data[at : at + draw(st.integers(1, 64))]
        elif how == "repeat":
            piece = data[at : at + draw(st.integers(1, 64))]
            data[at:at] = piece * draw(st.integers(1, 20))
        elif how == "splice":
            other = draw(st.sampled_from(corpus))
            start = draw(st.integers(0, len(other)))
            data[at:] = other[start : start + len(data) - at]
    return bytes(data)


class Outcomes(Counter[str]):
    """How many cases were read and how many refused: a fuzz test that reaches only one is none."""

    @contextmanager
    def counted(self):  # type: ignore[no-untyped-def]
        """Let a case end by itself or by a PhysioError of one line; anything else goes through."""
        try:
            yield
        except PhysioError as error:
            message = str(error).strip()
        else:
            self["read"] += 1
            return
        assert message, "an error without a word"
        assert "\n" not in message, "an error of several lines"
        self["refused"] += 1

    def assert_both(self, least: float = 0.01) -> None:
        """Of the cases, at least this share was read, and at least this share refused."""
        total = self.total()
        assert total, "no case ran"
        assert min(self["read"], self["refused"]) >= least * total, dict(self)
