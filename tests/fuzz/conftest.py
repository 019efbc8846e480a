"""The fuzz tests' shared tools, importable without making tests a package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
