"""What the fuzz tests share: how many cases, which seed, and bytes that are nearly right.

PHYSIO_FUZZ_CASES and PHYSIO_FUZZ_SEED choose other numbers than the 20,000 cases of seed 0.
"""

import atexit
import copy
import os
import random
import shutil
import string
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
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


BATCH = 20
Build = Callable[[random.Random], Any]


def fuzz(build: Build, one_of: int = 1) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Have hypothesis try a test with the many cases that a builder makes, the last argument of it.

    Each number that hypothesis draws stands for a batch of cases: its own work takes as long as
    that of a parser. A failing case is printed, and can be passed to the test as it is printed.

    Parameters
    ----------
    build : callable
        Makes a case of random numbers, the same one for the same numbers.
    one_of : int
        Run one of so many of the cases: of tests that share them, or of one that takes longer.
    """

    def decorate(test: Callable[..., Any]) -> Callable[..., Any]:
        *others, case = signature(test).parameters.values()

        def run(*args: Any, key: bytes, **kwargs: Any) -> None:
            rng = random.Random(key)
            for _ in range(min(BATCH, max(1, CASES // one_of))):
                made = build(rng)
                made = Case(made) if type(made) is bytes else made
                try:
                    test(*args, **kwargs, **{case.name: made})
                except BaseException as error:
                    error.add_note(f"The case: {made!r}")
                    raise

        number = Parameter("key", Parameter.KEYWORD_ONLY)
        run.__signature__ = Signature([*others, number])  # type: ignore[attr-defined]
        run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
        return drawn(BATCH * one_of)(given(key=st.binary(min_size=8, max_size=8))(run))

    return decorate


def drawn(one_of: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a hypothesis test as fuzzing: slow, one of so many cases, the same for the same seed."""
    some = settings(
        max_examples=max(1, CASES // one_of),
        deadline=None,
        database=None,
        derandomize=False,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: pytest.mark.slow(seed(SEED)(some(test)))


class Corpus(list[bytes]):
    """Files to begin with; a failing case does not print them."""

    def __repr__(self) -> str:
        return f"<{len(self)} files>"


class Case(bytes):
    """Bytes whose repr gives them back, packed where they are many: a failing case is all there."""

    def __repr__(self) -> str:
        if len(self) <= 1000:
            return f"Case({bytes(self)!r})"
        return f"Case(zlib.decompress({zlib.compress(self, 9)!r}))"


def any_of(*builds: Build) -> Build:
    """A builder that lets chance decide between others."""
    return lambda rng: rng.choice(builds)(rng)


def noise(most: int = 600) -> Build:
    """Bytes that mean nothing."""
    return lambda rng: Case(rng.randbytes(rng.randrange(rng.randrange(most + 1) + 1)))


def mutated(corpus: Sequence[bytes], most: int = 6) -> Build:
    """One of the corpus with at most so many places damaged."""
    return lambda rng: Case(garbled(rng, rng.choice(corpus), most + 1, corpus))


LETTERS = (*string.printable, *"µÅ٣\u202e\u2028\ud800\U0001f600\x00\x1b\x7f\xa0")


def text(rng: random.Random, most: int = 30) -> str:
    """A text of any letters."""
    return "".join(rng.choices(LETTERS, k=rng.randrange(rng.randrange(most + 1) + 1)))


def garbled(rng: random.Random, data: bytes, most: int = 4, corpus: Sequence[bytes] = ()) -> bytes:
    """Fewer than `most` places flipped, overwritten, cut, doubled, moved or joined with another.

    Every other time it is near the start, where headers stand.
    """
    damaged = bytearray(data)
    for _ in range(rng.randrange(most)):
        reach = len(damaged) if one_in(rng, 2) else min(len(damaged), 600)
        at = rng.randrange(reach + 1)
        how = rng.randrange(9 if corpus else 8)
        if how == 0:
            del damaged[at:]
        elif how == 1:
            del damaged[at : at + rng.randrange(1, 65)]
        elif how == 2 and at < len(damaged):
            damaged[at] ^= 1 << rng.randrange(8)
        elif how == 3 and at < len(damaged):
            damaged[at] = rng.randrange(256)
        elif how <= 5:
            what = rng.randbytes(rng.randrange(13)) if one_in(rng, 4) else rng.choice(NASTY)
            damaged[at : at + (len(what) if how == 4 else 0)] = what
        elif how <= 7:
            damaged[at:at] = damaged[at : at + rng.randrange(1, 65)] * rng.randrange(1, 21)
        else:
            other = rng.choice(corpus)
            start = rng.randrange(len(other) + 1)
            damaged[at:] = other[start : start + len(damaged) - at]
    return bytes(damaged)


_ODD = (None, [], {}, 0, "x", True, [[1]], {"file": ["a"]}, 1e308, "../../etc/passwd", -1, 2**70)


def put_odd(rng: random.Random, tree: Any) -> None:
    """Put another value somewhere into what was JSON, or take one away."""
    while tree:
        keys = sorted(tree) if isinstance(tree, dict) else range(len(tree))
        key = rng.choice(keys)
        if not isinstance(tree[key], dict | list) or not tree[key] or one_in(rng, 3):
            if one_in(rng, 6):
                del tree[key]
            else:
                tree[key] = copy.deepcopy(rng.choice(_ODD))
            return
        tree = tree[key]


def one_in(rng: random.Random, n: int) -> bool:
    """Whether it is one of n cases."""
    return rng.randrange(n) == 0


def scratch() -> Path:
    """A new folder, in memory where the system has such a place; it goes when the tests end."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


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
