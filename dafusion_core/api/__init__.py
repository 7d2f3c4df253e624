"""The Python API: `import dafusion_core as df; project = df.open("weeds.dafusion")`."""

from dafusion_core.api.chain import ChainOptions
from dafusion_core.api.project import Project, create, open
from dafusion_core.api.results import export_folder, write_figures, write_report

__all__ = [
    "ChainOptions",
    "Project",
    "create",
    "export_folder",
    "open",
    "write_figures",
    "write_report",
]
