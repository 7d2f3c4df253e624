"""The whole path in one call: from a labelled folder's images to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from dafusion_core.api.enqueue import enqueue
from dafusion_core.domain.records import Split
from dafusion_core.domain.specs import (
    Arm,
    ErasureSpec,
    EvaluationSpec,
    GenerationPlan,
    InversionSpec,
    ModelSource,
    Plain,
    Protocol,
    TrainingSpec,
)
from dafusion_core.meadow import TRAINING
from dafusion_core.resources import BACKBONES
from dafusion_core.storage.database import Database
from dafusion_core.storage.images import all_labels


@dataclass(frozen=True, slots=True)
class ChainOptions(Plain):
    """What “run everything” does. Defaults suit a laptop without a GPU and the bundled model.

    `erase`: remove the class names from the base model first (model-centric leakage
    prevention); `shots`: training images per class, None for all.

    The classifier is the bundled ResNet-50, frozen, with a new last layer, as in the paper; a fit
    takes seconds. `paper` takes ImageNet weights.
    """

    model: ModelSource = field(default_factory=ModelSource)
    erase: bool = True
    erasure_method: Literal["uce", "esd"] = "uce"
    inversion_steps: int = 100
    inversion_learning_rate: float = 5e-3
    vectors: int = 1
    t0_set: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    variants: int = 1
    generation_steps: int = 25
    guidance: float = 4.0  # the bundled model oversaturates at the paper's 7.5
    alpha: float = 0.5
    seeds: tuple[int, ...] = tuple(range(8))
    protocol: Protocol = "probe"
    backbone: str = "resnet50"
    weights: str = "bundled"
    train_resolution: int = 64
    epochs: int = 50
    iterations_per_epoch: int = 24
    train_batch_size: int = 16
    train_learning_rate: float = 1e-3
    test: float = 0.5
    validation: float = 0.0
    shots: int | None = None
    seed: int = 0

    @classmethod
    def paper(cls, model: ModelSource) -> Self:
        """The paper's settings (docs/methods.md): for a Stable Diffusion model and a GPU."""
        return replace(
            cls(),
            model=model,
            erasure_method="esd",
            inversion_steps=1000,
            inversion_learning_rate=2e-3,
            variants=10,
            generation_steps=50,
            guidance=7.5,
            protocol="paper",
            weights="imagenet",
            train_resolution=256,
            iterations_per_epoch=200,
            train_batch_size=32,
            train_learning_rate=1e-4,
        )


def complete_classifier(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options for `ChainOptions` as somebody gave them, with what follows from them.

    A network that no weights come with and for which none are named starts from scratch, and then
    all of it is trained: a frozen network of random numbers would mean nothing.
    """
    found = dict(given)
    if "weights" not in found and found.get("backbone", "resnet50") not in BACKBONES:
        found["weights"] = ""
    if found.get("weights") == "":
        scratch = {"protocol": "finetune", "epochs": 5, "train_learning_rate": 0.02}
        found = scratch | found
    return found


BASELINE = "standard augmentation"
AUGMENTED = "DA-Fusion"


def erasure_spec(options: ChainOptions, labels: Sequence[str]) -> ErasureSpec:
    """The erasure of all class names."""
    return ErasureSpec(
        model=options.model,
        method=options.erasure_method,
        concepts=tuple(labels),
        seed=options.seed,
        **(bundled_erasure(labels) if options.model.kind == "bundled" else {}),
    )


def bundled_erasure(labels: Sequence[str]) -> dict[str, Any]:
    """What erasing needs in the bundled model: every text state moves, every seventh name is held.

    The model reads a concept from the padding after it. Of what "dandelion" does to the
    predictions, beyond the guide, the published choice (subject token) left all, that and the
    end mark 97 %, all states after it 1 %, but then names that nobody held lost some 40 % of their
    own effect, as padding is alike in all prompts. Means over eight erased names, what is left
    and what others lose: every 20th name held 1 and 38 %, every 14th 5 and 30 %, every tenth 8 and
    31 %, every seventh 18 (dandelion 8, ivy 47) and 21 %. Holding more saves the erased one as
    well, because names are sums of attributes here.
    """
    erased = {label.casefold() for label in labels}
    held = (species.name for species in TRAINING[::7])
    return {
        "uce_tokens": "all",
        "guide": "plant",
        "preserve": tuple(name for name in held if name.casefold() not in erased),
    }


def inversion_spec(options: ChainOptions, split_id: int, erasure_job: int | None) -> InversionSpec:
    """Learning every class, on the erased model where there is one."""
    return InversionSpec(
        split_id=split_id,
        model=options.model,
        erasure_job=erasure_job,
        vectors=options.vectors,
        steps=options.inversion_steps,
        learning_rate=options.inversion_learning_rate,
        seed=options.seed,
    )


def generation_plan(
    options: ChainOptions, split_id: int, inversion_job: int, erasure_job: int | None
) -> GenerationPlan:
    """Synthetic images from what an inversion learned."""
    return GenerationPlan(
        split_id=split_id,
        model=options.model,
        inversion_job=inversion_job,
        erasure_job=erasure_job,
        t0_set=options.t0_set,
        variants=options.variants,
        steps=options.generation_steps,
        guidance=options.guidance,
        seed=options.seed,
    )


def training_spec(options: ChainOptions, split_id: int, generation_job: int) -> TrainingSpec:
    """Classifiers with and without the images of a generation."""
    return TrainingSpec(
        split_id=split_id,
        arms=(
            Arm(BASELINE),
            Arm(AUGMENTED, alpha=options.alpha, generation_job=generation_job),
        ),
        seeds=options.seeds,
        protocol=options.protocol,
        backbone=options.backbone,
        weights=options.weights,
        resolution=options.train_resolution,
        epochs=options.epochs,
        iterations_per_epoch=options.iterations_per_epoch,
        batch_size=options.train_batch_size,
        learning_rate=options.train_learning_rate,
    )


def enqueue_chain(db: Database, split: Split, options: ChainOptions) -> list[int]:
    """Queue erasure, inversion, generation, training and comparison; return their job ids."""
    jobs = []
    erasure_job = None
    if options.erase:
        labels = [label.name for label in all_labels(db)]
        erasure_job = enqueue(db, erasure_spec(options, labels))
        jobs.append(erasure_job)
    inversion_job = enqueue(db, inversion_spec(options, split.id, erasure_job))
    generation_job = enqueue(db, generation_plan(options, split.id, inversion_job, erasure_job))
    training_job = enqueue(db, training_spec(options, split.id, generation_job))
    comparison_job = enqueue(db, EvaluationSpec(training_job=training_job, baseline=BASELINE))
    return [*jobs, inversion_job, generation_job, training_job, comparison_job]
