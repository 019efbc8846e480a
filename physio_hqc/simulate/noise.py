"""What disturbs a recording: sensor noise, motion, electrode pops, dropouts."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from physio_hqc.errors import SignalError
from physio_hqc.simulate._courses import FloatArray, band_noise

_GRID_HZ = 10.0
_MUSCLE_BAND_HZ = (20.0, 120.0)
_POP_DECAY_S, _POP_LENGTH_S = 0.4, 2.0
_CALIBRATION_S = 3.0
_STREAM_KINDS = {
    "ecg": ("motion", "electrode_pop", "dropout"),
    "bp": ("motion", "calibration", "dropout"),
    "eda": ("motion", "dropout"),
    "resp": ("motion", "dropout"),
}


@dataclass(frozen=True)
class Noise:
    """How much disturbs the streams; the default is a good laboratory recording.

    Attributes
    ----------
    white_mv : float
        ECG: standard deviation of sensor noise per sample, mV.
    mains_mv, mains_hz : float
        ECG: amplitude and frequency of mains hum.
    wander_mv : float
        ECG: standard deviation of baseline wander (0.05 to 0.5 Hz), mV.
    muscle_mv : float
        ECG: standard deviation of muscle noise (20 to 120 Hz), mV; three times that in speech.
    pressure_mmhg : float
        Pressure: standard deviation of sensor noise per sample, mmHg.
    eda_us : float
        EDA: standard deviation of sensor noise per sample, µS.
    resp : float
        Respiration: standard deviation of sensor noise, in units of the breath's amplitude.
    motion_per_min, motion_s : float
        Movements and their mean length; they hit all streams at the same time.
    motion_mv, motion_mmhg, motion_us : float
        Size of the disturbance by a movement.
    electrode_pops_per_min, pop_mv : float
        ECG: sudden steps that decay within 2 s, and their typical height.
    dropouts_per_min, dropout_s : float
        Lost stretches of each stream, independently, and their mean length; they are gaps.
    calibrations_per_min : float
        Pressure: pauses of 3 s in which a cuff device recalibrates and holds its output.

    Raises
    ------
    SignalError
        If a value is negative or not finite.

    Examples
    --------
    >>> Noise(dropouts_per_min=1.0).dropouts_per_min
    1.0
    >>> Noise.none().white_mv
    0.0
    """

    white_mv: float = 0.008
    mains_mv: float = 0.005
    mains_hz: float = 50.0
    wander_mv: float = 0.04
    muscle_mv: float = 0.004
    pressure_mmhg: float = 0.15
    eda_us: float = 0.001
    resp: float = 0.01
    motion_per_min: float = 0.0
    motion_s: float = 3.0
    motion_mv: float = 0.6
    motion_mmhg: float = 15.0
    motion_us: float = 0.3
    electrode_pops_per_min: float = 0.0
    pop_mv: float = 1.5
    dropouts_per_min: float = 0.0
    dropout_s: float = 4.0
    calibrations_per_min: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (np.isfinite(value) and value >= 0):
                raise SignalError(f"Noise: {field.name} must be finite and not below 0.")

    @classmethod
    def none(cls) -> Noise:
        """Return a recording without any disturbance."""
        return replace(
            cls(), white_mv=0.0, mains_mv=0.0, wander_mv=0.0, muscle_mv=0.0, pressure_mmhg=0.0,
            eda_us=0.0, resp=0.0,
        )  # fmt: skip

    @classmethod
    def poor(cls) -> Noise:
        """Return a recording that a lab would think of excluding."""
        return cls(
            white_mv=0.05, mains_mv=0.08, wander_mv=0.3, muscle_mv=0.06, pressure_mmhg=1.0,
            eda_us=0.01, resp=0.1, motion_per_min=3.0, motion_mv=1.5, electrode_pops_per_min=2.0,
            dropouts_per_min=1.0, dropout_s=6.0, calibrations_per_min=1.0,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Artifacts:
    """Disturbed stretches, sorted by onset: s, s, name of the stream, kind."""

    onset_s: FloatArray
    offset_s: FloatArray
    stream: NDArray[np.str_]
    kind: NDArray[np.str_]


def draw_artifacts(
    noise: Noise, duration_s: float, streams: tuple[str, ...], rng: np.random.Generator
) -> Artifacts:
    """Draw when each stream is disturbed.

    Movements are common to all streams; pops, calibrations and dropouts belong to one. Stretches
    of one kind in one stream do not overlap.
    """
    rows: list[tuple[float, float, str, str]] = []
    motion = _stretches(noise.motion_per_min, noise.motion_s, duration_s, rng, spread=True)
    for stream in _STREAM_KINDS:
        own = {
            "motion": motion,
            "electrode_pop": _stretches(
                noise.electrode_pops_per_min, _POP_LENGTH_S, duration_s, rng
            ),
            "calibration": _stretches(noise.calibrations_per_min, _CALIBRATION_S, duration_s, rng),
            "dropout": _stretches(
                noise.dropouts_per_min, noise.dropout_s, duration_s, rng, spread=True
            ),
        }
        if stream not in streams:
            continue
        for kind in _STREAM_KINDS[stream]:
            rows += [(onset, offset, stream, kind) for onset, offset in own[kind].tolist()]
    rows.sort()
    return Artifacts(
        onset_s=np.array([row[0] for row in rows], dtype=np.float64),
        offset_s=np.array([row[1] for row in rows], dtype=np.float64),
        stream=np.array([row[2] for row in rows], dtype="<U8"),
        kind=np.array([row[3] for row in rows], dtype="<U16"),
    )


def _stretches(
    per_min: float,
    length_s: float,
    duration_s: float,
    rng: np.random.Generator,
    *,
    spread: bool = False,
) -> FloatArray:
    """Draw stretches (m, 2) at random times that do not overlap."""
    count = int(rng.poisson(per_min * duration_s / 60.0))
    onsets = np.sort(rng.uniform(0.0, duration_s, count))
    lengths = np.full(count, length_s)
    if spread:
        lengths = length_s * rng.uniform(0.5, 1.5, count)
    offsets = np.minimum(onsets + lengths, duration_s)
    reached = np.maximum.accumulate(np.concatenate([[0.0], offsets]))[:-1]
    clear = onsets >= reached
    return np.column_stack([onsets[clear], offsets[clear]])


def kept_stretches(n: int, sfreq: float, gaps: FloatArray) -> NDArray[np.int64]:
    """Return first and last-plus-one sample of what remains of n samples outside the gaps."""
    lost = np.ceil(np.asarray(gaps, dtype=np.float64).reshape(-1, 2) * sfreq).astype(np.int64)
    edges = np.concatenate([[0], lost.ravel(), [n]]).clip(0, n)
    pairs = np.maximum.accumulate(edges).reshape(-1, 2)
    kept: NDArray[np.int64] = pairs[pairs[:, 1] > pairs[:, 0]]
    return kept


def ecg_noise(
    n: int,
    sfreq: float,
    noise: Noise,
    rng: np.random.Generator,
    *,
    speech: FloatArray | None = None,
    motion: FloatArray | None = None,
    pops: FloatArray | None = None,
) -> FloatArray:
    """Return n samples of everything in an ECG that is not the heart.

    Parameters
    ----------
    n : int
        Number of samples, from time 0.
    sfreq : float
        Hz.
    noise : Noise
    rng : numpy.random.Generator
    speech, motion, pops : ndarray, shape (m, 2), optional
        Stretches in s in which muscles are tense, electrodes move, or an electrode pops.

    Returns
    -------
    ndarray, shape (n,)
        mV.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> disturbance = ecg_noise(25_000, 250.0, Noise(muscle_mv=0.0, wander_mv=0.0), rng)
    >>> bool(abs(disturbance.std() - np.hypot(0.008, 0.005 / np.sqrt(2))) < 0.0005)
    True
    """
    total = noise.white_mv * rng.standard_normal(n)
    if noise.mains_mv:
        phase = rng.uniform(0.0, 2.0 * np.pi)
        total += noise.mains_mv * np.sin(
            2.0 * np.pi * noise.mains_hz / sfreq * np.arange(n) + phase
        )
    if noise.wander_mv:
        total += noise.wander_mv * _slow(rng, n, sfreq, 0.05, 0.5)
    if noise.muscle_mv:
        muscle = noise.muscle_mv * _muscle(rng, n, sfreq)
        for first, last in _samples(speech, sfreq, n):
            muscle[first:last] *= 3.0
        total += muscle
    for first, last in _samples(motion, sfreq, n):
        total[first:last] += noise.motion_mv * _burst(rng, last - first, sfreq, 1.0, 12.0)
    for first, last in _samples(pops, sfreq, n):
        height = noise.pop_mv * rng.uniform(0.5, 1.5) * rng.choice([-1.0, 1.0])
        total[first:last] += height * np.exp(-np.arange(last - first) / (_POP_DECAY_S * sfreq))
    return total


def pressure_noise(
    n: int, sfreq: float, noise: Noise, rng: np.random.Generator, motion: FloatArray | None = None
) -> FloatArray:
    """Return n samples of sensor noise and movement in a pressure signal, mmHg."""
    total = noise.pressure_mmhg * rng.standard_normal(n)
    for first, last in _samples(motion, sfreq, n):
        total[first:last] += noise.motion_mmhg * _burst(rng, last - first, sfreq, 0.5, 4.0)
    return total


def hold(values: FloatArray, sfreq: float, stretches: FloatArray) -> FloatArray:
    """Return values that stay where they were during the stretches, as in a calibration."""
    held = values.copy()
    for first, last in _samples(stretches, sfreq, len(values)):
        held[first:last] = values[first]
    return held


def eda_noise(
    n: int, sfreq: float, noise: Noise, rng: np.random.Generator, motion: FloatArray | None = None
) -> FloatArray:
    """Return n samples of sensor noise and movement in an EDA signal, µS."""
    total = noise.eda_us * rng.standard_normal(n)
    for first, last in _samples(motion, sfreq, n):
        total[first:last] += noise.motion_us * _burst(rng, last - first, sfreq, 0.3, 2.0)
    return total


def _samples(stretches: FloatArray | None, sfreq: float, n: int) -> list[list[int]]:
    """Return stretches in s as first and last-plus-one sample; empty ones are left out."""
    if stretches is None or not len(stretches):
        return []
    edges = np.ceil(np.asarray(stretches) * sfreq).astype(np.int64).clip(0, n)
    pairs: list[list[int]] = edges[edges[:, 1] > edges[:, 0]].tolist()
    return pairs


def _slow(rng: np.random.Generator, n: int, sfreq: float, low: float, high: float) -> FloatArray:
    """Draw slow noise of unit variance on a coarse grid and interpolate it."""
    seconds = n / sfreq
    coarse = band_noise(rng, int(seconds * _GRID_HZ) + 2, _GRID_HZ, low, high)
    return np.interp(np.arange(n) / sfreq, np.arange(len(coarse)) / _GRID_HZ, coarse)


def _muscle(rng: np.random.Generator, n: int, sfreq: float) -> FloatArray:
    """Draw band-passed noise of unit variance; at low rates what is left of the band."""
    high = min(_MUSCLE_BAND_HZ[1], 0.45 * sfreq)
    low = min(_MUSCLE_BAND_HZ[0], 0.5 * high)
    sos = signal.butter(2, (low, high), "bandpass", fs=sfreq, output="sos")
    _, response = signal.sosfreqz(sos, 2048, fs=sfreq)
    noise = signal.sosfilt(sos, rng.standard_normal(n))
    return np.asarray(noise / np.sqrt(np.mean(np.abs(response) ** 2)))


def _burst(rng: np.random.Generator, n: int, sfreq: float, low: float, high: float) -> FloatArray:
    """Draw a burst of band-limited noise that swells and fades."""
    high = min(high, 0.45 * sfreq)
    low = min(low, 0.5 * high)
    return band_noise(rng, n, sfreq, low, high) * np.sin(np.pi * (np.arange(n) + 0.5) / n)
