"""The meadow renderer: the same everywhere, what it says it shows, and nothing held out leaks."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dafusion_core import api as df
from dafusion_core.datasets.sources import plan_import
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Part
from dafusion_core.meadow import (
    ATTRIBUTES,
    HELD_OUT,
    SAMPLE,
    TRAINING,
    Species,
    describe,
    draw_picture,
    draw_sample,
    draw_sheet,
    find_species,
    look_alikes,
    random_species,
    sample,
    write_caption,
    write_folder,
)
from dafusion_core.meadow.folder import hash_pictures


def test_a_picture_is_the_same_on_every_machine() -> None:
    digest = hashlib.sha256()
    for number, name in enumerate(("dandelion", "leafy spurge", "fern", "ground elder")):
        picture = draw_picture(find_species(name), 40 + number)
        digest.update(picture.pixels.tobytes())
        digest.update(picture.mask.tobytes())
    assert digest.hexdigest() == (
        "1f0f6ddcd3334464a367c25749f0b4b1d539ae26bca119ac0e3db6cd1f190d16"
    )


def test_pictures_differ_by_seed_and_by_species() -> None:
    daisy, poppy = find_species("daisy"), find_species("poppy")
    first = draw_picture(daisy, 1, plot=3).pixels
    assert not np.array_equal(first, draw_picture(daisy, 2, plot=3).pixels)
    assert not np.array_equal(first, draw_picture(poppy, 1, plot=3).pixels)
    assert not np.array_equal(first, draw_picture(daisy, 1, plot=4).pixels)


def test_size_changes_the_resolution_and_not_the_content() -> None:
    species = find_species("poppy")
    small, large = draw_picture(species, 9, 32), draw_picture(species, 9, 128)
    assert large.pixels.shape == (128, 128, 3)
    assert large.pixels.dtype == np.uint8
    shrunk = large.pixels.reshape(32, 4, 32, 4, 3).mean(axis=(1, 3))
    assert np.abs(shrunk - small.pixels).mean() < 9
    coarse = large.mask.reshape(32, 4, 32, 4).mean(axis=(1, 3)) > 0.5
    assert (coarse == small.mask).mean() > 0.93


def test_the_mask_covers_the_plant() -> None:
    """Red flowers on a green meadow are found by the mask, and hardly any outside it."""
    poppy = find_species("poppy")
    for seed in range(6):
        picture = draw_picture(poppy, seed * 8)
        r, g, b = picture.pixels.astype(int).transpose(2, 0, 1)
        red = (r > 120) & (r > 2 * g) & (r > 2 * b)
        assert picture.mask.dtype == np.bool_
        assert 0.04 < picture.mask.mean() < 0.9
        assert red.any()
        assert picture.mask[red].mean() > 0.9


def test_consecutive_seeds_share_a_plot() -> None:
    species = find_species("ivy")
    pictures = [draw_picture(species, seed, 16) for seed in range(6, 18)]
    assert [p.plot for p in pictures] == [0, 0] + [1] * 8 + [2] * 2
    for plot in (0, 1, 2):
        assert len({(p.ground, p.light) for p in pictures if p.plot == plot}) == 1
    seen = {draw_picture(species, seed * 8, 16).ground for seed in range(30)}
    assert len(seen) == 5


def test_held_out_species_are_in_no_training_set() -> None:
    assert len(HELD_OUT) == 24
    assert len(TRAINING) >= 150
    assert sum(s.flowerless for s in HELD_OUT) >= 6
    names = [s.name for s in (*TRAINING, *HELD_OUT)]
    assert len(set(names)) == len(names)
    genomes = [s.genome for s in (*TRAINING, *HELD_OUT)]
    assert len(set(genomes)) == len(genomes)
    assert all(len(s.name.split()) == 1 for s in TRAINING)


def test_every_second_held_out_species_has_a_look_alike() -> None:
    for first, second in zip(HELD_OUT[:12], HELD_OUT[12:], strict=True):
        changed = sum(a != b for a, b in zip(first.genome, second.genome, strict=True))
        assert 1 <= changed <= 2
        assert first.head == second.head


def test_look_alikes_change_little_and_stay_the_same() -> None:
    hidden = {s.genome for s in HELD_OUT}
    for species in (*HELD_OUT, *TRAINING[:10]):
        relations = look_alikes(species, 3)
        assert relations == look_alikes(species, 3)
        assert len({r.genome for r in relations} | {species.genome}) == 4
        assert not {r.genome for r in relations} & hidden
        for relation in relations:
            changed = sum(a != b for a, b in zip(species.genome, relation.genome, strict=True))
            assert 1 <= changed <= 2


def test_random_species_use_every_value() -> None:
    rng = np.random.default_rng(0)
    drawn = [random_species(rng) for _ in range(400)]
    for position, values in enumerate(ATTRIBUTES.values()):
        assert set(values) <= {s.genome[position] for s in drawn}
    assert 0.1 < np.mean([s.flowerless for s in drawn]) < 0.25


@pytest.mark.parametrize(
    "values",
    [
        {"leaf": "wooden"},
        {"head": "none", "flower_colour": "red"},
        {"head": "spike", "flower_colour": "red", "head_size": "large", "eye": "dark"},
        {"head": "daisy", "flower_colour": "red", "head_size": "large"},
    ],
)
def test_impossible_species_are_refused(values: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        Species("odd", **{"growth": "bushy", "leaf": "oval", "leaf_colour": "green", **values})


def test_captions_say_what_there_is() -> None:
    assert describe(find_species("cornflower")) == (
        "bushy plant with narrow grey-green leaves and large blue star flowers with dark centres"
    )
    assert describe(find_species("fern")) == "rosette plant with feathered green leaves"
    assert write_caption("ivy", "mud", "shade") == "a photo of an ivy on wet mud in the shade"
    assert write_caption("fern", "straw", "sun", template="a rendering of the {}").startswith(
        "a rendering of the fern on dry straw"
    )
    picture = draw_picture(find_species("daisy"), 3, 16)
    assert picture.caption.startswith("a photo of a daisy ")
    rng = np.random.default_rng(0)
    assert len({write_caption("daisy", "mud", "shade", rng) for _ in range(50)}) == 4


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"seed": 0, "size": 8}, {"seed": 0, "plot": -1}])
def test_senseless_arguments_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        draw_picture(find_species("fern"), **wrong)


def test_a_sheet_holds_all_pictures() -> None:
    pictures = [draw_picture(find_species("fern"), i, 16) for i in range(5)]
    sheet = draw_sheet(pictures, 3)
    assert sheet.size == (3 * 18 - 2, 2 * 18 - 2)
    assert np.array_equal(np.asarray(sheet)[18:34, 18:34], pictures[4].pixels)


def test_a_folder_has_parts_plots_masks_and_a_list(tmp_path: Path) -> None:
    assert write_folder(tmp_path / "weeds", SAMPLE[:2], 3, 5, size=16, masks=True)
    plan = plan_import(tmp_path / "weeds")
    assert plan.per_label == {"dandelion": 8, "rough hawkbit": 8}
    assert plan.per_part == {"train": 6, "test": 10}
    assert plan.problems == ()
    plots = {part: {e.group for e in plan.entries if e.part is part} for part in Part}
    assert plots[Part.TRAIN] == {"plot-00", "plot-01"}
    assert plots[Part.TEST] == {"plot-02", "plot-03", "plot-04"}
    for entry in plan.entries:
        path = Path(entry.path).relative_to(tmp_path / "weeds")
        with Image.open(tmp_path / "weeds" / path) as picture:
            assert picture.size == (16, 16)
        with Image.open(tmp_path / "weeds-masks" / path) as mask:
            assert 0 < np.asarray(mask).mean() < 255
    first = hash_pictures(tmp_path / "weeds")
    assert write_folder(tmp_path / "again", SAMPLE[:2], 3, 5, size=16)
    assert hash_pictures(tmp_path / "again") == first
    assert write_folder(tmp_path / "other", SAMPLE[:2], 3, 5, size=16, first_seed=99)
    assert hash_pictures(tmp_path / "other") not in ("", first)
    with pytest.raises(FileExistsError):
        write_folder(tmp_path / "weeds", SAMPLE, 1)


def test_the_sample_is_hard_and_only_the_dandelion_is_known() -> None:
    assert set(SAMPLE) & set(TRAINING) == {find_species("dandelion")}
    assert set(SAMPLE[1:]) <= set(HELD_OUT)
    for first, second in ((SAMPLE[0], SAMPLE[1]), (SAMPLE[2], SAMPLE[3])):
        assert sum(a != b for a, b in zip(first.genome, second.genome, strict=True)) <= 2


def test_the_sample_is_the_same_on_every_machine(tmp_path: Path) -> None:
    drawn = draw_sample(tmp_path / "weeds")
    assert (drawn.digest, drawn.warning) == (sample.DIGEST, "")
    plan = plan_import(tmp_path / "weeds")
    assert (len(plan.entries), plan.per_part) == (160, {"train": 16, "test": 144})
    again = draw_sample(tmp_path / "weeds")
    assert (again.digest, again.is_new) == (drawn.digest, False)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "TRAIN", 2)
    monkeypatch.setattr(sample, "TEST", 2)


@pytest.mark.usefixtures("small")
def test_a_sample_that_differs_is_said_to_and_still_used_again(tmp_path: Path) -> None:
    first = draw_sample(tmp_path / "weeds")
    again = draw_sample(tmp_path / "weeds")
    assert first.is_new
    assert not again.is_new
    assert "can be used all the same" in first.warning == again.warning


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("change", ["missing", "painted", "foreign"])
def test_another_folder_is_left_alone(tmp_path: Path, change: str) -> None:
    folder = tmp_path / "weeds"
    picture = folder / "test" / "dandelion" / "plot-01-002.png"
    if change == "foreign":
        folder.mkdir()
        (folder / "letter.txt").write_text("Dear Ann")
    else:
        draw_sample(folder)
        picture.unlink()
        if change == "painted":
            Image.new("RGB", (64, 64)).save(picture)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(UserError, match="Nothing was written"):
        draw_sample(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.usefixtures("small")
def test_a_drawing_that_ends_early_leaves_nothing(tmp_path: Path) -> None:
    seen: list[int] = []
    stopped = draw_sample(
        tmp_path / "weeds", lambda done, total, name: seen.append(done), lambda: len(seen) >= 5
    )
    assert stopped.stopped
    assert seen == [1, 2, 3, 4, 5]
    assert list(tmp_path.iterdir()) == []


_KILLED = """
import os, signal, sys
from dafusion_core.meadow import draw_sample

def strike(done, total, name):
    if done == 3:
        os.kill(os.getpid(), signal.SIGKILL)

draw_sample(sys.argv[1], strike)
"""


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is a POSIX thing")
@pytest.mark.usefixtures("small")
def test_a_killed_drawing_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    folder = tmp_path / "weeds"
    done = subprocess.run([sys.executable, "-c", _KILLED, str(folder)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not folder.exists()
    assert draw_sample(folder).is_new


@pytest.mark.usefixtures("small")
def test_a_project_gets_the_sample_with_its_parts_and_plots(tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    with df.create(tmp_path / "trial") as project:
        report = project.import_sample(lambda *values: told.append(values))
        assert (report.imported, len(report.warnings)) == (16, 1)
        assert project.count_parts() == {s.name: {"train": 2, "test": 2} for s in SAMPLE}
        assert {image.group for image in project.images()} == {"plot-00", "plot-01"}
        assert project.import_sample().imported == 0
        assert len(project.splits()) == 1
        stopped = project.import_sample(should_stop=lambda: True)
        assert (stopped.imported, stopped.stopped) == (0, True)
    assert [name == "" for _, _, name in told] == [True] * 16 + [False] * 16
    assert (tmp_path / "trial-pictures" / "metadata.csv").is_file()
