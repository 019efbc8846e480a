"""What endangers the file is told before it happens."""

import pytest

from physio_hqc.acquisition.alerts import disk_alerts


def test_a_disk_with_room_that_keeps_up_is_no_news() -> None:
    assert disk_alerts(free_bytes=10**10, queue_fill=0.01) == ()
    assert disk_alerts(free_bytes=None) == ()


@pytest.mark.parametrize(
    ("facts", "text", "urgent"),
    [
        ({"free_bytes": 150_000_000}, "DISK: 150 MB LEFT", False),
        ({"free_bytes": 0}, "DISK: 0 MB LEFT", True),
        ({"queue_fill": 0.6}, "the disk does not keep up: the queue is 60% full", False),
        ({"queue_fill": 1.0, "n_dropped": 7}, "DISK TOO SLOW: 7 PACKETS LOST", True),
    ],
)
def test_danger_is_told(facts: dict[str, float], text: str, urgent: bool) -> None:
    (alert,) = disk_alerts(**facts)  # type: ignore[arg-type]
    assert (alert.text, alert.urgent) == (text, urgent)
