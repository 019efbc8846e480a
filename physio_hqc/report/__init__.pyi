from .session_report import write_session_report as write_session_report
from .sessions_report import write_sessions_report as write_sessions_report
from .study_methods import study_methods as study_methods
from .study_methods import write_study_methods as write_study_methods
from .study_report import save_study_figures as save_study_figures
from .study_report import write_study_report as write_study_report
