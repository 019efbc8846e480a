"""A simulated participant in real time, from whom virtual wearables measure."""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from physio_hqc.acquisition.virtual.signals import flutter
from physio_hqc.protocol import Protocol
from physio_hqc.simulate import SimulatedTruth, render_ecg, render_eda, simulate_truth

FloatArray = NDArray[np.float64]

_ECG_HZ = 520.0  # at which the ECG is kept; between, it is interpolated
_EDA_HZ = 20.0
_NOISE_UV = 6
_SHORTEST_RR = 0.6  # of an interval: how close the first beat may follow the last one of rest
_AFTER_T = 0.45  # of an interval: how long after a beat its T wave is over
_QRS_S = 0.08
_EDGE_S = 2.0  # at the ends of a phase that a loop leaves out
_CUFF_WINDOW_S = 15.0  # a reading is the mean over this much to either side
_CUFF_ERROR_MMHG = 1.5


class _Loop:
    """A stretch of the truth that is gone through again and again, from R peak to R peak."""

    def __init__(self, beats: FloatArray, begin_s: float, end_s: float) -> None:
        inside = beats[(beats >= begin_s) & (beats <= end_s)]
        self.begin = float(inside[0])
        self.length = float(inside[-1] - inside[0])
        self.beats = inside[:-1] - inside[0]

    def position(self, since: FloatArray) -> FloatArray:
        """Where in the truth it is, so many seconds since it began."""
        return self.begin + np.mod(since, self.length)

    def beats_between(self, after: float, until: float) -> FloatArray:
        """Beats in (after, until], seconds since it began."""
        first, last = math.floor(after / self.length), math.floor(until / self.length)
        rounds = np.arange(first, last + 1) * self.length
        times: FloatArray = (rounds[:, None] + self.beats[None, :]).ravel()
        return times[(times > after) & (times <= until)]


class VirtualParticipant:
    """Somebody who rests until the protocol begins, and then goes through it in real time.

    Until :meth:`begin` the rest of the first phase comes round and round; then the truth is
    followed from its second 0, less than two beats of which may still be rest so that no interval
    is odd; after its end the last phase comes round and round. All times are of
    ``time.monotonic()``.

    Parameters
    ----------
    seed : int
    protocol : str, Path or Protocol
    condition : str
    time_scale : float
        Factor on the lengths of the phases, for a short rehearsal; the body keeps its pace.
    participant_id : str
    truth : SimulatedTruth, optional
        Somebody who was simulated before; the parameters above are then unused.

    Attributes
    ----------
    truth : SimulatedTruth
    time_scale : float
    t_begin : float
        When the protocol began; infinite before.

    Examples
    --------
    >>> person = VirtualParticipant(seed=3, time_scale=0.1)
    >>> person.begin(1000.0)
    >>> beats = person.beats(1000.0, 1060.0)
    >>> third = 1000.0 + person.truth.beat_times_s[2]
    >>> bool(abs(beats - third).min() < 1e-9)
    True
    """

    def __init__(
        self,
        seed: int = 0,
        protocol: str | Path | Protocol = "lepore_1993",
        condition: str = "support",
        *,
        time_scale: float = 1.0,
        participant_id: str = "P01",
        truth: SimulatedTruth | None = None,
    ) -> None:
        self.truth = truth or simulate_truth(
            seed=seed,
            protocol=protocol,
            condition=condition,
            participant_id=participant_id,
            time_scale=time_scale,
        )
        self.time_scale = time_scale
        self.t_begin = math.inf
        self._switch = self._last_rest = math.inf
        self._first = 0
        self._arrived = time.monotonic()
        self._begun = asyncio.Event()
        beats = self.truth.beat_times_s
        first, last = self.truth.phases[0], self.truth.phases[-1]
        self._rest = _Loop(beats, first.onset + _EDGE_S, first.offset - _EDGE_S)
        self._after = _Loop(beats, last.onset + _EDGE_S, last.offset - _EDGE_S)
        self._end = self._after.begin + self._after.length
        self._ecg = render_ecg(self.truth, _ECG_HZ) * 1e3
        self._eda = render_eda(self.truth, _EDA_HZ)
        self._dice = np.random.default_rng(self.truth.seed)

    @property
    def begun(self) -> bool:
        """Whether the protocol has begun."""
        return self._begun.is_set()

    def begin(self, t: float | None = None) -> None:
        """Begin the protocol, now or at a time of ``time.monotonic()``."""
        self.t_begin = time.monotonic() if t is None else t
        self._join()
        self._begun.set()

    def _join(self) -> None:
        """Find the last beat of rest and the first of the truth so that they fit each other.

        What has been sent cannot be taken back: where the truth's first beat would follow too
        closely, its second one is the first.
        """
        arrived, begin, own = self._arrived, self.t_begin, self.truth.beat_times_s
        usual = float(self.truth.rr_s[1])
        rest = arrived + self._rest.beats_between(begin - 3 * usual - arrived, begin - arrived)
        gone = float(rest[-1])
        self._first = int(begin + own[0] - gone < _SHORTEST_RR * usual)
        until = begin + float(own[self._first]) - _SHORTEST_RR * usual
        more = arrived + self._rest.beats_between(gone - arrived, max(until, gone) - arrived)
        self._last_rest = float(more[-1]) if len(more) else gone
        self._switch = max(begin, self._last_rest + _AFTER_T * usual)
        if self._first:
            self._switch = max(self._switch, begin + float(own[0]) + _QRS_S)

    async def wait_begun(self) -> None:
        """Wait until the protocol begins."""
        await self._begun.wait()

    def position(self, times: FloatArray) -> FloatArray:
        """Where in the truth the participant is at given times, s."""
        times = np.asarray(times, dtype=np.float64)
        since = times - self.t_begin if self.begun else np.zeros(times.shape)
        return np.where(
            times < self._switch,
            self._rest.position(times - self._arrived),
            np.where(since <= self._end, since, self._after.position(np.abs(since) - self._end)),
        )

    def beats(self, after_s: float, until_s: float) -> FloatArray:
        """Times of the R peaks in (after_s, until_s]."""
        arrived, begin = self._arrived, self.t_begin
        parts = [arrived + self._rest.beats_between(after_s - arrived, until_s - arrived)]
        parts[0] = parts[0][parts[0] <= self._last_rest]
        if until_s >= begin:
            own = self.truth.beat_times_s[self._first :]
            parts.append(begin + own[own < self._end])
            over = begin + self._end
            later = self._after.beats_between(max(after_s, over - 1) - over, until_s - over)
            parts.append(over + later[later >= 0])
        times = np.concatenate(parts)
        return times[(times > after_s) & (times <= until_s)]

    def ecg(self, times: FloatArray) -> FloatArray:
        """ECG in µV, with the noise of a sensor."""
        return _at(self._ecg, self.position(times) * _ECG_HZ) + flutter(times, _NOISE_UV)

    def acceleration(self, times: FloatArray) -> FloatArray:
        """Acceleration of the chest in mg, shape (n, 3): upright, breathing."""
        cycles = _at(self.truth.breath_cycles, self.position(times))
        breath = np.sin(2 * np.pi * cycles)
        noise = [flutter(times + shift, 3) for shift in (0.0, 0.3, 0.7)]
        return np.column_stack(
            [
                -35 + 5 * breath + noise[0],
                -988 + 3 * breath + noise[1],
                110 + 15 * breath + noise[2],
            ]
        )

    def eda(self, times: FloatArray) -> FloatArray:
        """Skin conductance in µS, with the noise of a sensor."""
        return _at(self._eda, self.position(times) * _EDA_HZ) + flutter(times, 2) * 1e-3

    def temperature(self, times: FloatArray) -> FloatArray:
        """Skin temperature in °C: it falls when conductance rises."""
        fall = _at(self.truth.tonic_us, self.position(times)) - self.truth.tonic_us[0]
        warmth: FloatArray = 33.0 - 0.1 * fall
        return warmth

    def pressure(self, t: float) -> tuple[float, float, float, float]:
        """What a cuff reads around a time: SBP, DBP, MAP in mmHg and heart rate in 1/min."""
        truth = self.truth
        where = float(self.position(np.array([t]))[0])
        near = np.abs(truth.systole_s - where) <= _CUFF_WINDOW_S
        error = self._dice.normal(0.0, _CUFF_ERROR_MMHG)
        sbp, dbp, mean = (
            float(values[near].mean()) + error for values in (truth.sbp, truth.dbp, truth.map)
        )
        return sbp, dbp, mean, 60.0 / float(np.nanmean(truth.rr_s[near]))


def _at(values: FloatArray, where: FloatArray) -> FloatArray:
    """Interpolate linearly between the elements of an array; the ends go on."""
    inside = np.clip(where, 0.0, len(values) - 1.0)
    before = np.minimum(inside.astype(np.int64), len(values) - 2)
    share = inside - before
    between: FloatArray = values[before] * (1.0 - share) + values[before + 1] * share
    return between
