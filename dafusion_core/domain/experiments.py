"""What an experiment is: arms × shots × seeds, written down before anything runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.specs import (
    Arm,
    Augmentation,
    BatchMix,
    ErasureSpec,
    GenerationPlan,
    InversionSpec,
    Mixing,
    Plain,
    Spec,
    TrainingSpec,
    hash_json,
)
from dafusion_core.language import _

__all__ = ["ALL_SHOTS", "Experiment", "ExperimentArm", "ExperimentSpec", "Generator", "Splits"]

Splits = Literal["per seed", "fixed", "folds", "groups"]

#: The number of shots that stands for "every training image there is".
ALL_SHOTS = 0


@dataclass(frozen=True, slots=True)
class Generator(Plain):
    """How the synthetic images of some arms are made, for every split anew.

    Templates: ids of splits and jobs in them are put in when the experiment is queued.
    `inversion` None: Real Guidance, the class name stands in the prompt.
    """

    name: str
    plan: GenerationPlan
    inversion: InversionSpec | None = None
    erasure: ErasureSpec | None = None

    def inversion_hash(self) -> str:
        """What generators must share to share what they learned."""
        both = (self.erasure, self.inversion)
        return hash_json([part.to_dict() if part else None for part in both])[:12]

    def plan_hash(self) -> str:
        """What generators must share to share their images."""
        return hash_json([self.inversion_hash(), self.plan.to_dict()])[:12]


@dataclass(frozen=True, slots=True)
class ExperimentArm(Plain):
    """An arm (see `Arm`), with the name of its generator in place of a job."""

    name: str
    augmentation: Augmentation = "standard"
    alpha: float = 0.0
    generator: str = ""
    mixing: Mixing = "own"
    batch_mix: BatchMix = "none"
    only_kept: bool = False
    t0_set: tuple[float, ...] = ()
    variants: int | None = None

    def to_arm(self, generation_job: int | None) -> Arm:
        """The arm of a training job."""
        return Arm(
            name=self.name,
            augmentation=self.augmentation,
            alpha=self.alpha,
            generation_job=generation_job,
            mixing=self.mixing,
            batch_mix=self.batch_mix,
            only_kept=self.only_kept,
            t0_set=self.t0_set,
            variants=self.variants,
        )

    @property
    def uses_synthetics(self) -> bool:
        """True when synthetic images take part."""
        return self.mixing in ("concatenate", "only") or self.alpha > 0


@dataclass(frozen=True, slots=True)
class ExperimentSpec(Spec):
    """Arms × shots × seeds (§5.1).

    `shots`: training images per class, 0 for all. `splits` "per seed": each seed divides the
    images anew, as in the paper; "fixed": one test part for all, seeds choose the shots;
    "folds": each seed deals the images into `folds`, each of which is tested once; "groups": each
    group is tested once. `training` is a template: its split, arms and seeds are put in.
    """

    name: str
    arms: tuple[ExperimentArm, ...]
    baseline: str
    training: TrainingSpec
    generators: tuple[Generator, ...] = ()
    shots: tuple[int, ...] = (ALL_SHOTS,)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7)
    splits: Splits = "per seed"
    folds: int = 5
    test: float = 0.5
    validation: float = 0.0
    split_seed: int = 0
    confidence: float = 0.95
    resamples: int = 2000

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        generators = [generator.name for generator in self.generators]
        for what, found in (("arms", names), ("generators", generators)):
            if len(set(found)) != len(found):
                raise UserError(
                    _("Two {what} of the experiment have the same name.").format(what=what)
                )
        if self.baseline not in names:
            raise UserError(
                _("The baseline “{baseline}” is not one of the arms: {names}.").format(
                    baseline=self.baseline, names=", ".join(names)
                ),
                _("Name one of them."),
            )
        if not self.seeds or not self.shots or min(self.shots) < 0:
            raise UserError(_("An experiment needs a seed, and numbers of shots from 0 (all)."))
        if self.splits == "folds" and self.folds < 2:
            raise UserError(_("Folds must be 2 or more."))
        for arm in self.arms:
            if arm.uses_synthetics and arm.generator not in generators:
                raise UserError(
                    _(
                        "Arm “{name}” mixes in synthetic images, but "
                        "“{generator}” is not a generator "
                        "of the experiment."
                    ).format(name=arm.name, generator=arm.generator),
                    _("Generators: {generators}.").format(
                        generators=", ".join(generators) or "none"
                    ),
                )
            arm.to_arm(0)  # checks the figures

    def generator_of(self, arm: ExperimentArm) -> Generator | None:
        """The generator of an arm that uses synthetic images."""
        if not arm.uses_synthetics:
            return None
        return next(g for g in self.generators if g.name == arm.generator)

    def extended(
        self,
        arms: tuple[ExperimentArm, ...] = (),
        generators: tuple[Generator, ...] = (),
        shots: tuple[int, ...] = (),
        seeds: tuple[int, ...] = (),
    ) -> ExperimentSpec:
        """This experiment with more of something. What it has already cannot be changed.

        Raises UserError for an arm or generator of a known name that differs.
        """
        known_arms = {arm.name: arm for arm in self.arms}
        known_generators = {one.name: one for one in self.generators}
        for arm in arms:
            if known_arms.setdefault(arm.name, arm) != arm:
                raise _changed("arm", arm.name)
        for one in generators:
            if known_generators.setdefault(one.name, one) != one:
                raise _changed("generator", one.name)
        return replace(
            self,
            arms=tuple(known_arms.values()),
            generators=tuple(known_generators.values()),
            shots=tuple(dict.fromkeys((*self.shots, *shots))),
            seeds=tuple(dict.fromkeys((*self.seeds, *seeds))),
        )


def _changed(what: str, name: str) -> UserError:
    return UserError(
        _("The experiment has another {what} called “{name}” already.").format(
            what=what, name=name
        ),
        _("Results of two settings must not share a name: choose a new one."),
    )


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment of a project and the jobs it queued, by key."""

    id: int
    name: str
    spec: ExperimentSpec
    created_at: str
    jobs: dict[str, int]
