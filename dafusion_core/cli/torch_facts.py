"""What torch and its neighbours say about this machine, as one JSON object on stdout.

`dafusion doctor` runs this in a process of its own: a broken build may crash instead of raising,
and the command line itself never loads torch.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from dafusion_core.domain.errors import DaFusionError


def gather() -> dict[str, Any]:
    """Builds, devices and the bundled model; {"error": …} in place of what could not be had."""
    facts: dict[str, Any] = {}
    facts["torch"] = _attempt(_torch)
    if "error" not in facts["torch"]:
        facts["devices"] = _attempt(_devices)
        facts["libraries"] = _attempt(_libraries)
        facts["model"] = _attempt(_model)
    return facts


def _attempt(look: Callable[[], Any]) -> Any:
    try:
        return look()
    except DaFusionError as error:
        return {"error": error.text}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}


def _torch() -> dict[str, Any]:
    setup: Any = import_module("dafusion_core.engine.torch_setup")
    torch = setup.torch
    return {
        "version": torch.__version__,
        "cuda_build": torch.version.cuda or getattr(torch.version, "hip", None),
        "has_cuda": torch.cuda.is_available(),
        "threads": torch.get_num_threads(),
        "is_torchvision_complete": setup.is_torchvision_complete(),
    }


def _devices() -> list[dict[str, Any]]:
    devices: Any = import_module("dafusion_core.engine.devices")
    return [
        {
            "device": info.device,
            "name": info.name,
            "total_bytes": info.total_bytes,
            "free_bytes": info.free_bytes,
        }
        for info in devices.list_devices()
    ]


def _libraries() -> dict[str, Any]:
    import_module("dafusion_core.engine")
    problems = {}
    for module, name in (
        ("torchvision.models", "resnet50"),
        ("diffusers", "UNet2DConditionModel"),
        ("transformers", "CLIPTextModel"),
    ):
        try:
            getattr(import_module(module), name)
        except Exception as error:
            problems[module.split(".")[0]] = f"{type(error).__name__}: {error}".splitlines()[0]
    return {"problems": problems}


def _model() -> dict[str, Any]:
    sources: Any = import_module("dafusion_core.engine.sources")
    specs: Any = import_module("dafusion_core.domain.specs")
    files = sources.locate(specs.ModelSource())
    sources.check_folder(files.path)
    size = sum(path.stat().st_size for path in files.path.rglob("*") if path.is_file())
    return {"path": str(files.path), "bytes": size}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(gather()))
