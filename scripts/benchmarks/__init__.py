"""The parts of the benchmark, one module each; `scripts/benchmark.py` runs them."""
