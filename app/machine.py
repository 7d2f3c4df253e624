"""How busy this computer is: processor, memory, graphics memory. Without torch and without Qt."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

import psutil

GIB = 2**30
_ASK_GPU = (
    "nvidia-smi",
    "--query-gpu=memory.used,memory.total,utilization.gpu",
    "--format=csv,noheader,nounits",
)


@dataclass(frozen=True, slots=True)
class Usage:
    """Shares are 0–1, memory is in bytes. `workers`: memory of this program's own workers.

    The GPU's numbers are None where none was asked for or nvidia-smi does not answer.
    """

    processor: float
    memory_used: int
    memory_total: int
    workers: int
    gpu_used: int | None = None
    gpu_total: int | None = None
    gpu_share: float | None = None


def read_usage(device: str = "cpu") -> Usage:
    """Look once. `device` as workers name theirs: only with "cuda:N" is a GPU asked.

    May take a tenth of a second with a GPU; call it in the background. The processor's share is
    that since the last call.
    """
    memory = psutil.virtual_memory()
    gpu = read_gpu(int(device.partition(":")[2] or 0)) if device.startswith("cuda") else None
    used, total, share = gpu or (None, None, None)
    return Usage(
        psutil.cpu_percent() / 100,
        memory.total - memory.available,
        memory.total,
        _workers_memory(),
        used,
        total,
        share,
    )


def _workers_memory() -> int:
    """Resident memory of the processes this one started."""
    found = 0
    for child in psutil.Process(os.getpid()).children(recursive=True):
        try:
            found += child.memory_info().rss
        except psutil.Error:
            continue  # ended meanwhile
    return found


def read_gpu(number: int) -> tuple[int, int, float] | None:
    """(bytes used, bytes in all, share of time busy) of a card, None where unknown."""
    if shutil.which(_ASK_GPU[0]) is None:
        return None
    try:
        answer = subprocess.run(_ASK_GPU, capture_output=True, text=True, timeout=3, check=True)
        return parse_gpu(answer.stdout, number)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def parse_gpu(text: str, number: int) -> tuple[int, int, float]:
    """From a line of nvidia-smi per card: “512, 8192, 37” (MiB, MiB, per cent)."""
    used, total, busy = (float(word) for word in text.splitlines()[number].split(","))
    return round(used * 2**20), round(total * 2**20), busy / 100
