"""Train the denoising UNet and the text encoder together on cached latents.

Noise prediction, min-SNR-5 weights, 10 % empty captions, stratified timesteps, AdamW with a
cosine schedule, exponential moving average. Every picture is encoded once; each step draws from
the latents' means and standard deviations. Mirroring is left out: the renderer has no side.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch
from models import (
    all_words,
    build_text,
    build_tokenizer,
    build_unet,
    encode,
    load_vae,
    token_ids,
    train_scheduler,
)
from plants import TRAINED


def latent_cache(path: Path, vae_path: Path, pixels: np.ndarray) -> torch.Tensor:
    """(n, 16, 16, 16) float16: scaled means (8 channels) and deviations (8) of the pictures."""
    if path.exists() and path.stat().st_mtime >= vae_path.stat().st_mtime:
        return torch.load(path, map_location="cpu", weights_only=True)["latents"]
    begin, vae = time.time(), load_vae(vae_path)
    scale = float(vae.config.scaling_factor)
    parts = [
        encode(vae, common.to_tensor(pixels[i : i + 512])).mul_(scale).half()
        for i in range(0, len(pixels), 512)
    ]
    latents = torch.cat(parts)
    common.save_atomic({"latents": latents}, path)
    common.say(encoded=len(pixels), seconds=time.time() - begin)
    return latents


def min_snr(alphas: torch.Tensor, t: torch.Tensor, gamma: float = 5.0) -> torch.Tensor:
    """(n,) weights min(snr, gamma) / snr of the noise-prediction loss (Hang et al. 2023)."""
    snr = alphas[t] / (1 - alphas[t])
    return snr.clamp(max=gamma) / snr


def main() -> None:
    """Train until ``--minutes`` or ``--steps`` run out; write ``unet.pt`` under ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder that holds vae.pt")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--per-class", type=int, default=1600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--smoke", action="store_true", help="tiny network, under a minute")
    args = parser.parse_args()
    if args.smoke:
        args.per_class, args.minutes, args.steps, args.batch = 8, 0.6, 80, 16
    common.start(args.seed, args.threads)
    data = common.cached_set(
        args.out / "data" / f"train-{args.per_class}.npz",
        list(TRAINED),
        args.per_class,
        common.TRAIN_SEED,
        recolour=0.12,
        seed=args.seed,
    )
    latents = latent_cache(
        args.out / "data" / f"latents-{args.per_class}.pt", args.out / "vae.pt", data["pixels"]
    )
    half = latents.shape[1] // 2
    tokenizer = build_tokenizer(all_words())
    ids = token_ids(tokenizer, [*data["captions"], ""])
    text = build_text(len(tokenizer), int(tokenizer.eos_token_id))
    unet = build_unet(args.smoke).to(memory_format=torch.channels_last)
    both = torch.nn.ModuleDict({"unet": unet, "text": text})
    average = common.Average(both, 0.998)
    optimiser = torch.optim.AdamW(both.parameters(), args.lr, weight_decay=1e-2)
    path, step, spent, samples = args.out / "unet.pt", 0, 0.0, 0
    if args.resume and path.exists():
        state = torch.load(path, map_location="cpu", weights_only=True)
        both.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        average.values = dict(state["average"])
        step, spent = int(state["step"]), float(state["seconds"])
        samples = int(state["samples"])
    noiser = train_scheduler()
    alphas = noiser.alphas_cumprod
    generator = torch.Generator().manual_seed(args.seed + 7919 * step)
    begin, saved, limit = time.time() - spent, time.time(), args.minutes * 60
    n = len(latents)
    running, keep = None, 0.8 if args.smoke else 0.99
    # channels that the autoencoder left unused hold only noise: they count for little
    signal, noise_level = latents[:2000].float().split(half, 1)
    unused = noise_level.mean((0, 2, 3)) > signal.std((0, 2, 3))
    share = torch.where(unused, 0.1, 1.0)[None, :, None, None]
    common.say(unused_channels=int(unused.sum()))

    def save() -> None:
        state: dict[str, Any] = {
            "model": both.state_dict(),
            "average": average.values,
            "smoke": args.smoke,
            "optimiser": optimiser.state_dict(),
            "step": step,
            "seconds": time.time() - begin,
            "samples": samples,
        }
        common.save_atomic(state, path)
        common.say(saved=step, samples=samples, seconds=time.time() - begin)

    while step < args.steps and time.time() - begin < limit:
        part = max(step / args.steps, (time.time() - begin) / limit)
        for group in optimiser.param_groups:
            group["lr"] = args.lr * min((step + 1) / 100, common.cosine(int(part * 1e4), 10000, 1))
        pick = torch.randint(0, n, (args.batch,), generator=generator)
        mean, std = latents[pick].float().split(half, 1)
        x = mean + std * torch.randn(mean.shape, generator=generator)
        drop = torch.rand(args.batch, generator=generator) < 0.1
        prompt = ids[torch.where(drop, len(ids) - 1, pick)]
        even = torch.arange(args.batch) + torch.rand(args.batch, generator=generator)
        t = (even / args.batch * len(alphas)).long().clamp(max=len(alphas) - 1)
        noise = torch.randn(x.shape, generator=generator)
        noisy = noiser.add_noise(x, noise, t).contiguous(memory_format=torch.channels_last)
        guess = unet(noisy, t, text(prompt)[0]).sample
        error = ((guess - noise).square() * share).mean((1, 2, 3)) / share.mean()
        loss = (error * min_snr(alphas, t)).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        optimiser.step()
        average.update(both, step)
        value = float(error.detach().mean())
        running = value if running is None else keep * running + (1 - keep) * value
        step, samples = step + 1, samples + args.batch
        if step % (10 if args.smoke else 100) == 0:
            common.say(step=step, seconds=time.time() - begin, error=running)
        if time.time() - saved > 120:
            save()
            saved = time.time()
    save()


if __name__ == "__main__":
    main()
