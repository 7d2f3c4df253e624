"""What else may be changed to teach a model a concept, besides the vectors of its token.

An adaptation is one class with the methods of `Adaptation`, listed in `ADAPTATIONS` under the
word that an inversion's spec uses. It is attached to a copy of the U-Net, trained by the same
loop as the vectors, and leaves one file per concept.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.specs import InversionSpec
from dafusion_core.engine import lowrank
from dafusion_core.language import _

if TYPE_CHECKING:
    from dafusion_core.engine.models import DiffusionModel

__all__ = ["ADAPTATIONS", "Adaptation", "DreamBoothLora", "chosen"]


class Adaptation(Protocol):
    """Trainable changes of one model for one concept."""

    role: str  # the name of its file among an inversion's files

    def attach(self, model: DiffusionModel) -> DiffusionModel:
        """The model with the changes in it; the given one stays as it is."""

    def groups(self) -> list[dict[str, Any]]:
        """Parameter groups for AdamW."""

    def state(self) -> dict[str, torch.Tensor]:
        """The parameters by name, in the order of `groups`."""

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Overwrite the parameters with a `state`."""

    def check(self) -> None:
        """Raise UserError when nothing useful was learned."""

    def save(self, path: Path, model: DiffusionModel) -> Path:
        """Write the file that generation reads."""


class DreamBoothLora:
    """Low-rank changes of the attention projections (DreamBooth-LoRA, §3.2).

    W + B·A for to_q, to_k, to_v and to_out.0 of every attention, with α equal to the rank; A
    starts as Gaussian noise made from the seed and B as zeros, so the first step is that of the
    base model.
    """

    role = "lora"
    _TARGETS = ("to_q", "to_k", "to_v", "to_out.0")

    def __init__(self, spec: InversionSpec, seed: int) -> None:
        self._spec, self._seed = spec, seed
        self._unet: Any = None

    def attach(self, model: DiffusionModel) -> DiffusionModel:
        """The model with LoRA layers in a copy of its U-Net."""
        from peft import LoraConfig

        settings = LoraConfig(
            r=self._spec.lora_rank,
            lora_alpha=self._spec.lora_rank,
            init_lora_weights="gaussian",
            target_modules=list(self._TARGETS),
        )
        self._unet = copy.deepcopy(model.unet)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            self._unet.add_adapter(settings)
        for value in self._own().values():
            value.data = value.data.to(model.device, torch.float32)
        return dataclasses.replace(model, unet=self._unet)

    def _own(self) -> dict[str, torch.nn.Parameter]:
        return {n: p for n, p in self._unet.named_parameters() if "lora_" in n}

    def groups(self) -> list[dict[str, Any]]:
        """One group with its own learning rate."""
        return [{"params": list(self._own().values()), "lr": self._spec.lora_learning_rate}]

    def state(self) -> dict[str, torch.Tensor]:
        """Every A and B."""
        return {name: value.detach() for name, value in self._own().items()}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Overwrite every A and B."""
        with torch.no_grad():
            for name, value in self._own().items():
                value.copy_(state[name])

    def check(self) -> None:
        """Raise UserError when a matrix is not made of numbers, or all B are still zero."""
        own = self.state()
        if not all(bool(torch.isfinite(value).all()) for value in own.values()):
            raise UserError(
                _("The low-rank changes hold values that are not numbers."),
                _("Use a smaller LoRA learning rate."),
            )
        if not any(bool(value.any()) for name, value in own.items() if "lora_B" in name):
            raise UserError(
                _("The low-rank changes did not learn anything."),
                _("Check the LoRA learning rate."),
            )

    def save(self, path: Path, model: DiffusionModel) -> Path:
        """Write A and B as diffusers' `load_lora_weights` reads them."""
        from peft import get_peft_model_state_dict

        matrices = get_peft_model_state_dict(self._unet)
        return lowrank.write_lora(path, matrices, base_hash=model.base_hash)


ADAPTATIONS: dict[str, Callable[[InversionSpec, int], Adaptation]] = {"lora": DreamBoothLora}


def chosen(spec: InversionSpec, seed: int) -> Adaptation | None:
    """The adaptation of a spec; None when only vectors are learned."""
    for word in spec.adaptation.split("+"):
        if word in ADAPTATIONS:
            return ADAPTATIONS[word](spec, seed)
    return None
