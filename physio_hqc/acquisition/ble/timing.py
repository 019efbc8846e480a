"""How patient a Bluetooth source is."""

from __future__ import annotations

from dataclasses import dataclass, field

_MOST_DOUBLINGS = 5


@dataclass(frozen=True)
class BleTiming:
    """Waits, in seconds. The defaults are for people and real radios.

    Attributes
    ----------
    settle_s : float
        How long to look for a second device that fits, before the only one is taken.
    hint_s : float
        After how long without any device the experimenter is told what to check.
    deaf_s : float
        After how long without anything in the air at all the scan is started anew.
    connect_s : float
        How long an attempt to connect may take. It is doubled after each one that was too short, up
        to `connect_max_s`, as long as no device that has been recorded waits for the adapter.
    reply_s : float
        How long a reply to a command may take.
    silence_s : float
        How long a stream that flowed may be silent on a standing link before it is started anew.
    backoff_s, backoff_max_s : float
        Pause after the first failed connection, doubled at each further one up to the longest.
    stop_s : float
        How long stopping and disconnecting may take at the end.
    """

    settle_s: float = 3.0
    hint_s: float = 15.0
    deaf_s: float = 30.0
    connect_s: float = 7.0
    connect_max_s: float = 20.0
    reply_s: float = 5.0
    silence_s: float = 10.0
    backoff_s: float = 0.5
    backoff_max_s: float = 15.0
    stop_s: float = 6.0


@dataclass
class Silence:
    """Which of the things that should flow have been silent for too long.

    Patience doubles with every attempt that brought nothing, up to 32 times, and is back to normal
    with the first packet: a strap that lies on the table is not started anew for ever.

    Examples
    --------
    >>> silence = Silence(silence_s=10.0)
    >>> silence.expect("ecg", now=0.0, patience_s=45.0)
    >>> silence.of(44.0), silence.of(46.0)
    ([], ['ecg'])
    >>> silence.heard("ecg", 47.0)
    >>> silence.of(56.0), silence.of(58.0)
    ([], ['ecg'])
    """

    silence_s: float
    _due: dict[str, float] = field(default_factory=dict)
    _fruitless: dict[str, int] = field(default_factory=dict)
    _heard: dict[str, float] = field(default_factory=dict)

    def expect(self, key: str, now: float, patience_s: float) -> None:
        """Expect the first packet within this time."""
        self._due[key] = now + patience_s * 2.0 ** self._fruitless.get(key, 0)

    def heard(self, key: str, t: float) -> None:
        """Note that something arrived."""
        self._heard[key] = t
        if key in self._due:
            self._due[key] = t + self.silence_s
            self._fruitless.pop(key, None)

    def of(self, now: float) -> list[str]:
        """What is silent."""
        return [key for key, due in self._due.items() if now > due]

    def flow(self, keys: set[str], now: float) -> bool:
        """Whether any of these arrives."""
        return any(now - t <= self.silence_s for key, t in self._heard.items() if key in keys)

    def tried(self, key: str) -> int:
        """Count an attempt to wake it up; returns how many came before it without a packet."""
        before = self._fruitless.get(key, 0)
        self._fruitless[key] = min(before + 1, _MOST_DOUBLINGS)
        return before

    def forget(self) -> None:
        """Expect nothing: there is no link."""
        self._due.clear()
        self._heard.clear()
