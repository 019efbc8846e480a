"""Parts of ``scripts/validate_study.py``."""
