"""Feed every decoder with packets that are random, damaged, cut off, repeated or out of order.

    python scripts/recording/fuzz.py [--packets 10000] [--seed 0]

One line a decoder: what came out, and how many packets made it raise, which must be none.
Behind it, the time that whole packets of each kind take.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from physio_hqc.acquisition import Characteristic, DeviceProfile, list_device_profiles
from physio_hqc.acquisition.decoders import Trouble, make_decoder
from physio_hqc.acquisition.decoders.bitalino import bitalino_crc


def bitalino_packets() -> tuple[str, ...]:
    """Sixteen packets of five frames of two channels that count on, each of 20 bytes."""
    frames = np.random.default_rng(0).integers(0, 256, size=(80, 4)).astype(np.uint8)
    frames[:, 3] = np.arange(80) % 16 << 4
    frames[:, 3] |= bitalino_crc(frames)
    return tuple(part.tobytes().hex() for part in frames.reshape(16, 20))


VALID = {
    "standard:heart_rate": (
        "1E5532002100", "1F0101320101000201FFFF", "164842034F03", "10B4550155015501", "04FF",
    ),
    "standard:blood_pressure": (
        "1E8A00580078000000041114293B3C00012700", "15BDF00B009FF03C001200",
        "1FA0F069F07BF0EA07030E0F091A4800FF0400", "0480004F00FF07FF07",
    ),
    "standard:cuff_pressure": (
        "1E040000000000000000041114293B3C00012700", "156FF0000000003C001200",
    ),
    "polar_pmd": (
        "00 85A021B4D636C109 00" + "FBFFFF 00000C 590100" * 24 + "01FCFF",
        "02 EA54A2428B455208 01" + "45FF E4FF B503" * 36,
        "02 EA54A2428B455208 81 D0FF 6501 E40F 08 02 FC07FF 0C13F2 06 01 7B0F08",
        "02 EA54A2428B455208 80 F1FF 1400 F003 06 01 7B0F08",
    ),
    "bitalino": bitalino_packets(),
    "packet": tuple(
        f"{k:02X} {(250 * k).to_bytes(4, 'little').hex()} E40C A00F A10F A20F A30F"
        for k in range(8)
    ),
}  # fmt: skip
"""Whole packets of every decoder, from which damaged ones are made."""


@dataclass
class Line:
    """What became of the packets of one decoder."""

    decoder: str
    packets: int = 0
    delivered: int = 0
    troubles: Counter[str] = field(default_factory=Counter)
    escaped: Counter[str] = field(default_factory=Counter)


def fuzz(n_per_decoder: int = 10_000, seed: int = 0) -> list[Line]:
    """Feed `n_per_decoder` packets to the decoder of every characteristic of every profile."""
    table: list[Line] = []
    for profile, entry in characteristics():
        rng = np.random.default_rng([seed, len(table)])
        line = Line(f"{profile.name}.{entry.name}")
        decoder = make_decoder(profile, entry)
        t = 0.0
        for data in packets(VALID[str(entry.decoder)], n_per_decoder, rng):
            t += float(rng.exponential(0.2))
            line.packets += 1
            try:
                found = decoder.feed(data, t)
                if rng.random() < 0.005:
                    decoder.reset()
            except Exception as error:  # noqa: BLE001  (any escape is what is looked for)
                line.escaped[f"{type(error).__name__}: {error}"] += 1
                continue
            for result in found:
                if isinstance(result, Trouble):
                    line.troubles[result.kind] += 1
                else:
                    line.delivered += 1
        table.append(line)
    return table


def characteristics() -> Iterator[tuple[DeviceProfile, Characteristic]]:
    """Every characteristic that has a decoder."""
    for profile in list_device_profiles():
        for entry in profile.characteristics:
            if entry.decoder is not None:
                yield profile, entry


def packets(valid: tuple[str, ...], n: int, rng: np.random.Generator) -> Iterator[bytes]:
    """Whole, random, damaged, cut, lengthened, joined and repeated packets."""
    whole = [bytes.fromhex(text) for text in valid]
    last = whole[0]
    for kind in rng.integers(0, 7, size=n):
        data = bytearray(whole[rng.integers(len(whole))])
        if kind == 1:
            data = bytearray(rng.bytes(int(rng.integers(0, 260))))
        elif kind == 2:
            for _ in range(rng.integers(1, 6)):
                data[rng.integers(len(data))] = rng.integers(256)
        elif kind == 3:
            data = data[: rng.integers(len(data))]
        elif kind == 4:
            data += rng.bytes(int(rng.integers(1, 40)))
        elif kind == 5:
            data = data[rng.integers(len(data)) :] + whole[rng.integers(len(whole))]
        elif kind == 6:
            data = bytearray(last)
        last = bytes(data)
        yield last


def microseconds() -> list[tuple[str, float]]:
    """Time of one whole packet of every kind."""
    rows = []
    for profile, entry in characteristics():
        sizes: dict[int, list[bytes]] = {}
        for text in VALID[str(entry.decoder)]:
            sizes.setdefault(len(bytes.fromhex(text)), []).append(bytes.fromhex(text))
        for size, whole in sizes.items():
            decoder = make_decoder(profile, entry)
            best = float("inf")
            for _ in range(5):
                begin = time.process_time()
                for k in range(1000):
                    decoder.feed(whole[k % len(whole)], 0.25 * k)
                best = min(best, time.process_time() - begin)
            rows.append((f"{profile.name}.{entry.name}, {size} bytes", best * 1e3))
    return rows


def main() -> int:
    """Print the table; 1 if anything escaped."""
    parser = argparse.ArgumentParser(description="Fuzz the decoders of all device profiles.")
    parser.add_argument("--packets", type=int, default=10_000, help="packets per decoder")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    table = fuzz(given.packets, given.seed)
    print(f"{'decoder':30} {'packets':>8} {'delivered':>10} {'escaped':>8}  troubles")
    for line in table:
        told = ", ".join(f"{kind} {count}" for kind, count in sorted(line.troubles.items()))
        escaped = sum(line.escaped.values())
        print(f"{line.decoder:30} {line.packets:8} {line.delivered:10} {escaped:8}  {told}")
        for text, count in line.escaped.items():
            print(f"    {count} x {text}")
    print("\nprocessor microseconds per whole packet, best of 5 runs of 1000")
    for name, each in microseconds():
        print(f"{name:45} {each:8.1f}")
    return int(any(line.escaped for line in table))


if __name__ == "__main__":
    sys.exit(main())
