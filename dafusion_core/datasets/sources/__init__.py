"""Importers: each reads one layout of files on disk and returns an `ImportPlan`."""

from dafusion_core.datasets.sources.detection import FORMS, detect_form, plan_import

__all__ = ["FORMS", "detect_form", "plan_import"]
