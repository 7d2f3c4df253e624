"""Classifiers: torchvision and timm networks, their first weights, and what they were made with."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import torchvision
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from dafusion_core.domain.errors import EnvironmentProblem, UserError, translate_os_error
from dafusion_core.engine.augment import HALF, IMAGENET, Normalisation
from dafusion_core.engine.sources import file_hash
from dafusion_core.language import _
from dafusion_core.resources import BACKBONES, backbone_path

__all__ = [
    "TIMM",
    "build_classifier",
    "bundled_weights",
    "choose_normalisation",
    "download_weights",
    "head_of",
    "list_backbones",
    "weights_file",
    "weights_hash",
]

TIMM = "timm/"


def list_backbones() -> list[str]:
    """Names of torchvision's image classifiers, and of timm's where it is installed."""
    names = list(torchvision.models.list_models(module=torchvision.models))
    if importlib.util.find_spec("timm") is not None:
        timm: Any = importlib.import_module("timm")
        names += [TIMM + name for name in timm.list_models()]
    return names


def weights_file(backbone: str) -> Path:
    """Where torchvision's ImageNet weights of a network are kept on this computer, once there."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(_enum_weights(backbone).url).name


def download_weights(
    backbone: str,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    url: str | None = None,
) -> Path:
    """Fetch torchvision's ImageNet weights of a network, because somebody asked for it.

    `on_progress(done, total)` in bytes; what it raises stops the download, and nothing is left.
    The file name ends in the first digits of its SHA-256, which is checked. Returns the path.
    Raises UserError for networks without such weights, EnvironmentProblem when it fails.
    """
    path = weights_file(backbone)
    if path.is_file():
        return path
    url = url or _enum_weights(backbone).url
    partial = path.with_name(path.name + ".part")
    digest = hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=30) as source, partial.open("wb") as target:
            total = int(source.headers.get("Content-Length") or 0)
            done = 0
            while chunk := source.read(1 << 20):
                target.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                on_progress(done, total)
        expected = path.stem.rpartition("-")[2]
        if not digest.hexdigest().startswith(expected):
            raise EnvironmentProblem(
                _("The weights that came from {url} are damaged (their hash is wrong).").format(
                    url=url
                ),
                _("Nothing was kept. Try again."),
            )
        os.replace(partial, path)
    except urllib.error.URLError as error:
        raise EnvironmentProblem(
            _("The weights could not be fetched from {url}: {reason}.").format(
                url=url, reason=error.reason
            ),
            _("Check the connection, or put {name} into {parent} yourself.").format(
                name=path.name, parent=path.parent
            ),
        ) from error
    except OSError as error:
        raise translate_os_error(error, _("downloading weights")) from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def bundled_weights() -> list[str]:
    """Networks whose bundled weights are there to begin with."""
    found = []
    for backbone in BACKBONES:
        with suppress(UserError):
            backbone_path(backbone)
            found.append(backbone)
    return found


def weights_hash(weights: str, backbone: str) -> str:
    """SHA-256 of the file that a network begins with; "" where it begins with random numbers."""
    return file_hash(_weights_path(weights, backbone)) if weights else ""


def choose_normalisation(
    choice: str, protocol: str, weights: str, backbone: str = ""
) -> Normalisation:
    """How pictures are normalised: as asked, the paper's way, or as the weights were made with.

    The arguments are those of the spec. The bundled weights and files that this program wrote say
    it in their metadata; the ImageNet weights are known; for anything else 0.5 is assumed. Raises
    UserError when weights that are named are not there.
    """
    if choice == "imagenet":
        return IMAGENET
    if choice == "half" or protocol == "paper":
        return HALF
    if weights == "imagenet":
        return IMAGENET
    path = _weights_path(weights, backbone) if weights else Path()
    if path.suffix.lower() == ".safetensors":
        try:
            with safe_open(str(path), framework="pt") as stream:
                found = stream.metadata() or {}
            return Normalisation(
                tuple(json.loads(found["mean"])),
                tuple(json.loads(found["std"])),
            )
        except (SafetensorError, OSError, KeyError, ValueError, TypeError):
            return HALF
    return HALF


def _enum_weights(backbone: str) -> Any:
    """torchvision's published ImageNet weights for a network, the second version if there is one.

    Named and not `DEFAULT`, whose meaning changed between torchvision versions.
    """
    try:
        choices = torchvision.models.get_model_weights(backbone)
    except ValueError as error:
        raise UserError(
            _("torchvision has no weights for “{backbone}”.").format(backbone=backbone)
        ) from error
    for name in ("IMAGENET1K_V2", "IMAGENET1K_V1"):
        if name in choices.__members__:
            return choices[name]
    raise UserError(
        _("torchvision has no ImageNet weights for “{backbone}”.").format(backbone=backbone)
    )


def _weights_path(weights: str, backbone: str) -> Path:
    """The file that `weights` names. Raises UserError when it is not there."""
    if weights == "bundled":
        return backbone_path(backbone)
    if weights == "imagenet":
        path = weights_file(backbone)
        if not path.is_file():
            raise UserError(
                _(
                    "The ImageNet weights of {backbone} have not been downloaded to this computer."
                ).format(backbone=backbone),
                _(
                    "Fetch them with `dafusion backbones --download {backbone}`, put {name} into "
                    "{parent}, choose a weights file, or train from scratch. The network is never "
                    "used unasked."
                ).format(backbone=backbone, name=path.name, parent=path.parent),
            )
    else:
        path = Path(weights).expanduser()
        if not path.is_file():
            raise UserError(
                _("The weights file {path} is not there.").format(path=path),
                _("Choose its new place, or train from scratch."),
            )
    return path


def _read_weights(weights: str, backbone: str) -> dict[str, torch.Tensor]:
    path = _weights_path(weights, backbone)
    try:
        if path.suffix.lower() == ".safetensors":
            values: Any = load_file(str(path))
        else:
            values = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        first_line = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            _("The weights file {path} cannot be read: {first_line}").format(
                path=path, first_line=first_line
            ),
            _("Copy it again."),
        ) from error
    except Exception as error:  # pickle's own errors have no common base
        raise UserError(
            _("The weights file {path} is not a plain state dict of tensors ({error}).").format(
                path=path, error=error
            ),
            _("Save only the tensors (state_dict), best as .safetensors."),
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(values, dict) and isinstance(values.get(key), dict):
            values = values[key]
    if not isinstance(values, dict) or not all(
        isinstance(value, torch.Tensor) for value in values.values()
    ):
        raise UserError(
            _("The weights file {path} is not a state dict.").format(path=path),
            _("Choose another file."),
        )
    return {name.removeprefix("module."): value for name, value in values.items()}


def head_of(network: torch.nn.Module) -> tuple[str, torch.nn.Linear]:
    """(path, layer) of the last linear layer: the one that names classes.

    Raises UserError when the network does not end in one.
    """
    linear = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear)
    ]
    if not linear:
        raise UserError(_("This network has no linear layer to train."), _("Choose resnet50."))
    return linear[-1]


def _make_network(backbone: str) -> torch.nn.Module:
    if backbone.startswith(TIMM):
        if importlib.util.find_spec("timm") is None:
            raise UserError(
                _("“{backbone}” needs the library timm, which is not installed.").format(
                    backbone=backbone
                ),
                _("Install it with `pip install timm`, or choose a network of torchvision."),
            )
        timm: Any = importlib.import_module("timm")
        name = backbone.removeprefix(TIMM)
        if not timm.is_model(name):
            raise UserError(
                _("“{name}” is not a network of timm.").format(name=name),
                _("`dafusion backbones` lists them."),
            )
        made: torch.nn.Module = timm.create_model(name, pretrained=False, num_classes=2)
        return made
    if backbone not in torchvision.models.list_models(module=torchvision.models):
        raise UserError(
            _("“{backbone}” is not an image classifier of torchvision.").format(backbone=backbone),
            _("Use, for example, resnet18 or resnet50; `dafusion backbones` lists them."),
        )
    options = {"aux_logits": False} if backbone in ("googlenet", "inception_v3") else {}
    network: torch.nn.Module = torchvision.models.get_model(backbone, weights=None, **options)
    return network


def build_classifier(
    backbone: str, labels: int, weights: str = "", seed: int = 0
) -> torch.nn.Module:
    """A torchvision or timm network with a new linear head for `labels` classes.

    All random values follow from `seed` alone, so that the arms of one seed start alike.
    `weights`: "" random, "bundled" those that come with the program, "imagenet" from the local
    cache, or a path to a state dict; its head is not used. Raises UserError for unknown networks
    and files that do not fit.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _make_network(backbone)
        name, old = head_of(network)
        head = torch.nn.Linear(old.in_features, labels)
    if weights:
        values = _read_weights(weights, backbone)
        values = {k: v for k, v in values.items() if not k.startswith(name + ".")}
        own = {k: v for k, v in network.state_dict().items() if not k.startswith(name + ".")}
        wrong = [k for k, v in own.items() if k not in values or values[k].shape != v.shape]
        # Files from old versions lack this counter, which only counts batches.
        wrong = [k for k in wrong if not k.endswith("num_batches_tracked")]
        if wrong:
            raise UserError(
                _(
                    "The weights file does not fit {backbone}: {number} of {number2} tensors are "
                    "missing or have another shape, for example {wrong}."
                ).format(backbone=backbone, number=len(wrong), number2=len(own), wrong=wrong[0]),
                _("Choose the network that the weights belong to."),
            )
        network.load_state_dict(values, strict=False)
    parent, _rest, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, head)
    return network
