"""A token lookup whose last rows are parameters, and the posterior store that feeds it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from dafusion_core.engine import tokens

if TYPE_CHECKING:
    from dafusion_core.engine.models import DiffusionModel

__all__ = ["SplicedEmbedding", "splice_tokens"]


class SplicedEmbedding(torch.nn.Module):
    """Rows below `first` come from a frozen table, the others from the parameter `rows`.

    AdamW works element by element, so training `rows` alone gives what training the whole table
    and restoring every other row after each step gives, without its memory and copying.
    """

    def __init__(self, table: torch.Tensor, rows: torch.Tensor) -> None:
        super().__init__()
        self.first = int(table.shape[0])
        self.register_buffer("table", table, persistent=False)
        self.table: torch.Tensor
        self.rows = torch.nn.Parameter(rows.clone().float())

    @property
    def weight(self) -> torch.Tensor:
        """The whole table (a copy), for code that asks for it."""
        return torch.cat([self.table, self.rows.to(self.table)])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Embeddings [..., d] of token ids [...]."""
        frozen = torch.nn.functional.embedding(ids.clamp(max=self.first - 1), self.table)
        learned = torch.nn.functional.embedding((ids - self.first).clamp(min=0), self.rows)
        return torch.where((ids >= self.first).unsqueeze(-1), learned.to(frozen.dtype), frozen)


def splice_tokens(
    model: DiffusionModel, names: Sequence[str], rows: torch.Tensor
) -> tuple[DiffusionModel, SplicedEmbedding]:
    """`model` with new tokens `names` whose vectors are the parameter rows [len(names), d].

    The given model stays as it is. Raises UserError when a token exists already.
    """
    tokenizer = copy.deepcopy(model.tokenizer)
    text_encoder = copy.deepcopy(model.text_encoder)
    ids = tokens.add_tokens(tokenizer, names)
    table = text_encoder.get_input_embeddings().weight.detach()
    first = min(ids)
    if ids != list(range(first, first + len(ids))):
        raise ValueError("new tokens did not get consecutive ids")
    if first > table.shape[0]:
        raise ValueError("the tokenizer has more words than the text encoder")
    # Unused rows that some models keep at the end of the table would be shadowed; leave them out.
    module = SplicedEmbedding(table[:first], rows.to(table.device))
    text_encoder.set_input_embeddings(module)
    return model.with_text(tokenizer, text_encoder), module
