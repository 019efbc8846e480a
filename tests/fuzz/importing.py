"""What the fuzz tests of the importers share: quick damage, nasty fields, and what must hold."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from fuzzing import Build, Case, Outcomes, one_in, scratch

from physio_hqc import open_session
from physio_hqc.importers import import_recording, read_recording
from physio_hqc.importers.recording import Recording

# What a header field should never say, and what it may.
NUMBERS = (
    *("0", "-1", "1", "2", "3", "255", "65536", "2147483647", "2147483648", "-2147483648"),
    *("4294967296", "9223372036854775807", "99999999999999999999", "9" * 400, "1e300", "1e-300"),
    *("1e309", "-1e309", "5e-324", "nan", "inf", "-inf", "NaN", "0x10", "1_0", "", " ", "1,5"),
    *("+1", "1.5", "-0.0", "1e", "e", "ten", "\u0663", "1 2", "0.1", "250", "1000000"),
)
NAMES = (
    *("../../etc/passwd", "/etc/passwd", "..", ".", "", "C:\\x", "a\\b", "a/b", "a\x00b", "%s%n"),
    *("ECG", "EDA [uS]", "ABP (mmHg)", "=1+1", "\x1b[31mred", "x" * 400, "\ud7ff\u2028", "~", "$b"),
    *("time", "t", "nan", "&lt;", "&amp;&#0;", "(" * 50, "[" * 50 + " ", "\u00b5V", "status"),
)


def number(rng: random.Random, usual: object, n: int = 6) -> str:
    """The usual number; once in n cases a nasty one."""
    return rng.choice(NUMBERS) if one_in(rng, n) else str(usual)


def name(rng: random.Random, usual: str, n: int = 6) -> str:
    """The usual name; once in n cases a nasty one."""
    return rng.choice(NAMES) if one_in(rng, n) else usual


def keyed(build: Build) -> Build:
    """Cases with random numbers for what stands beside the file."""
    return lambda rng: (Case(build(rng)), rng.randbytes(8))


class Reading:
    """Reads each case from the same place; every so many cases also imports it to a session."""

    def __init__(self, every: int = 200) -> None:
        self.folder = scratch()
        self.outcomes = Outcomes()
        self.imports = Outcomes()
        self.every = every

    def try_out(self, source: Path) -> None:
        with self.outcomes.counted():
            check(read_recording(source))
        if self.outcomes.total() % self.every == 0:
            out = self.folder / "session.h5"
            with self.imports.counted():
                import_recording(source, out, overwrite=True)
                check_session(out)

    def finish(self) -> None:
        """Both ends were reached, and nothing but the given files is left."""
        self.outcomes.assert_both()
        left = [item.name for item in self.folder.iterdir() if item.name.startswith(".")]
        assert left == []


def check(recording: Recording) -> None:
    """What holds for every recording, whatever the file said."""
    assert recording.channels
    for channel in recording.channels:
        assert channel.sfreq == 0 or 1e-7 < channel.sfreq < 1e8
        assert np.isfinite([channel.scale, channel.offset]).all()
        starts = np.array([part.t_start for part in channel.segments])
        assert np.isfinite(starts).all()
        assert (np.diff(starts) >= 0).all()
        for part in channel.segments:
            width = len(channel.components)
            assert part.samples.shape[1:] in ([(width,)] if width > 1 else [(), (1,)])
            assert part.samples.dtype.kind in "iufb"
            assert part.sfreq is None or 1e-7 < part.sfreq < 1e8
        if channel.sfreq == 0:
            assert channel.times is not None
            assert len(channel.times) == sum(len(part.samples) for part in channel.segments)
            assert np.isfinite(channel.times).all()
            assert (np.diff(channel.times) >= 0).all()
    for marker in recording.markers:
        assert np.isfinite(marker.onset)
        assert not marker.duration < 0


def check_session(path: Path) -> None:
    """A session made from anything can be read to its last sample."""
    with open_session(path) as session:
        assert session.streams
        assert session.duration >= 0
        for stream in session.streams.values():
            assert len(stream.samples) == len(stream.times) == stream.n_samples
            assert (np.diff(stream.times) >= 0).all()
            assert not np.isinf(stream.samples).any()
        assert np.isfinite(session.events["onset"]).all()


def joined(rng: random.Random, parts: Sequence[bytes]) -> bytes:
    """Parts in order; now and then one is left out, doubled or moved."""
    order = list(parts)
    if one_in(rng, 5) and order:
        at = rng.randrange(len(order))
        how = rng.randrange(3)
        if how == 0:
            del order[at]
        elif how == 1:
            order.insert(at, order[at])
        else:
            order.insert(rng.randrange(len(order)), order.pop(at))
    return b"".join(order)
