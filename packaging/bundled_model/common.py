"""What every training script here shares: start-up, rendering in parallel, files, small maths.

Import this module before diffusers and transformers: the program's own set-up of torch lets
OpenMP's waiting threads sleep (spinning is very slow beside another busy process) and declares the
operators that a torchvision built for another torch lacks.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

PACKAGE = Path(__file__).resolve().parent
if str(PACKAGE.parents[1]) not in sys.path:  # the program itself, without an installation
    sys.path.append(str(PACKAGE.parents[1]))

from dafusion_core.engine.torch_setup import declare_missing_operators, torch  # noqa: E402

declare_missing_operators()

RESOURCES = PACKAGE.parents[1] / "resources"
TRAIN_SEED = 1_000_000  # first picture seed of each purpose; the ranges never overlap
CHECK_SEED = 5_000_000
SAMPLE_SEED = 9_000_000


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


def caption(
    species: str, ground: str, light: str, size: str, petal: str | None, rng: np.random.Generator
) -> str:
    """A caption: framing, species (or a general word, one time in ten), ground and light."""
    from plants import FLOWERLESS
    from render import GROUNDS, LIGHTS, SIZES

    name = species if petal is None else f"{petal} {species}"
    if rng.random() < 0.1:
        general = ["plant", "weed"] if species in FLOWERLESS else ["plant", "weed", "flower"]
        word = str(rng.choice(general))
        name = word if petal is None else f"{petal} {word}"
    lead = SIZES[size] if rng.random() < 0.5 else "a photo of"
    article = "an" if name[0] in "aeiou" else "a"
    text = f"{lead} {name}" if lead.endswith("patch of") else f"{lead} {article} {name}"
    if rng.random() < 0.5:
        text += f" {GROUNDS[ground]}"
    if rng.random() < 0.35:
        text += f" {LIGHTS[light]}"
    return text


def _render_job(job: tuple[str, int, str | None]) -> tuple[np.ndarray, str, str, str]:
    from render import render

    p = render(job[0], job[1], petal=job[2])
    return p.pixels, p.ground, p.light, p.size


def render_set(
    species: list[str],
    per_class: int,
    first_seed: int,
    *,
    recolour: float = 0.0,
    seed: int = 0,
    processes: int = 2,
) -> dict[str, Any]:
    """Render ``per_class`` pictures of each species.

    Returns ``pixels`` (n, 64, 64, 3) uint8, ``labels`` (n,) int64 and ``captions`` (n strings).
    A share ``recolour`` of the flowering plants gets another flower colour, named in the caption.
    """
    from plants import FLOWERLESS
    from render import PETALS

    rng = np.random.default_rng(seed)
    jobs: list[tuple[str, int, str | None]] = []
    for i in range(per_class):
        for name in species:
            change = rng.random() < recolour and name not in FLOWERLESS
            jobs.append((name, first_seed + i, str(rng.choice(list(PETALS))) if change else None))
    methods = multiprocessing.get_all_start_methods()  # fork spares every worker the imports
    with multiprocessing.get_context("fork" if "fork" in methods else None).Pool(processes) as pool:
        done = pool.map(_render_job, jobs, chunksize=64)
    texts = [caption(j[0], d[1], d[2], d[3], j[2], rng) for j, d in zip(jobs, done, strict=True)]
    labels = np.array([species.index(j[0]) for j in jobs])
    return {"pixels": np.stack([d[0] for d in done]), "labels": labels, "captions": texts}


def cached_set(
    path: Path, species: list[str], per_class: int, first_seed: int, **options: Any
) -> dict[str, Any]:
    """``render_set`` kept in ``path`` (.npz), rendered when the file is missing."""
    if not path.exists():
        begin = time.time()
        data = render_set(species, per_class, first_seed, **options)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name("part-" + path.name)
        np.savez(
            part,
            pixels=data["pixels"],
            labels=data["labels"],
            captions=json.dumps(data["captions"]),
        )
        part.replace(path)
        say(rendered=len(data["labels"]), seconds=time.time() - begin)
    with np.load(path) as file:
        return {
            "pixels": file["pixels"],
            "labels": file["labels"],
            "captions": json.loads(str(file["captions"])),
        }


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


def cosine(step: int, total: int, warm: int, low: float = 0.02) -> float:
    """Learning-rate factor: linear warm-up over ``warm`` steps, then a cosine down to ``low``."""
    if step < warm:
        return (step + 1) / warm
    t = min(1.0, (step - warm) / max(1, total - warm))
    return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * t))


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
