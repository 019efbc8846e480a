"""Fixtures of the batch's tests."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def made() -> ModuleType:
    """The helpers of batch_made.py."""
    spec = spec_from_file_location("batch_made", Path(__file__).with_name("batch_made.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
