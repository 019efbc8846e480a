from .config import PipelineConfig as PipelineConfig
from .config import load_pipeline_config as load_pipeline_config
from .process import is_up_to_date as is_up_to_date
from .process import process_session as process_session
from .result import TABLES as TABLES
from .result import SessionResult as SessionResult
from .store import load_result as load_result
