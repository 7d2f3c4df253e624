"""DA-Fusion without a window: `import dafusion_core as df; project = df.open("weeds.dafusion")`.

Importing this package loads neither torch nor Qt. The names below come from `dafusion_core.api`
and are looked up when they are first used, so that the import itself stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Looked up by name and not imported, because modules of lower layers import this package too.
_API = "dafusion_core.api"
_LAZY = (
    "ChainOptions",
    "Project",
    "create",
    "export_folder",
    "open",
    "write_figures",
    "write_report",
)

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_API), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
