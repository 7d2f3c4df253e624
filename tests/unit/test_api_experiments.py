"""Experiments: what is queued, what is shared, what is added later, and the table."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dafusion_core import resources
from dafusion_core.api import ChainOptions, Project
from dafusion_core.api.chain import complete_classifier
from dafusion_core.api.experiments import (
    experiment_jobs,
    experiment_table,
    extend_experiment,
    list_experiments,
    plan_experiment,
    resume_experiment,
)
from dafusion_core.api.presets import PRESETS, make_experiment
from dafusion_core.api.replicates import list_replicates, make_parts
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.experiments import ExperimentArm, ExperimentSpec, Splits
from dafusion_core.domain.records import JobState, Part
from dafusion_core.domain.specs import load_spec
from tests.e2e.projects import CLASSES, make_folder, make_project, run_queue

OPTIONS = ChainOptions(variants=1, t0_set=(0.5, 1.0), epochs=1, seeds=(0, 1))


def spec_of(preset: str = "quick", **changes: object) -> ExperimentSpec:
    return replace(make_experiment(preset, CLASSES, OPTIONS), **changes)  # type: ignore[arg-type]


@pytest.fixture
def project(tmp_path: Path):  # type: ignore[no-untyped-def]
    with make_project(tmp_path) as made:
        yield made


def kinds(project: Project, experiment_id: int) -> Counter[str]:
    return Counter(job.kind for job in experiment_jobs(project, experiment_id))


# ---------------------------------------------------------------------------------- queueing


def test_an_experiment_is_arms_times_shots_times_seeds(project: Project) -> None:
    before = project.current_split()
    made = plan_experiment(project, spec_of(shots=(1, 2), seeds=(0, 1, 2)))
    assert kinds(project, made.id) == {"erase": 1, "invert": 6, "generate": 6, "train": 12}
    assert project.current_split() == before  # its splits are its own
    for job in experiment_jobs(project, made.id):
        if job.kind == "train":
            (arm,) = job.spec["arms"]
            needed = [project.job(number).kind for number in job.needs]
            assert needed == (["generate"] if arm["alpha"] else [])
        if job.kind == "generate":
            assert sorted(project.job(n).kind for n in job.needs) == ["erase", "invert"]
    splits = {split.id: split for split in project.splits()}
    for key, job_id in made.jobs.items():
        if key.startswith(("invert", "generate", "train")):
            spec = load_spec(key.partition("/")[0], project.job(job_id).spec)
            shots = int(key.split("/")[1])
            assert splits[spec.split_id].counts["train"] == 3 * shots  # type: ignore[union-attr]


def test_extending_repeats_nothing(project: Project) -> None:
    made = plan_experiment(project, spec_of(shots=(1,), seeds=(0,)))
    before = {job.id for job in project.jobs()}
    more = extend_experiment(
        project, made.id, arms=(ExperimentArm("RandAugment", augmentation="randaugment"),)
    )
    new = [job for job in project.jobs() if job.id not in before]
    assert [(job.kind, job.spec["arms"][0]["name"]) for job in new] == [("train", "RandAugment")]
    assert set(made.jobs.items()) < set(more.jobs.items())
    extend_experiment(project, made.id, seeds=(0, 1))
    kinds_now = kinds(project, made.id)
    assert kinds_now == {"erase": 1, "invert": 2, "generate": 2, "train": 6}
    extend_experiment(project, made.id, seeds=(0, 1), shots=(1,))
    assert kinds(project, made.id) == kinds_now
    changed = ExperimentArm("RandAugment", augmentation="none")
    with pytest.raises(UserError, match="another arm called"):
        extend_experiment(project, made.id, arms=(changed,))
    assert kinds(project, made.id) == kinds_now


def test_ablations_share_what_is_the_same(project: Project) -> None:
    made = plan_experiment(project, spec_of("ablation-k", seeds=(0,), shots=(2,)))
    assert kinds(project, made.id) == {"erase": 1, "invert": 1, "generate": 1, "train": 4}
    other = plan_experiment(project, spec_of("ablation-masking", seeds=(0,), shots=(2,)))
    assert kinds(project, other.id) == {"erase": 1, "invert": 1, "generate": 3, "train": 4}


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_survive_json(preset: str) -> None:
    spec = make_experiment(preset, CLASSES, ChainOptions(), name="x", shots=(3,), seeds=(5,))
    assert ExperimentSpec.from_dict(spec.to_dict()) == spec
    assert (spec.name, spec.shots, spec.seeds) == ("x", (3,), (5,))
    with pytest.raises(UserError, match="no preset"):
        make_experiment("nothing", CLASSES)


def test_an_arm_that_waits_for_a_person_is_paused(project: Project) -> None:
    curated = ExperimentArm("curated", alpha=0.5, generator="DA-Fusion", only_kept=True)
    spec = spec_of(seeds=(0,), shots=(1,))
    made = plan_experiment(project, replace(spec, arms=(*spec.arms, curated)))
    held = [job for job in experiment_jobs(project, made.id) if job.is_held]
    assert [job.spec["arms"][0]["name"] for job in held] == ["curated"]
    assert resume_experiment(project, made.id) == 1


# -------------------------------------------------------------------------------- replicates

ITEMS = [(i, CLASSES[i % 3], f"field {i // 6}") for i in range(36)]
SINGLE = [(i, label, None) for i, label, _ in ITEMS]


def test_folds_test_every_image_once() -> None:
    spec = spec_of(splits="folds", folds=4, seeds=(3,))
    seen: Counter[int] = Counter()
    for replicate in list_replicates(spec, SINGLE):
        parts = make_parts(spec, replicate, 2, SINGLE)
        tested = [i for i, part in parts.items() if part is Part.TEST]
        assert Counter(CLASSES[i % 3] for i in tested) == dict.fromkeys(CLASSES, 3)
        trained = [i for i, part in parts.items() if part is Part.TRAIN]
        assert Counter(CLASSES[i % 3] for i in trained) == dict.fromkeys(CLASSES, 2)
        seen.update(tested)
    assert seen == dict.fromkeys(range(36), 1)


def test_groups_are_never_divided_and_each_is_left_out_once() -> None:
    for design, count in (("folds", 3), ("groups", 6)):
        spec = spec_of(splits=design, folds=3, seeds=(0,))
        replicates = list_replicates(spec, ITEMS)
        assert len(replicates) == count
        for replicate in replicates:
            parts = make_parts(spec, replicate, 0, ITEMS)
            sides = {group: set() for _, _, group in ITEMS}
            for image, _, group in ITEMS:
                sides[group].add(parts[image])
            assert all(len(found) == 1 for found in sides.values())
            if design == "groups":
                assert sides[replicate.group] == {Part.TEST}
    with pytest.raises(UserError, match="two groups or more"):
        list_replicates(spec_of(splits="groups"), SINGLE)


def test_one_fixed_test_part_and_growing_shots() -> None:
    spec = spec_of(splits="fixed", seeds=(0, 1))
    found = {}
    for replicate in list_replicates(spec, SINGLE):
        for shots in (1, 3):
            found[replicate.seed, shots] = make_parts(spec, replicate, shots, SINGLE)

    def side(key: tuple[int, int], part: Part) -> set[int]:
        return {image for image, of in found[key].items() if of is part}

    assert side((0, 1), Part.TEST) == side((1, 3), Part.TEST)
    assert side((0, 1), Part.TRAIN) < side((0, 3), Part.TRAIN)
    assert side((0, 3), Part.TRAIN) != side((1, 3), Part.TRAIN)


def test_numbers_of_replicates_stay_when_seeds_are_added() -> None:
    few, many = spec_of(splits="folds", seeds=(2,)), spec_of(splits="folds", seeds=(0, 2))
    assert set(list_replicates(few, SINGLE)) < set(list_replicates(many, SINGLE))
    numbers = [replicate.number for replicate in list_replicates(many, SINGLE)]
    assert len(set(numbers)) == len(numbers)


# ------------------------------------------------------------------------------------- table


def test_the_table_pairs_by_seed_although_test_images_differ(project: Project) -> None:
    made = plan_experiment(project, spec_of(shots=(1, 2), seeds=(0, 1, 2)))
    empty = experiment_table(project, made.id)
    assert (empty.finished, empty.planned) == (0, 12)
    assert empty.sentences == ()
    run_queue(project)
    assert {job.state for job in project.jobs()} == {JobState.SUCCEEDED}
    table = experiment_table(project, made.id)
    assert (table.finished, table.planned) == (12, 12)
    for cell in table.cells:
        assert cell.verdict is not None
        assert [point.arm for point in cell.points] == list(table.arms)
        (arm,) = cell.verdict.arms
        assert arm.seeds == (0, 1, 2)
        assert arm.difference > 0.2
    assert table.sentences[0].startswith("1 shot: DA-Fusion")
    other = experiment_table(project, made.id, baseline="DA-Fusion")
    assert other.cells[0].verdict.arms[0].difference < -0.2  # type: ignore[union-attr]
    with pytest.raises(UserError, match="is not an arm"):
        experiment_table(project, made.id, baseline="none")


# --------------------------------------------------------------------------------- bad input


def test_a_name_can_be_used_once(project: Project) -> None:
    plan_experiment(project, spec_of(seeds=(0,)))
    count = len(project.jobs())
    with pytest.raises(UserError, match="already"):
        plan_experiment(project, spec_of(seeds=(0,)))
    assert len(project.jobs()) == count


def test_specs_that_contradict_themselves() -> None:
    with pytest.raises(UserError, match="is not one of the arms"):
        spec_of(baseline="nobody")
    with pytest.raises(UserError, match="is not a generator"):
        spec_of(generators=())
    with pytest.raises(UserError, match="same name"):
        spec_of(arms=(ExperimentArm("standard augmentation"),) * 2)
    with pytest.raises(UserError, match="numbers of shots"):
        spec_of(shots=(-1,))


def test_a_single_class_is_refused_before_anything_starts(tmp_path: Path) -> None:
    import dafusion_core as df

    folder = make_folder(tmp_path / "pictures", 4)
    for name in CLASSES[1:]:
        for path in (folder / name).iterdir():
            path.unlink()
    with df.create(tmp_path / "one") as project:
        project.import_folder(folder)
        with pytest.raises(UserError, match="only one class"):
            project.plan_chain(OPTIONS)
        with pytest.raises(UserError, match="only one class"):
            plan_experiment(project, spec_of())
        assert project.jobs() == []


def test_a_class_of_one_image_is_refused(tmp_path: Path) -> None:
    import dafusion_core as df

    folder = make_folder(tmp_path / "pictures", 4)
    for path in sorted((folder / "dock").iterdir())[1:]:
        path.unlink()
    with df.create(tmp_path / "few") as project:
        project.import_folder(folder)
        for plan in (
            lambda: project.plan_chain(OPTIONS),
            lambda: plan_experiment(project, spec_of()),
        ):
            with pytest.raises(UserError, match="single image: “dock”"):
                plan()
        assert project.jobs() == []
        assert project.splits() == []


@pytest.mark.parametrize("part", [Part.TRAIN, Part.TEST])
def test_a_class_that_is_missing_on_one_side_is_named(project: Project, part: Part) -> None:
    from dafusion_core.domain.specs import Arm

    docks = [image.id for image in project.images(label="dock")]
    project.set_part(docks, Part.TEST if part is Part.TRAIN else Part.TRAIN)
    title = "training" if part is Part.TRAIN else "test"
    for plan in (
        lambda: project.plan_chain(OPTIONS),
        lambda: project.train(arms=(Arm("plain"),)),
    ):
        with pytest.raises(UserError, match=f"There is no {title} image of: “dock”") as caught:
            plan()
        assert "make another split" in str(caught.value)
    assert project.jobs() == []


@pytest.mark.parametrize("splits", ["per seed", "groups"])
def test_a_class_that_no_split_could_test_is_refused_with_the_whole_experiment(
    project: Project, splits: Splits
) -> None:
    """One plant of dock: all its pictures stay on one side."""
    for label in CLASSES:
        for n, image in enumerate(project.images(label=label)):
            project.set_group([image.id], "one" if label == "dock" else f"plant {n % 2}")
    with pytest.raises(UserError, match="dock"):
        plan_experiment(project, spec_of(splits=splits, seeds=(0,)))
    assert project.jobs() == []
    assert list_experiments(project) == []


def test_the_weights_that_classifiers_begin_with_are_looked_for_first(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = {
        str(tmp_path / "none.pth"): "is not there",
        "bundled": "No weights for resnet18 come with the program",
    }
    for weights, sentence in missing.items():
        options = replace(OPTIONS, weights=weights, backbone="resnet18")
        with pytest.raises(UserError, match=sentence):
            project.plan_chain(options)
        with pytest.raises(UserError, match=sentence):
            plan_experiment(project, make_experiment("quick", CLASSES, options))
    assert project.jobs() == []

    assert plan_experiment(project, spec_of(seeds=(0,))).jobs
    monkeypatch.setattr(resources, "BACKBONES", {"resnet50": str(tmp_path / "not there")})
    with pytest.raises(UserError):
        plan_experiment(project, spec_of(seeds=(1,)))


def test_a_network_without_weights_is_trained_as_a_whole() -> None:
    assert (OPTIONS.weights, OPTIONS.backbone, OPTIONS.protocol) == ("bundled", "resnet50", "probe")
    for given in ({"backbone": "resnet18"}, {"weights": ""}):
        found = replace(OPTIONS, **complete_classifier(given))
        assert (found.weights, found.protocol, found.epochs) == ("", "finetune", 5)
    chosen: dict[str, Any] = {"backbone": "resnet18", "epochs": 7, "protocol": "probe"}
    assert replace(OPTIONS, **complete_classifier(chosen)).epochs == 7
    assert replace(OPTIONS, **complete_classifier(chosen)).protocol == "probe"
    for kept in ({"weights": "imagenet", "backbone": "x"}, {"backbone": "resnet50"}, {}):
        assert complete_classifier(kept) == kept


def test_a_deleted_picture_is_named(project: Project) -> None:
    image = project.images()[0]
    project.image_path(image).chmod(0o644)
    project.image_path(image).unlink()
    with pytest.raises(UserError, match="no longer where they were") as caught:
        plan_experiment(project, spec_of())
    assert str(project.image_path(image)) in str(caught.value)
    assert project.jobs() == []


def test_uneven_classes_are_remarked_on(tmp_path: Path) -> None:
    import dafusion_core as df
    from dafusion_core.api.preflight import find_doubts

    folder = make_folder(tmp_path / "pictures", 41)
    for path in sorted((folder / "dock").iterdir())[2:]:
        path.unlink()
    with df.create(tmp_path / "uneven") as project:
        project.import_folder(folder)
        (doubt,) = find_doubts(project.file)
        assert "“dock” 2" in doubt
        made = plan_experiment(project, spec_of(seeds=(0,)))
        assert made.jobs


def test_no_kept_image_is_refused_when_training_is_queued(project: Project) -> None:
    from dafusion_core.domain.specs import Arm

    job = project.generate(t0_set=(0.5,), variants=1)
    arms = (Arm("plain"), Arm("mixed", alpha=0.5, generation_job=job.id))
    project.train(arms=arms)  # its images are still to be made
    run_queue(project)
    project.reject(project.synthetic_ids())
    with pytest.raises(UserError, match="none of 15 is kept"):
        project.train(arms=arms)
    project.keep(project.synthetic_ids()[:1])
    assert project.train(arms=arms, use_undecided=False).total == 16
