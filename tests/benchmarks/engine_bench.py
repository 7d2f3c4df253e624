"""What the engine's benchmarks share: the bundled model, the sample pictures, the clock."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dafusion_core.domain.specs import ModelSource
from dafusion_core.engine.models import DiffusionModel, load_model
from dafusion_core.engine.torch_setup import torch
from dafusion_core.meadow import draw_sample
from dafusion_core.resources import resource_path


def add_model_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        choices=["bundled", "sd-size", "sd-tiny"],
        default="bundled",
        help="sd-size: as large as Stable Diffusion 1.x, random weights, 512 pixels, bfloat16, "
        "for a GPU; sd-tiny: the same layout in small, to try the command",
    )


def load_wanted(model: str, device: str, dtype: torch.dtype) -> tuple[DiffusionModel, Any]:
    """(model for our engine, diffusers img2img pipeline with the same networks)."""
    if model == "bundled":
        from diffusers import StableDiffusionImg2ImgPipeline

        pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(
            str(bundled_folder()), safety_checker=None
        ).to(device)
        pipeline.set_progress_bar_config(disable=True)
        return load_bundled(device), pipeline
    from large_model import large_pipeline, model_of

    pipeline = large_pipeline(device, dtype, is_tiny=model == "sd-tiny")
    return model_of(pipeline, device, dtype), pipeline


def bundled_folder() -> Path:
    """The bundled model as a diffusers folder."""
    return Path(resource_path("models/bundled"))


def load_bundled(device: str) -> DiffusionModel:
    return load_model(ModelSource(), torch.device(device), torch.float32)


def sample_pictures() -> dict[str, list[Path]]:
    """Class → its training pictures."""
    folder = draw_sample(Path(tempfile.gettempdir()) / "dafusion-bench-pictures").folder / "train"
    return {place.name: sorted(place.glob("*.png")) for place in sorted(folder.iterdir())}


def wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def on_one_thread(way: Callable[[], object]) -> Callable[[], None]:
    """The same with one thread per operation, which small networks do fastest on some machines."""

    def alone() -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        way()
        torch.set_num_threads(before)

    return alone


def serve(ways: dict[str, Callable[[], object]]) -> None:
    """Run the ways that are named on the standard input; answer with their processor seconds."""
    for line in sys.stdin:
        cpu = time.process_time()
        ways[line.strip()]()
        print(json.dumps(time.process_time() - cpu), flush=True)


@contextmanager
def with_torch_defaults() -> Iterator[Callable[[str], Callable[[], float]]]:
    """Gives `way(name)`: that way of this program in a process as torch has it.

    The program lets waiting threads sleep at once (OMP_WAIT_POLICY) and keeps freed memory, which
    is no business of the reference. The variable is read when torch is loaded, so torch is loaded
    before the program could set it.
    """
    start = "import torch, runpy, sys; sys.argv[:] = sys.argv[1:]; "
    start += "runpy.run_path(sys.argv[0], run_name='__main__')"
    own = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "KMP_"))}
    own["DAFUSION_KEEP_MEMORY"] = "0"
    own["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    with subprocess.Popen(
        [sys.executable, "-c", start, *sys.argv, "--serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=own,
    ) as process:

        def ask(name: str) -> float:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(name + "\n")
            process.stdin.flush()
            return float(json.loads(process.stdout.readline()))

        yield lambda name: lambda: ask(name)


def compare(
    ways: dict[str, Callable[[], object]], rounds: int, device: str
) -> dict[str, dict[str, float]]:
    """Wall and processor seconds of each way, median over rounds that take turns.

    Taking turns, a machine that is busy with other things slows both. A way that ran elsewhere
    returns its processor seconds.
    """
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            elsewhere = way()
            wait(device)
            used = elsewhere if isinstance(elsewhere, float) else time.process_time() - cpu
            seconds[name].append((time.perf_counter() - wall, used))
            print(f"{name}: {seconds[name][-1][0]:.2f} s", file=sys.stderr)
    return {
        name: {
            "wall_s": round(statistics.median(wall for wall, _ in measured), 3),
            "cpu_s": round(statistics.median(cpu for _, cpu in measured), 3),
        }
        for name, measured in seconds.items()
    }


def ratio(measured: dict[str, dict[str, float]], slow: str, fast: str) -> dict[str, float]:
    return {
        key: round(measured[slow][key] / max(measured[fast][key], 1e-9), 2)
        for key in ("wall_s", "cpu_s")
    }


def over_the_best(measured: dict[str, dict[str, float]], fast: str) -> float:
    """Wall time of the fastest setting of the reference over that of `fast`."""
    slow = min(times["wall_s"] for name, times in measured.items() if "ours" not in name)
    return round(slow / measured[fast]["wall_s"], 2)


def show(device: str, **values: Any) -> None:
    """One JSON object, with the machine."""
    name = torch.cuda.get_device_name() if device.startswith("cuda") else platform.processor()
    machine = {
        "device": f"{device} ({name or platform.machine()})",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "waiting threads": os.environ.get("OMP_WAIT_POLICY", "spin a while"),
        "torch": torch.__version__,
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }
    print(json.dumps({"machine": machine, **values}, indent=2))
