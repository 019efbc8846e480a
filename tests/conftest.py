"""What every room's tests share."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# A job in the background is started with Ctrl-C ignored, and so would be every process that a test
# starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# In continuous integration the same cases every time; elsewhere new ones at every run.
settings.register_profile("ci", derandomize=True, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real recordings beside the repository; tests that need them skip where they are absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real recordings (../shared/data) are not beside this checkout")
    return folder
