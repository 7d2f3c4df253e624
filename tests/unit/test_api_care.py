"""Files are checked, found again, copied, archived and thrown away only when they may be."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import dafusion_core as df
from dafusion_core.api import Project
from dafusion_core.api.caring import move_project, unpack_archive
from dafusion_core.domain.errors import UserError
from tests.unit.pictures import make_class_folder
from tests.unit.test_api_roundtrip import content, make_synthetic_files


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    folder = make_class_folder(tmp_path / "photos", {"dock": 4, "fern": 4})
    with df.create(tmp_path / "weeds") as made:
        made.import_data(folder)
        made.make_split()
        yield made


def test_verify_names_what_is_missing_and_changed(project: Project) -> None:
    assert project.verify().sentence == "All 8 files are there and whole."
    first, second, *_ = project.images()
    project.image_path(first).unlink()
    project.image_path(second).write_bytes(b"changed")
    found = project.verify()
    assert [what for what, _ in found.missing] == ["image 1"]
    assert [what for what, _ in found.changed] == ["image 2"]


def test_missing_pictures_are_found_by_their_contents(project: Project, tmp_path: Path) -> None:
    for image in project.images()[:3]:
        project.image_path(image).unlink()
    moved = tmp_path / "elsewhere" / "deep"
    shutil.copytree(tmp_path / "photos", moved)
    for number, path in enumerate(sorted(moved.rglob("*.png"))):
        path.rename(path.with_name(f"renamed {number}.png"))
    next(iter(sorted(moved.rglob("*.png")))).write_bytes(b"x")
    found, missing = project.locate(tmp_path / "elsewhere")
    assert found == 2
    assert len(missing) == 1
    assert project.locate(tmp_path / "photos") == (1, [])
    assert not project.verify().missing


def test_referenced_pictures_get_their_new_place(tmp_path: Path) -> None:
    folder = make_class_folder(tmp_path / "photos", {"dock": 3, "fern": 3})
    with df.create(tmp_path / "w") as project:
        project.import_data(folder, mode="reference")
        shutil.move(folder, tmp_path / "moved")
        assert len(project.missing_images()) == 6
        assert project.locate(tmp_path / "moved") == (6, [])
        assert project.import_data(tmp_path / "moved").skipped_known == 6


def test_emptying_keeps_sources_and_refuses_while_jobs_need_files(
    project: Project, tmp_path: Path
) -> None:
    make_synthetic_files(project, tmp_path)
    ids = project.synthetic_ids()
    sources = {made.source_image_id for made in project.synthetic(ids)}
    unused = next(i.id for i in project.images() if i.id not in sources)
    project.reject(ids[:3])
    project.reject_images([unused, min(sources)])
    with pytest.raises(UserError, match="not finished"):
        project.empty_rejected()
    project.file.db.execute("UPDATE job SET state = 'succeeded'")
    before = sum(p.stat().st_size for p in project.files.rglob("*.png"))
    freed = project.empty_rejected()
    assert (freed.synthetic, freed.real) == (3, 1)
    assert len(project.synthetic_ids()) == len(ids) - 3
    assert project.image_count() == 7
    after = sum(p.stat().st_size for p in project.files.rglob("*.png"))
    assert before - after == freed.bytes > 0
    assert project.undo_text() is None
    assert not project.verify().missing


def test_shrinking_takes_strays_only(project: Project) -> None:
    stray = project.files / "objects" / "zz" / "stray.png"
    stray.parent.mkdir()
    stray.write_bytes(b"x" * 1000)
    freed = project.shrink()
    assert freed.files == 1
    assert freed.bytes >= 1000
    assert not project.verify().missing


def test_a_copy_holds_everything_and_never_overwrites(project: Project, tmp_path: Path) -> None:
    make_synthetic_files(project, tmp_path)
    place = project.copy_to(tmp_path / "backup" / "copy")
    with pytest.raises(UserError, match="there already"):
        project.copy_to(place)
    with df.open(place) as copy:
        assert not copy.is_read_only
        assert content(copy) == content(project)
        assert len(copy.synthetic_ids()) == len(project.synthetic_ids())
        assert not copy.verify().missing


def test_moving_takes_the_pair_along(project: Project, tmp_path: Path) -> None:
    before = content(project)
    old = project.path
    from dafusion_core.domain.errors import EnvironmentProblem

    with pytest.raises(EnvironmentProblem, match="cannot be moved now"):
        move_project(old, tmp_path / "new" / "place")
    project.close()
    new = move_project(old, tmp_path / "new" / "place")
    assert not old.exists()
    assert not old.with_suffix(".files").exists()
    with df.open(new) as moved:
        assert content(moved) == before


def test_an_archive_comes_back_whole(project: Project, tmp_path: Path) -> None:
    path = project.archive(tmp_path / "weeds-2024")
    with pytest.raises(UserError, match="there already"):
        project.archive(path)
    place = unpack_archive(path, tmp_path / "unpacked")
    with df.open(place) as again:
        assert content(again) == content(project)
        assert not again.verify().missing
    with pytest.raises(UserError, match="there already"):
        unpack_archive(path, tmp_path / "unpacked")


@pytest.mark.parametrize(
    "name",
    ["../evil.txt", "weeds.files/../../evil.txt", "/tmp/evil.txt", "C:\\evil.txt",
     "weeds.files\\..\\evil.txt", "other/evil.txt"],
)  # fmt: skip
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    bad = tmp_path / "bad.zip"
    with zipfile.ZipFile(bad, "w") as out:
        out.writestr("weeds.dafusion", "x")
        out.writestr("weeds.files/objects/a.png", "x")
        out.writestr(zipfile.ZipInfo(name), "evil")
    with pytest.raises(UserError, match="leads out"):
        unpack_archive(bad, tmp_path / "in" / "here")
    assert not list(tmp_path.rglob("evil*"))
    assert not (tmp_path / "in").exists()


def test_links_bombs_and_rubbish_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("weeds.files/link")
    link.external_attr = 0o120777 << 16
    for number, fill in enumerate((
        lambda out: out.writestr(link, "/etc/passwd"),
        lambda out: out.writestr("weeds.files/bomb", b"\0" * (80 << 20)),
    )):  # fmt: skip
        bad = tmp_path / f"bad{number}.zip"
        with zipfile.ZipFile(bad, "w", zipfile.ZIP_DEFLATED) as out:
            out.writestr("weeds.dafusion", "x")
            fill(out)
        with pytest.raises(UserError, match="refused"):
            unpack_archive(bad, tmp_path / "here")
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(UserError, match="no whole zip"):
        unpack_archive(tmp_path / "text.zip", tmp_path / "here")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as out:
        out.writestr("a.txt", "x")
    with pytest.raises(UserError, match="no archive of a project"):
        unpack_archive(tmp_path / "other.zip", tmp_path / "here")
    assert not (tmp_path / "here").exists()


def test_merging_brings_everything_and_keeps_what_is_here(project: Project, tmp_path: Path) -> None:
    folder = make_class_folder(tmp_path / "others", {"dock": 6, "nettle": 3}, ".bmp")
    with df.create(tmp_path / "other") as other:
        other.import_data(folder)
        other.make_split(seed=5)
        other.set_group([other.images()[0].id], "plant 9")
        other.set_note([2], "seen at noon")
        other.add_region(1, "box", {"box": [1, 1, 4, 4]})
        make_synthetic_files(other, tmp_path / "o")
        theirs, count = content(other), len(other.synthetic_ids())
        other_path = other.path
    before = content(project)
    with pytest.raises(UserError, match="itself"):
        project.plan_merge(project.path)
    project.import_data(project.plan_merge(other_path))
    after = content(project)
    assert after["classes"] == ["dock", "fern", "nettle"]
    assert after["images"] == theirs["images"] | before["images"]
    assert after["regions"] == theirs["regions"]
    assert len(project.synthetic_ids()) == count
    assert project.import_data(project.plan_merge(other_path)).imported == 0
    assert content(project) == after
    assert not project.verify().missing
