"""Classifiers: torchvision networks, their first weights, and what trains in each protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file

from dafusion_core.domain.errors import UserError

__all__ = ["build_classifier", "head_of"]


def _enum_weights(backbone: str) -> Any:
    """torchvision's published ImageNet weights for a network, the second version if there is one.

    Named and not `DEFAULT`, whose meaning changed between torchvision versions.
    """
    try:
        choices = torchvision.models.get_model_weights(backbone)
    except ValueError as error:
        raise UserError(f"torchvision has no weights for “{backbone}”.") from error
    for name in ("IMAGENET1K_V2", "IMAGENET1K_V1"):
        if name in choices.__members__:
            return choices[name]
    raise UserError(f"torchvision has no ImageNet weights for “{backbone}”.")


def _read_weights(weights: str, backbone: str) -> dict[str, torch.Tensor]:
    if weights == "imagenet":
        name = Path(_enum_weights(backbone).url).name
        path = Path(torch.hub.get_dir()) / "checkpoints" / name
        if not path.is_file():
            raise UserError(
                f"The ImageNet weights of {backbone} have not been downloaded to this computer.",
                f"Put {name} into {path.parent}, choose a weights file, or train from scratch. "
                "The network is never used unasked.",
            )
    else:
        path = Path(weights).expanduser()
        if not path.is_file():
            raise UserError(
                f"The weights file {path} is not there.",
                "Choose its new place, or train from scratch.",
            )
    try:
        if path.suffix.lower() == ".safetensors":
            values: Any = load_file(str(path))
        else:
            values = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        first_line = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"The weights file {path} cannot be read: {first_line}", "Copy it again."
        ) from error
    except Exception as error:  # pickle's own errors have no common base
        raise UserError(
            f"The weights file {path} is not a plain state dict of tensors ({error}).",
            "Save only the tensors (state_dict), best as .safetensors.",
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(values, dict) and isinstance(values.get(key), dict):
            values = values[key]
    if not isinstance(values, dict) or not all(
        isinstance(value, torch.Tensor) for value in values.values()
    ):
        raise UserError(f"The weights file {path} is not a state dict.", "Choose another file.")
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
        raise UserError("This network has no linear layer to train.", "Choose resnet50.")
    return linear[-1]


def build_classifier(
    backbone: str, labels: int, weights: str = "", seed: int = 0
) -> torch.nn.Module:
    """A torchvision network with a new linear head for `labels` classes.

    All random values follow from `seed` alone, so that the arms of one seed start alike.
    `weights`: "" random, "imagenet" from the local cache, or a path to a state dict; its head is
    not used. Raises UserError for unknown networks and files that do not fit.
    """
    if backbone not in torchvision.models.list_models(module=torchvision.models):
        raise UserError(
            f"“{backbone}” is not an image classifier of torchvision.",
            "Use, for example, resnet18 or resnet50.",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        options = {"aux_logits": False} if backbone in ("googlenet", "inception_v3") else {}
        network: torch.nn.Module = torchvision.models.get_model(backbone, weights=None, **options)
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
                f"The weights file does not fit {backbone}: {len(wrong)} of {len(own)} tensors "
                f"are missing or have another shape, for example {wrong[0]}.",
                "Choose the network that the weights belong to.",
            )
        network.load_state_dict(values, strict=False)
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, head)
    return network
