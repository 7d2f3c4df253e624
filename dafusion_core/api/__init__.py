"""The Python API: `import dafusion_core as df; project = df.open("weeds.dafusion")`."""

from dafusion_core.api.chain import ChainOptions
from dafusion_core.api.project import Project, create, open

__all__ = ["ChainOptions", "Project", "create", "open"]
