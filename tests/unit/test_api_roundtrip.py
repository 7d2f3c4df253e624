"""What goes out comes back the same: images, classes, parts, groups, notes, doubts, masks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dafusion_core as df
from dafusion_core.api import Project
from dafusion_core.datasets.export_forms import EXPORT_FORMS
from dafusion_core.datasets.masks import region_mask
from dafusion_core.domain.errors import UserError
from tests.unit.pictures import make_class_folder, noise, save
from tests.unit.test_api_project import synthetic_images

FORMS = [form for form in EXPORT_FORMS if form != "reference"]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Three classes in an order of their own, groups, notes, doubts, all kinds of regions."""
    folder = make_class_folder(tmp_path / "photos", {"dock": 5, "Ampfer grün": 4, "naïve 草": 4})
    save(noise(500), folder / "dock" / "late.jpg", quality=90)
    with df.create(tmp_path / "weeds") as made:
        made.import_folder(folder)
        made.order_classes(["naïve 草", "dock", "Ampfer grün"])
        made.set_group([1, 2], "plant 1")
        made.set_group([7], "plant, “2”")
        made.make_split(seed=3, test=0.4, validation=0.2)
        made.relabel([4], None)
        made.mark_unsure([5])
        made.set_note([1, 6], 'he said "no";\nand left, twice')
        rng = np.random.default_rng(0)
        image = made.image(1)
        made.add_mask(1, rng.random((image.height, image.width)) < 0.3)
        made.add_region(
            2, "polygon", {"polygons": [[1.5, 2, 30, 3.25, 20, 30], [0, 0, 5, 0, 5, 5]]}
        )
        made.add_region(2, "box", {"box": [3.5, 4, 10, 12]}, "dock")
        made.add_region(3, "box", {"box": [0, 0, 48, 40]})
        yield made


def content(project: Project) -> dict[str, object]:
    """What a project holds, without ids and paths."""
    by_id = {image.id: image for image in project.images()}
    regions: dict[str, list[tuple[object, ...]]] = {}
    for region in project.regions():
        image = by_id[region.image_id]
        data = json.dumps(dict(region.data), sort_keys=True)
        label = region.label if region.label != image.label else None
        regions.setdefault(image.sha256, []).append((region.kind.value, data, label))
    return {
        "classes": [label.name for label in project.labels()],
        "images": {
            image.sha256: (image.label, image.part, image.group, image.note, image.is_unsure)
            for image in by_id.values()
        },
        "regions": regions,
    }


@pytest.mark.parametrize("form", FORMS)
def test_every_form_comes_back_the_same(project: Project, tmp_path: Path, form: str) -> None:
    out = tmp_path / "out"
    report = project.export(out, form)
    assert report.real == 14
    with df.create(tmp_path / "again") as again:
        plan = again.plan_import(out)
        assert len(plan.entries) == 14
        found = again.import_data(plan)
        assert found.imported == 14
        assert [problem for problem in found.problems if problem.is_refused] == []
        assert content(again) == content(project)
        # and once more, into the same project: nothing is new, nothing changes
        before = content(again), len(again.splits())
        assert again.import_data(out).imported == 0
        assert (content(again), len(again.splits())) == before


@pytest.mark.parametrize("form", FORMS)
def test_synthetic_images_come_back_as_synthetic_ones(
    project: Project, tmp_path: Path, form: str
) -> None:
    make_synthetic_files(project, tmp_path)
    ids = project.synthetic_ids()
    project.keep(ids[:5])
    project.reject(ids[5:7])
    project.rate(ids[:1], 4)
    report = project.export(tmp_path / "out", form, curation="all")
    assert report.synthetic == len(ids) - 2

    def made(of: Project) -> set[tuple[object, ...]]:
        sources = {image.id: image for image in of.images()}
        return {
            (m.sha256, m.t0, m.seed, m.variant, str(m.curation), m.rating,
             sources[m.source_image_id].sha256, sources[m.source_image_id].part)
            for m in of.synthetic(of.synthetic_ids()) if str(m.curation) != "rejected"
        }  # fmt: skip

    with df.create(tmp_path / "again") as again:
        assert again.import_data(tmp_path / "out").imported == 14
        assert content(again) == content(project)
        assert made(again) == made(project)
        assert again.import_data(tmp_path / "out").imported == 0
        assert len(again.synthetic_ids()) == len(ids) - 2


def make_synthetic_files(project: Project, folder: Path) -> None:
    """A small generation whose files are really there."""
    ids = synthetic_images(project)
    for number, made in enumerate(project.synthetic(ids)):
        path = save(noise(9000 + number, 64, 64), folder / "made" / f"{number}.png")
        relative, digest = project.file.objects.adopt(path)
        project.file.db.execute(
            "UPDATE synthetic_image SET path = ?, sha256 = ?, width = 64, height = 64 WHERE id = ?",
            [relative, digest, made.id],
        )


def test_changes_made_with_other_programs_count(project: Project, tmp_path: Path) -> None:
    project.export(tmp_path / "out", "coco")
    file = tmp_path / "out" / "labels.coco.json"
    value = json.loads(file.read_text(encoding="utf-8"))
    value["images"][0]["label"] = "sorrel"
    file.write_text(json.dumps(value), encoding="utf-8")
    with df.create(tmp_path / "again") as again:
        again.import_data(tmp_path / "out")
        assert again.image_count() == 14
        assert len(again.images(label="sorrel")) == 1


def test_a_synthetic_image_is_never_taken_for_a_real_one(project: Project, tmp_path: Path) -> None:
    make_synthetic_files(project, tmp_path)
    ids = project.synthetic_ids()
    trap = tmp_path / "trap" / "test" / "dock"
    trap.mkdir(parents=True)
    for number, made in enumerate(project.synthetic(ids)[:4]):
        path = project.synthetic_path(made)
        if number == 0:
            (trap / "same bytes.png").write_bytes(path.read_bytes())
            continue
        with Image.open(path) as image:
            if number == 1:
                image.save(trap / "saved anew.jpg", quality=92)
            elif number == 2:
                image.save(trap / "other format.bmp")
            else:
                image.resize((128, 128), Image.Resampling.BICUBIC).save(trap / "larger.png")
    save(noise(123), trap / "real.png")
    before = content(project)
    for form in ("part-folders", "flat"):
        report = project.import_data(tmp_path / "trap", form)
        assert sum("synthetic image" in p.reason for p in report.problems) == 4
    assert project.image_count() == 15
    assert {s: v for s, v in content(project)["images"].items() if s in before["images"]} == (
        before["images"]
    )


def test_the_source_itself_is_not_taken_for_its_synthetic_image(
    project: Project, tmp_path: Path
) -> None:
    ids = synthetic_images(project)
    (made,) = project.synthetic(ids[:1])
    source = project.image_path(project.image(made.source_image_id))
    with Image.open(source) as image:
        pixels = np.asarray(image.convert("RGB"), np.int16)
    near = np.clip(pixels + np.random.default_rng(0).integers(-9, 10, pixels.shape), 0, 255)
    path = save(Image.fromarray(near.astype(np.uint8)), tmp_path / "near.png")
    relative, digest = project.file.objects.adopt(path)
    project.file.db.execute("UPDATE synthetic_image SET path = ?, sha256 = ? WHERE id = ?",
                            [relative, digest, made.id])  # fmt: skip
    folder = tmp_path / "again"
    folder.mkdir()
    with Image.open(source) as image:
        image.convert("RGB").save(folder / "source saved anew.jpg", quality=97)
    with Image.open(project.file.objects.path(relative)) as image:
        image.save(folder / "made saved anew.jpg", quality=97)
    report = project.import_data(folder, "flat")
    refused = [Path(p.path).name for p in report.problems if p.is_refused]
    assert refused == ["made saved anew.jpg"]


def test_the_layout_of_the_papers_programs(project: Project, tmp_path: Path) -> None:
    make_synthetic_files(project, tmp_path)
    project.export(tmp_path / "out", "reference", curation="all", parts=["train"])
    rows = (tmp_path / "out" / "index.csv").read_text(encoding="utf-8").splitlines()[1:]
    train = project.images(part="train")
    assert len(rows) == len(train)
    for number, row in enumerate(rows):
        index, path, _label, _label_index = row.split(",")
        assert int(index) == number
        sha = next(i.sha256 for i in train if str(i.id) == Path(path).name.split("_")[0])
        assert df_hash(tmp_path / "out" / path) == sha
        mine = sorted((tmp_path / "out" / "synthetic").glob(f"aug-{number}-*.png"))
        assert len(mine) == 4
    with pytest.raises(UserError, match="together"):
        project.export(tmp_path / "other", "reference", "synthetic", curation="all")


def df_hash(path: Path) -> str:
    from dafusion_core.storage.objects import hash_file

    return hash_file(path)


def test_nothing_is_overwritten_and_a_stopped_export_goes_on(
    project: Project, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    asked = iter(range(100))
    report = project.export(out, "coco", should_stop=lambda: next(asked) >= 6)
    assert (report.stopped, report.real) == (True, 6)
    written = {p: p.stat().st_mtime_ns for p in (out / "images").iterdir()}
    with pytest.raises(UserError, match="not empty"):
        project.export(out, "voc")
    report = project.export(out, "coco")
    assert (report.stopped, report.real) == (False, 14)
    assert all(p.stat().st_mtime_ns == t for p, t in written.items())
    with pytest.raises(UserError, match="not empty"):
        project.export(out, "coco")
    (out / "images" / "mine.txt").write_text("precious")
    project.export(out, "coco", overwrite=True)
    assert (out / "images" / "mine.txt").read_text() == "precious"


@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_masks_of_a_coco_export_are_those_of_the_coco_api(project: Project, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    project.export(tmp_path / "out", "coco")
    api = coco.COCO(str(tmp_path / "out" / "labels.coco.json"))
    by_name = {Path(i["file_name"]).name: i["id"] for i in api.dataset["images"]}
    for region in project.regions([1, 2]):
        image = project.image(region.image_id)
        ours = region_mask(region, image.height, image.width)
        image_id = next(i for name, i in by_name.items() if name.startswith(f"{image.id}_"))
        kept = [a for a in api.loadAnns(api.getAnnIds(imgIds=image_id)) if a["segmentation"]]
        if region.kind.value != "box":
            theirs = [api.annToMask(annotation) for annotation in kept]
            assert any((ours == mask).all() for mask in theirs)


def test_the_shared_photographs_survive_every_form(shared_data: Path, tmp_path: Path) -> None:
    with df.create(tmp_path / "ground") as project:
        project.import_data(shared_data / "ground-cover")
        project.group_by("pattern", r"([a-z]+)_0", "name")
        project.make_split(seed=1)
        expected = content(project)
        for form in FORMS:
            project.export(tmp_path / form, form)
            with df.create(tmp_path / f"again {form}") as again:
                assert again.import_data(tmp_path / form).imported == 48
                assert content(again) == expected
