"""Token embeddings made elsewhere: AUTOMATIC1111, ComfyUI and diffusers, in their formats.

Files that pickle wrote (.pt, .bin) are opened with torch's loader for plain data, which refuses
everything that could execute code.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open

from dafusion_core.domain.errors import UserError
from dafusion_core.language import _

if TYPE_CHECKING:
    from dafusion_core.engine.models import DiffusionModel

__all__ = ["check_fit", "read_foreign"]

_ACCEPTED = "Known are one-token files of diffusers, and those of AUTOMATIC1111 and ComfyUI."


def read_foreign(path: Path) -> torch.Tensor:
    """The vectors [n, d], float32, of a file of any of the known formats.

    Accepted are: one tensor under any key; `string_to_param` with its `*`; `emb_params`; for
    files of two text encoders the one of the first (`clip_l`); a bare tensor.
    Raises UserError when it is none of these, or could execute code.
    """
    try:
        content = _open(path)
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError) as error:
        raise UserError(
            _("The embedding {name} cannot be read: {splitlines}.").format(
                name=path.name, splitlines=str(error).splitlines()[0]
            ),
            _ACCEPTED,
        ) from error
    except pickle.UnpicklingError as error:
        raise UserError(
            _(
                "The embedding {name} holds more than numbers, which could run programs when "
                "it is opened. It was not opened."
            ).format(name=path.name),
            _("Ask for a .safetensors file."),
        ) from error
    vectors = _vectors(content)
    if vectors is None or vectors.ndim not in (1, 2) or not vectors.is_floating_point():
        raise UserError(_("{name} is not a token embedding.").format(name=path.name), _ACCEPTED)
    vectors = torch.atleast_2d(vectors.detach().float())
    if not bool(torch.isfinite(vectors).all()):
        raise UserError(
            _("The embedding {name} holds values that are not numbers.").format(name=path.name)
        )
    return vectors.clone()


def _open(path: Path) -> Any:
    if path.suffix.lower() == ".safetensors":
        with safe_open(str(path), framework="pt") as stream:
            return {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    return torch.load(path, map_location="cpu", weights_only=True)


def _vectors(content: Any) -> torch.Tensor | None:
    if isinstance(content, torch.Tensor):
        return content
    if not isinstance(content, dict):
        return None
    inner = content.get("string_to_param")
    if isinstance(inner, dict):
        content = inner
    for key in ("*", "emb_params", "clip_l"):
        if isinstance(content.get(key), torch.Tensor):
            found: torch.Tensor = content[key]
            return found
    tensors = [value for value in content.values() if isinstance(value, torch.Tensor)]
    return tensors[0] if len(tensors) == 1 else None


def check_fit(vectors: torch.Tensor, model: DiffusionModel, name: str) -> None:
    """Raise UserError when the vectors were made for another text encoder."""
    if vectors.shape[1] != model.embedding_dim:
        raise UserError(
            _(
                "The embedding {name} has {shape} numbers per vector, {title} uses "
                "{embedding_dim}: it was made for another text encoder."
            ).format(
                name=name,
                shape=vectors.shape[1],
                title=model.title,
                embedding_dim=model.embedding_dim,
            ),
            _("Choose the model it was made for, or learn the concept instead."),
        )
