"""Builds the untrained parts of the bundled model and moves pictures through the VAE.

Everything is a stock diffusers/transformers class, so that the exported folder needs no code of
this project. Shapes: pictures (n, 3, 64, 64) in -1..1, latents (n, 8, 16, 16), text (n, 24, 96).
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import common  # noqa: F401  (start-up settings, must come before torch)
import torch
from diffusers import AutoencoderKL, DDIMScheduler, PNDMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

LATENTS = 8
TEXT = 96
TOKENS = 24  # caption length in training and at inference
START, END = "<|startoftext|>", "<|endoftext|>"
SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}


def build_vae(smoke: bool = False) -> AutoencoderKL:
    """f4 autoencoder, 8 latent channels, no mid attention (0.66 M parameters)."""
    blocks = 3
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=LATENTS,
        sample_size=64,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        block_out_channels=(8, 16, 16) if smoke else (16, 32, 64),
        layers_per_block=1,
        norm_num_groups=8,
        mid_block_add_attention=False,
    )


def build_unet(smoke: bool = False) -> UNet2DConditionModel:
    """Three levels on 16x16 latents, cross-attention on the lower two (5.6 M parameters)."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=LATENTS,
        out_channels=LATENTS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(16, 32, 32) if smoke else (64, 96, 128),
        layers_per_block=1,
        cross_attention_dim=TEXT,
        attention_head_dim=4 if smoke else 8,
        norm_num_groups=8 if smoke else 32,
    )


def build_text(vocabulary: int, end_id: int, length: int = TOKENS) -> CLIPTextModel:
    """Three-layer CLIP text encoder of width 96 for ``length`` tokens."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=TEXT,
            intermediate_size=2 * TEXT,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=length,
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


def all_words() -> list[str]:
    """Every word a caption can hold, plus the template words that users meet."""
    from plants import HELD_OUT, TRAINED
    from render import GROUNDS, LIGHTS, PETALS, SIZES

    extra = (
        "a an plant weed flower flowers leaf leaves grass the rendering cropped of clean dirty"
        " dark picture cool bright good nice small large weird cute my one photograph"
    )
    texts = [*TRAINED, *HELD_OUT, *GROUNDS.values(), *LIGHTS.values(), *SIZES.values(), *PETALS]
    words = " ".join([*texts, extra]).replace("-", " ").split()
    return sorted(set(words))


def token_ids(tokenizer: CLIPTokenizer, texts: list[str], length: int = TOKENS) -> torch.Tensor:
    """(n, length) int64, padded and cut as the stable diffusion pipeline does."""
    return tokenizer(
        texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt"
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
    """The averaged VAE from a training checkpoint."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    vae = build_vae(bool(state["smoke"]))
    vae.load_state_dict(state["average"])
    vae.register_to_config(scaling_factor=float(state["scale"]))
    return vae.eval().to(memory_format=torch.channels_last)
