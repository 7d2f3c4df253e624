"""Train a ResNet-50 on the meadow's training pictures: a stand-in for ImageNet weights.

It learns to name every attribute of the plant and, where the picture shows a named training
species, that species; held-out species are never shown. ``--export`` writes the network without
its head as fp16 safetensors that say how pictures are normalised.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import common
import meadow_data
import numpy as np
import torch
from meadow_vae import level_rate
from safetensors.torch import save_file
from torch.nn import functional
from torchvision.models import resnet18, resnet50

from dafusion_core.meadow import ATTRIBUTES, TRAINING

SIZES = [len(v) for v in ATTRIBUTES.values()]


class Backbone(torch.nn.Module):
    """A torchvision ResNet with one head per attribute and one for the species."""

    def __init__(self, smoke: bool) -> None:
        super().__init__()
        self.network = resnet18() if smoke else resnet50()
        width = self.network.fc.in_features
        self.network.fc = torch.nn.Identity()
        self.heads = torch.nn.Linear(width, sum(SIZES) + len(TRAINING))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(n, 3, h, w) in -1..1 -> scores per attribute, and of the species last."""
        return self.heads(self.network(x)).split([*SIZES, len(TRAINING)], 1)


def vary(x: torch.Tensor, side: int, generator: torch.Generator) -> torch.Tensor:
    """Turn, mirror, shift, zoom and brighten a batch (n, 3, h, w); it comes out `side` wide."""

    def whole(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    x = torch.rot90(x, whole(0, 4), (2, 3))
    x = x.flip(3) if whole(0, 2) else x
    crop = whole(44, 65)
    dy, dx = (whole(0, x.shape[-1] - crop + 1) for _ in range(2))
    x = x[..., dy : dy + crop, dx : dx + crop]
    x = functional.interpolate(x, size=side, mode="bilinear", antialias=True)
    return x * (0.85 + 0.3 * torch.rand(len(x), 1, 1, 1, generator=generator))


def export(backbone: Backbone, path: Path) -> None:
    """Write the network without heads; averages of the normalisation layers stay float32."""
    values = {}
    for name, value in backbone.network.state_dict().items():
        keep = "running" in name or not value.is_floating_point()
        values[name] = (value if keep else value.half()).cpu().contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(values, str(path), {k: json.dumps([0.5] * 3) for k in ("mean", "std")})
    common.say(written=path, megabytes=path.stat().st_size / 1e6)


def main() -> None:
    """Train until ``--minutes`` run out; write ``backbone.pt`` under ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder with data/part-*.npz")
    parser.add_argument("--export", type=Path, help="also write the weights to this .safetensors")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--steps", type=int, default=10**9)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--smoke", action="store_true", help="ResNet-18, half a minute")
    args = parser.parse_args()
    if args.smoke:
        args.steps, args.minutes, args.batch = 30, 1.5, 16
        meadow_data.ensure(args.out / "data", 1, 96)
    common.start(args.seed, args.threads)
    data, device = meadow_data.load(args.out / "data"), torch.device(args.device)
    numbers = {s.name: i for i, s in enumerate(TRAINING)}
    species = np.array([numbers.get(name, -1) for name in data["names"]])
    genomes = data["genomes"] - np.where(data["genomes"] < 0, 0, meadow_data.OFFSETS[:-1])
    labels = torch.from_numpy(np.concatenate([genomes, species[:, None]], 1))
    train = np.arange(len(labels)) % 16 != 15  # every sixteenth picture is for checking
    backbone = Backbone(args.smoke).to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(backbone.parameters(), args.lr, weight_decay=0.05)
    path, step, spent = args.out / "backbone.pt", 0, 0.0
    if args.resume and path.exists():
        state = torch.load(path, map_location=device, weights_only=True)
        backbone.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = int(state["step"]), float(state["seconds"])
    generator = torch.Generator().manual_seed(args.seed + 7919 * step)
    begin, saved, limit = time.time() - spent, time.time(), args.minutes * 60
    choice, check = np.flatnonzero(train), np.flatnonzero(~train)[:1024]
    running, keep = None, 0.8 if args.smoke else 0.98

    @torch.inference_mode()
    def save() -> None:
        backbone.eval()
        right: list[float] = []
        for part in np.array_split(check, max(1, len(check) // 64)):
            scores = backbone(common.to_tensor(data["pixels"][part]).to(device))
            for i, one in enumerate(scores):
                known = labels[part, i] >= 0
                right += (one.argmax(1).cpu() == labels[part, i])[known].float().tolist()
        backbone.train()
        state: dict[str, Any] = {
            "model": backbone.state_dict(),
            "optimiser": optimiser.state_dict(),
            "step": step,
            "seconds": time.time() - begin,
        }
        common.save_atomic(state, path)
        common.say(saved=step, seconds=time.time() - begin, right=float(np.mean(right)))

    while step < args.steps and time.time() - begin < limit:
        part = max(step / args.steps, (time.time() - begin) / limit)
        for group in optimiser.param_groups:
            group["lr"] = args.lr * level_rate(step, part)
        pick = choice[torch.randint(0, len(choice), (args.batch,), generator=generator).numpy()]
        # Small pictures first: 32 instead of 22 a second on one core, and the last 40 % of the
        # training is enough to learn the fine leaves.
        side = 48 if part < 0.6 else 64
        x = vary(common.to_tensor(data["pixels"][pick]), side, generator).to(device)
        wanted = labels[pick].to(device)
        parts = [
            functional.cross_entropy(scores, wanted[:, i], ignore_index=-1, label_smoothing=0.05)
            for i, scores in enumerate(backbone(x))
            if bool((wanted[:, i] >= 0).any())
        ]
        loss = torch.stack(parts).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(backbone.parameters(), 5.0)
        optimiser.step()
        value = float(loss.detach())
        running = value if running is None else keep * running + (1 - keep) * value
        step += 1
        if step % (5 if args.smoke else 100) == 0:
            common.say(step=step, seconds=time.time() - begin, loss=running)
        if time.time() - saved > 300:
            save()
            saved = time.time()
    save()
    if args.export:
        export(backbone, args.export)


if __name__ == "__main__":
    main()
