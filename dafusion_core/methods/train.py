"""Fit a classifier once per arm and seed (§1.6, §1.7).

All arms of one seed begin with the same weights, draw the same real images in the same order and
take the same number of steps; they differ in what stands in for a drawn image and in how it is
augmented.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from dafusion_core.domain.errors import LeakError, UserError
from dafusion_core.domain.inputs import ImageInput, TrainingInputs
from dafusion_core.domain.records import JobUnit
from dafusion_core.domain.specs import Arm, TrainingSpec, derive_seed
from dafusion_core.engine.augment import augment, normalise
from dafusion_core.engine.classifiers import build_classifier, head_of
from dafusion_core.engine.devices import guard, memory_format, resolve_device
from dafusion_core.engine.picture_store import PictureStore
from dafusion_core.engine.sampling import seeded
from dafusion_core.engine.torch_setup import torch
from dafusion_core.jobs.context import JobContext

__all__ = ["BatchSampler", "check_leaks", "class_accuracy", "run"]

_MOMENTUM, _WEIGHT_DECAY = 0.9, 5e-4  # protocol "finetune" (§4.0)
_EVERY = 10


def run(
    spec: TrainingSpec, inputs: TrainingInputs, units: Sequence[JobUnit], ctx: JobContext
) -> None:
    """Fit every arm × seed of `units`.

    Raises LeakError when a synthetic image was made from something else than a training image,
    UserError when there is nothing to train or test on or the weights do not fit.
    """
    device = resolve_device(ctx.device)
    check_leaks(inputs)
    _check_parts(spec, inputs)
    arms = {arm.name: arm for arm in spec.arms}
    store = PictureStore(spec.resolution)
    for n, unit in enumerate(units):
        arm = arms[str(unit.payload["arm"])]
        with guard(device, f"training with batches of {spec.batch_size}"):
            fit = _Fit(spec, inputs, arm, int(unit.payload["seed"]), device, store, ctx)
            fit.run(unit, n, len(units))
    ctx.progress(len(units), len(units), "done")


def check_leaks(inputs: TrainingInputs) -> None:
    """Refuse training data that would contain something made from held-out images.

    Every synthetic image must come from an image of the training part, and no image may be in two
    parts, by id or by content. Raises LeakError.
    """
    train = {image.id for image in inputs.train}
    parts = {"validation": inputs.validation, "test": inputs.test}
    for part, images in parts.items():
        shared = train & {image.id for image in images}
        if shared:
            raise LeakError(
                f"{len(shared)} images are in the training part and in the {part} part.",
                "Make the split again.",
            )
        contents = {image.sha256 for image in inputs.train if image.sha256}
        same = contents & {image.sha256 for image in images if image.sha256}
        if same:
            raise LeakError(
                f"{len(same)} pictures of the training part are also, byte for byte, in the "
                f"{part} part.",
                "Remove the duplicates, or group them so that they stay together, and make the "
                "split again.",
            )
    held_out = {str(image.id): part for part, images in parts.items() for image in images}
    for arm, by_source in inputs.synthetics.items():
        foreign = [source for source in by_source if int(source) not in train]
        if foreign:
            where = held_out.get(foreign[0], "no part")
            raise LeakError(
                f"The synthetic images of arm “{arm}” include some made from {len(foreign)} "
                f"images outside the training part (image {foreign[0]} is in {where}).",
                "Generate again from the training images of this split.",
            )


def _check_parts(spec: TrainingSpec, inputs: TrainingInputs) -> None:
    if not inputs.train or not inputs.test:
        part = "training" if not inputs.train else "test"
        raise UserError(f"The split has no {part} images.", "Make another split.")
    if spec.batch_size < 2:
        raise UserError(
            "Batches of one picture cannot be trained on: the network compares within a batch.",
            "Use a batch size of 2 or more; the paper's is 32.",
        )
    if len(inputs.labels) < 2:
        raise UserError("A classifier needs at least two labels.", "Import more classes.")
    for arm in spec.arms:
        if arm.alpha > 0 and not any(inputs.synthetics.get(arm.name, {}).values()):
            raise UserError(
                f"Arm “{arm.name}” mixes in synthetic images, but none are there.",
                "Generate some, or keep more of them.",
            )


@dataclass(frozen=True, slots=True)
class Batch:
    """Paths, labels and which of them are synthetic, each of the batch's length."""

    paths: list[Path]
    labels: torch.Tensor
    synthetic: list[bool]


class BatchSampler:
    """Draws batches by the paper's rule (§1.6, eq. 7).

    A real image i is drawn uniformly with replacement. If it has synthetic images and
    U(0, 1) < α, one of its own takes its place. Real draws and the rest have separate
    generators, so that every arm of one seed draws the same real images.
    """

    def __init__(
        self,
        train: Sequence[ImageInput],
        synthetics: Mapping[str, Sequence[str]],
        alpha: float,
        seed: int,
        resolve: Any = Path,
    ) -> None:
        self._train = train
        self._alpha = alpha
        self._paths = [resolve(image.path) for image in train]
        self._own = [
            [resolve(path) for path in synthetics.get(str(image.id), ())] for image in train
        ]
        self._labels = torch.tensor([image.label for image in train])
        self._real = seeded(derive_seed("real draws", seed))
        self._swap = seeded(derive_seed("synthetic draws", seed))

    def draw(self, count: int) -> Batch:
        """The next `count` training images."""
        chosen = torch.randint(len(self._train), (count,), generator=self._real)
        chance = torch.rand(count, generator=self._swap).tolist()
        which = torch.rand(count, generator=self._swap).tolist()
        paths, synthetic = [], []
        for i, u, v in zip(chosen.tolist(), chance, which, strict=True):
            own = self._own[i]
            is_synthetic = bool(own) and u < self._alpha
            synthetic.append(is_synthetic)
            paths.append(own[int(v * len(own))] if is_synthetic else self._paths[i])
        return Batch(paths, self._labels[chosen], synthetic)


def class_accuracy(truth: torch.Tensor, predicted: torch.Tensor, labels: int) -> float:
    """Unweighted mean over classes of the share of right answers; absent classes do not count."""
    shares = []
    for label in range(labels):
        mine = truth == label
        if bool(mine.any()):
            shares.append(float((predicted[mine] == label).float().mean()))
    return sum(shares) / len(shares)


class _Fit:
    """One network, trained once."""

    def __init__(
        self,
        spec: TrainingSpec,
        inputs: TrainingInputs,
        arm: Arm,
        seed: int,
        device: torch.device,
        store: PictureStore,
        ctx: JobContext,
    ) -> None:
        self.spec, self.inputs, self.arm, self.seed = spec, inputs, arm, seed
        self.device, self.store, self.ctx = device, store, ctx
        network = build_classifier(
            spec.backbone, len(inputs.labels), spec.weights, derive_seed("weights", seed)
        )
        self.network = network.to(device)
        self.network.to(memory_format=memory_format(device))  # type: ignore[call-overload]
        self.sampler = BatchSampler(
            inputs.train, inputs.synthetics.get(arm.name, {}), arm.alpha, seed, ctx.resolve
        )
        self.augmenting = seeded(derive_seed("augmentation", seed))
        self.steps = spec.epochs * spec.iterations_per_epoch
        self.is_paper = spec.protocol == "paper"
        _, self.head = head_of(self.network)
        self.optimiser, self.schedule = self._make_optimiser()

    def _make_optimiser(self) -> tuple[torch.optim.Optimizer, Any]:
        rate = self.spec.learning_rate
        if self.is_paper:
            self.network.requires_grad_(False)
            self.head.requires_grad_(True)
            return torch.optim.Adam(self.head.parameters(), lr=rate), None
        optimiser = torch.optim.SGD(
            self.network.parameters(), lr=rate, momentum=_MOMENTUM, weight_decay=_WEIGHT_DECAY
        )
        return optimiser, torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)

    def run(self, unit: JobUnit, place: int, total: int) -> None:
        """Train, test after every epoch, and finish the unit."""
        spec, inputs, ctx = self.spec, self.inputs, self.ctx
        name = f"{self.arm.name}, seed {self.seed}"
        epochs: list[dict[str, Any]] = []
        probabilities = torch.zeros(0)
        tested: list[float] = []
        for epoch in range(spec.epochs):

            def at(share: float, epoch: int = epoch) -> None:
                ctx.progress(place + (epoch + share) / spec.epochs, total, name)

            loss, right = self._train_epoch(epoch, unit, at)
            validation = None
            if inputs.validation:
                found, truth = self._predict(inputs.validation, at)
                validation = class_accuracy(truth, found.argmax(dim=1), len(inputs.labels))
                ctx.metric("accuracy/validation", epoch + 1, validation, unit)
            probabilities, truth = self._predict(inputs.test, at)
            tested.append(class_accuracy(truth, probabilities.argmax(dim=1), len(inputs.labels)))
            ctx.metric("accuracy/test", epoch + 1, tested[-1], unit)
            epochs.append(
                {
                    "epoch": epoch + 1,
                    "train_loss": loss,
                    "train_accuracy": right,
                    "validation_accuracy": validation,
                    "test_accuracy": tested[-1],
                }
            )
        record = {
            "labels": list(inputs.labels),
            "arm": self.arm.name,
            "seed": self.seed,
            "steps": self.steps,
            "epochs": epochs,
            "test": {
                "image_ids": [image.id for image in inputs.test],
                "truth": [image.label for image in inputs.test],
                "probabilities": [[round(p, 6) for p in row] for row in probabilities.tolist()],
            },
            "test_accuracy_last": tested[-1],
            "test_accuracy_best_epoch": max(tested),
        }
        weights = self._save(ctx.scratch / f"classifier-{unit.id}.safetensors")
        ctx.finish_unit(unit, {"weights": weights}, record)
        ctx.log(f"{name}: {100 * tested[-1]:.1f} % of the test images right (mean over classes).")

    def _train_epoch(self, epoch: int, unit: JobUnit, at: Any) -> tuple[float, float]:
        """Mean loss and share of right answers over the epoch's batches."""
        spec, ctx = self.spec, self.ctx
        # Train mode also in the paper's protocol: batch statistics are used and the running ones
        # drift, although the backbone's weights are frozen.
        self.network.train()
        losses: list[torch.Tensor] = []
        right = torch.zeros((), device=self.device)
        pending = 0
        for i in range(spec.iterations_per_epoch):
            at(i / spec.iterations_per_epoch)
            batch = self.sampler.draw(spec.batch_size)
            pictures = self.store.stack(batch.paths).to(self.device)
            pictures = augment(pictures, self.arm.augmentation, self.augmenting)
            labels = batch.labels.to(self.device)
            logits = self._forward(normalise(pictures))
            loss = torch.nn.functional.cross_entropy(logits, labels)
            loss.backward()
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
            if self.schedule is not None:
                self.schedule.step()
            losses.append(loss.detach())
            right += (logits.detach().argmax(dim=1) == labels).float().mean()
            pending += 1
            if pending == _EVERY or i + 1 == spec.iterations_per_epoch:
                recent = float(torch.stack(losses[-pending:]).mean())
                if recent != recent:
                    raise UserError(
                        "Training broke down: the loss is not a number.",
                        "Use a smaller learning rate.",
                    )
                step = epoch * spec.iterations_per_epoch + i + 1
                ctx.metric("loss/train", step, recent, unit)
                pending = 0
        count = spec.iterations_per_epoch
        return float(torch.stack(losses).mean()), float(right) / count

    def _forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Logits [n, labels]; in the paper's protocol no gradient is kept below the head."""
        pictures = pictures.contiguous(memory_format=memory_format(self.device))
        is_half = self.device.type == "cuda" and not self.is_paper
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=is_half):
            logits: torch.Tensor = self.network(pictures)
        return logits.float()

    @torch.no_grad()
    def _predict(self, images: Sequence[ImageInput], at: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """(probabilities [n, labels], truth [n]) in a full pass, in evaluation mode."""
        self.network.eval()
        rows = []
        for start in range(0, len(images), self.spec.batch_size):
            at(1.0)
            part = images[start : start + self.spec.batch_size]
            pictures = self.store.stack([self.ctx.resolve(image.path) for image in part])
            logits = self._forward(normalise(pictures.to(self.device)))
            rows.append(logits.softmax(dim=1).cpu())
        return torch.cat(rows), torch.tensor([image.label for image in images])

    def _save(self, path: Path) -> Path:
        values = {
            name: value.detach().cpu().contiguous()
            for name, value in self.network.state_dict().items()
        }
        metadata = {
            "format": "pt",
            "backbone": self.spec.backbone,
            "labels": json.dumps(list(self.inputs.labels), ensure_ascii=False),
            "resolution": str(self.spec.resolution),
            "mean": "0.5",
            "std": "0.5",
        }
        save_file(values, str(path), metadata=metadata)
        return path
