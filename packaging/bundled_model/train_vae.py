"""Train the autoencoder on random crops of rendered plants.

Loss: saturation-weighted L1 + 0.5 L2 + 0.5 L1 of the picture gradients + a tiny KL term. A third
of the crops get their hue turned, so that colours no training species has are kept as well.
The last quarter of the time trains the decoder against whole pictures.

``--decoder-only`` goes on from an existing ``vae.pt`` without touching its encoder: latents that
were cached for the UNet stay valid, so the decoder can be polished while the UNet trains.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch
from models import build_vae, encode, reconstruct
from plants import HELD_OUT, TRAINED


def hue_matrix(angle: torch.Tensor) -> torch.Tensor:
    """(n,) radians -> (n, 3, 3) rotations of RGB about the grey axis (keeps the mean)."""
    c, s = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    grey = torch.full((3, 3), 1 / 3)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    return grey + c * (torch.eye(3) - grey) + s * cross


def batch_of(pixels: np.ndarray, n: int, crop: int, rng: np.random.Generator) -> torch.Tensor:
    """``n`` random flipped crops as (n, 3, crop, crop); a third with their hue turned."""
    rows = []
    for i in rng.integers(0, len(pixels), n).tolist():
        y, x = rng.integers(0, pixels.shape[1] - crop + 1, 2).tolist()
        part = pixels[i, y : y + crop, x : x + crop]
        rows.append(part[:, ::-1] if rng.random() < 0.5 else part)
    x = common.to_tensor(np.stack(rows))
    angle = torch.from_numpy(rng.uniform(0, 2 * math.pi, n) * (rng.random(n) < 0.35)).float()
    turned = torch.einsum("nij,njhw->nihw", hue_matrix(angle), x).clamp(-1, 1)
    return turned.contiguous(memory_format=torch.channels_last)


def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Reconstruction loss of ``y`` against ``x``, both (n, 3, h, w) in -1..1."""
    saturation = x.amax(1, keepdim=True) - x.amin(1, keepdim=True)
    d = y - x
    total = (d.abs() * (1 + 1.5 * saturation)).mean() + 0.5 * d.square().mean()
    gx, gy = d[..., 1:] - d[..., :-1], d[..., 1:, :] - d[..., :-1, :]
    return total + 0.5 * (gx.abs().mean() + gy.abs().mean())


def main() -> None:
    """Train until ``--minutes`` or ``--steps`` run out; write ``vae.pt`` under ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--crop", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--kl", type=float, default=1e-5)
    parser.add_argument("--per-class", type=int, default=1600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--decoder-only", action="store_true", help="polish a finished vae.pt")
    parser.add_argument("--smoke", action="store_true", help="tiny network, under a minute")
    args = parser.parse_args()
    if args.smoke:
        args.per_class, args.minutes, args.steps = 8, 0.6, 80
    common.start(args.seed, args.threads)
    data = common.cached_set(
        args.out / "data" / f"train-{args.per_class}.npz",
        list(TRAINED),
        args.per_class,
        common.TRAIN_SEED,
        recolour=0.12,
        seed=args.seed,
    )
    held = common.cached_set(
        args.out / "data" / f"vae-check-{'s' if args.smoke else 'f'}.npz",
        [*TRAINED, *HELD_OUT],
        2 if args.smoke else 8,
        common.CHECK_SEED,
        seed=1,
    )
    probe, known = common.to_tensor(held["pixels"]), held["labels"] < len(TRAINED)
    vae = build_vae(args.smoke).to(memory_format=torch.channels_last)
    average = common.Average(vae, 0.99)
    optimiser = torch.optim.AdamW(vae.parameters(), args.lr, weight_decay=1e-4)
    path, step, spent, fixed_scale = args.out / "vae.pt", 0, 0.0, 0.0
    if args.decoder_only:
        state = torch.load(path, map_location="cpu", weights_only=True)
        vae.load_state_dict(state["average"])
        average = common.Average(vae, 0.99)
        fixed_scale, path = float(state["scale"]), args.out / "vae-polished.pt"
    if args.resume and path.exists():
        state = torch.load(path, map_location="cpu", weights_only=True)
        vae.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        average.values = dict(state["average"])
        step, spent = int(state["step"]), float(state["seconds"])
    rng = np.random.default_rng(args.seed + step)
    begin, saved = time.time() - spent, time.time()
    running, keep = None, 0.8 if args.smoke else 0.98
    limit = args.minutes * 60

    def finish() -> None:
        judge = build_vae(args.smoke).eval().to(memory_format=torch.channels_last)
        judge.load_state_dict(vae.state_dict())
        average.copy_to(judge)
        back = common.to_pixels(reconstruct(judge, probe))
        latents = encode(judge, probe)[:, : judge.config.latent_channels]
        state: dict[str, Any] = {
            "model": vae.state_dict(),
            "average": judge.state_dict(),
            "smoke": args.smoke,
            "optimiser": optimiser.state_dict(),
            "step": step,
            "seconds": time.time() - begin,
            "scale": fixed_scale or 1 / float(latents.std()),
        }
        common.save_atomic(state, path)
        common.say(
            saved=step,
            seconds=time.time() - begin,
            scale=state["scale"],
            psnr_known=common.psnr(held["pixels"][known], back[known]),
            psnr_held_out=common.psnr(held["pixels"][~known], back[~known]),
        )

    while step < args.steps and time.time() - begin < limit:
        part = max(step / args.steps, (time.time() - begin) / limit)
        for group in optimiser.param_groups:
            group["lr"] = args.lr * min((step + 1) / 100, common.cosine(int(part * 1e4), 10000, 1))
        whole = part > 0.75 or args.decoder_only
        x = batch_of(
            data["pixels"],
            args.batch // 4 if whole else args.batch,
            64 if whole else args.crop,
            rng,
        )
        if whole:  # the latents keep still while the decoder is polished
            with torch.no_grad():
                d = vae.encode(x).latent_dist
            loss = loss_of(x, vae.decode(d.mean + 0.5 * d.std * torch.randn_like(d.std)).sample)
        else:
            d = vae.encode(x).latent_dist
            loss = loss_of(x, vae.decode(d.sample()).sample) + args.kl * d.kl().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        average.update(vae, step)
        value = float(loss.detach())
        running = value if running is None else keep * running + (1 - keep) * value
        step += 1
        if step % (10 if args.smoke else 100) == 0:
            common.say(step=step, seconds=time.time() - begin, loss=running)
        if time.time() - saved > 120:
            finish()
            saved = time.time()
    finish()


if __name__ == "__main__":
    main()
