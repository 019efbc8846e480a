"""A simulated participant, live: ``simulator:`` or ``simulator:key=value,key=value``.

Keys of a participant, as in :func:`~physio_hqc.simulate.simulate_session`:

=============  ====================================================================
seed           whole number; same seed, same body (0)
protocol       what the participant goes through (lepore_1993)
condition      one of the protocol's conditions (support)
time_scale     factor on all times of the protocol (1)
streams        any of ecg, bp, cuff, eda, resp, joined by + (ecg+bp+cuff+eda)
ecg_sfreq ...  rates in Hz: ecg_sfreq 250, bp_sfreq 100, eda_sfreq 32, resp_sfreq 25
noise          none, good or poor (good); poor has drop-outs, which are gaps
=============  ====================================================================

Keys of the simulated devices:

=============  ====================================================================
drift_ppm      how much faster than the host's the devices' clock runs (0)
jitter_ms      packets arrive late by up to this much, each by its own delay (0)
packet_ms      length of a packet (100)
duration_s     when to stop; by default the participant starts over after the
               protocol, so that a recording that began earlier does not run dry
load           NxR: instead of a participant, N streams of R Hz, for load tests
=============  ====================================================================

Second 0 of the protocol is the moment the source begins to run. Every packet carries the time of
its device's clock, which counts seconds from 5000.

Every sample of a load stream is its own number, counted from 0 and modulo 2^31, as int32: a file
alone shows whether anything was lost, doubled or moved.

Signals are rendered once, before the recording starts, and held in the number type in which they
are delivered: 2 bytes a sample for ECG and pressure, 4 for the others, together 0.7 MB for the
default streams of the 19 minutes of lepore_1993 (while ECG is rendered, 8 MB more).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import partial
from operator import itemgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from physio_hqc.acquisition.source import Sink, Source, SourceOptions, StreamInfo
from physio_hqc.acquisition.sources._pace import Delivery, deliver
from physio_hqc.config import nearest
from physio_hqc.errors import ConfigError, SignalError
from physio_hqc.simulate import Noise, SimulatedTruth, simulate_truth
from physio_hqc.simulate import session as offline
from physio_hqc.simulate.noise import kept_stretches

DEVICE_EPOCH_S: Final = 5000.0
"""What the devices' clock shows when the source begins to run."""

_WRAP: Final = 1 << 31
_MOST_LOAD: Final = (256, 20_000.0)
_NOISES: Final[dict[str, Callable[[], Noise]]] = {
    "none": Noise.none,
    "good": Noise,
    "poor": Noise.poor,
}


@dataclass(frozen=True)
class SimulatorConfig:
    """What a specification says; see the module for the keys."""

    seed: int = 0
    protocol: str = "lepore_1993"
    condition: str = "support"
    time_scale: float = 1.0
    streams: tuple[str, ...] = ("ecg", "bp", "cuff", "eda")
    ecg_sfreq: float = 250.0
    bp_sfreq: float = 100.0
    eda_sfreq: float = 32.0
    resp_sfreq: float = 25.0
    noise: str = "good"
    drift_ppm: float = 0.0
    jitter_ms: float = 0.0
    packet_ms: float = 100.0
    duration_s: float = math.inf
    load: tuple[int, float] | None = None


_RANGES: Final = {
    "time_scale": (1e-3, 100.0),
    "ecg_sfreq": (1.0, 20_000.0),
    "bp_sfreq": (1.0, 20_000.0),
    "eda_sfreq": (1.0, 20_000.0),
    "resp_sfreq": (1.0, 20_000.0),
    "drift_ppm": (-10_000.0, 10_000.0),
    "jitter_ms": (0.0, 10_000.0),
    "packet_ms": (1.0, 10_000.0),
    "duration_s": (1e-3, math.inf),
}
_FOR_LOAD: Final = frozenset({"load", "drift_ppm", "jitter_ms", "packet_ms", "duration_s", "seed"})


def from_spec(text: str, options: SourceOptions) -> SimulatorSource:
    """Make a simulator from ``key=value,key=value``.

    Raises
    ------
    ConfigError
        If a key is unknown or a value makes no sense.

    Examples
    --------
    >>> from_spec("seed=3,streams=ecg+cuff", SourceOptions()).config.streams
    ('ecg', 'cuff')
    >>> from_spec("sed=3", SourceOptions())
    Traceback (most recent call last):
    ...
    physio_hqc.errors.ConfigError: simulator: unknown key 'sed', did you mean 'seed'?
    """
    config = parse_config(text)
    if options.streams and config.load is None:
        config = replace(config, streams=_stream_names("+".join(options.streams)))
    return SimulatorSource(config)


def parse_config(text: str) -> SimulatorConfig:
    """Read the keys of a specification.

    Raises
    ------
    ConfigError
        If a key is unknown or given twice, or a value makes no sense.

    Examples
    --------
    >>> parse_config("load=16x1000,packet_ms=50").load
    (16, 1000.0)
    """
    known = [entry.name for entry in fields(SimulatorConfig)]
    values: dict[str, Any] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals:
            raise ConfigError(f"simulator: {part!r} is no key=value; {nearest(part, known)}")
        if key not in known:
            raise ConfigError(f"simulator: unknown key {key!r}, {nearest(key, known)}")
        if key in values:
            raise ConfigError(f"simulator: {key} is given twice")
        values[key] = _value(key, value)
    needless = sorted(set(values) - _FOR_LOAD)
    if "load" in values and needless:
        raise ConfigError(f"simulator: load has no participant, so {needless[0]} makes no sense")
    return SimulatorConfig(**values)


def _value(key: str, text: str) -> Any:
    """The value of one key."""
    if key in ("protocol", "condition"):
        return text
    if key == "streams":
        return _stream_names(text)
    if key == "load":
        return _load(text)
    if key == "noise":
        if text not in _NOISES:
            raise ConfigError(f"simulator: unknown noise {text!r}; {nearest(text, _NOISES)}")
        return text
    if key == "seed":
        if not re.fullmatch(r"\d{1,18}", text):
            raise ConfigError(f"simulator: seed is a whole number not below 0, not {text!r}")
        return int(text)
    low, high = _RANGES[key]
    try:
        number = float(text)
    except ValueError:
        raise ConfigError(f"simulator: {key} is a number, not {text!r}") from None
    if not low <= number <= high:
        raise ConfigError(f"simulator: {key} is {text}; from {low:g} to {high:g} can be")
    return number


def _stream_names(text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split("+")]
    for name in names:
        if name not in offline.STREAMS:
            raise ConfigError(
                f"simulator: no stream {name!r}; {nearest(name, offline.STREAMS)} (joined by +)"
            )
    return tuple(name for name in offline.STREAMS if name in names)


def _load(text: str) -> tuple[int, float]:
    found = re.fullmatch(r"(\d{1,6})\s*[x×]\s*(\d{1,9}(?:\.\d+)?)", text)
    if not found:
        raise ConfigError(f"simulator: load is streams x rate, as in load=16x1000, not {text!r}")
    n_streams, sfreq = int(found[1]), float(found[2])
    if not (0 < n_streams <= _MOST_LOAD[0] and 0 < sfreq <= _MOST_LOAD[1]):
        raise ConfigError("simulator: load takes 1 to 256 streams of up to 20000 Hz")
    return n_streams, sfreq


@dataclass(frozen=True, eq=False)
class _Signal:
    """One regular stream: samples of one pass, what is kept of them, and how to count on."""

    info: StreamInfo
    samples: NDArray[Any] = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    kept: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))


class SimulatorSource(Source):
    """A simulated participant with simulated devices, or a load of counted samples.

    Parameters
    ----------
    config : SimulatorConfig

    Attributes
    ----------
    config : SimulatorConfig
    truth : SimulatedTruth or None
        What is true of the participant, once `streams` was called; its second 0 is `started_s`.
    started_s : float
        Session time at which the source began to run; NaN before.
    """

    def __init__(self, config: SimulatorConfig | None = None) -> None:
        self.name = "simulator"
        self.config = config or SimulatorConfig()
        self.truth: SimulatedTruth | None = None
        self.started_s = math.nan
        self._signals: list[_Signal] | None = None

    async def streams(self) -> tuple[StreamInfo, ...]:
        """Simulate the participant and render the signals.

        Raises
        ------
        ConfigError
            If protocol or condition are unknown, or the session would be too short.
        """
        if self._signals is None:
            make = self._load_streams if self.config.load else self._participant
            self._signals = await asyncio.to_thread(make)
        infos = [signal.info for signal in self._signals]
        return (*infos, self._cuff_info()) if self._has_cuff else tuple(infos)

    async def run(self, sink: Sink) -> None:
        """Deliver packets in real time until the duration is over."""
        await self.streams()
        self.started_s = start = sink.now()
        sink.state("connected", "simulated")
        sink.facts(manufacturer="physio_hqc", model="simulator", serial=str(self.config.seed))
        await deliver(heapq.merge(*self._roads(sink), key=itemgetter(0)), sink, start)
        sink.state("ended", "the simulation is over")

    @property
    def _has_cuff(self) -> bool:
        return self.config.load is None and "cuff" in self.config.streams

    def _roads(self, sink: Sink) -> Iterator[Iterator[Delivery]]:
        """Deliveries of each stream in ascending time."""
        assert self._signals is not None
        if self.config.load:
            yield self._load_packets(sink)
            return
        for number, signal in enumerate(self._signals):
            yield self._packets(signal, number, sink)
        if self._has_cuff:
            yield self._cuff(sink)

    def _true_rate(self, sfreq: float) -> float:
        """Rate by the host's clock of a device that samples by its own, drifting one."""
        return sfreq * (1 + self.config.drift_ppm * 1e-6)

    # ---- a participant

    def _participant(self) -> list[_Signal]:
        """Simulate and render."""
        config, noise = self.config, _NOISES[self.config.noise]()
        regular = [name for name in config.streams if name != "cuff"]
        try:
            truth = simulate_truth(
                seed=config.seed,
                protocol=config.protocol,
                condition=config.condition,
                time_scale=config.time_scale,
            )
            self.truth = offline._with_artifacts(truth, noise, config.streams)
            return [self._signal(name, self.truth, noise) for name in regular]
        except SignalError as error:
            raise ConfigError(f"simulator: {error}") from error

    def _signal(self, name: str, truth: SimulatedTruth, noise: Noise) -> _Signal:
        sfreq = float(getattr(self.config, f"{name}_sfreq"))
        rate = self._true_rate(sfreq)
        samples = offline._stored(name, offline._RENDER[name](truth, rate, noise))
        info = StreamInfo(
            name=name,
            modality=name,
            units=offline._UNITS[name],
            sfreq=sfreq,
            dtype=offline._DTYPES[name],
            scale=offline._SCALES[name],
            device=self._device(),
        )
        kept = kept_stretches(len(samples), rate, truth.artifacts(name, "dropout"))
        return _Signal(info, samples, kept)

    def _device(self) -> dict[str, Any]:
        config = self.config
        return {
            "name": "simulator",
            "seed": config.seed,
            "condition": config.condition,
            "drift_ppm": config.drift_ppm,
            "jitter_ms": config.jitter_ms,
        }

    def _cuff_info(self) -> StreamInfo:
        return StreamInfo(
            name="cuff",
            modality="cuff",
            units="mmHg,mmHg,mmHg,1/min",
            sfreq=0.0,
            dtype="float32",
            channels=offline._CUFF_CHANNELS,
            device=self._device(),
            awaited=False,
        )

    def _packets(self, signal: _Signal, number: int, sink: Sink) -> Iterator[Delivery]:
        """Packets of one stream, pass after pass of the protocol."""
        assert self.truth is not None
        rate = self._true_rate(signal.info.sfreq)
        rng = np.random.default_rng([self.config.seed, number])
        step = max(1, round(self.config.packet_ms / 1000 * signal.info.sfreq))
        latest = 0.0
        for turn in itertools.count():
            # Passes begin at the protocol's times, between two samples of an even row.
            begin = math.ceil(turn * self.truth.duration_s * rate)
            for low, high in signal.kept.tolist():
                for first in range(low, high, step):
                    samples = signal.samples[first : min(first + step, high)]
                    last = begin + first + len(samples) - 1
                    if last / rate > self.config.duration_s:
                        return
                    latest = max(latest, last / rate + self._delay(rng))
                    t_device = DEVICE_EPOCH_S + last / signal.info.sfreq
                    yield latest, partial(_hand_over, sink, signal.info.name, samples, t_device)

    def _delay(self, rng: np.random.Generator) -> float:
        return float(rng.uniform(0.0, self.config.jitter_ms / 1000)) if self.config.jitter_ms else 0

    def _cuff(self, sink: Sink) -> Iterator[Delivery]:
        """Cuff readings at the protocol's times."""
        assert self.truth is not None
        for turn in itertools.count():
            for time, values in zip(self.truth.cuff_times_s.tolist(), self.truth.cuff, strict=True):
                due = turn * self.truth.duration_s + time
                if due > self.config.duration_s:
                    return
                yield due, partial(self._reading, sink, due, values.astype(np.float32))
            if not len(self.truth.cuff_times_s):
                return

    def _reading(self, sink: Sink, due: float, values: NDArray[np.float32]) -> None:
        sink.readings("cuff", [self.started_s + due], values[np.newaxis], sink.now())

    # ---- a load

    def _load_streams(self) -> list[_Signal]:
        assert self.config.load is not None
        n_streams, sfreq = self.config.load
        device = {"name": "simulator", "load": f"{n_streams}x{sfreq:g}"}
        return [
            _Signal(
                StreamInfo(f"load_{number + 1:02d}", "other", "", sfreq, "int32", device=device)
            )
            for number in range(n_streams)
        ]

    def _load_packets(self, sink: Sink) -> Iterator[Delivery]:
        """Counted samples: the same packet for every stream."""
        assert self.config.load is not None
        assert self._signals is not None
        sfreq = self.config.load[1]
        rate = self._true_rate(sfreq)
        rng = np.random.default_rng(self.config.seed)
        step = max(1, round(self.config.packet_ms / 1000 * sfreq))
        latest = 0.0
        for first in itertools.count(0, step):
            last = first + step - 1
            if last / rate > self.config.duration_s:
                return
            samples = (np.arange(first, first + step) % _WRAP).astype(np.int32)
            latest = max(latest, last / rate + self._delay(rng))
            t_device = DEVICE_EPOCH_S + last / sfreq
            for signal in self._signals:
                yield latest, partial(_hand_over, sink, signal.info.name, samples, t_device)


def _hand_over(sink: Sink, stream: str, samples: NDArray[Any], t_device: float) -> None:
    sink.packet(stream, samples, sink.now(), t_device)
