"""From packets to the sink: decoding, flags after a reconnect, facts on change, cuff readings."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from physio_hqc.acquisition.ble.cuff import Anchor, CuffReadings, offset_to_wall
from physio_hqc.acquisition.decoders import (
    BloodPressureDecoder,
    CuffReading,
    Decoder,
    Facts,
    PmdDecoder,
    Reading,
    Result,
    Samples,
    Trouble,
    make_decoder,
)
from physio_hqc.acquisition.profiles import DeviceProfile
from physio_hqc.acquisition.source import Sink
from physio_hqc.session import BlockFlag

_MEASURING_S = 5.0


class Delivery:
    """Decodes what arrives on one device and hands it to the sink.

    Parameters
    ----------
    profile : DeviceProfile
    streams : set of str
        Streams that are wanted; the others are dropped.
    user : int, optional
        User number of the participant in a cuff that two people share.
    sink : Sink
    heard : callable
        Called with the name of a characteristic or stream and the arrival of every packet of it.
    """

    def __init__(
        self,
        profile: DeviceProfile,
        streams: set[str],
        user: int | None,
        sink: Sink,
        heard: Callable[[str, float], None],
    ) -> None:
        self._sink = sink
        self._heard = heard
        self._streams = streams
        self._pressure = {
            entry.name
            for entry in profile.characteristics
            if entry.decoder == "standard:cuff_pressure"
        }
        self._decoders: dict[str, Decoder] = {
            entry.name: make_decoder(profile, entry)
            for entry in profile.characteristics
            if entry.decoder is not None
        }
        self._began: set[str] = set()
        self._fresh: set[str] = set()
        self._facts: dict[str, Any] = {}
        self._cuff = CuffReadings(user, sink)
        self._pressure_at = -math.inf
        self._of = {spec.name: spec.characteristic for spec in profile.streams}
        self.delivered = False
        """Whether anything has arrived since the last `reconnected`."""

    def reconnected(self) -> None:
        """Begin anew after a break: nothing before it belongs together with what comes."""
        for decoder in self._decoders.values():
            decoder.reset()
        self._fresh = set(self._began)
        self.delivered = False
        self._pressure_at = -math.inf
        self._cuff.reconnected(self._sink.now())

    def gone(self) -> None:
        """Note the end of the link."""
        self._cuff.gone()

    def listening(self) -> None:
        """Note that all is subscribed."""
        self._cuff.listening(self._sink.now())

    def cuff_features(self, features: int) -> None:
        """Take over what the cuff can detect at all."""
        for decoder in self._decoders.values():
            if isinstance(decoder, BloodPressureDecoder):
                decoder.features = features

    def factor(self, factor: float) -> None:
        """Take over the factor of compressed samples."""
        for decoder in self._decoders.values():
            if isinstance(decoder, PmdDecoder):
                decoder.factor = factor

    def restarted(self, streams: set[str]) -> None:
        """Begin some streams anew on the same link."""
        for name in {self._of[stream] for stream in streams}:
            self._decoders[name].reset()
        self._fresh |= streams & self._began

    def cuff_clock(self, anchor: Anchor) -> None:
        """Take over a comparison of the cuff's clock with ours."""
        self._cuff.compare(anchor)
        self.facts(cuff_clock_offset_s=round(offset_to_wall(anchor, self._sink.now()), 1))

    def facts(self, **facts: Any) -> None:
        """Tell facts that are new or have changed."""
        changed = {
            key: value
            for key, value in facts.items()
            if key not in self._facts or self._facts[key] != value
        }
        if changed:
            self._facts.update(changed)
            self._sink.facts(**changed)

    def arrived(self, characteristic: str, data: bytes, t_received: float) -> None:
        """Decode one notification and deliver what is in it."""
        decoder = self._decoders.get(characteristic)
        if decoder is None:
            return
        self.delivered = True
        self._heard(characteristic, t_received)
        if characteristic in self._pressure:
            self._measuring(t_received)
        for item in self._decoded(decoder, characteristic, data, t_received):
            if isinstance(item, Samples):
                self._samples(item, t_received)
            elif isinstance(item, Reading):
                self._reading(item, t_received)
            elif isinstance(item, CuffReading):
                self._cuff_reading(item, t_received)
            elif isinstance(item, Facts):
                self.facts(**item.values)
            else:
                self._sink.trouble(item.kind, item.text)

    def finish(self) -> None:
        """Deliver what waited for something that will not come any more."""
        self._cuff.finish(self._sink.now())

    def tick(self, now: float) -> None:
        """Notice that a measurement has ended without a result, or that a store is empty."""
        self._cuff.tick(now)
        if self._facts.get("measuring") and now - self._pressure_at > _MEASURING_S:
            self.facts(measuring=False)

    def _decoded(
        self, decoder: Decoder, characteristic: str, data: bytes, t_received: float
    ) -> list[Result]:
        """Run the decoder; a fault of its own costs the packet, not the recording."""
        try:
            return decoder.feed(data, t_received)
        except Exception as error:  # noqa: BLE001 - any packet may be the one nobody thought of
            text = f"{characteristic}: {type(error).__name__}: {error} in {data[:40].hex(' ')}"
            return [Trouble("malformed", text)]

    def _samples(self, item: Samples, t_received: float) -> None:
        """Deliver a packet of a regular stream."""
        if item.stream not in self._streams:
            return
        flags = int(item.flags) | self._flag(item.stream)
        if item.n_lost:
            flags |= BlockFlag.GAP_BEFORE
            self._sink.trouble("lost", f"{item.stream}: {item.n_lost} samples lost on the way")
        self._heard(item.stream, t_received)
        self._sink.packet(item.stream, item.values, t_received, item.t_device, flags)

    def _reading(self, item: Reading, t_received: float) -> None:
        """Deliver values of an irregular stream."""
        if item.stream not in self._streams or not len(item.values):
            return
        flags = int(item.flags) | self._flag(item.stream)
        self._sink.readings(item.stream, item.times_s, item.values, t_received, flags)

    def _cuff_reading(self, item: CuffReading, t_received: float) -> None:
        """Pass a cuff reading on; it ends the measurement."""
        live = t_received - self._pressure_at <= 2 * _MEASURING_S
        self._pressure_at = -math.inf
        if "measuring" in self._facts:
            self.facts(measuring=False)
        if item.stream in self._streams:
            self._cuff.arrived(item, t_received, live=live, flags=self._flag(item.stream))

    def _measuring(self, t_received: float) -> None:
        """The cuff is being inflated: what comes next is a live reading."""
        self._pressure_at = t_received
        self.facts(measuring=True)

    def _flag(self, stream: str) -> int:
        """The flag that the first packet after a reconnect carries."""
        self._began.add(stream)
        if stream in self._fresh:
            self._fresh.discard(stream)
            return int(BlockFlag.RECONNECT)
        return 0
