"""Waveforms to beats, pressure beats and electrodermal components; arrays in, arrays out.

Every function takes NumPy arrays (or lists, tuples, Series, of any numeric type), the sampling
rate in Hz, and NaN (None, pd.NA, masked) for a missing sample. None reads a file, logs, or
changes its input. Modules are loaded on first use, so that importing one function stays cheap.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
