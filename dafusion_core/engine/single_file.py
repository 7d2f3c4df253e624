"""Load one .safetensors checkpoint in the original Stable Diffusion layout, without network.

Such a file holds only tensors. Settings and vocabulary come from, in this order: a diffusers
folder beside it with the same name (`model.safetensors` + `model/`), or the settings of Stable
Diffusion 1.x or 2.x, recognised by the tensors, with the CLIP vocabulary found on this computer.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from safetensors import safe_open
from transformers import CLIPTokenizer

from dafusion_core.domain.errors import UserError
from dafusion_core.engine import clip_words
from dafusion_core.language import _

__all__ = ["load", "recognise"]

_TEXT_V1 = "cond_stage_model.transformer."
_TEXT_V2 = "cond_stage_model.model."
_FIRST = "model.diffusion_model.input_blocks.0.0.weight"

_UNET: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "norm_num_groups": 32,
}
_UNET_V2 = {
    "cross_attention_dim": 1024,
    "attention_head_dim": [5, 10, 20, 20],
    "use_linear_projection": True,
    "upcast_attention": True,
}
_VAE: dict[str, Any] = {
    "_class_name": "AutoencoderKL",
    "sample_size": 512,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "norm_num_groups": 32,
    "scaling_factor": 0.18215,
}
_TEXT: dict[str, Any] = {
    "architectures": ["CLIPTextModel"],
    "model_type": "clip_text_model",
    "vocab_size": 49408,
    "max_position_embeddings": 77,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "quick_gelu",
    "projection_dim": 768,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
}
_TEXT_V2_SETTINGS = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "hidden_act": "gelu",
    "projection_dim": 512,
}
_SCHEDULER: dict[str, Any] = {
    "_class_name": "PNDMScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "skip_prk_steps": True,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "clip_sample": False,
}
_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "safety_checker": [None, None],
    "feature_extractor": [None, None],
}
_USABLE = "Use a full Stable Diffusion 1.x or 2.x checkpoint."


def recognise(path: Path) -> str:
    """ "v1" or "v2". Raises UserError for every other file, saying what it seems to be."""
    with safe_open(str(path), framework="pt") as stream:
        keys = set(stream.keys())
        channels = int(stream.get_slice(_FIRST).get_shape()[1]) if _FIRST in keys else 0
    name = path.name
    if any(key.startswith("conditioner.embedders.") for key in keys):
        raise UserError(_("{name} is a Stable Diffusion XL checkpoint.").format(name=name), _USABLE)
    if any("lora_" in key or ".lora" in key for key in keys):
        raise UserError(_("{name} is a LoRA, not a whole model.").format(name=name), _USABLE)
    if _FIRST not in keys:
        raise UserError(
            _("{name} is not a Stable Diffusion 1.x or 2.x checkpoint.").format(name=name), _USABLE
        )
    if channels == 9 or channels == 8:
        raise UserError(
            _("{name} is made for inpainting or editing pictures.").format(name=name), _USABLE
        )
    if not any(key.startswith("first_stage_model.") for key in keys):
        raise UserError(_("{name} holds no picture coder (VAE).").format(name=name), _USABLE)
    if any(key.startswith(_TEXT_V2) for key in keys):
        return "v2"
    if any(key.startswith(_TEXT_V1) for key in keys):
        return "v1"
    raise UserError(_("{name} holds no text encoder.").format(name=name), _USABLE)


def _settings_beside(path: Path) -> Path | None:
    folder = path.with_suffix("")
    return folder if (folder / "unet" / "config.json").is_file() else None


def _write_settings(folder: Path, version: str) -> None:
    is_v2 = version == "v2"
    parts: dict[str, dict[str, Any]] = {
        "unet/config.json": _UNET | (_UNET_V2 if is_v2 else {}),
        "vae/config.json": _VAE,
        "text_encoder/config.json": _TEXT | (_TEXT_V2_SETTINGS if is_v2 else {}),
        "scheduler/scheduler_config.json": _SCHEDULER,
        "model_index.json": _INDEX,
    }
    for name, value in parts.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(value), encoding="utf-8")


def _cached_tokenizer() -> Any | None:
    """The CLIP tokenizer from another model's place in the local hub cache, if there is one."""
    from huggingface_hub import try_to_load_from_cache

    places = (
        ("openai/clip-vit-large-patch14", ""),
        ("stable-diffusion-v1-5/stable-diffusion-v1-5", "tokenizer/"),
        ("CompVis/stable-diffusion-v1-4", "tokenizer/"),
        ("stabilityai/stable-diffusion-2-1", "tokenizer/"),
    )
    for repository, prefix in places:
        found = [
            try_to_load_from_cache(repository, prefix + f) for f in ("vocab.json", "merges.txt")
        ]
        if all(isinstance(item, str) for item in found):
            return CLIPTokenizer.from_pretrained(str(Path(str(found[0])).parent))
    return None


def _tokenizer(path: Path, version: str) -> Any:
    words = clip_words.find(path.parent)
    tokenizer = CLIPTokenizer(vocab=words[0], merges=words[1]) if words else _cached_tokenizer()
    if tokenizer is None:
        raise UserError(
            _("{name} holds no vocabulary and none was found on this computer.").format(
                name=path.name
            ),
            _(
                "Put the vocab.json and merges.txt of CLIP into a folder “tokenizer” beside it "
                "({parent})."
            ).format(parent=path.parent),
        )
    if version == "v2":
        tokenizer.pad_token = "!"
    tokenizer.model_max_length = 77
    return tokenizer


def _predicts_noise(unet: Any) -> bool:
    """True when the network returns noise, not velocity.

    A 2.x checkpoint does not say which. At the last timestep the input is nearly all noise, so a
    noise predictor gives it back, and a velocity predictor gives something unrelated.
    """
    generator = torch.Generator("cpu").manual_seed(0)
    noise = torch.randn(1, 4, 64, 64, generator=generator)
    text = torch.zeros(1, 77, int(unet.config.cross_attention_dim))
    with torch.inference_mode():
        out = unet(noise, torch.tensor(999), encoder_hidden_states=text).sample
    both = torch.stack([out.flatten(), noise.flatten()])
    return bool(torch.corrcoef(both)[0, 1] > 0.5)


def load(path: Path) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
    """(tokenizer, text encoder, VAE, U-Net, scheduler settings) of a checkpoint, float32, CPU.

    Raises UserError for checkpoints of other architectures, incomplete ones, and when no
    vocabulary is found.
    """
    version = recognise(path)
    beside = _settings_beside(path)
    with tempfile.TemporaryDirectory(prefix="dafusion-") as temporary:
        folder = Path(temporary)
        passed: dict[str, Any] = {"safety_checker": None, "feature_extractor": None}
        if beside is not None:
            folder = beside
        else:
            _write_settings(folder, version)
            passed["tokenizer"] = _tokenizer(path, version)
        pipeline = StableDiffusionPipeline.from_single_file(
            str(path), config=str(folder), local_files_only=True, dtype=torch.float32, **passed
        )
    empty = [
        name
        for module in (pipeline.unet, pipeline.vae, pipeline.text_encoder)
        for name, value in module.named_parameters()
        if value.is_meta
    ]
    if empty:
        raise UserError(
            _("{name} is incomplete: {number} tensors are missing, for example {empty}.").format(
                name=path.name, number=len(empty), empty=empty[0]
            ),
            _("Download it again."),
        )
    settings = dict(pipeline.scheduler.config)
    if version == "v2" and beside is None and not _predicts_noise(pipeline.unet):
        settings["prediction_type"] = "v_prediction"
        pipeline.unet.register_to_config(sample_size=96)
    return pipeline.tokenizer, pipeline.text_encoder, pipeline.vae, pipeline.unet, settings
