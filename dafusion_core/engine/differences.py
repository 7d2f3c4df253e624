"""Difference files: the U-Net tensors that an erasure changed, and nothing else.

Keys are U-Net parameter paths such as
`down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight`, values float32. The metadata
name the base model, so that a difference is never applied to another one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from dafusion_core.domain.errors import UserError
from dafusion_core.language import _

if TYPE_CHECKING:
    from dafusion_core.engine.models import DiffusionModel

__all__ = ["put", "read", "take", "write"]


def write(
    path: Path,
    changed: Mapping[str, torch.Tensor],
    *,
    base_hash: str,
    method: str,
    concepts: Iterable[str],
) -> Path:
    """Save changed U-Net tensors as float32 with where they come from."""
    tensors = {name: value.detach().float().cpu().contiguous() for name, value in changed.items()}
    metadata = {
        "format": "pt",
        "base_hash": base_hash,
        "method": method,
        "concepts": json.dumps(list(concepts), ensure_ascii=False),
    }
    save_file(tensors, str(path), metadata=metadata)
    return path


def read(path: Path, model: DiffusionModel) -> dict[str, torch.Tensor]:
    """The tensors of a difference file, checked against the model they are meant for.

    Raises UserError when the file is damaged, was made for another base model, or names tensors
    that this U-Net does not have in that shape.
    """
    try:
        with safe_open(str(path), framework="pt") as stream:
            metadata = stream.metadata() or {}
            changed = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(
            _("The erased model {name} cannot be read ({error}).").format(
                name=path.name, error=error
            ),
            _("Run the erasure again."),
        ) from error
    made_for = metadata.get("base_hash", "")
    if made_for != model.base_hash:
        raise UserError(
            _("The erased model {name} was made from another base model than {title}.").format(
                name=path.name, title=model.title
            ),
            _("Choose the base model that the erasure used, or run the erasure again on this one."),
        )
    own: dict[str, Any] = dict(model.unet.named_parameters())
    wrong = [
        name for name, value in changed.items() if name not in own or own[name].shape != value.shape
    ]
    if wrong or not changed:
        example = f", for example {wrong[0]}" if wrong else ""
        raise UserError(
            _(
                "The erased model {name} does not fit the network of {title}: {number} of "
                "{number2} tensors do not match{example}."
            ).format(
                name=path.name,
                title=model.title,
                number=len(wrong),
                number2=len(changed),
                example=example,
            ),
            _("Run the erasure again on this model."),
        )
    return changed


def take(unet: Any, names: Iterable[str]) -> dict[str, torch.Tensor]:
    """Copies on the CPU of the named parameters."""
    own = dict(unet.named_parameters())
    return {name: own[name].detach().to("cpu", copy=True) for name in names}


def put(unet: Any, values: Mapping[str, torch.Tensor]) -> None:
    """Overwrite the named parameters in place, keeping device, dtype and memory format."""
    own = dict(unet.named_parameters())
    with torch.no_grad():
        for name, value in values.items():
            own[name].copy_(value)
