"""A tiny Stable Diffusion with random weights, and the same as an original-layout checkpoint."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

import dafusion_core.engine  # noqa: F401  (prepares torch before diffusers is imported)

DIM = 32
SIDE = 32  # pixels


def _letters() -> list[str]:
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = 256 - len(printable)
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(rest)]


def tokenizer() -> CLIPTokenizer:
    """A byte vocabulary with a few merged words: names of one token and of several."""
    letters = _letters()
    tokens = letters + [letter + "</w>" for letter in letters]
    merges = [("o", "a"), ("oa", "k</w>"), ("p", "l"), ("a", "n"), ("pl", "an"), ("plan", "t</w>")]
    tokens += ["".join(pair) for pair in merges] + ["<|startoftext|>", "<|endoftext|>"]
    made = CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=merges)
    made.model_max_length = 32
    return made


def build(prediction_type: str = "epsilon", seed: int = 0) -> StableDiffusionPipeline:
    """The pipeline: 32×32 pixels, 16×16 latents, about 0.4 million parameters."""
    torch.manual_seed(seed)
    words = tokenizer()
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=DIM,
        attention_head_dim=4,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        sample_size=SIDE,
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=DIM,
            intermediate_size=37,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=32,
            projection_dim=DIM,
            bos_token_id=len(words) - 2,
            eos_token_id=len(words) - 1,
            pad_token_id=len(words) - 1,
        )
    )
    with torch.no_grad():
        # Fresh text encoders hardly tell prompts apart; these weights make the prompt matter.
        for module in (unet, text):
            for name, value in module.named_parameters():
                if "attn2" in name or "embedding" in name:
                    value.mul_(4.0)
    scheduler = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )
    scheduler.register_to_config(clip_sample=False)
    pipeline = StableDiffusionPipeline(
        unet=unet,
        vae=vae,
        text_encoder=text,
        tokenizer=words,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def _resnet(rest: str) -> str:
    for new, old in _RESNET.items():
        rest = re.sub(rf"^{new}\b", old, rest)
    return rest


def _unet_key(key: str, layers: int) -> str:
    for new, old in _UNET_ENDS.items():
        if key.startswith(new + "."):
            return key.replace(new, old, 1)
    found = re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", key)
    if found:
        side, block, part, index, rest = found.groups()
        is_down = side == "down"
        number = int(block) * (layers + 1) + int(index)
        if part == "downsamplers":
            return f"input_blocks.{int(block) * (layers + 1) + layers + 1}.0.op.{rest[5:]}"
        if part == "upsamplers":
            # In the original layout the upsampler follows the attention, where there is one.
            return f"output_blocks.{int(block) * (layers + 1) + layers}.UP.{rest}"
        start = f"input_blocks.{number + 1}" if is_down else f"output_blocks.{number}"
        return f"{start}.0.{_resnet(rest)}" if part == "resnets" else f"{start}.1.{rest}"
    found = re.match(r"mid_block\.(\w+)\.(\d+)\.(.*)", key)
    assert found, key
    part, index, rest = found.groups()
    if part == "attentions":
        return f"middle_block.1.{rest}"
    return f"middle_block.{int(index) * 2}.{_resnet(rest)}"


def _vae_key(key: str, blocks: int) -> str:
    key = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    key = key.replace("mid_block.attentions.0", "mid.attn_1")
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", key)
    key = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", key)
    key = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", key)
    key = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{blocks - 1 - int(m[1])}.block", key)
    key = re.sub(
        r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{blocks - 1 - int(m[1])}.upsample", key
    )
    for new, old in {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v"}.items():
        key = key.replace(f"attn_1.{new}.", f"attn_1.{old}.")
    return key.replace("attn_1.to_out.0.", "attn_1.proj_out.")


def save_checkpoint(pipeline: Any, path: Path) -> Path:
    """Write the pipeline's weights in the layout of the original Stable Diffusion 1 files."""
    tensors: dict[str, torch.Tensor] = {}
    layers = pipeline.unet.config.layers_per_block
    unet = {_unet_key(k, layers): v for k, v in pipeline.unet.state_dict().items()}
    for key, value in unet.items():
        block = key.split(".UP.")[0]
        has_attention = any(other.startswith(f"{block}.1.") for other in unet)
        key = key.replace(".UP.", ".2." if has_attention else ".1.")
        tensors["model.diffusion_model." + key] = value
    blocks = len(pipeline.vae.config.block_out_channels)
    for key, value in pipeline.vae.state_dict().items():
        key = _vae_key(key, blocks)
        if ".attn_1." in key and value.ndim == 2:
            value = value[:, :, None, None]
        tensors["first_stage_model." + key] = value
    for key, value in pipeline.text_encoder.state_dict().items():
        key = key if key.startswith("text_model.") else "text_model." + key
        tensors["cond_stage_model.transformer." + key] = value
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, str(path))
    return path
