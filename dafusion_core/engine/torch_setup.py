"""Prepare torch once per process: environment, missing torchvision operators, determinism.

Methods take torch from here (`from dafusion_core.engine.torch_setup import torch`), so that the
settings below are in force whichever module of the program is imported first.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

_ENVIRONMENT = {
    # Waiting threads sleep instead of spinning: with a second busy process on the machine,
    # spinning made single steps several times slower. Read by OpenMP when torch is loaded.
    "OMP_WAIT_POLICY": "passive",
    # The network is only touched by a download that somebody asked for.
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Reproducible matrix products on CUDA need a fixed workspace.
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}
for _name, _value in _ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

import torch as torch  # noqa: E402  (after the environment; re-exported)

__all__ = [
    "declare_missing_operators",
    "is_torchvision_complete",
    "keep_memory",
    "prepare",
    "set_threads",
    "torch",
]

_NMS_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_libraries: list[Any] = []  # a Library that is collected takes its operators with it


def _torchvision_extension() -> Path | None:
    """The compiled operators of the installed torchvision, found without importing it."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    for pattern in ("_C*.so", "_C*.pyd", "_C*.dll", "_C*.dylib"):
        for path in sorted(folder.glob(pattern)):
            return path
    return None


@cache
def is_torchvision_complete() -> bool:
    """True when torchvision's own operators load with this torch.

    They do not when torch and torchvision come from different builds (CPU and CUDA, for
    example). Classifiers, transforms and data sets work all the same; `ops.nms` does not.
    """
    extension = _torchvision_extension()
    if extension is None:
        return False
    try:
        torch.ops.load_library(str(extension))
    except (OSError, RuntimeError, ImportError):
        return False
    return hasattr(torch.ops.torchvision, "nms")


def declare_missing_operators() -> None:
    """Declare the operators whose absence makes `import torchvision` fail.

    Only their signatures: calling them still raises, which is what should happen.
    """
    if is_torchvision_complete() or importlib.util.find_spec("torchvision") is None:
        return
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            library = torch.library.Library("torchvision", "FRAGMENT")
            library.define(name + _NMS_SCHEMA)
            _libraries.append(library)


def set_threads(count: int | None = None) -> int:
    """Use `count` CPU threads inside one operation; None keeps torch's choice. Returns it."""
    if count is not None and count > 0:
        torch.set_num_threads(count)
    return torch.get_num_threads()


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of mallopt, from malloc.h
_FREE_BYTES_KEPT = 512 << 20
_LARGEST_BLOCK_KEPT = 32 << 20  # the most that glibc takes


def keep_memory() -> bool:
    """Let the C library keep freed memory for the next tensor. True when it will; glibc only.

    Left to itself it gives feature maps back to the system after each operation and asks for them
    again, in threads above all: thousands of page faults in one evaluation of a small network, 3
    to 10 % of its time. What is kept is at most what the process has had in use at once, and half a
    gigabyte for each thread. Not done where glibc's own variables decide, or
    DAFUSION_KEEP_MEMORY is 0.
    """
    is_decided = any(name in os.environ for name in ("MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"))
    if sys.platform != "linux" or is_decided or os.environ.get("DAFUSION_KEEP_MEMORY") == "0":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    has_set = [
        mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK_KEPT),
        mallopt(_TRIM_THRESHOLD, _FREE_BYTES_KEPT),
    ]
    return has_set == [1, 1]


@cache
def prepare() -> None:
    """Make this process ready for torchvision, diffusers and transformers. Safe to repeat."""
    declare_missing_operators()
    keep_memory()
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    # Operators without a deterministic version still run; the exceptions are few and named
    # by torch in a warning that would repeat at every step.
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Part of that mode is to overwrite every fresh tensor, which only helps to find mistakes.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    warnings.filterwarnings("ignore", message=r".*does not have a deterministic implementation.*")
