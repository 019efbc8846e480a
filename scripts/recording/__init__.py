"""Checks of the recorder: kills, lost connections, clocks, load, a full disk, tags."""
