"""Frozen job inputs. A spec holds every choice a method depends on; defaults cite their source.

"§" refers to docs/methods.md. Job ids inside a spec point at the jobs whose results it needs;
the worker binds them to files (see `domain/inputs.py`) when the job is first claimed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from dafusion_core.domain.errors import UserError
from dafusion_core.language import _

SPEC_VERSION = 1

Scheduler = Literal["pndm", "ddim", "dpmsolver++", "euler", "unipc"]
Protocol = Literal["paper", "probe", "finetune"]
Augmentation = Literal["none", "standard", "aerial", "randaugment", "standard+randaugment"]
BatchMix = Literal["none", "cutmix", "mixup"]
Mixing = Literal["own", "concatenate", "global", "only"]
UceTokens = Literal["subject", "subject+end", "all"]
TrainParameters = Literal["x", "x-strict", "u", "selfattn", "full"]
Adaptation = Literal["embedding", "lora", "embedding+lora"]
Aspect = Literal["stretch", "pad", "crop"]
Masking = Literal["none", "object", "background"]
Precision = Literal["auto", "float32", "float16", "bfloat16"]
Memory = Literal["normal", "saving", "offload"]


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: the text that is hashed and stored."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def hash_json(value: object) -> str:
    """SHA-256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def derive_seed(*parts: object) -> int:
    """A 63-bit seed from ids, so that a result never depends on order, rank or batch."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _from_plain(kind: Any, value: Any) -> Any:
    """Rebuild a dataclass field from its JSON value: nested dataclasses, tuples and unions."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type) and isinstance(value, Mapping):
        return _build(kind, value)
    origin = typing.get_origin(kind)
    if origin is tuple and isinstance(value, (list, tuple)):
        inner = typing.get_args(kind)[0]
        return tuple(_from_plain(inner, item) for item in value)
    if origin is dict and isinstance(value, Mapping):
        inner = typing.get_args(kind)[1]
        return {key: _from_plain(inner, item) for key, item in value.items()}
    if origin in (types.UnionType, typing.Union) and value is not None:
        inner = next(arg for arg in typing.get_args(kind) if arg is not type(None))
        return _from_plain(inner, value)
    return value


def _build(kind: type[Any], value: Mapping[str, Any]) -> Any:
    hints = typing.get_type_hints(kind)
    unknown = set(value) - set(hints) - {"spec_version"}
    if unknown:
        raise UserError(
            _("{name__} has no setting named {unknown}.").format(
                name__=kind.__name__, unknown=", ".join(sorted(unknown))
            ),
            _("Check the spelling, or open the project with the program version that made it."),
        )
    return kind(**{k: _from_plain(hints[k], v) for k, v in value.items() if k in hints})


class Plain:
    """A dataclass that can become JSON values and come back."""

    def to_dict(self) -> dict[str, Any]:
        """This value as JSON values (tuples become lists)."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[call-overload]
        return plain

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild from JSON values. Raises UserError on settings this version does not know."""
        built: Self = _build(cls, value)
        return built


class Spec(Plain):
    """A job's request: plain values with a version and a hash."""

    def to_dict(self) -> dict[str, Any]:
        """This spec as JSON values, with its version."""
        return {"spec_version": SPEC_VERSION} | super().to_dict()

    def content_hash(self) -> str:
        """SHA-256 of the canonical JSON."""
        return hash_json(self.to_dict())


def _check(is_good: bool, text: str, hint: str = "") -> None:
    if not is_good:
        raise UserError(text, hint)


@dataclass(frozen=True, slots=True)
class ModelSource(Plain):
    """Where a base model comes from.

    kind "bundled": the model that comes with the program; "folder": a diffusers folder;
    "file": one .safetensors checkpoint; "hub": a model id (loaded from the local cache unless
    a download was asked for). `revision` is a hub branch or commit, "" for the default.
    """

    kind: Literal["bundled", "folder", "file", "hub"] = "bundled"
    location: str = ""
    revision: str = ""

    @property
    def title(self) -> str:
        """Short name for people."""
        return _("bundled model") if self.kind == "bundled" else self.location


@dataclass(frozen=True, slots=True)
class ErasureSpec(Spec):
    """Remove concepts from the base model (§2).

    method "uce": closed form on the cross-attention keys and values, seconds; "esd": gradient
    steps toward the model's own anti-concept prediction. `concepts` are prompts such as
    "dandelion"; `guide` is what they become ("" = the unconditional prompt); `preserve` are
    prompts that UCE holds fixed and both methods are checked on. `per_concept`: one model per
    concept, each without that concept only, as in the paper's runs; inversion and generation then
    take the model of the concept at hand. `per_trajectory`: how many x_t ESD takes from one
    sampled trajectory; 1 is the published procedure.
    """

    model: ModelSource = field(default_factory=ModelSource)
    method: Literal["uce", "esd"] = "uce"
    concepts: tuple[str, ...] = ()
    guide: str = ""
    preserve: tuple[str, ...] = ()
    ridge: float = 0.5  # UCE λ (§2.2)
    # Which text states UCE moves: that of the last subject token (published), also that of the end
    # mark after it, or all after it, where some models read the concept at least as much.
    uce_tokens: UceTokens = "subject"
    train_parameters: TrainParameters = "full"  # what the paper's runs trained (§2.1)
    eta: float = 1.0  # paper's η, whatever script is imitated (§2.1)
    guidance: float = 3.0
    iterations: int = 1000
    learning_rate: float = 1e-5
    steps: int = 50
    batch_size: int = 1
    resolution: int | None = None  # None: the model's own
    seed: int = 0
    per_concept: bool = False
    per_trajectory: int = 1

    def __post_init__(self) -> None:
        _check(bool(self.concepts), _("No concept to erase was given."), _("Name at least one."))
        _check(len(set(self.concepts)) == len(self.concepts), _("A concept is named twice."))
        _check(self.iterations > 0, _("Erasure needs at least one iteration."))
        _check(
            1 <= self.per_trajectory <= self.steps,
            _(
                "{per_trajectory} examples per trajectory cannot be taken from {steps} steps."
            ).format(per_trajectory=self.per_trajectory, steps=self.steps),
            _("Use a number from 1 to the number of steps."),
        )


@dataclass(frozen=True, slots=True)
class ImportedEmbedding(Plain):
    """A token embedding made elsewhere, for the concept of that name. `sha256` fixes its bytes."""

    concept: str
    path: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class InversionSpec(Spec):
    """Teach the model each concept from the training images of a split (§1.3, §3).

    `adaptation`: "embedding" learns token vectors; "lora" low-rank changes of the network's
    attention (DreamBooth-LoRA, §3.2) while the vectors stay where they start; "embedding+lora"
    both at once. `initialiser`: the word, or words whose mean, the vectors start from ({concept}
    is the class name); "" takes each concept's own. `forbidden`: synonyms of the classes that
    must not be in a prompt either.
    `extend_job`: a finished inversion to go on from, with its optimiser's state; `steps` is then
    the total. `imported`: concepts whose embedding is read from a file instead of learned.
    `precision` "bfloat16" computes the network in it, with vectors and losses in float32.
    """

    split_id: int
    model: ModelSource = field(default_factory=ModelSource)
    erasure_job: int | None = None
    vectors: int = 1
    steps: int = 1000
    batch_size: int = 4
    learning_rate: float = 2e-3  # 5e-4 × batch 4, recipe A (§1.3)
    weight_decay: float = 1e-2
    flip: bool = True
    resolution: int | None = None
    seed: int = 0
    initialiser: str = ""
    forbidden: tuple[str, ...] = ()
    preview_every: int = 0  # steps; 0: about four previews
    adaptation: Adaptation = "embedding"
    lora_rank: int = 8
    lora_learning_rate: float = 3.2e-4
    precision: Precision = "auto"
    extend_job: int | None = None
    imported: tuple[ImportedEmbedding, ...] = ()

    def __post_init__(self) -> None:
        _check(1 <= self.vectors <= 8, _("Vectors per concept must be from 1 to 8."))
        _check(self.steps > 0, _("Inversion needs at least one step."))
        _check(self.batch_size > 0, _("The batch size must be at least 1."))
        _check(1 <= self.lora_rank <= 128, _("The rank of a LoRA must be from 1 to 128."))
        _check(
            self.precision != "float16",
            _("Learning in float16 loses small gradients."),
            _("Use bfloat16 or float32."),
        )

    @property
    def has_adapter(self) -> bool:
        """True when each concept gets changes of the network of its own."""
        return self.adaptation != "embedding"


@dataclass(frozen=True, slots=True)
class GenerationPlan(Spec):
    """Frozen recipe: sources × concepts × strengths × variants (§1.5).

    `t0_set`: how far from the photo, each 0 < t0 ≤ 1 (1 keeps almost nothing of it).
    `draw` "uniform": each of the `variants` (M) per source draws one t0; "each": every t0 for
    every source, `variants` times. `inversion_job` None means Real Guidance: the class name is
    in the prompt (`{concept}` is replaced by the placeholder or by the name).
    `aspect`: what is done to a source that is not square: "stretch" (the paper), "pad" with its
    mirrored edges, "crop" to the square in its middle. `mask`: edit only the object that the
    source's regions mark, or only what is around it; `mask_dilation` widens the object by a
    window of that many of the model's pixels (§1.5). `precision` and `memory` say how it is
    computed, and may change last digits.
    """

    split_id: int
    model: ModelSource = field(default_factory=ModelSource)
    inversion_job: int | None = None
    erasure_job: int | None = None
    prompt: str = "a photo of a {concept}"
    negative_prompt: str = ""
    t0_set: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    draw: Literal["uniform", "each"] = "each"
    variants: int = 10
    guidance: float = 7.5
    steps: int = 50
    scheduler: Scheduler = "pndm"
    batch_size: int = 8
    resolution: int | None = None
    seed: int = 0
    aspect: Aspect = "stretch"
    mask: Masking = "none"
    mask_dilation: int = 16
    precision: Precision = "auto"
    memory: Memory = "normal"
    compile: bool = False  # torch.compile: slower to start, faster after that

    def __post_init__(self) -> None:
        _check(bool(self.t0_set), _("No t0 was given."), _("Give one or more from 0 to 1."))
        for t0 in self.t0_set:
            _check(
                0 < t0 <= 1,
                _("t0 = {t0} is outside 0–1.").format(t0=t0),
                _("Use, for example, 0.25 or 0.5."),
            )
        _check(len(set(self.t0_set)) == len(self.t0_set), _("A t0 is given twice."))
        _check(
            self.variants > 0,
            _("At least one synthetic image per source (M ≥ 1) is needed."),
            _("Set the number of variants to 1 or more."),
        )
        _check(self.steps > 0 and self.batch_size > 0, _("Steps and batch size must be positive."))
        _check(self.mask_dilation >= 0, _("The mask cannot be widened by less than nothing."))


@dataclass(frozen=True, slots=True)
class PreviewSpec(Spec):
    """Pictures of one training image at every t0 of a plan, to look at before generating.

    They are variant 0 of what `plan` would make of that image, with the same seeds (batches may
    change last digits). They belong to no training set: generating makes them again.
    """

    image_id: int
    plan: GenerationPlan


@dataclass(frozen=True, slots=True)
class CheckSpec(Spec):
    """Measure the synthetic images of a generation (§6).

    `features`: what distances are taken in: a local folder of a CLIP or DINO model in the layout
    of transformers, "bundled" for the ResNet-50 that comes with the program, or "network" for
    `model`'s own U-Net; "" takes the first of these that is at hand. What it was is kept with each
    measurement. `resolution`: side of the pictures for features of the last two; None takes what
    they were trained with.
    """

    generation_job: int
    model: ModelSource = field(default_factory=ModelSource)
    features: str = ""
    batch_size: int = 16
    resolution: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _check(self.batch_size > 0, _("The batch size must be at least 1."))


@dataclass(frozen=True, slots=True)
class Arm(Plain):
    """One way of training that is compared with others.

    `generation_job`: where synthetic images come from. `mixing` says how they take part (§1.6):
    "own": a drawn real image is replaced, with probability `alpha`, by one of its own (the
    paper's); "global": by one of the whole pool, with that one's label; "concatenate": real and
    synthetic images are one list; "only": no real image is seen.
    `augmentation` and `batch_mix` (CutMix, MixUp) come on top. `only_kept` leaves out what nobody
    decided on, whatever the training allows; `t0_set` and `variants` take only a part of the
    generation (none given: all of it), for ablations without generating again.
    """

    name: str
    augmentation: Augmentation = "standard"
    alpha: float = 0.0
    generation_job: int | None = None
    mixing: Mixing = "own"
    batch_mix: BatchMix = "none"
    only_kept: bool = False
    t0_set: tuple[float, ...] = ()
    variants: int | None = None

    def __post_init__(self) -> None:
        _check(bool(self.name.strip()), _("An arm needs a name."))
        _check(0 <= self.alpha <= 1, _("alpha = {alpha} is outside 0–1.").format(alpha=self.alpha))
        _check(
            not self.uses_synthetics or self.generation_job is not None,
            _("Arm “{name}” mixes in synthetic images but names no generation.").format(
                name=self.name
            ),
        )
        _check(
            self.variants is None or self.variants > 0,
            _("Arm “{name}” takes {variants} variants of each image.").format(
                name=self.name, variants=self.variants
            ),
            _("Use 1 or more, or leave it out to take all."),
        )

    @property
    def uses_synthetics(self) -> bool:
        """True when synthetic images take part."""
        return self.mixing in ("concatenate", "only") or self.alpha > 0


@dataclass(frozen=True, slots=True)
class TrainingSpec(Spec):
    """Fit a classifier once per arm and seed on the same split (§1.7).

    protocol "paper": frozen backbone with BatchNorm in train mode, linear head, Adam; "probe":
    frozen with BatchNorm too, so that features are computed once per picture (`views` augmented
    versions of each), linear head, Adam; "finetune": all weights, SGD with momentum and cosine.
    `backbone`: a torchvision name, or "timm/NAME". `weights` "" = from scratch, or a path to a
    state dict, "imagenet" (local cache only), or "bundled" (resnet50: comes with the program).
    `normalisation` "auto": the paper's 0.5 in its protocol, else what the weights were made with.
    `patience`: stop when validation has not improved for so many epochs, and take the best of
    them; None: all epochs, and the last one counts.
    `use_undecided`: also train on synthetic images nobody has looked at.
    """

    split_id: int
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7)
    protocol: Protocol = "paper"
    backbone: str = "resnet50"
    weights: str = ""
    resolution: int = 256
    epochs: int = 50
    iterations_per_epoch: int = 200
    batch_size: int = 32
    learning_rate: float = 1e-4
    use_undecided: bool = True
    normalisation: Literal["auto", "half", "imagenet"] = "auto"
    label_smoothing: float = 0.0
    patience: int | None = None
    views: int = 8

    def __post_init__(self) -> None:
        _check(bool(self.arms) and bool(self.seeds), _("Training needs an arm and a seed."))
        names = [arm.name for arm in self.arms]
        _check(len(set(names)) == len(names), _("Two arms have the same name."))
        _check(
            min(self.epochs, self.iterations_per_epoch, self.resolution, self.views) > 0,
            _("Epochs, steps per epoch, size and views must be 1 or more."),
        )
        _check(0 <= self.label_smoothing < 1, _("Label smoothing must be from 0 to below 1."))
        _check(self.patience is None or self.patience > 0, _("Patience must be 1 epoch or more."))
        mixed = [arm.name for arm in self.arms if arm.batch_mix != "none"]
        _check(
            self.protocol != "probe" or not mixed,
            _(
                "Arm “{mixed}” mixes pictures within a batch, but the probe computes the "
                "features of each picture once."
            ).format(mixed=mixed[0] if mixed else ""),
            _("Use the protocol paper or finetune for CutMix and MixUp."),
        )


@dataclass(frozen=True, slots=True)
class EvaluationSpec(Spec):
    """Compare the arms of one training job with a baseline arm, paired over seeds."""

    training_job: int
    baseline: str
    confidence: float = 0.95
    resamples: int = 2000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class PredictionSpec(Spec):
    """Ask the classifier of a training run about pictures outside the project.

    `paths`: absolute, in the order of the answers.
    """

    run_id: int
    paths: tuple[str, ...]
    batch_size: int = 32

    def __post_init__(self) -> None:
        _check(
            bool(self.paths), _("There is no picture to look at."), _("Name a picture or a folder.")
        )
        _check(self.batch_size > 0, _("The batch size must be positive."))


ModelFormat = Literal["safetensors", "torchscript", "onnx"]


@dataclass(frozen=True, slots=True)
class ModelExportSpec(Spec):
    """Write the classifier of a training run for other programs."""

    run_id: int
    formats: tuple[ModelFormat, ...] = ("safetensors", "torchscript", "onnx")

    def __post_init__(self) -> None:
        known = typing.get_args(ModelFormat)
        wrong = [form for form in self.formats if form not in known]
        _check(
            not wrong,
            _("“{wrong}” is not a format.").format(wrong="".join(wrong[:1])),
            _("One of {known}.").format(known=", ".join(known)),
        )
        _check(
            bool(self.formats),
            _("No format was named."),
            _("One of {known}.").format(known=", ".join(known)),
        )


@dataclass(frozen=True, slots=True)
class DownloadSpec(Spec):
    """Fetch a base model from the hub, to whose size and licence the user has agreed.

    `bytes`: what will arrive in all, 0 where that is not known.
    """

    model: ModelSource
    bytes: int = 0

    def __post_init__(self) -> None:
        _check(self.model.kind == "hub", _("Only models of the hub are downloaded."))


AnySpec = (
    ErasureSpec
    | InversionSpec
    | GenerationPlan
    | PreviewSpec
    | CheckSpec
    | TrainingSpec
    | EvaluationSpec
    | PredictionSpec
    | ModelExportSpec
    | DownloadSpec
)

SPEC_KINDS: dict[str, type[AnySpec]] = {
    "erase": ErasureSpec,
    "invert": InversionSpec,
    "generate": GenerationPlan,
    "preview": PreviewSpec,
    "check": CheckSpec,
    "train": TrainingSpec,
    "compare": EvaluationSpec,
    "predict": PredictionSpec,
    "export": ModelExportSpec,
    "download": DownloadSpec,
}


def load_spec(kind: str, value: Mapping[str, Any]) -> AnySpec:
    """The spec of a job of `kind` from its stored JSON values."""
    try:
        spec_type = SPEC_KINDS[kind]
    except KeyError:
        raise UserError(
            _("This version does not know jobs of kind “{kind}”.").format(kind=kind)
        ) from None
    return spec_type.from_dict(value)
