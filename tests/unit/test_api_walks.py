"""Random walks of commands: undo leads back to the start, redo to the end, and on the way no
synthetic image is ever on another side than its source, or taken for a real one.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import dafusion_core as df
from dafusion_core.api import Project
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Part
from dafusion_core.storage import journal
from dafusion_core.worker.binding import BINDERS
from tests.unit.pictures import make_class_folder, noise, save
from tests.unit.test_api_annotation import state
from tests.unit.test_api_roundtrip import make_synthetic_files

NAMES = ("dock", "fern", "nettle", "sorrel", "Ampfer", "草")
GROUPS = ("plant 1", "plant 2", "day 3")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Ten images of three classes, two splits, synthetic images of a finished generation."""
    folder = make_class_folder(tmp_path / "photos", {"dock": 4, "fern": 3, "nettle": 3})
    with df.create(tmp_path / "weeds") as made:
        made.import_data(folder)
        made.make_split(seed=1)
        made.make_split(seed=2, validation=0.2)
        make_synthetic_files(made, tmp_path)
        made.file.db.execute("UPDATE job SET state = 'succeeded', owner = NULL")
        journal.forget(made.file.db)
        made.file.db.execute("PRAGMA synchronous = OFF")
        yield made


class Walker:
    """Makes one random command after the other."""

    def __init__(self, project: Project, chance: random.Random) -> None:
        self.project, self.chance = project, chance
        self.images = [image.id for image in project.images()]
        self.synthetic = project.synthetic_ids()
        p, some, few = project, self.some, self.few
        self.commands: list[Callable[[], object]] = [
            lambda: p.relabel(some(), self.name()),
            lambda: p.relabel(some(), None),
            lambda: p.create_class(self.name()),
            lambda: p.rename_class(self.label(), self.name()),
            lambda: p.merge_classes([self.label(), self.label()], self.label()),
            lambda: p.remove_class(self.label()),
            lambda: p.split_class(some(), self.name()),
            self.reorder,
            lambda: p.mark_unsure(some(), chance.random() < 0.7),
            lambda: p.set_note(some(), chance.choice(("", "a", 'b "c"\n'))),
            lambda: p.reject_images(some()),
            lambda: p.restore_images(some()),
            lambda: p.set_group(some(), chance.choice((*GROUPS, None))),
            lambda: p.rename_group(chance.choice(GROUPS), chance.choice(GROUPS)),
            lambda: p.group_by("pattern", r"_(\d)", "name", image_ids=some()),
            lambda: p.join_parts(some(), chance.choice(GROUPS)),
            lambda: p.add_region(chance.choice(self.images), "box", self.box(), self.maybe()),
            lambda: p.change_region(self.region(), "box", self.box(), self.maybe()),
            lambda: p.remove_regions([self.region(), self.region()]),
            lambda: p.set_part(some(), chance.choice(list(Part))),
            lambda: p.set_part(some(), Part.TEST),
            p.lock_test,
            p.unlock_test,
            lambda: p.use_split(chance.randint(1, 3)),
            lambda: p.make_split(chance.randint(0, 9), validation=chance.choice((0.0, 0.2))),
            lambda: p.keep(few()),
            lambda: p.reject(few()),
            lambda: p.undecide(few()),
            lambda: p.rate(few(), chance.randint(0, 5)),
            p.undo,
            p.undo,
            p.redo,
        ]

    def some(self) -> list[int]:
        return self.chance.sample(self.images, self.chance.randint(1, 4))

    def few(self) -> list[int]:
        return self.chance.sample(self.synthetic, self.chance.randint(1, 5))

    def name(self) -> str:
        return self.chance.choice(NAMES)

    def label(self) -> str:
        labels = [label.name for label in self.project.labels()]
        return self.chance.choice(labels or ["none"])

    def maybe(self) -> str | None:
        return self.chance.choice((None, "dock", "草"))

    def region(self) -> int:
        return self.chance.choice([r.id for r in self.project.regions()] or [99])

    def box(self) -> dict[str, list[float]]:
        return {"box": [self.chance.randint(0, 20), 1, self.chance.randint(1, 20), 5.5]}

    def reorder(self) -> object:
        labels = [label.name for label in self.project.labels()]
        self.chance.shuffle(labels)
        return self.project.order_classes(labels)

    def step(self) -> None:
        # Refused, nothing may have changed, which the state shows in the end.
        with contextlib.suppress(UserError):
            self.chance.choice(self.commands)()


def check_rules(project: Project) -> None:
    """What must hold after every command."""
    db = project.file.db
    labels = project.labels()
    assert [label.ordinal for label in labels] == list(range(len(labels)))
    assert len({label.name for label in labels}) == len(labels)
    copies = "SELECT count(*) FROM image WHERE sha256 IN (SELECT sha256 FROM synthetic_image)"
    assert db.value(copies) == 0
    images = {image.id: image for image in project.images()}
    for image in images.values():
        if image.is_rejected or not image.label:
            assert image.part in (None, Part.UNUSED)
    locked = project.locked_test()
    if locked:
        split = project.current_split()
        held = db.query("SELECT image_id, part FROM split_image WHERE split_id = ?", [split.id])
        chosen = {row[0] for row in held if row[1] == "test"}
        # Another split may be chosen later; but no command changes the locked part of one.
        assert locked == chosen or project.undo_text() is not None


def check_parts(project: Project) -> None:
    """What a training would be given: only synthetic images whose sources train."""
    for item in project._export_items("both", "all", None):
        if item.kind == "synthetic":
            source = project.image(item.source_id or 0)
            assert item.part == ("" if source.part is None else source.part.value)
    train = {image.id for image in project.images(part="train")}
    test = {image.id for image in project.images(part="test")}
    exported = project._export_items("synthetic", "all", {Part.TEST})
    assert all(item.source_id in test for item in exported)
    assert not train & test
    assert set(BINDERS) >= {"train"}


def walk(project: Project, seed: int, steps: int) -> None:
    chance = random.Random(seed)
    start = state(project)
    walker = Walker(project, chance)
    for _ in range(chance.randint(1, steps)):
        walker.step()
        check_rules(project)
    check_parts(project)
    end = state(project)
    back = 0
    while project.undo() is not None:
        back += 1
        check_rules(project)
    assert state(project) == start, f"seed {seed}: undo does not lead back"
    for _ in range(back):
        assert project.redo() is not None
    assert state(project) == end, f"seed {seed}: redo does not lead to the end"
    while project.undo() is not None:
        pass
    assert state(project) == start


def test_walks_can_be_undone_and_redone(project: Project) -> None:
    for seed in range(60):
        walk(project, seed, 12)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 10_000, 1_000))
def test_ten_thousand_walks_can_be_undone_and_redone(project: Project, first: int) -> None:
    for seed in range(first, first + 1_000):
        walk(project, seed, 5)


def test_no_walk_with_imports_and_splits_makes_a_synthetic_image_real(
    project: Project, tmp_path: Path
) -> None:
    ids = project.synthetic_ids()
    trap = tmp_path / "trap"
    for part in ("train", "test", "validation"):
        (trap / part / "dock").mkdir(parents=True)
        for made in project.synthetic(ids)[:3]:
            (trap / part / "dock" / f"{made.id}.png").write_bytes(
                project.synthetic_path(made).read_bytes()
            )
        save(noise(hash(part) % 999), trap / part / "dock" / "real.png")
    project.export(tmp_path / "out", "coco", curation="all")
    chance = random.Random(7)
    walker = Walker(project, chance)
    others: list[Callable[[], object]] = [
        lambda: project.import_data(trap),
        lambda: project.import_data(trap / "test"),
        lambda: project.import_data(trap, "flat"),
        lambda: project.import_data(tmp_path / "out"),
        lambda: project.import_data(tmp_path / "out" / "images", "flat"),
        lambda: project.make_split(seed=chance.randint(0, 99), shots=chance.choice((None, 1))),
    ]
    for number in range(60):
        if number % 4 == 0:
            with contextlib.suppress(UserError):
                others[number // 4 % len(others)]()
        walker.step()
        check_rules(project)
        check_parts(project)
    assert set(project.synthetic_ids()) == set(ids)
