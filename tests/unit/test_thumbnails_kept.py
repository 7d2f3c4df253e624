"""Small copies of pictures: made at import, found by views, never in anybody's way."""

from __future__ import annotations

import io
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dafusion_core as df
from dafusion_core.api.caring import unpack_archive
from dafusion_core.api.project import Project
from dafusion_core.datasets import thumbnails as loading
from dafusion_core.datasets.pictures import examine_picture, make_thumbnail
from dafusion_core.datasets.small_copy import MAX_SIDE, SIDE, encode_small
from dafusion_core.datasets.thumbnails import load_thumbnail
from dafusion_core.domain.errors import BadImage
from dafusion_core.storage import thumbnails as storing
from tests.unit.pictures import noise, quadrants, save
from tests.unit.test_datasets_drafts import detailed


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with df.create(tmp_path / "p") as project:
        yield project


def turned(image: Image.Image, path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(image, path, exif=exif)


def fill(root: Path) -> None:
    """One picture of each kind, all larger than a view's small copy but the last."""
    picture = detailed(800, 600)
    save(picture, root / "a" / "plain.jpg", quality=90, comment=b"x" * 5000)
    turned(quadrants(640, 480).transpose(Image.Transpose.ROTATE_90), root / "a" / "turn.jpg", 6)
    save(picture.convert("CMYK"), root / "a" / "print.jpg", quality=90)
    save(picture.convert("L"), root / "a" / "grey.jpg", quality=90)
    save(picture, root / "a" / "whole.png")
    save(picture.convert("P"), root / "a" / "palette.png")
    deep = np.asarray(picture.convert("L"), np.uint16) * 257
    save(Image.fromarray(deep), root / "a" / "deep.png")
    clear = picture.crop((0, 0, 400, 300)).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    save(clear, root / "b" / "clear.png")
    hidden = quadrants(400, 300)
    save(hidden, root / "b" / "hidden.png", transparency=(255, 0, 0))
    save(quadrants(2400, 1800), root / "b" / "large.jpg")
    save(noise(1, SIDE, 200), root / "b" / "tiny.png")


def kept(project: Project) -> set[str]:
    return project.file.objects.thumbnails.names()


def small_copy(project: Project, name: str) -> Image.Image:
    data = project.file.objects.thumbnails.read(name)
    assert data is not None
    assert len(data) < 40_000
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image


def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on only small copies may be looked into."""

    def make(path: Path, size: int, *rest: Any) -> Image.Image:
        assert len(rest) == 2, path  # with the bytes of the small copy
        return make_thumbnail(path, size, *rest)

    monkeypatch.setattr(loading, "make_thumbnail", make)


def paths_of(project: Project) -> dict[str, Path]:
    """Name of the original → where the project has it."""
    return {
        Path(image.original_path).name: project.file.objects.path(image.path)
        for image in project.images()
    }


def distance(one: Image.Image, other: Image.Image) -> float:
    small = [np.asarray(i.convert("RGB").resize((64, 64), 4), float) for i in (one, other)]
    return float(np.abs(small[0] - small[1]).mean())


@pytest.mark.parametrize("mode", ["copy", "reference"])
def test_imports_keep_a_small_copy_of_each_large_picture(
    project: Project, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "data")
    report = project.import_folder(tmp_path / "data", mode=mode)
    paths = paths_of(project)
    assert report.imported == len(paths) == 11
    found = project.file.objects.thumbnails
    names = {file: found.name(path) for file, path in paths.items()}
    assert kept(project) == {name for file, name in names.items() if file != "tiny.png"}
    assert (project.file.objects.objects.exists()) == (mode == "copy")
    for file, name in names.items():
        if file == "tiny.png" or name is None:
            continue
        small = small_copy(project, name)
        assert (small.format, small.getexif(), "comment" in small.info) == ("JPEG", {}, False)
        assert SIDE <= max(small.size) <= MAX_SIDE, file
        expected = make_thumbnail(paths[file], 128)
        assert small.width / small.height == pytest.approx(
            expected.width / expected.height, rel=0.02
        )
        assert distance(small, expected) < 6, file
    # Views take it from there.
    forbid_decoding(monkeypatch)
    for file, path in paths.items():
        if file != "tiny.png":
            assert max(load_thumbnail(path, 64, found).size) == 64


def test_facts_are_those_of_an_import_without(tmp_path: Path) -> None:
    """Grey out of colours, instead of grey out of the file: nearly the same."""
    fill(tmp_path)
    for path in sorted(tmp_path.glob("*/*")):
        one, other = (examine_picture(path, with_small=w) for w in (False, True))
        assert one.picture == other.picture
        bits = int(one.facts.fingerprint, 16) ^ int(other.facts.fingerprint, 16)
        assert bits.bit_count() <= 1
        assert other.facts.sharpness == pytest.approx(one.facts.sharpness, rel=0.01)
        assert other.facts.brightness == pytest.approx(one.facts.brightness, abs=0.002)
        assert other.facts.contrast == pytest.approx(one.facts.contrast, abs=0.002)


def damage_database(store: storing.KeptThumbnails, damage: str) -> None:
    if damage == "missing":
        store.path.unlink()
    elif damage == "folder":
        shutil.rmtree(store.folder)
    elif damage == "no database":
        store.path.write_bytes(bytes(20_000))
    elif damage == "cut":
        store.path.write_bytes(store.path.read_bytes()[:4096])
    elif damage == "empty":
        store.path.write_bytes(b"")
    else:
        new = {
            "nonsense": b"rubbish",
            "no bytes": "text",
            "bomb": save(noise(0, 3000, 3000), store.folder / "x.jpg").read_bytes(),
        }
        with closing(sqlite3.connect(store.path)) as db, db:
            if damage == "other contents":  # a power cut mixed up pages; it can be decoded
                other = encode_small(Image.new("RGB", (300, 225), "white"))
                db.execute("UPDATE small SET jpeg = ?", [other])
            else:
                (name,) = db.execute("SELECT name FROM small").fetchone()
                data = new[damage]
                sum_ = storing._sum(name, data) if isinstance(data, bytes) else 0
                db.execute("UPDATE small SET jpeg = ?, sum = ?", [data, sum_])


@pytest.mark.parametrize(
    "damage",
    ["missing", "folder", "no database", "cut", "empty", "nonsense", "no bytes", "bomb",
     "other contents"],
)  # fmt: skip
def test_what_is_missing_or_damaged_is_made_anew_and_kept(
    project: Project, tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(detailed(800, 600), tmp_path / "data" / "a" / "1.jpg")
    project.import_folder(tmp_path / "data")
    (path,) = paths_of(project).values()
    (name,) = kept(project)
    store = project.file.objects.thumbnails
    damage_database(store, damage)
    shown = load_thumbnail(path, 128, store)
    assert shown.size == (128, 96)
    assert distance(shown, make_thumbnail(path, 128)) < 2
    assert kept(project) == {name}
    assert max(small_copy(project, name).size) <= MAX_SIDE
    expected = make_thumbnail(path, 256)
    forbid_decoding(monkeypatch)
    assert distance(load_thumbnail(path, 256, store), expected) < 6


def test_a_picture_that_is_not_there_is_not_shown(project: Project, tmp_path: Path) -> None:
    save(detailed(800, 600), tmp_path / "data" / "a" / "1.jpg")
    project.import_folder(tmp_path / "data")
    (path,) = paths_of(project).values()
    path.chmod(0o644)
    path.unlink()
    with pytest.raises(BadImage):
        load_thumbnail(path, 128, project.file.objects.thumbnails)


def test_a_referenced_picture_that_changed_is_never_shown_as_it_was(
    project: Project, tmp_path: Path
) -> None:
    path = save(quadrants(800, 600), tmp_path / "data" / "a" / "1.jpg")
    project.import_folder(tmp_path / "data", mode="reference")
    (first,) = kept(project)
    save(Image.new("RGB", (800, 600), "white"), path)
    store = project.file.objects.thumbnails
    assert load_thumbnail(path, 64, store).getextrema() == ((255, 255),) * 3
    assert kept(project) == {first, store.name(path)}
    # What was is of no more use.
    project.shrink()
    assert kept(project) == {store.name(path)}


@pytest.mark.parametrize("trouble", ["full", "in the way", "held"])
def test_where_nothing_can_be_kept_all_goes_on(
    project: Project, tmp_path: Path, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = project.file.objects.thumbnails
    connect = storing.KeptThumbnails._connect
    other: sqlite3.Connection | None = None

    def full(self: storing.KeptThumbnails, mode: str) -> sqlite3.Connection:
        db = connect(self, mode)
        db.execute("PRAGMA max_page_count = 3")
        return db

    monkeypatch.setattr(storing, "_BUSY_S", 0.1)
    if trouble == "full":
        monkeypatch.setattr(storing.KeptThumbnails, "_connect", full)
    elif trouble == "in the way":
        store.folder.write_text("not a folder")
    else:
        store.folder.mkdir()
        other = sqlite3.connect(store.path)
        other.execute("BEGIN EXCLUSIVE")
    for i in range(3):
        save(detailed(400 + i, 300), tmp_path / "data" / "a" / f"{i}.jpg")
    assert project.import_folder(tmp_path / "data").imported == 3
    for path in paths_of(project).values():
        shown = load_thumbnail(path, 128, project.file.objects.thumbnails)
        assert max(shown.size) == 128
    assert not kept(project)
    project.shrink()
    assert project.verify().missing == ()
    if other is not None:
        other.close()


def test_a_project_for_reading_only_is_not_written_to(project: Project, tmp_path: Path) -> None:
    save(detailed(800, 600), tmp_path / "data" / "a" / "1.jpg")
    project.import_folder(tmp_path / "data")
    (path,) = paths_of(project).values()
    project.file.objects.thumbnails.remove(kept(project))
    store = storing.KeptThumbnails(project.files, is_read_only=True)
    assert load_thumbnail(path, 128, store).size == (128, 96)
    assert not kept(project)


def test_previews_and_projects_that_are_gone_get_none(project: Project, tmp_path: Path) -> None:
    path = save(detailed(800, 600), project.file.objects.scratch(1) / "preview.png")
    store = project.file.objects.thumbnails
    assert load_thumbnail(path, 128, store).size == (128, 96)
    assert not kept(project)
    gone = storing.KeptThumbnails(tmp_path / "gone.files")
    path = save(detailed(800, 600), tmp_path / "outside.png")
    assert load_thumbnail(path, 128, gone).size == (128, 96)
    assert not (tmp_path / "gone.files").exists()


def test_importing_again_writes_nothing(project: Project, tmp_path: Path) -> None:
    fill(tmp_path / "data")
    project.import_folder(tmp_path / "data")
    path = project.file.objects.thumbnails.path
    before = path.stat().st_mtime_ns
    assert project.import_folder(tmp_path / "data").imported == 0
    assert path.stat().st_mtime_ns == before


def test_care_takes_them_for_what_they_are(project: Project, tmp_path: Path) -> None:
    fill(tmp_path / "data")
    project.import_folder(tmp_path / "data")
    there = kept(project)
    assert len(there) == 10
    verified = project.verify()
    assert (verified.checked, verified.missing, verified.changed) == (11, (), ())
    store = project.file.objects.thumbnails
    assert store.write({f"{i:064}": bytes(10_000) for i in range(300)})
    assert len(kept(project)) == 310
    freed = project.shrink()
    assert freed.files == 0
    assert freed.bytes > 2_500_000
    assert kept(project) == there
    copy = project.copy_to(tmp_path / "copy")
    assert not (tmp_path / "copy.files" / "thumbnails").exists()
    with df.open(copy) as other:
        assert other.verify().missing == ()
    archive = project.archive(tmp_path / "all")
    (tmp_path / "out").mkdir()
    with df.open(unpack_archive(archive, tmp_path / "out")) as other:
        assert other.verify().missing == ()
        assert not kept(other)
        for path in paths_of(other).values():
            load_thumbnail(path, 128, other.file.objects.thumbnails)
        assert kept(other) == there


def test_they_go_with_their_pictures(project: Project, tmp_path: Path) -> None:
    fill(tmp_path / "data")
    project.import_folder(tmp_path / "data")
    images = project.images()
    gone = images[0]
    store = project.file.objects.thumbnails
    name = store.name_of_object(gone.path)
    data = store.read(name)
    assert data is not None
    assert data[-500:] in store.path.read_bytes()
    project.reject_images([gone.id])
    assert project.empty_rejected().real == 1
    assert name not in kept(project)
    assert len(kept(project)) == 9
    assert data[-500:] not in store.path.read_bytes()
    # A crash before the rows: what is swept takes its small copy along.
    next_one = images[1]
    name = store.name_of_object(next_one.path)
    data = store.read(name)
    assert data is not None
    project.file.objects.sweep({image.path for image in images[2:]})
    assert name not in kept(project)
    assert len(kept(project)) == 8
    assert data[-500:] not in store.path.read_bytes()
