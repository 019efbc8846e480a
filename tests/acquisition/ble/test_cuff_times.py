"""When readings of a cuff were taken whose clock cannot be read: no store becomes data."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from physio_hqc.acquisition._collect import Collector
from physio_hqc.acquisition.ble.cuff import Anchor, CuffReadings
from physio_hqc.acquisition.decoders import CuffReading

BEGAN = datetime(2026, 3, 14, 15, 0, 0)
DAY_S = 86400.0


class Cuff:
    """A cuff whose clock is `ahead_s` ahead of ours; times are session times."""

    def __init__(self, ahead_s=0.0):
        self.sink = Collector()
        self.readings = CuffReadings(
            None, self.sink, lambda t: Anchor(BEGAN + timedelta(seconds=t), t, "wall")
        )
        self.ahead = timedelta(seconds=ahead_s)

    def connect(self, t, pairing_s=0.0):
        self.readings.gone()
        self.readings.reconnected(t)
        self.readings.listening(t + pairing_s)

    def send(self, sbp, taken, t, *, live=False, stamp=True):
        when = (BEGAN + timedelta(seconds=taken) + self.ahead).replace(microsecond=0)
        item = CuffReading(
            "cuff", np.array([sbp, 80.0, 95.0, 70.0]), {}, when if stamp else None, None, "mmHg", {}
        )
        self.readings.tick(t)
        self.readings.arrived(item, t, live=live, flags=0)

    def rows(self):
        """Systolic pressure and time of every row."""
        found = self.sink.packets.get("cuff", [])
        values = [float(packet.values[0, 0]) for packet in found]
        return list(zip(values, self.sink.times("cuff").tolist(), strict=True)) if found else []

    def end(self, t):
        self.readings.tick(t)
        self.readings.finish(t)
        return self.rows()

    def times_from(self):
        beside = [event for event in self.sink.events if event.label == "cuff reading"]
        return [event.payload["time_from"] for event in beside]


def near(*pairs, within=1.1):
    return [(value, pytest.approx(t, abs=within)) for value, t in pairs]


@pytest.mark.parametrize("ahead_s", [0.0, 5 * 3600.0, -5 * 3600.0])
@pytest.mark.parametrize("gap_s", [0.0, 0.15, 1.0])
@pytest.mark.parametrize("first_s", [0.1, 4.0, 20.0, 40.0])
def test_a_store_is_no_data_however_late_and_slow_it_comes(ahead_s, gap_s, first_s):
    cuff = Cuff(ahead_s)
    cuff.connect(3.0)
    for k in range(30):
        cuff.send(150, k * 60.0 - DAY_S, 3.0 + first_s + k * gap_s)
    live = 3.0 + first_s + 30 * gap_s + 5.0
    cuff.send(121, live - 0.5, live)
    assert cuff.end(live + 20.0) == near((121, live), within=1.6)
    stored = [e for e in cuff.sink.events if e.label.startswith("stored")]
    assert [e.payload["SBP"] for e in stored] == [150] * 30
    assert cuff.times_from() == ["live" if ahead_s else "wall"]


def test_time_of_pairing_is_no_silence():
    cuff = Cuff(-5 * 3600.0)
    cuff.connect(3.0, pairing_s=60.0)
    cuff.send(150, -DAY_S, 63.5)
    assert cuff.end(80.0) == []


def test_what_comes_before_all_is_subscribed_may_be_stored():
    cuff = Cuff(-5 * 3600.0)
    cuff.readings.reconnected(3.0)
    cuff.send(150, -DAY_S, 50.0)
    assert cuff.end(80.0) == []


def test_one_hours_old_reading_soon_after_the_connection_is_no_data():
    cuff = Cuff()
    cuff.connect(3.0)
    cuff.send(150, -5 * 3600.0, 10.0)
    assert cuff.end(20.0) == []
    last = cuff.sink.events[-1]
    assert (last.payload["SBP"], last.payload["time_from"]) == (150, "wall")


def test_a_wrong_clock_is_found_out_by_the_second_reading_and_the_first_is_placed_too():
    cuff = Cuff(-5 * 3600.0)
    cuff.connect(3.0)
    cuff.send(121, 9.5, 10.0)
    cuff.send(122, 309.5, 310.0)
    assert cuff.end(330.0) == near((121, 10.0), (122, 310.0))
    assert cuff.times_from() == ["live", "live"]


def test_a_lone_reading_long_after_the_connection_is_live():
    cuff = Cuff(-9 * 365 * DAY_S)
    cuff.connect(3.0)
    cuff.send(121, 199.5, 200.0)
    assert cuff.rows() == []
    cuff.readings.tick(203.5)
    assert cuff.rows() == near((121, 200.0))


def test_a_reading_while_the_cuff_pumps_is_live():
    cuff = Cuff(-5 * 3600.0)
    cuff.connect(3.0)
    cuff.send(121, 9.5, 10.0, live=True)
    assert cuff.rows() == near((121, 10.0))


@pytest.mark.parametrize("ahead_s", [3 * 3600.0, -3 * 3600.0, -3600.0])
def test_two_readings_taken_without_a_link_are_as_far_apart_as_they_were(ahead_s):
    cuff = Cuff(ahead_s)
    cuff.connect(10.5)
    cuff.send(120, 8.0, 11.0)
    cuff.connect(327.0)
    cuff.send(141, 140.0, 327.5)
    cuff.send(121, 326.0, 327.5)
    assert cuff.end(340.0) == near((120, 9.5), (141, 141.5), (121, 327.5), within=2.1)


def test_the_rest_of_a_store_after_a_drop_is_no_data():
    cuff = Cuff(-5 * 3600.0)
    for start, t in ((0, 3.0), (15, 10.0)):
        cuff.connect(t)
        for k in range(start, start + 15):
            cuff.send(150, k * 60.0 - DAY_S, t + 0.2)
    assert cuff.end(30.0) == []


def test_a_reading_without_a_stamp_that_comes_at_every_connection_is_one():
    cuff = Cuff()
    for k, t in enumerate((3.0, 103.0, 203.0)):
        cuff.connect(t)
        cuff.send(150, 0.0, t + 0.1, stamp=False)
        cuff.send(120 + k, 0.0, t + 50.0, stamp=False)
    cuff.send(150, 0.0, 290.0, stamp=False)
    expected = [(150, 3.1), (120, 53.0), (121, 153.0), (122, 253.0), (150, 290.0)]
    assert cuff.end(300.0) == near(*expected, within=0.01)
    assert set(cuff.times_from()) == {"arrival"}
    again = [e for e in cuff.sink.events if "sent again" in e.label]
    assert [e.payload["SBP"] for e in again] == [150, 150]


def test_two_readings_with_one_stamp_are_two_and_a_repetition_is_one():
    cuff = Cuff()
    cuff.connect(3.0)
    for sbp in (131, 132, 131):
        cuff.send(sbp, 10.0, 10.5)
    assert [value for value, _ in cuff.end(20.0)] == [131, 132]


def test_a_reading_of_the_future_corrects_an_assumed_clock():
    cuff = Cuff(300.0)
    cuff.connect(3.0)
    cuff.send(121, -299.0, 5.0)
    cuff.send(122, 15.0, 15.2)
    cuff.send(123, 25.0, 40.0)
    rows = cuff.end(50.0)
    assert rows[1:] == near((122, 15.2), (123, 25.2))
