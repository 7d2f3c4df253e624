"""Find a base model's files on this machine and identify them by their weights."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.specs import ModelSource
from dafusion_core.language import _

__all__ = ["ModelFiles", "check_folder", "file_hash", "hash_weights", "locate"]

_WEIGHT_COMPONENTS = ("unet", "vae", "text_encoder")
_WEIGHT_SUFFIXES = (".safetensors", ".bin")
_NEEDED = {
    "unet": "config.json",
    "vae": "config.json",
    "text_encoder": "config.json",
    "tokenizer": "",
    "scheduler": "scheduler_config.json",
}
_SUPPORTED = (
    "Stable Diffusion 1.x and 2.x, and smaller models of the same architecture, can be used."
)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A base model on disk: a diffusers folder, or one checkpoint file."""

    path: Path
    is_single_file: bool
    title: str


def locate(source: ModelSource) -> ModelFiles:
    """The files of `source`. Never uses the network.

    Raises UserError when they are not on this machine.
    """
    if source.kind == "bundled":
        # Imported late: looking for the folder is only right when it is asked for.
        from dafusion_core.resources import resource_path

        folder = Path(resource_path("models/bundled"))
        if not folder.is_dir():
            raise UserError(
                _("The bundled model is missing from this installation."),
                _("Install the program again, or choose a model folder of your own."),
            )
        return ModelFiles(folder, False, source.title)
    if not source.location.strip():
        raise UserError(
            _("No model was chosen."), _("Choose a model folder, a file or the bundled model.")
        )
    if source.kind == "hub":
        return ModelFiles(_cached_snapshot(source), False, source.title)
    path = Path(source.location).expanduser()
    if not path.exists():
        raise UserError(
            _("The model {path} is not there.").format(path=path),
            _("It may have been moved; choose its new place."),
        )
    if source.kind == "folder":
        if not path.is_dir():
            raise UserError(
                _("{path} is a file, not a model folder.").format(path=path),
                _("Choose “single file” for checkpoints."),
            )
        return ModelFiles(path, False, source.title)
    if not path.is_file():
        raise UserError(
            _("{path} is a folder, not a checkpoint file.").format(path=path),
            _("Choose “folder” for it."),
        )
    if path.suffix.lower() != ".safetensors":
        raise UserError(
            _("{name} is not a .safetensors file.").format(name=path.name),
            _(
                "Other checkpoint formats can run programs when opened and are not loaded. "
                "Convert it to .safetensors first."
            ),
        )
    return ModelFiles(path, True, source.title)


def _cached_snapshot(source: ModelSource) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            source.location, revision=source.revision or None, local_files_only=True
        )
    except HFValidationError as error:
        raise UserError(
            _("“{location}” is not a model id.").format(location=source.location),
            _("Ids look like owner/name."),
        ) from error
    except LocalEntryNotFoundError as error:
        at = f" at revision {source.revision}" if source.revision else ""
        raise UserError(
            _("The model {location}{at} has not been downloaded to this computer.").format(
                location=source.location, at=at
            ),
            _("Download it first, or choose a model folder. The network is never used unasked."),
        ) from error
    return Path(folder)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of a model folder. Raises UserError when it is not one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            _("{path} cannot be read as JSON: {error}.").format(path=path, error=error),
            _("Copy the model folder again."),
        ) from error
    if not isinstance(value, dict):
        raise UserError(
            _("{path} does not hold settings.").format(path=path), _("Copy the model folder again.")
        )
    return value


def _has_weights(folder: Path) -> bool:
    return any(p.suffix in _WEIGHT_SUFFIXES for p in folder.glob("*") if p.is_file())


def check_folder(folder: Path) -> None:
    """Refuse a folder that is not a complete Stable Diffusion 1.x/2.x diffusers folder.

    Raises UserError naming what is missing or which other kind of model it is.
    """
    index = folder / "model_index.json"
    names = {p.name for p in folder.iterdir() if p.is_dir()}
    kind = str(read_json(index).get("_class_name", "")) if index.is_file() else ""
    if "text_encoder_2" in names or "StableDiffusionXL" in kind:
        raise UserError(
            _("{folder} is a Stable Diffusion XL model.").format(folder=folder), _SUPPORTED
        )
    if "transformer" in names and "unet" not in names:
        raise UserError(
            _("{folder} holds {kind}, not Stable Diffusion.").format(
                folder=folder, kind=kind or _("a transformer model")
            ),
            _SUPPORTED,
        )
    if "unet" not in names and not index.is_file():
        raise UserError(
            _(
                "{folder} is not a diffusers model folder: it has no model_index.json and no unet."
            ).format(folder=folder),
            _("Choose the folder that contains unet, vae, text_encoder, tokenizer and scheduler."),
        )
    missing = []
    for component, settings in _NEEDED.items():
        place = folder / component
        if not place.is_dir() or (settings and not (place / settings).is_file()):
            missing.append(component)
        elif component in _WEIGHT_COMPONENTS and not _has_weights(place):
            missing.append(f"the weights of {component}")
    tokenizer = folder / "tokenizer"
    has_words = (tokenizer / "tokenizer.json").is_file() or (
        (tokenizer / "vocab.json").is_file() and (tokenizer / "merges.txt").is_file()
    )
    if tokenizer.is_dir() and not has_words:
        missing.append("the vocabulary of tokenizer")
    if missing:
        raise UserError(
            _("The model folder {folder} is incomplete: {missing} missing.").format(
                folder=folder, missing=", ".join(missing)
            ),
            _("Copy or download it again."),
        )
    check_unet_settings(read_json(folder / "unet" / "config.json"), str(folder))
    latents = int(read_json(folder / "vae" / "config.json").get("latent_channels", 4))
    channels = int(read_json(folder / "unet" / "config.json").get("in_channels", 4))
    if channels != latents:
        raise UserError(
            _(
                "{folder} is made for inpainting or editing: its network takes {channels} "
                "channels where {latents} are needed."
            ).format(folder=folder, channels=channels, latents=latents),
            _SUPPORTED,
        )


def check_unet_settings(settings: dict[str, Any], title: str) -> None:
    """Refuse U-Nets of other model families. Raises UserError."""
    if settings.get("addition_embed_type") or settings.get("class_embed_type"):
        raise UserError(
            _(
                "The network of {title} expects conditions that Stable Diffusion 1.x and 2.x "
                "do not have (this looks like SDXL or an upscaler)."
            ).format(title=title),
            _SUPPORTED,
        )
    if settings.get("time_cond_proj_dim"):
        raise UserError(_("{title} is a distilled (LCM) model.").format(title=title), _SUPPORTED)


_hashes: dict[Path, tuple[int, int, str]] = {}


def file_hash(path: Path) -> str:
    """SHA-256 (hex) of a file, remembered for this process by path, time and size."""
    path = path.resolve()
    state = path.stat()
    known = _hashes.get(path)
    if known is not None and known[:2] == (state.st_mtime_ns, state.st_size):
        return known[2]
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    _hashes[path] = (state.st_mtime_ns, state.st_size, digest)
    return digest


def weight_file(folder: Path) -> Path:
    """The file of a component's weights that will be loaded: safetensors before .bin, the plain
    variant before fp16. A sharded model is stood for by its index file."""
    choices = [p for p in folder.iterdir() if p.suffix in _WEIGHT_SUFFIXES]
    choices += [p for p in folder.iterdir() if p.name.endswith(".index.json")]
    wanted = [p for p in choices if "ema" not in p.name.split(".")[0]]

    def order(path: Path) -> tuple[bool, bool, bool, str]:
        is_shard = "-of-" in path.name
        return is_shard, "safetensors" not in path.name, ".fp16" in path.name, path.name

    return min(wanted, key=order)


def hash_weights(files: ModelFiles) -> str:
    """The identity of a base model: SHA-256 over the hashes of the weights that get loaded.

    The same weights in another folder have the same identity; in another format they do not.
    """
    if files.is_single_file:
        return file_hash(files.path)
    total = hashlib.sha256()
    for component in _WEIGHT_COMPONENTS:
        chosen = weight_file(files.path / component)
        paths = [chosen]
        if chosen.name.endswith(".index.json"):
            stem = chosen.name.split(".")[0]
            paths = sorted(p for p in chosen.parent.iterdir() if p.name.startswith(stem + "-"))
        for path in paths:
            total.update(f"{component}:{file_hash(path)}\n".encode())
    return total.hexdigest()


def hash_settings(files: ModelFiles) -> str:
    """SHA-256 over the configuration files, so that an edited setting is noticed."""
    total = hashlib.sha256()
    if not files.is_single_file:
        for path in sorted(files.path.rglob("*.json")):
            total.update(f"{path.relative_to(files.path)}:{file_hash(path)}\n".encode())
    return total.hexdigest()
