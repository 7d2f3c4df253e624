"""What every training script here shares: start-up, files, small maths.

Import this module before diffusers and transformers: the program's own set-up of torch lets
OpenMP's waiting threads sleep (spinning is very slow beside another busy process) and declares the
operators that a torchvision built for another torch lacks.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

PACKAGE = Path(__file__).resolve().parent
if str(PACKAGE.parents[1]) not in sys.path:  # the program itself, without an installation
    sys.path.append(str(PACKAGE.parents[1]))

from dafusion_core.engine.torch_setup import declare_missing_operators, torch  # noqa: E402

declare_missing_operators()

TRAIN_SEED = 1_000_000  # first picture seed; the ranges never overlap, nor meet the sample's
CHECK_SEED = 5_000_000


def start(seed: int, threads: int) -> None:
    """Seed torch and set its thread count (0 keeps the default)."""
    torch.manual_seed(seed)
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU, nothing on a CPU
    if threads > 0:
        torch.set_num_threads(threads)


def say(**values: Any) -> None:
    """Print one line of ``key value`` pairs, floats shortened, and flush."""
    parts = [f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items()]
    print("  ".join(parts), flush=True)


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """(n, h, w, 3) uint8 -> (n, 3, h, w) float32 in -1..1, channels last in memory."""
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
    return x.contiguous(memory_format=torch.channels_last)


def to_pixels(x: torch.Tensor) -> np.ndarray:
    """(n, 3, h, w) in -1..1 -> (n, h, w, 3) uint8."""
    y = (x.detach().float().clamp(-1, 1) + 1) * 127.5
    return y.round().byte().permute(0, 2, 3, 1).cpu().numpy()


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over pictures of the peak signal-to-noise ratio in dB of two uint8 stacks."""
    mse = ((a.astype(np.float64) - b) ** 2).mean(axis=(1, 2, 3))
    return float(np.mean(10 * np.log10(255**2 / np.maximum(mse, 1e-9))))


def save_atomic(state: dict[str, Any], path: Path) -> None:
    """``torch.save`` to a temporary name, then rename, so that a checkpoint is never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    torch.save(state, part)
    part.replace(path)


class Average:
    """Exponential moving average of a module's parameters (buffers are not averaged)."""

    def __init__(self, module: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {k: v.detach().clone() for k, v in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: torch.nn.Module, step: int) -> None:
        """Take in the current parameters; the decay grows from 0.1 in the first steps."""
        d = min(self.decay, (1 + step) / (10 + step))
        for k, v in module.named_parameters():
            self.values[k].lerp_(v.detach(), 1 - d)

    @torch.no_grad()
    def copy_to(self, module: torch.nn.Module) -> None:
        """Overwrite the module's parameters with the averages."""
        for k, v in module.named_parameters():
            v.copy_(self.values[k])


def fail(message: str) -> None:
    """End the script with a message and status 1."""
    print(message, file=sys.stderr)
    raise SystemExit(1)
