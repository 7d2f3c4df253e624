"""Judge an exported model with an independent classifier trained on rendered pictures.

Prints: the classifier's accuracy on fresh renders, the autoencoder's PSNR and how many of its
reconstructions are still recognised, how many text-to-image pictures are recognised as the
species they were asked for, how many varied pictures (img2img) keep their species, and timings.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from models import reconstruct
from PIL import Image
from plants import HELD_OUT, TRAINED
from render import sheet
from torch import nn
from torch.nn import functional

SPECIES = [*TRAINED, *HELD_OUT]


class Judge(nn.Module):
    """Small residual network, (n, 3, 64, 64) in -1..1 -> (n, classes)."""

    def __init__(self, classes: int, width: int = 24) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 2, 1)
        self.down, self.body = nn.ModuleList(), nn.ModuleList()
        for i in range(3):
            a, b = width * 2**i, width * 2 ** (i + 1)
            self.down.append(nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b)))
            self.body.append(
                nn.Sequential(
                    nn.Conv2d(b, b, 3, 1, 1),
                    nn.BatchNorm2d(b),
                    nn.ReLU(),
                    nn.Conv2d(b, b, 3, 1, 1),
                    nn.BatchNorm2d(b),
                )
            )
        self.head = nn.Linear(width * 8, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores."""
        x = functional.relu(self.stem(x))
        for down, body in zip(self.down, self.body, strict=True):
            x = functional.relu(down(x))
            x = functional.relu(x + body(x))
        return self.head(x.mean((2, 3)))


def train_judge(pixels: torch.Tensor, labels: torch.Tensor, steps: int, seed: int) -> Judge:
    """Train on renders with flips, shifts, brightness changes and, half the time, blur."""
    generator = torch.Generator().manual_seed(seed)
    judge = Judge(len(SPECIES)).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(judge.parameters(), 2e-3, weight_decay=0.02)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * common.cosine(step, steps, 20)
        pick = torch.randint(0, len(pixels), (64,), generator=generator)
        x = pixels[pick]
        if torch.rand((), generator=generator) < 0.5:
            x = x.flip(3)
        dy, dx = torch.randint(-5, 6, (2,), generator=generator).tolist()
        x = torch.roll(x, (dy, dx), (2, 3))
        x = x * (0.85 + 0.3 * torch.rand(64, 1, 1, 1, generator=generator))
        if torch.rand((), generator=generator) < 0.5:
            size = int(torch.randint(26, 48, (), generator=generator))
            small = functional.interpolate(x, size=size, mode="bilinear", antialias=True)
            x = functional.interpolate(small, size=64, mode="bilinear")
        loss = functional.cross_entropy(judge(x), labels[pick], label_smoothing=0.05)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if (step + 1) % 200 == 0:
            common.say(judge_step=step + 1, loss=float(loss.detach()))
    return judge.eval()


@torch.no_grad()
def decide(judge: Judge, pixels: np.ndarray) -> np.ndarray:
    """(n,) predicted species numbers of uint8 pictures."""
    return np.concatenate([judge(p).argmax(1).numpy() for p in common.to_tensor(pixels).split(128)])


def get_judge(args: argparse.Namespace) -> Judge:
    """The classifier kept in ``--work``, trained when it is missing."""
    path = args.work / "judge.pt"
    judge = Judge(len(SPECIES))
    if path.exists():
        judge.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        return judge.eval()
    data = common.cached_set(
        args.work / "data" / f"judge-{args.judge_pictures}.npz",
        SPECIES,
        args.judge_pictures,
        common.CHECK_SEED + 100_000,
        seed=3,
    )
    judge = train_judge(
        common.to_tensor(data["pixels"]),
        torch.from_numpy(data["labels"]),
        args.judge_steps,
        args.seed,
    )
    common.save_atomic(judge.state_dict(), path)
    return judge


def per_class(found: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    """Share of right decisions per species that occurs in ``wanted``."""
    return {
        SPECIES[k]: round(float((found[wanted == k] == k).mean()), 3)
        for k in np.unique(wanted).tolist()
    }


def main() -> None:
    """Run every check; write ``check.json`` and contact sheets under ``--work``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=common.RESOURCES / "models" / "bundled")
    parser.add_argument("--work", type=Path, required=True, help="cache and report folder")
    parser.add_argument("--per-concept", type=int, default=16)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--judge-pictures", type=int, default=250, help="renders per species")
    parser.add_argument("--judge-steps", type=int, default=900)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    if args.smoke:
        args.judge_pictures, args.judge_steps, args.per_concept, args.steps = 12, 40, 1, 4
    common.start(args.seed, 0)
    judge = get_judge(args)
    fresh = common.cached_set(
        args.work / "data" / f"fresh-{2 if args.smoke else 40}.npz",
        SPECIES,
        2 if args.smoke else 40,
        common.CHECK_SEED + 50_000,
        seed=4,
    )
    pixels, labels = fresh["pixels"], fresh["labels"]
    known = labels < len(TRAINED)
    report: dict[str, Any] = {"judge_on_renders": per_class(decide(judge, pixels), labels)}
    pipe = StableDiffusionPipeline.from_pretrained(args.model)
    pipe.set_progress_bar_config(disable=True)
    back = common.to_pixels(reconstruct(pipe.vae, common.to_tensor(pixels)))
    report["reconstruction"] = {
        "psnr_known": common.psnr(pixels[known], back[known]),
        "psnr_held_out": common.psnr(pixels[~known], back[~known]),
        "recognised": per_class(decide(judge, back), labels),
    }
    rows = [list(stack[i : i + 12]) for i in (0, 12, 24) for stack in (pixels, back)]
    sheet([r[: len(pixels)] for r in rows if r]).save(args.work / "reconstructions.png")
    rows, found, wanted, begin = [], [], [], time.time()
    for k, name in enumerate(TRAINED):
        article = "an" if name[0] in "aeiou" else "a"
        generator = torch.Generator().manual_seed(args.seed + 100 + k)
        out = pipe(
            [f"a photo of {article} {name}"] * args.per_concept,
            generator=generator,
            num_inference_steps=args.steps,
            guidance_scale=args.guidance,
            output_type="np",
        )
        drawn = (out.images * 255).round().astype(np.uint8)
        rows.append(list(drawn[:12]))
        found.append(decide(judge, drawn))
        wanted.append(np.full(len(drawn), k))
    seconds = (time.time() - begin) / (len(TRAINED) * args.per_concept)
    hits = per_class(np.concatenate(found), np.concatenate(wanted))
    taken = {
        n: {SPECIES[j]: int((f == j).sum()) for j in np.unique(f).tolist()}
        for n, f in zip(TRAINED, found, strict=True)
    }
    report["text_to_image"] = {
        "recognised": hits,
        "mean": float(np.mean(list(hits.values()))),
        "taken_for": taken,
        "seconds_per_image": seconds,
    }
    sheet(rows).save(args.work / "text-to-image.png")
    vary = StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
    vary.set_progress_bar_config(disable=True)
    chosen = [i for k in range(len(SPECIES)) for i in np.flatnonzero(labels == k)[:2]]
    rows, keeps = [list(pixels[chosen[-12:]])], {}
    for strength in (0.25, 0.5, 0.75, 1.0):
        out = vary(
            [f"a photo of a {SPECIES[labels[i]] if known[i] else 'plant'}" for i in chosen],
            image=[Image.fromarray(pixels[i]) for i in chosen],
            strength=strength,
            generator=torch.Generator().manual_seed(args.seed),
            num_inference_steps=args.steps,
            guidance_scale=args.guidance,
            output_type="np",
        )
        drawn = (out.images * 255).round().astype(np.uint8)
        right = decide(judge, drawn) == labels[chosen]
        keeps[str(strength)] = {
            "known": float(right[known[chosen]].mean()),
            "held_out_as_plant": float(right[~known[chosen]].mean()),
        }
        rows.append(list(drawn[-12:]))
    report["img2img_recognised"] = keeps
    sheet(rows, 3).save(args.work / "img2img.png")
    (args.work / "check.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
