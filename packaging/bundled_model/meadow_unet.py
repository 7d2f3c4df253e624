"""Train the denoising UNet of the meadow model with its text encoder on cached latents.

Noise prediction with min-SNR-5 weights, plants counted more than ground, 10 % empty captions,
stratified timesteps, AdamW with a level learning rate that falls to nothing over the last fifth of
``--minutes``, exponential moving average. Half of the captions name the species (or hold the
placeholder whose vector is the sum of the species' attributes), the others describe it in words.
A finished training goes on with ``--resume`` and a larger ``--minutes``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import common
import meadow_data
import numpy as np
import torch
from meadow_models import (
    PLACEHOLDER,
    build_unet,
    conditioner,
    encode,
    fit,
    load_vae,
    token_ids,
    tokenizer,
    train_scheduler,
)
from meadow_vae import level_rate

from dafusion_core.engine.parallel import run_parts
from dafusion_core.engine.templates import OBJECT_TEMPLATES
from dafusion_core.meadow import describe, write_caption

CAPTIONS = 6  # different captions that each picture gets
PLANT_WEIGHT = 3.0  # a latent cell full of plant counts this much more than one of bare ground


def min_snr(alphas: torch.Tensor, t: torch.Tensor, gamma: float = 5.0) -> torch.Tensor:
    """(n,) weights min(snr, gamma) / snr of the noise-prediction loss (Hang et al. 2023)."""
    snr = alphas[t] / (1 - alphas[t])
    return snr.clamp(max=gamma) / snr


def captions_of(index: int, ground: str, light: str) -> list[str]:
    """``CAPTIONS`` captions of training picture ``index``: by token, in words, in general."""
    species = meadow_data.species_of(index)
    rng = np.random.default_rng([22, index])
    general = ["plant", "weed"] if species.flowerless else ["plant", "weed", "flower"]
    subjects = [PLACEHOLDER] * 3 + [describe(species)] * 2 + [str(rng.choice(general))]
    # half in the sentences that textual inversion will use, so that they mean nothing of their own
    frames = [str(rng.choice(OBJECT_TEMPLATES)) if rng.random() < 0.5 else "" for _ in subjects]
    pairs = zip(subjects[:CAPTIONS], frames, strict=False)
    return [write_caption(s, ground, light, rng, frame) for s, frame in pairs]


def latents_of(folder: Path, vae_path: Path, known: dict[str, Any], device: torch.device) -> None:
    """Encode the parts that ``known`` lacks and that stand in ``folder``; join them to it.

    ``known`` gains "latents" (n, 16, 16, 16) float16 scaled means and deviations, "weights"
    (n, 1, 16, 16), "genomes" (n, 7), "captions" (n lists) and "done" (names of the parts).
    """
    vae = None
    for path in sorted(folder.glob("part-*.npz")):
        if path.name in known["done"]:
            continue
        cache = path.with_name(path.stem.replace("part", "latents") + ".pt")
        stamp = vae_path.stat().st_mtime_ns
        with np.load(path) as file:
            part = {k: file[k] for k in file.files}
        state = torch.load(cache, weights_only=True) if cache.exists() else {"stamp": 0}
        if state["stamp"] != stamp:
            vae = load_vae(vae_path).to(device) if vae is None else vae
            latents = encode(vae, common.to_tensor(part["pixels"]).to(device)).cpu()
            state = {"stamp": stamp, "latents": (latents * vae.config.scaling_factor).half()}
            common.save_atomic(state, cache)
        words = meadow_data.json.loads(str(part["words"]))
        first = int(path.stem.split("-")[1]) * meadow_data.PART
        masks = torch.from_numpy(part["masks"]).float()[:, None]
        weights = 1 + PLANT_WEIGHT * torch.nn.functional.avg_pool2d(masks, 4)
        fresh = {
            "latents": state["latents"],
            "weights": weights.half(),
            "genomes": torch.from_numpy(part["genomes"]),
        }
        for key, value in fresh.items():
            known[key] = value if known.get(key) is None else torch.cat([known[key], value])
        known["captions"] += [
            captions_of(first + i, g, w)
            for i, (g, w) in enumerate(zip(words["grounds"], words["lights"], strict=True))
        ]
        known["done"].append(path.name)
        common.say(encoded=path.name)


def main() -> None:
    """Train until ``--minutes`` run out; write ``unet.pt`` under ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder with vae.pt and data/")
    parser.add_argument("--minutes", type=float, default=240)
    parser.add_argument("--steps", type=int, default=10**9)
    parser.add_argument("--size", choices=("smoke", "small", "large"), default="small")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--warm", type=Path, help="earlier unet.pt whose weights to begin with")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1, help="of a batch, each on a core")
    parser.add_argument("--compile", action="store_true", help="faster, after minutes")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--smoke", action="store_true", help="tiny network, a minute")
    args = parser.parse_args()
    if args.smoke:
        args.size, args.steps, args.minutes = "smoke", 80, 1.5
    common.start(args.seed, args.threads)
    device = torch.device(args.device)
    data: dict[str, Any] = {"done": [], "captions": []}
    latents_of(args.out / "data", args.out / "vae.pt", data, device)
    if not data["done"]:
        common.fail("there are no pictures; run meadow_data.py first")
    built = tokenizer()

    def ids_of(captions: list[list[str]]) -> torch.Tensor:
        flat = token_ids(built, [c for several in captions for c in several])
        return flat.view(len(captions), CAPTIONS, -1)

    ids = ids_of(data["captions"])
    empty = token_ids(built, [""])[0]
    unet = build_unet(args.size)
    both = torch.nn.ModuleDict({"unet": unet, "words": conditioner(built)})
    if args.warm:
        state = torch.load(args.warm, map_location="cpu", weights_only=True)
        old = {**state["model"], **state["average"]}
        old = {k: v for k, v in old.items() if "embedding" not in k or "time" in k}
        old = {k.replace("text.", "words.text.", 1): v for k, v in old.items()}
        common.say(warm=args.warm, copied=fit(both, old))
    both = both.to(device)
    unet = unet.to(memory_format=torch.channels_last)
    average = common.Average(both, 0.9 if args.smoke else 0.9985)
    optimiser = torch.optim.AdamW(both.parameters(), args.lr, weight_decay=1e-2, fused=True)
    path, step, spent, samples = args.out / "unet.pt", 0, 0.0, 0
    if args.resume and path.exists():
        state = torch.load(path, map_location=device, weights_only=True)
        both.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        average.values = dict(state["average"])
        step, spent, samples = int(state["step"]), float(state["seconds"]), int(state["samples"])
    noiser = train_scheduler()
    alphas = noiser.alphas_cumprod.to(device)
    generator = torch.Generator().manual_seed(args.seed + 7919 * step)
    begin, saved, loaded = time.time() - spent, time.time(), time.time()
    running, keep, limit = None, 0.8 if args.smoke else 0.99, args.minutes * 60

    def save() -> None:
        state: dict[str, Any] = {
            "model": both.state_dict(),
            "average": average.values,
            "size": args.size,
            "optimiser": optimiser.state_dict(),
            "step": step,
            "seconds": time.time() - begin,
            "samples": samples,
            "error": running,
        }
        common.save_atomic(state, path)
        common.say(saved=step, samples=samples, seconds=time.time() - begin)

    weights_of_unet = list(unet.parameters())
    predict: Any = torch.compile(unet, dynamic=False) if args.compile else unet

    def share_of(
        noisy: torch.Tensor, t: torch.Tensor, hidden: torch.Tensor, noise: torch.Tensor,
        weight: torch.Tensor,
    ) -> tuple[float, tuple[torch.Tensor, ...]]:  # fmt: skip
        """Error of some examples of a batch, summed, and the gradients of their loss."""
        hidden.requires_grad_()
        placed = noisy.contiguous(memory_format=torch.channels_last)
        guess = predict(placed, t, hidden, return_dict=False)[0]
        square = (guess - noise).square()
        error = (square * (weight / weight.mean((1, 2, 3), keepdim=True))).mean((1, 2, 3))
        loss = (error * min_snr(alphas, t)).sum()
        plain = float(square.detach().mean((1, 2, 3)).sum())
        return plain, torch.autograd.grad(loss, [*weights_of_unet, hidden])

    while step < args.steps and time.time() - begin < limit:
        part = max(step / args.steps, (time.time() - begin) / limit)
        for group in optimiser.param_groups:
            group["lr"] = args.lr * level_rate(step, part)
        pick = torch.randint(0, len(ids), (args.batch,), generator=generator)
        mean, std = data["latents"][pick].float().chunk(2, 1)
        x = (mean + std * torch.randn(mean.shape, generator=generator)).to(device)
        which = torch.randint(0, CAPTIONS, (args.batch,), generator=generator)
        drop = torch.rand(args.batch, generator=generator) < 0.1
        prompt = torch.where(drop[:, None], empty, ids[pick, which]).to(device)
        even = torch.arange(args.batch) + torch.rand(args.batch, generator=generator)
        t = (even / args.batch * len(alphas)).long().clamp(max=len(alphas) - 1).to(device)
        noise = torch.randn(x.shape, generator=generator).to(device)
        noisy = noiser.add_noise(x, noise, t)
        hidden = both["words"](prompt, data["genomes"][pick].to(device), 0.1)
        weight = data["weights"][pick].float().to(device)
        optimiser.zero_grad(set_to_none=True)
        rows = [x.tensor_split(args.parts) for x in (noisy, t, hidden.detach(), noise, weight)]
        found = run_parts(share_of, list(zip(*rows, strict=True)))
        for place, p in enumerate(weights_of_unet):
            p.grad = sum(gradients[place] for _, gradients in found) / args.batch
        hidden.backward(torch.cat([gradients[-1] for _, gradients in found]) / args.batch)
        torch.nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        optimiser.step()
        average.update(both, step)
        value = sum(error for error, _ in found) / args.batch
        running = value if running is None else keep * running + (1 - keep) * value
        step, samples = step + 1, samples + args.batch
        if step % (10 if args.smoke else 100) == 0:
            common.say(step=step, samples=samples, seconds=time.time() - begin, error=running)
        if time.time() - saved > 180:
            save()
            saved = time.time()
        if time.time() - loaded > 600 and not args.smoke:  # parts drawn in the meantime
            before = len(data["captions"])
            latents_of(args.out / "data", args.out / "vae.pt", data, device)
            ids = (
                torch.cat([ids, ids_of(data["captions"][before:])])
                if before < len(data["captions"])
                else ids
            )
            loaded = time.time()
    save()


if __name__ == "__main__":
    main()
