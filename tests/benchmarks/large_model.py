"""A model of Stable Diffusion 1.x's size with random weights, for benchmarks on a GPU.

Nothing is downloaded: the sizes are those of the published configuration (U-Net 320–1280
channels, 768-wide text states, 860 million parameters), the numbers come from a generator. What it
draws is noise; how long it takes is the real thing's. `tiny` is the same layout in small, so that
the benchmarks can be tried without a GPU.
"""

from __future__ import annotations

from typing import Any

from dafusion_core.engine.devices import memory_format
from dafusion_core.engine.models import DiffusionModel
from dafusion_core.engine.torch_setup import prepare, torch

__all__ = ["large_pipeline", "matmul_rate", "model_of", "sampling_flops"]

_WORDS = ["a", "photo", "of", "the", "picture", "plant"]


def large_pipeline(device: str, dtype: torch.dtype, *, is_tiny: bool = False) -> Any:
    """A diffusers pipeline with random weights on `device`."""
    prepare()
    from diffusers import (
        AutoencoderKL,
        PNDMScheduler,
        StableDiffusionImg2ImgPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    widths, wide = ((32, 64, 64, 64), 64) if is_tiny else ((320, 640, 1280, 1280), 768)
    words = _tokenizer()
    with torch.device(device):
        unet = UNet2DConditionModel(
            sample_size=8 if is_tiny else 64,
            block_out_channels=widths,
            layers_per_block=2,
            norm_num_groups=32,
            cross_attention_dim=wide,
            attention_head_dim=8,
        )
        vae = AutoencoderKL(
            block_out_channels=(32, 32, 32, 32) if is_tiny else (128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=1 if is_tiny else 2,
            latent_channels=4,
            sample_size=64 if is_tiny else 512,
        )
        text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(words) if is_tiny else 49408,
                hidden_size=wide,
                intermediate_size=4 * wide,
                num_hidden_layers=2 if is_tiny else 12,
                num_attention_heads=4 if is_tiny else 12,
                max_position_embeddings=77,
                bos_token_id=len(words) - 2,
                eos_token_id=len(words) - 1,
                pad_token_id=len(words) - 1,
            )
        )
    for part in (unet, vae, text):
        part.to(device, dtype).requires_grad_(False).eval()
    for part in (unet, vae):
        part.to(memory_format=memory_format(torch.device(device)))
    scheduler = PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True,
        set_alpha_to_one=False, steps_offset=1,
    )  # fmt: skip
    pipeline = StableDiffusionImg2ImgPipeline(
        vae=vae, text_encoder=text, tokenizer=words, unet=unet, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _tokenizer() -> Any:
    """Letters and a few words: what is tokenised does not change the time."""
    from transformers import CLIPTokenizer

    letters = [chr(code) for code in range(33, 127)]
    tokens = letters + [letter + "</w>" for letter in letters]
    merges: list[tuple[str, str]] = []
    for word in _WORDS:
        known = word[0]
        for place, letter in enumerate(word[1:], 2):
            pair = (known, letter + ("</w>" if place == len(word) else ""))
            if pair not in merges:
                merges.append(pair)
                tokens.append("".join(pair))
            known += letter
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    unique = list(dict.fromkeys(tokens))
    words = CLIPTokenizer(vocab={token: i for i, token in enumerate(unique)}, merges=merges)
    words.model_max_length = 77
    return words


def model_of(pipeline: Any, device: str, dtype: torch.dtype) -> DiffusionModel:
    """The same networks as our engine takes them."""
    return DiffusionModel(
        tokenizer=pipeline.tokenizer,
        text_encoder=pipeline.text_encoder,
        unet=pipeline.unet,
        vae=pipeline.vae,
        scheduler_config=dict(pipeline.scheduler.config),
        base_hash="random",
        title="random weights",
        device=torch.device(device),
        dtype=dtype,
    )


def matmul_rate(device: str, dtype: torch.dtype, side: int = 8192) -> float:
    """Floating point operations per second of a square matrix product, the best of ten."""
    import time

    if not device.startswith("cuda"):
        side = 512
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        _wait(device)
        began = time.perf_counter()
        a @ b
        _wait(device)
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best


def sampling_flops(model: DiffusionModel, side: int) -> float:
    """Floating point operations of one evaluation of the denoiser for one sample, counted."""
    from torch.utils.flop_counter import FlopCounterMode

    latent = side // model.scale
    options: dict[str, Any] = {"device": model.device, "dtype": model.dtype}
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        model.unet(
            torch.zeros(1, model.latent_channels, latent, latent, **options),
            torch.tensor(1, device=model.device),
            torch.zeros(1, 77, int(model.unet.config.cross_attention_dim), **options),
        )
    return float(counter.get_total_flops())


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
