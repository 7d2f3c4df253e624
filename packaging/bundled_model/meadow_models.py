"""Networks of the meadow model in three sizes, its tokenizer, and the species token.

All classes are stock diffusers and transformers ones. In training a species' name is one token
whose embedding is the sum of vectors of its attribute values, so that every combination of
attributes has a place in the token space; at export the sums are written into the token table.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import common
import torch
from diffusers import AutoencoderKL, DDIMScheduler, PNDMScheduler, UNet2DConditionModel
from meadow_data import OFFSETS, genome_numbers
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from dafusion_core.meadow import ATTRIBUTES, GROUNDS, HELD_OUT, LIGHTS, TRAINING
from dafusion_core.meadow.captions import GROUND_WORDS, HEAD_WORDS, LIGHT_WORDS

LATENTS = 8
TEXT = 96
START, END = "<|startoftext|>", "<|endoftext|>"
SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}
TOKENS = 32  # caption length in training and at inference
SIZES: dict[str, dict[str, Any]] = {
    # "small" is the bundled model; "large" is meant for a training on a GPU
    "smoke": {"vae": (8, 16, 16), "unet": (16, 32, 32), "layers": 1, "heads": 4, "groups": 8},
    "small": {"vae": (16, 32, 64), "unet": (64, 96, 128), "layers": 1, "heads": 8, "groups": 32},
    "large": {"vae": (32, 64, 96), "unet": (96, 128, 192), "layers": 1, "heads": 8, "groups": 32},
}


def build_vae(size: str) -> AutoencoderKL:
    """f4 autoencoder with 8 latent channels and no mid attention."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=LATENTS,
        sample_size=64,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=SIZES[size]["vae"],
        layers_per_block=SIZES[size]["layers"],
        norm_num_groups=8,
        mid_block_add_attention=False,
    )


def build_unet(size: str) -> UNet2DConditionModel:
    """Three levels on 16x16 latents, cross-attention on the lower two."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=LATENTS,
        out_channels=LATENTS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=SIZES[size]["unet"],
        layers_per_block=SIZES[size]["layers"],
        cross_attention_dim=TEXT,
        attention_head_dim=SIZES[size]["heads"],
        norm_num_groups=SIZES[size]["groups"],
    )


def build_text(vocabulary: int, end_id: int) -> CLIPTextModel:
    """Three-layer CLIP text encoder of width 96."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=TEXT,
            intermediate_size=2 * TEXT,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            projection_dim=TEXT,
            bos_token_id=end_id - 1,
            eos_token_id=end_id,
            pad_token_id=end_id,
        )
    )


def _byte_letters() -> list[str]:
    """The 256 printable stand-ins that CLIP's byte-level vocabulary uses for bytes 0..255."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, extra = {}, 0
    for byte in range(256):
        if byte in printable:
            table[byte] = chr(byte)
        else:
            table[byte], extra = chr(256 + extra), extra + 1
    return [table[b] for b in (*printable, *(b for b in range(256) if b not in printable))]


def build_tokenizer(words: list[str]) -> CLIPTokenizer:
    """Byte-level CLIP tokenizer in which each of ``words`` is one token.

    Unknown words fall back to shorter pieces, down to single letters.
    """
    letters = _byte_letters()
    vocab = {t: i for i, t in enumerate([*letters, *(c + "</w>" for c in letters)])}
    merges: list[tuple[str, str]] = []
    for word in sorted(set(words), key=lambda w: (len(w), w)):
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:  # follow the merges there are, then join left to right
            rank = {m: i for i, m in enumerate(merges)}
            known = [(rank[p], i) for i, p in enumerate(pairwise(pieces)) if p in rank]
            if known:
                i = min(known)[1]
            else:
                i = 0
                merges.append((pieces[0], pieces[1]))
                vocab.setdefault(pieces[0] + pieces[1], len(vocab))
            pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]
    vocab[START], vocab[END] = len(vocab), len(vocab) + 1
    return CLIPTokenizer(
        vocab=vocab,
        merges=merges,
        model_max_length=TOKENS,
        bos_token=START,
        eos_token=END,
        unk_token=END,
        pad_token=END,
    )


def tokenizer() -> CLIPTokenizer:
    """The tokenizer: every training species and every caption word is one token."""
    extra = (
        "a an the plant weed flower leaf leaves grass with and rendering cropped of clean dirty"
        " dark picture cool bright good nice small large weird cute my one photo photograph close"
        " up centres " + PLACEHOLDER
    )
    texts = [s.name for s in (*TRAINING, *HELD_OUT)]
    texts += [v for values in ATTRIBUTES.values() for v in values]
    texts += [*GROUND_WORDS.values(), *LIGHT_WORDS.values(), *HEAD_WORDS.values()]
    texts += [*GROUNDS, *LIGHTS, extra]
    words = " ".join(texts).replace("-", " ").replace("'", " ").split()
    return build_tokenizer(sorted(set(words)))


PLACEHOLDER = "species"
"""The word that stands for a species without a name in training captions."""


class SpeciesToken(nn.Module):
    """Vectors of the attribute values; a species' token embedding is their sum."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(int(OFFSETS[-1]) + 1, TEXT, padding_idx=int(OFFSETS[-1]))
        nn.init.normal_(self.table.weight, std=0.02)
        with torch.no_grad():
            self.table.weight[-1] = 0

    def forward(self, genomes: torch.Tensor) -> torch.Tensor:
        """(n, 7) numbers of attribute values, -1 for none -> (n, TEXT)."""
        none = self.table.num_embeddings - 1
        return self.table(torch.where(genomes < 0, none, genomes)).sum(1)


class Conditioner(nn.Module):
    """The text encoder together with the species token."""

    def __init__(self, vocabulary: int, end_id: int, placeholder: int) -> None:
        super().__init__()
        self.text = build_text(vocabulary, end_id)
        self.token = SpeciesToken()
        self.placeholder = placeholder
        self._vectors: torch.Tensor | None = None
        self._ids: torch.Tensor | None = None
        self.text.get_input_embeddings().register_forward_hook(self._swap)

    def _swap(self, module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        if self._vectors is None or self._ids is None:
            return output
        there = (self._ids == self.placeholder)[..., None]
        return torch.where(there, self._vectors[:, None], output)

    def forward(self, ids: torch.Tensor, genomes: torch.Tensor, noise: float = 0.0) -> torch.Tensor:
        """(n, TOKENS) ids and (n, 7) genomes -> (n, TOKENS, TEXT) hidden states.

        ``noise`` disturbs the species vectors by that share of their length, so that vectors
        found by textual inversion, which lie beside the sums, are understood as well.
        """
        vectors = self.token(genomes)
        if noise:
            scale = vectors.detach().norm(dim=1, keepdim=True) / TEXT**0.5
            vectors = vectors + noise * scale * torch.randn_like(vectors)
        self._vectors, self._ids = vectors, ids
        try:
            return self.text(ids)[0]
        finally:
            self._vectors = self._ids = None

    @torch.no_grad()
    def write_names(self, built: Any) -> None:
        """Write every training species' sum into the token table, for the ordinary text encoder."""
        weight = self.text.get_input_embeddings().weight
        for species in TRAINING:
            pieces = built(species.name, add_special_tokens=False).input_ids
            if len(pieces) != 1:
                common.fail(f"{species.name} is {len(pieces)} tokens")
            genome = torch.tensor([genome_numbers(species)], device=weight.device)
            weight[pieces[0]] = self.token(genome)[0]
        # the placeholder itself and untrained words mean "some plant"
        weight[self.placeholder] = weight[built("plant", add_special_tokens=False).input_ids[0]]


def conditioner(built: Any) -> Conditioner:
    """The untrained conditioner for a tokenizer."""
    placeholder = built(PLACEHOLDER, add_special_tokens=False).input_ids
    if len(placeholder) != 1:
        common.fail("the placeholder is not one token")
    return Conditioner(len(built), int(built.eos_token_id), placeholder[0])


def token_ids(tokenizer: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    """(n, ``TOKENS``) int64, padded and cut as the stable diffusion pipeline does."""
    return tokenizer(
        texts, padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt"
    ).input_ids


def train_scheduler() -> DDIMScheduler:
    """The noise schedule used in training."""
    return DDIMScheduler(**SCHEDULE, clip_sample=False, set_alpha_to_one=False)


def sample_scheduler() -> PNDMScheduler:
    """The scheduler saved with the model, as stable diffusion v1 has it."""
    return PNDMScheduler(**SCHEDULE, skip_prk_steps=True, set_alpha_to_one=False)


@torch.no_grad()
def encode(vae: AutoencoderKL, x: torch.Tensor, batch: int = 128) -> torch.Tensor:
    """Pictures -> latent means and standard deviations, (n, 16, 16, 16): mean first."""
    out = []
    for part in x.split(batch):
        d = vae.encode(part).latent_dist
        out.append(torch.cat([d.mean, d.std], 1))
    return torch.cat(out)


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, x: torch.Tensor, batch: int = 128) -> torch.Tensor:
    """Pictures -> pictures through the latent mean."""
    return torch.cat([vae.decode(vae.encode(p).latent_dist.mean).sample for p in x.split(batch)])


def load_vae(path: Path) -> AutoencoderKL:
    """The averaged autoencoder of a training checkpoint, in evaluation mode."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    vae = build_vae(str(state["size"]))
    vae.load_state_dict(state["average"])
    vae.register_to_config(scaling_factor=float(state["scale"]))
    return vae.eval().to(memory_format=torch.channels_last)


def fit(module: nn.Module, state: dict[str, torch.Tensor]) -> tuple[int, int]:
    """Copy the tensors of ``state`` whose names and shapes agree; (copied, all)."""
    own = module.state_dict()
    same = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    module.load_state_dict({**own, **same})
    return len(same), len(own)
