"""Train the autoencoder of the meadow model on random crops.

Loss: saturation-weighted L1 + 2 L2 (10 L2 over the last fifth, for fidelity) + L1 of the picture
gradients + a KL term so small that no latent channel is closed. A third of the crops get their hue
turned. After three fifths of ``--minutes`` whole pictures replace the crops. The learning rate is
level and falls to nothing over the last fifth; a finished training goes on with ``--resume`` and a
larger ``--minutes``.

``--decoder-only`` leaves the encoder of ``vae.pt`` alone, and with it the latents that the UNet is
trained on, and writes ``vae-polished.pt``.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import common
import meadow_data
import numpy as np
import torch
from meadow_models import build_vae, encode, fit, reconstruct

from dafusion_core.meadow import HELD_OUT, TRAINING, draw_picture


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


def level_rate(step: int, part: float) -> float:
    """Learning-rate factor: 100 steps of warm-up, level, linear to 0.02 over the last fifth."""
    return min(1.0, (step + 1) / 100) * min(1.0, max(0.02, (1 - part) / 0.2))


def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Reconstruction loss of ``y`` against ``x``, both (n, 3, h, w) in -1..1."""
    saturation = x.amax(1, keepdim=True) - x.amin(1, keepdim=True)
    d = y - x
    total = (d.abs() * (1 + saturation)).mean() + 2 * d.square().mean()
    gx, gy = d[..., 1:] - d[..., :-1], d[..., 1:, :] - d[..., :-1, :]
    return total + gx.abs().mean() + gy.abs().mean()


def probe_set(count: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, 64, 64, 3) pixels of pictures that no training sees, and which show held-out species."""
    names = [*TRAINING[: 2 * count], *HELD_OUT[:count]]
    seeds = [common.CHECK_SEED + 8 * i for i in range(len(names))]
    pictures = [draw_picture(s, k) for s, k in zip(names, seeds, strict=True)]
    return np.stack([p.pixels for p in pictures]), np.arange(len(names)) >= len(names) - count


def main() -> None:
    """Train until ``--minutes`` run out; write ``vae.pt`` under ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder with data/part-*.npz")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--steps", type=int, default=10**9)
    parser.add_argument("--size", choices=("smoke", "small", "large"), default="small")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--crop", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--kl", type=float, default=1e-7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--warm", type=Path, help="checkpoint whose weights to begin with")
    parser.add_argument("--decoder-only", action="store_true", help="polish the decoder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--smoke", action="store_true", help="tiny network and set, a minute")
    args = parser.parse_args()
    if args.smoke:
        args.size, args.steps, args.minutes = "smoke", 60, 1.5
        meadow_data.ensure(args.out / "data", 1, 96)
    common.start(args.seed, args.threads)
    data, device = meadow_data.load(args.out / "data"), torch.device(args.device)
    pixels, held = probe_set(2 if args.smoke else 24)
    probe = common.to_tensor(pixels)
    path, scale = args.out / "vae.pt", None
    if args.decoder_only:
        state = torch.load(path, map_location="cpu", weights_only=True)
        args.size, args.warm, scale = str(state["size"]), path, float(state["scale"])
        path = args.out / "vae-polished.pt"
    vae = build_vae(args.size)
    if args.warm:
        state = torch.load(args.warm, map_location="cpu", weights_only=True)
        common.say(warm=args.warm, copied=fit(vae, state["average"]))
    vae = vae.to(device, memory_format=torch.channels_last)
    average = common.Average(vae, 0.99 if args.smoke else 0.998)
    if args.decoder_only:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    trained = [p for p in vae.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, args.lr, weight_decay=1e-4)
    step, spent, samples = 0, 0.0, 0
    if args.resume and path.exists():
        state = torch.load(path, map_location=device, weights_only=True)
        vae.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        average.values = {k: state["average"][k].clone() for k in average.values}
        step, spent, samples = int(state["step"]), float(state["seconds"]), int(state["samples"])
    rng = np.random.default_rng(args.seed + step)
    begin, saved, loaded = time.time() - spent, time.time(), time.time()
    running, keep, limit = None, 0.8 if args.smoke else 0.98, args.minutes * 60

    def save() -> None:
        judge = build_vae(args.size).eval().to(memory_format=torch.channels_last)
        judge.load_state_dict({k: v.cpu() for k, v in vae.state_dict().items()})
        average.copy_to(judge)
        back = common.to_pixels(reconstruct(judge, probe))
        mean, noise = encode(judge, probe).split(judge.config.latent_channels, 1)
        state: dict[str, Any] = {
            "model": vae.state_dict(),
            "average": judge.state_dict(),
            "size": args.size,
            "optimiser": optimiser.state_dict(),
            "step": step,
            "samples": samples,
            "seconds": time.time() - begin,
            "scale": scale or 1 / float(mean.std()),
        }
        common.save_atomic(state, path)
        common.say(
            saved=step,
            samples=samples,
            seconds=time.time() - begin,
            live_channels=int((noise.mean((0, 2, 3)) < 0.5 * mean.std((0, 2, 3))).sum()),
            psnr_known=common.psnr(pixels[~held], back[~held]),
            psnr_held_out=common.psnr(pixels[held], back[held]),
        )

    while step < args.steps and time.time() - begin < limit:
        part = max(step / args.steps, (time.time() - begin) / limit)
        for group in optimiser.param_groups:
            group["lr"] = args.lr * level_rate(step, part)
        # crops first, because they vary more; whole pictures later, because the normalisation
        # layers average over what they see
        whole = part > 0.6 and args.crop < 64
        count, crop = (max(4, args.batch // 4), 64) if whole else (args.batch, args.crop)
        x = batch_of(data["pixels"], count, crop, rng).to(device)
        latent = vae.encode(x).latent_dist
        y = vae.decode(latent.sample()).sample
        loss = loss_of(x, y) + args.kl * latent.kl().mean()
        fidelity = 8 * (y - x).square().mean() if part >= 0.8 else 0.0  # not in what is printed
        optimiser.zero_grad(set_to_none=True)
        (loss + fidelity).backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        average.update(vae, step)
        value = float(loss.detach())
        running = value if running is None else keep * running + (1 - keep) * value
        step, samples = step + 1, samples + count
        if step % (10 if args.smoke else 100) == 0:
            common.say(step=step, seconds=time.time() - begin, loss=running)
        if time.time() - saved > 180:
            save()
            saved = time.time()
        if time.time() - loaded > 300 and not args.smoke:  # parts drawn in the meantime
            data, loaded = meadow_data.load(args.out / "data"), time.time()
    save()


if __name__ == "__main__":
    main()
