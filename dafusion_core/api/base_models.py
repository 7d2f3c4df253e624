"""What can be said of a base model without loading it: size, licence, memory for pictures.

Only names, sizes and the small JSON parts of files are read, so this takes milliseconds and needs
neither torch nor the network.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dafusion_core.domain.errors import EnvironmentProblem, UserError
from dafusion_core.domain.footprint import ModelShape, sampling_bytes
from dafusion_core.domain.records import Job, JobState
from dafusion_core.domain.specs import DownloadSpec, Memory, ModelSource
from dafusion_core.language import _
from dafusion_core.resources import resource_path
from dafusion_core.storage import hub
from dafusion_core.storage.hub import hub_cache

if TYPE_CHECKING:
    from dafusion_core.api.project import Project

__all__ = ["ModelFacts", "bytes_here", "describe_model", "download_model", "estimate_memory"]
__all__ += ["hub_cache"]

_MOST_HEADER = 100_000_000  # bytes; what the format allows
_SD1 = ((320, 640, 1280, 1280), 2, (128, 256, 512, 512), 8)
_SINGLE_FILE = ("model.diffusion_model.", "first_stage_model.", "cond_stage_model.")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """`bytes`: on disk; `licence`: as its card states it, "" where it does not; `resolution`:
    pixels of a side it was made for; `shape`: None where it cannot be told."""

    bytes: int
    licence: str
    resolution: int | None
    shape: ModelShape | None


def bytes_here(source: ModelSource) -> int:
    """How much of a hub model has arrived on this computer, unfinished files included."""
    return hub.bytes_here(source.location)


def download_model(project: Project, source: ModelSource, size: int = 0) -> Job:
    """Queue the download of a hub model, before other work; `size`: its bytes, for the progress.

    Only after the user has agreed to its size and licence. Raises UserError when it is no hub
    model. A download of it that waits, runs or ended early goes on instead of a second one.
    """
    if source.kind != "hub":
        raise UserError(_("“{model}” is on this computer already.").format(model=source.title))
    project.file.require_writable()
    for job in reversed(project.jobs()):
        same = job.kind == "download" and job.spec["model"] == source.to_dict()
        if same and job.state is not JobState.SUCCEEDED:
            if job.state is not JobState.RUNNING:
                project.resume(job.id)
            return project.job(job.id)
    waiting = [job.priority for job in project.jobs([JobState.QUEUED])]
    return project.enqueue(DownloadSpec(source, size), max(waiting, default=0) + 1)


def _locate(source: ModelSource) -> Path | None:
    if source.kind == "bundled":
        try:
            return resource_path("models/bundled")
        except EnvironmentProblem:
            return None
    if source.kind != "hub":
        path = Path(source.location).expanduser()
        return path if source.location and path.exists() else None
    folder = hub.hub_folder(source.location)
    wanted = source.revision or "main"
    reference = folder / "refs" / wanted
    try:
        commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else wanted
    except OSError:
        return None
    snapshot = folder / "snapshots" / commit
    return snapshot if (snapshot / "model_index.json").is_file() else None


def describe_model(source: ModelSource) -> ModelFacts | None:
    """What is known of a model on this computer; None where it is not here or not a model."""
    path = _locate(source)
    try:
        if path is None:
            return None
        if path.is_file():
            return _describe_file(path)
        if not (path / "model_index.json").is_file():
            return None
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        shape, resolution = _shape_of_folder(path)
        return ModelFacts(size, _licence(path), resolution, shape)
    except OSError:
        return None


def _describe_file(path: Path) -> ModelFacts:
    counts = [0, 0, 0]
    for name, number in _tensors(path):
        for place, prefix in enumerate(_SINGLE_FILE):
            if name.startswith(prefix):
                counts[place] += number
    unet, vae, text = counts
    shape = ModelShape((unet, vae, text), *_SD1) if unet else None
    return ModelFacts(path.stat().st_size, "", 512 if shape else None, shape)


def _shape_of_folder(folder: Path) -> tuple[ModelShape | None, int | None]:
    try:
        unet = json.loads((folder / "unet" / "config.json").read_text(encoding="utf-8"))
        vae = json.loads((folder / "vae" / "config.json").read_text(encoding="utf-8"))
        layers, size = unet["layers_per_block"], unet["sample_size"]
        wide = tuple(int(c) for c in vae["block_out_channels"])
        shape = ModelShape(
            parameters=tuple(
                _parameters(folder / part) for part in ("unet", "vae", "text_encoder")
            ),  # type: ignore[arg-type]
            channels=tuple(int(c) for c in unet["block_out_channels"]),
            layers=int(layers if isinstance(layers, int) else max(layers)),
            vae_channels=wide,
            scale=2 ** (len(wide) - 1),
        )
        side = int(size[0] if isinstance(size, list) else size)
        return shape, side * shape.scale
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None, None


def _parameters(folder: Path) -> int:
    """Numbers in the weights of a part, copies in half precision not counted."""
    files = [path for path in folder.glob("*.safetensors") if ".fp16" not in path.name]
    return sum(number for path in files for _name, number in _tensors(path))


def _tensors(path: Path) -> Iterable[tuple[str, int]]:
    """(name, how many numbers) of each tensor, from the head of a .safetensors file."""
    if path.suffix.lower() != ".safetensors":
        return
    with path.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 0 < length <= _MOST_HEADER:
            return
        try:
            head: dict[str, Any] = json.loads(stream.read(length))
        except ValueError:
            return
    for name, tensor in head.items():
        if name != "__metadata__" and isinstance(tensor, dict):
            yield name, math.prod(tensor.get("shape", [0]))


def _licence(folder: Path) -> str:
    """What the card says: `license:` in its head, or a line “Licence: …”."""
    for name in ("README.md", "MODEL_CARD.md"):
        try:
            text = (folder / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if found := re.search(r"(?im)^licen[cs]e:\s*\"?([^\s\"]+?)\.?\"?(?:\s|$)", text):
            return found.group(1)
    return _("see its LICENSE file") if any(folder.glob("LICENSE*")) else ""


def estimate_memory(
    facts: ModelFacts, item: int, batch_size: int, resolution: int | None, memory: Memory = "normal"
) -> int | None:
    """About how many bytes making a batch of pictures takes; None where it cannot be told.

    `item`: bytes of a number (4 on a processor, 2 on most graphics cards); `resolution` None: what
    the model was made for.
    """
    side = resolution or facts.resolution
    if facts.shape is None or side is None:
        return None
    return sampling_bytes(facts.shape, item, batch_size, side, memory)
