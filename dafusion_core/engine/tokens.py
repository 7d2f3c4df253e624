"""Placeholder tokens: add them to a model, and keep their vectors in files.

A concept with n vectors has the tokens `<name>`, `<name>_1`, … `<name>_{n-1}`; a prompt names all
of them once, joined by spaces. One file holds one concept: a single key, its placeholder, with a
float32 tensor [n, d]. Stock diffusers reads such a file with `load_textual_inversion`.
"""

from __future__ import annotations

import copy
import re
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

__all__ = [
    "add_to_model",
    "add_tokens",
    "count_vectors",
    "encode",
    "initial_vector",
    "joined",
    "read_embeddings",
    "token_names",
    "write_embedding",
]


def token_names(placeholder: str, count: int) -> list[str]:
    """`<name>`, `<name>_1`, … : one token per vector."""
    return [placeholder] + [f"{placeholder}_{i}" for i in range(1, count)]


def joined(placeholder: str, count: int) -> str:
    """What stands in a prompt for a concept with `count` vectors: every token exactly once."""
    return " ".join(token_names(placeholder, count))


def add_tokens(tokenizer: Any, names: Iterable[str]) -> list[int]:
    """Add tokens to a tokenizer and return their ids.

    Raises UserError when one exists already: it would silently share a vector.
    """
    names = list(names)
    known = tokenizer.get_vocab()
    taken = [name for name in names if name in known]
    if taken or len(set(names)) != len(names):
        shown = ", ".join(taken or names)
        raise UserError(
            _("The model's vocabulary already has the token {shown}.").format(shown=shown),
            _("Rename the concept, so that its placeholder is a new word."),
        )
    tokenizer.add_tokens(names)
    ids = [int(i) for i in tokenizer.convert_tokens_to_ids(names)]
    for name, index in zip(names, ids, strict=True):
        # CLIP lowers all letters: <Oak> and <oak> would be one token for it.
        if tokenizer(name, add_special_tokens=False)["input_ids"] != [index]:
            raise UserError(
                _("The model cannot tell the token {name} from another one.").format(name=name),
                _(
                    "Rename the concept, so that its placeholder "
                    "differs in more than capital letters."
                ),
            )
    return ids


def _grow(text_encoder: Any, count: int, rows: Mapping[int, torch.Tensor]) -> None:
    """Make the lookup table at least `count` rows long and set the given rows.

    Done by hand and not by `resize_token_embeddings`, which draws random rows.
    """
    table = text_encoder.get_input_embeddings()
    old = table.weight
    weight = old.detach()
    if count > old.shape[0]:
        weight = torch.cat([weight, weight.new_zeros(count - old.shape[0], old.shape[1])])
    else:
        weight = weight.clone()
    for index, row in rows.items():
        weight[index] = row.to(weight)
    grown = torch.nn.Embedding(
        weight.shape[0], weight.shape[1], _weight=weight, _freeze=True, device=weight.device
    )
    text_encoder.set_input_embeddings(grown)
    text_encoder.config.vocab_size = weight.shape[0]


def add_to_model(model: DiffusionModel, learned: Mapping[str, torch.Tensor]) -> DiffusionModel:
    """`model` with the placeholders of `learned` ({placeholder: [n, d]}) as new tokens.

    The given model stays as it is: tokenizer and text encoder are copied, the large parts shared.
    Raises UserError when a token exists or the vectors have another length than the model's.
    """
    dim = model.embedding_dim
    wrong = {name: rows.shape[-1] for name, rows in learned.items() if rows.shape[-1] != dim}
    if wrong:
        name, found = next(iter(wrong.items()))
        raise UserError(
            _(
                "The embedding {name} has {found} numbers per vector, {title} uses {dim}: it "
                "was learned for another model."
            ).format(name=name, found=found, title=model.title, dim=dim),
            _("Choose the model it was learned with, or run the inversion again."),
        )
    tokenizer = copy.deepcopy(model.tokenizer)
    text_encoder = copy.deepcopy(model.text_encoder)
    rows: dict[int, torch.Tensor] = {}
    for placeholder, vectors in learned.items():
        ids = add_tokens(tokenizer, token_names(placeholder, len(vectors)))
        rows.update(zip(ids, vectors, strict=True))
    _grow(text_encoder, len(tokenizer), rows)
    return model.with_text(tokenizer, text_encoder)


def initial_vector(model: DiffusionModel, words: str) -> torch.Tensor:
    """The embedding [d] of one word, or the mean over the tokens of several.

    Raises UserError when the words are empty.
    """
    ids = model.tokenizer(words, add_special_tokens=False)["input_ids"]
    if not ids:
        raise UserError(
            _("“{words}” cannot start an embedding: it has no token.").format(words=words),
            _("Give a word, such as plant."),
        )
    table = model.text_encoder.get_input_embeddings().weight.detach()
    return table[torch.tensor(ids, device=table.device)].float().mean(dim=0).cpu()


def token_ids(model: DiffusionModel, prompts: list[str]) -> torch.Tensor:
    """Padded token ids [len(prompts), length]; cut at the model's length as diffusers does."""
    ids: torch.Tensor = model.tokenizer(
        prompts,
        padding="max_length",
        max_length=model.tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )["input_ids"]
    return ids.to(model.device)


def encode(model: DiffusionModel, prompts: list[str]) -> torch.Tensor:
    """Text states [len(prompts), length, d]: what the U-Net's cross-attention reads."""
    states: torch.Tensor = model.text_encoder(token_ids(model, prompts))[0]
    return states


def is_cut(model: DiffusionModel, prompt: str) -> bool:
    """True when the model does not see the end of `prompt`."""
    full = model.tokenizer(prompt, truncation=False, verbose=False)["input_ids"]
    return len(full) > int(model.tokenizer.model_max_length)


def subject_index(model: DiffusionModel, prompt: str) -> int:
    """Position of the last word's last token (0, the beginning mark, for an empty prompt)."""
    length = len(model.tokenizer(prompt, truncation=True)["input_ids"])
    return max(0, min(length, int(model.tokenizer.model_max_length)) - 2)


def count_vectors(model: DiffusionModel, placeholder: str) -> int:
    """How many tokens the model has for a placeholder. Raises UserError when it has none."""
    known = model.tokenizer.get_vocab()
    if placeholder not in known:
        raise UserError(
            _("The model does not know the token {placeholder}.").format(placeholder=placeholder),
            _("Run the inversion for it first."),
        )
    count = 1
    while f"{placeholder}_{count}" in known:
        count += 1
    return count


def file_stem(placeholder: str) -> str:
    """A file name for a placeholder that every system accepts."""
    return re.sub(r"[^\w.-]+", "_", placeholder.strip("<>")) or "token"


def write_embedding(path: Path, placeholder: str, vectors: torch.Tensor) -> Path:
    """Save [n, d] vectors under their placeholder."""
    value = vectors.detach().float().cpu().contiguous()
    save_file({placeholder: value}, str(path), metadata={"format": "pt"})
    return path


def read_embeddings(paths: Iterable[Path]) -> dict[str, torch.Tensor]:
    """{placeholder: [n, d]} of embedding files. Raises UserError when one is not such a file."""
    learned: dict[str, torch.Tensor] = {}
    for path in paths:
        try:
            with safe_open(str(path), framework="pt") as stream:
                names = list(stream.keys())
                value = stream.get_tensor(names[0]) if len(names) == 1 else None
        except (SafetensorError, OSError) as error:
            raise UserError(
                _("The token embedding {path} cannot be read ({error}).").format(
                    path=path, error=error
                ),
                _("Run the inversion again."),
            ) from error
        if value is None:
            raise UserError(
                _("{name} holds {number} tensors; a token embedding file holds one.").format(
                    name=path.name, number=len(names)
                ),
                _("Choose a file that was made by an inversion."),
            )
        if value.ndim == 1:
            value = value[None]
        if not bool(torch.isfinite(value).all()):
            raise UserError(
                _("The token embedding {name} holds values that are not numbers.").format(
                    name=path.name
                ),
                _("Run the inversion again, with a smaller learning rate."),
            )
        if names[0] in learned:
            raise UserError(
                _("Two embeddings are called {names}.").format(names=names[0]),
                _("Rename one concept."),
            )
        learned[names[0]] = value.float()
    return learned
