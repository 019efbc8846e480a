from .deidentify import deidentified as deidentified
from .deidentify import deidentified_result as deidentified_result
from .key import Key as Key
from .key import open_key as open_key
from .key import refuse_key_inside as refuse_key_inside
from .road import FORMATS as FORMATS
from .road import ExportReport as ExportReport
from .road import export_session as export_session
