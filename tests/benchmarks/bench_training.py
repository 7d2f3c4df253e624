"""How fast training is, as ratios to the plain way in the same run.

`python packaging/dev.py bench -k training`; the figures are printed as one JSON object.
On a GPU: `python -m tests.benchmarks.bench_training --device cuda:0`: the protocol `paper` with a
ResNet-50 at 256 pixels, decoded pictures in memory and augmentation on the device, against the
loop of the published programs on the same device.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dafusion_core.domain.inputs import ImageInput, TrainingInputs
from dafusion_core.domain.specs import Arm, TrainingSpec, derive_seed
from dafusion_core.engine.torch_setup import prepare, torch
from dafusion_core.jobs.context import NullContext

pytestmark = pytest.mark.slow

SIDE, PER_CLASS, CLASSES = 64, 8, 3
EPOCHS, STEPS, BATCH = 10, 40, 32


def make_inputs(root: Path, side: int = SIDE) -> TrainingInputs:
    rng = np.random.default_rng(0)
    images = []
    for number in range(2 * PER_CLASS * CLASSES):
        values = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(values).save(root / f"{number}.png")
        images.append(ImageInput(number, f"{number}.png", f"sha{number}", number % CLASSES))
    half = len(images) // 2
    return TrainingInputs(tuple("abc"), tuple(images[:half]), (), tuple(images[half:]))


def reference_images_per_second(
    root: Path,
    inputs: TrainingInputs,
    steps: int,
    device: str = "cpu",
    backbone: str = "resnet18",
    side: int = SIDE,
) -> float:
    """The published programs' loop: read, augment and run every picture through the network."""
    from torchvision.transforms import v2

    from dafusion_core.engine.classifiers import build_classifier

    network = build_classifier(backbone, CLASSES, "", derive_seed("weights", 0)).to(device)
    network.requires_grad_(False)
    head = network.fc
    head.requires_grad_(True)  # type: ignore[union-attr]
    optimiser = torch.optim.Adam(network.fc.parameters(), lr=1e-4)  # type: ignore[union-attr]
    transform = v2.Compose([
        v2.Resize((side, side)), v2.RandomHorizontalFlip(), v2.RandomRotation(15),
        v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3),
    ])  # fmt: skip
    rng = np.random.default_rng(0)
    network.train()
    begin = time.perf_counter()
    for _ in range(steps):
        chosen = [inputs.train[i] for i in rng.integers(0, len(inputs.train), BATCH)]
        pictures = torch.stack(
            [transform(Image.open(root / image.path).convert("RGB")) for image in chosen]
        )
        logits = network(pictures.to(device))
        labels = torch.tensor([image.label for image in chosen]).to(device)
        loss = torch.nn.functional.cross_entropy(logits, labels)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    wait(device)
    return steps * BATCH / (time.perf_counter() - begin)


def wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def ours_seconds(
    root: Path,
    inputs: TrainingInputs,
    protocol: str,
    epochs: int,
    device: str = "cpu",
    backbone: str = "resnet18",
    side: int = SIDE,
) -> float:
    from dafusion_core.methods import train
    from tests.engine.conftest import make_unit

    scratch = root / f"scratch-{protocol}"
    scratch.mkdir(exist_ok=True)
    spec = TrainingSpec(
        split_id=1, arms=(Arm("real"),), seeds=(0,), protocol=protocol,  # type: ignore[arg-type]
        backbone=backbone, resolution=side, epochs=epochs, iterations_per_epoch=STEPS,
        batch_size=BATCH,
    )  # fmt: skip
    ctx = NullContext(scratch=scratch, root=root, device=device)
    begin = time.perf_counter()
    train.run(spec, inputs, [make_unit(1, "real/0", arm="real", seed=0)], ctx)
    return time.perf_counter() - begin


def finetune_rates(root: Path, inputs: TrainingInputs) -> tuple[float, float]:
    """Images per second of a bare step on tensors in memory, and of our fine-tuning."""
    from dafusion_core.engine.classifiers import build_classifier
    from dafusion_core.methods import train
    from tests.engine.conftest import make_unit

    network = build_classifier("resnet18", CLASSES).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    pictures = torch.randn(BATCH, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (BATCH,))
    rates = []
    for steps in (2, 10):  # the first round warms up
        begin = time.perf_counter()
        for _ in range(steps):
            torch.nn.functional.cross_entropy(network(pictures), labels).backward()
            optimiser.step()
            optimiser.zero_grad()
        rates.append(steps * BATCH / (time.perf_counter() - begin))
    scratch = root / "scratch-finetune"
    scratch.mkdir()
    spec = TrainingSpec(
        split_id=1, arms=(Arm("real"),), seeds=(0,), protocol="finetune", backbone="resnet18",
        resolution=SIDE, epochs=2, iterations_per_epoch=10, batch_size=BATCH,
    )  # fmt: skip
    ctx = NullContext(scratch=scratch, root=root)
    train.run(spec, inputs, [make_unit(1, "real/0", arm="real", seed=0)], ctx)
    ours = [value for series, _, value in ctx.metrics if series == "speed/examples_per_second"]
    return rates[1], ours[-1]


def test_training_speed(tmp_path: Path) -> None:
    prepare()
    torch.set_num_threads(1)
    inputs = make_inputs(tmp_path)
    rate = reference_images_per_second(tmp_path, inputs, steps=12)
    whole = EPOCHS * STEPS * BATCH
    probe = ours_seconds(tmp_path, inputs, "probe", EPOCHS)
    paper = ours_seconds(tmp_path, inputs, "paper", 1)
    bare, finetune = finetune_rates(tmp_path, inputs)
    figures = {
        "reference_images_per_second": round(rate, 1),
        "probe_seconds": round(probe, 2),
        "probe_times_reference": round(whole / rate / probe, 1),
        "paper_times_reference": round(STEPS * BATCH / rate / paper, 2),
        "finetune_images_per_second": round(finetune, 1),
        "finetune_share_of_a_bare_step": round(finetune / bare, 2),
    }
    print(json.dumps(figures))
    assert figures["finetune_share_of_a_bare_step"] > 0.6
    assert figures["probe_times_reference"] >= 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20, help="of the reference")
    parser.add_argument("--epochs", type=int, default=5, help=f"of {STEPS} steps, of ours")
    wanted = parser.parse_args()
    prepare()
    how = (wanted.device, wanted.backbone, wanted.side)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        inputs = make_inputs(root, wanted.side)
        reference_images_per_second(root, inputs, 2, *how)  # warms up
        ours_seconds(root, inputs, "paper", 1, *how)
        rate = reference_images_per_second(root, inputs, wanted.steps, *how)
        seconds = ours_seconds(root, inputs, "paper", wanted.epochs, *how)
    pictures = wanted.epochs * STEPS * BATCH
    print(
        json.dumps(
            {
                "device": wanted.device,
                "backbone": wanted.backbone,
                "side": wanted.side,
                "reference_images_per_second": round(rate, 1),
                "paper_images_per_second": round(pictures / seconds, 1),
                "paper_times_reference": round(pictures / seconds / rate, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
