from .errors import PhysioError as PhysioError
from .exporters import export_session as export_session
from .importers import import_recording as import_recording
from .pipeline import process_batch as process_batch
from .pipeline import process_session as process_session
from .session import open_session as open_session
from .study import process_study as process_study

__version__: str
