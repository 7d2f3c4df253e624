"""Low-rank changes of the U-Net (LoRA) in diffusers' file format, and as plain weights.

A file has, for each changed module, `unet.<module>.lora_A.weight` [r, in] and `…lora_B.weight`
[out, r]; the module's weight is then W + B·A. Stock diffusers reads it with `load_lora_weights`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from dafusion_core.domain.errors import UserError
from dafusion_core.language import _

if TYPE_CHECKING:
    from dafusion_core.engine.models import DiffusionModel

__all__ = ["read_deltas", "write_lora"]

_PREFIX = "unet."
_A, _B = ".lora_A.weight", ".lora_B.weight"


def write_lora(path: Path, matrices: Mapping[str, torch.Tensor], *, base_hash: str) -> Path:
    """Save {module.lora_A.weight, module.lora_B.weight: matrix} as float32."""
    tensors = {
        _PREFIX + name: value.detach().float().cpu().contiguous()
        for name, value in matrices.items()
    }
    save_file(tensors, str(path), metadata={"format": "pt", "base_hash": base_hash})
    return path


def read_deltas(path: Path, model: DiffusionModel) -> dict[str, torch.Tensor]:
    """{parameter of the U-Net: what is added to it}, float32, on the CPU.

    Raises UserError when the file is damaged, was made for another base model, or does not fit.
    """
    try:
        with safe_open(str(path), framework="pt") as stream:
            metadata = stream.metadata() or {}
            found = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(
            _("The learned changes {name} cannot be read ({error}).").format(
                name=path.name, error=error
            ),
            _("Run the inversion again."),
        ) from error
    if metadata.get("base_hash", model.base_hash) != model.base_hash:
        raise UserError(
            _("The learned changes {name} were made for another base model than {title}.").format(
                name=path.name, title=model.title
            ),
            _("Choose the base model that the inversion used."),
        )
    own: dict[str, Any] = dict(model.unet.named_parameters())
    deltas: dict[str, torch.Tensor] = {}
    wrong = []
    for name, down in found.items():
        if not name.endswith(_A):
            continue
        target = name.removeprefix(_PREFIX).removesuffix(_A) + ".weight"
        up = found.get(name.removesuffix(_A) + _B)
        fits = up is not None and target in own
        if fits and up is not None and own[target].shape == (up.shape[0], down.shape[1]):
            deltas[target] = up.float() @ down.float()
        else:
            wrong.append(target)
    if wrong or not deltas:
        example = f", for example {wrong[0]}" if wrong else ""
        raise UserError(
            _("The learned changes {name} do not fit the network of {title}{example}.").format(
                name=path.name, title=model.title, example=example
            ),
            _("Choose the base model that the inversion used, or run it again."),
        )
    return deltas
