"""Reports: figures and HTML from what the pipeline left.

`session_report` writes the page of one session, `sessions_report` the front page over many;
`figures` draws, one module per kind of figure; the modules with
an underscore gather facts and make the tables and the words.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
