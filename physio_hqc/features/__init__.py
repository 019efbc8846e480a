"""Beats and components over windows to feature tables; arrays in, DataFrame out.

One row per window, one column per feature, named as NeuroKit2 names it. Every table carries
``attrs["reasons"]``: for each column one text per window, which says why a value is NaN or what
caution a present value carries. `FEATURES` describes every column with unit and source.

Arrays may be lists, tuples, Series with any index, nullable or masked, of any numeric type;
windows (m, 2) may also be a table with onset and offset, or onset and duration. Inputs are never
changed; texts and what has too many dimensions are a `SignalError`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
