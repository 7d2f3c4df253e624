"""Findings name the images that something is wrong with, and remedies mend it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageFilter

import dafusion_core as df
from dafusion_core.api import Project
from dafusion_core.datasets.health import Finding
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Part
from tests.unit.pictures import noise, save


def picture(seed: int) -> Image.Image:
    """Something like a photograph: shapes of many sizes."""
    big = noise(seed, 96, 96).filter(ImageFilter.GaussianBlur(6))
    return Image.blend(big, noise(seed + 5000, 96, 96), 0.35)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    folder = tmp_path / "photos"
    for number in range(30):
        save(picture(number), folder / ("dock" if number % 2 else "fern") / f"{number:02}.png")
    with df.create(tmp_path / "weeds") as made:
        made.import_data(folder)
        yield made


def kinds(findings: list[Finding]) -> dict[str, list[tuple[int, ...]]]:
    found: dict[str, list[tuple[int, ...]]] = {}
    for finding in findings:
        found.setdefault(finding.kind.value, []).append(finding.images)
    return found


def add(project: Project, folder: Path, image: Image.Image, name: str, **options: object) -> int:
    save(image, folder / "dock" / name, **options)
    project.import_data(folder)
    return project.images()[-1].id


def test_good_pictures_have_no_findings(project: Project) -> None:
    assert project.health() == []


def test_copies_are_found_also_saved_anew_and_smaller(project: Project, tmp_path: Path) -> None:
    jpeg = add(project, tmp_path / "a", picture(1), "copy.jpg", quality=80)
    small = add(project, tmp_path / "b", picture(1).resize((64, 64)), "small.png")
    original = next(i.id for i in project.images() if i.original_path.endswith("/01.png"))
    assert kinds(project.health()) == {"duplicate": [(original, jpeg, small)]}
    (finding,) = project.health()
    project.remedy(finding, "group")
    assert project.health() == []
    project.undo()
    project.remedy(project.health()[0], "reject")
    assert [i.id for i in project.images() if i.is_rejected] == [jpeg, small]
    assert project.health() == []


def test_copies_across_parts_are_a_leak(project: Project, tmp_path: Path) -> None:
    copy = add(project, tmp_path / "a", picture(1), "copy.jpg", quality=90)
    original = next(i.id for i in project.images() if i.original_path.endswith("/01.png"))
    project.make_split()
    project.set_part([original], "train")
    project.set_part([copy], "test")
    (finding,) = project.health()
    assert (finding.kind, finding.images) == ("leak", (original, copy))
    project.remedy(finding, "same-part")
    assert project.health() == []
    assert {i.part for i in project.images_by_id([original, copy])} == {Part.TRAIN}
    assert project.undo_text() == f"Bring 2 images together as “same as image {original}”"
    project.undo()
    assert project.health()[0].kind == "leak"
    with pytest.raises(UserError, match="does not help"):
        project.remedy(finding, "unsure")


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("blur", lambda: noise(900, 8, 8).resize((96, 96), Image.Resampling.BICUBIC)),
        ("dark", lambda: picture(901).point(lambda v: v // 14)),
        ("bright", lambda: picture(902).point(lambda v: 235 + v // 13)),
        ("flat", lambda: Image.new("RGB", (96, 96), (120, 120, 120))),
        ("size", lambda: picture(903).resize((40, 40))),
        ("size", lambda: picture(904).resize((400, 400))),
        ("aspect", lambda: noise(905, 400, 96)),
    ],
)
def test_odd_pictures_are_found(project: Project, tmp_path: Path, kind: str, make: object) -> None:
    odd = add(project, tmp_path / "odd", make(), "odd.png")  # type: ignore[operator]
    found = kinds(project.health())
    assert found.get(kind) == [(odd,)], found
    finding = next(f for f in project.health() if f.kind == kind)
    project.remedy(finding, "reject")
    assert project.health() == []


def test_a_group_on_two_sides_is_found(project: Project) -> None:
    project.make_split()
    train = [i.id for i in project.images(part="train")][:2]
    test = [i.id for i in project.images(part="test")][:1]
    project.set_group(train + test, "plant 1")
    (finding,) = project.health()
    assert finding.kind == "torn-group"
    project.remedy(finding, "same-part")
    assert project.health() == []


def test_imbalance_missing_and_refused_files(project: Project, tmp_path: Path) -> None:
    for seed in range(4):
        save(picture(100 + seed), tmp_path / "more" / "nettle" / f"{seed}.png")
    (tmp_path / "more" / "nettle" / "bad.jpg").write_text("no picture")
    (tmp_path / "more" / "nettle" / "twin.png").write_bytes(
        (tmp_path / "more" / "nettle" / "0.png").read_bytes()
    )
    project.import_data(tmp_path / "more")
    project.image_path(project.images()[0]).unlink()
    findings = {finding.kind.value: finding for finding in project.health()}
    assert set(findings) == {"missing", "unreadable", "duplicate"}
    assert findings["missing"].images == (1,)
    assert "bad.jpg" in findings["unreadable"].files[0]
    assert "twin.png" in findings["duplicate"].files[0]
    project.merge_classes(["fern"], "dock")
    assert any(f.kind == "imbalance" for f in project.health())


def test_what_was_dismissed_stays_away_until_it_changes(project: Project, tmp_path: Path) -> None:
    add(project, tmp_path / "a", picture(1), "copy.jpg", quality=90)
    (finding,) = project.health()
    project.dismiss(finding)
    assert project.health() == []
    assert len(project.health(with_dismissed=True)) == 1
    project.undo()
    assert len(project.health()) == 1
    project.redo()
    add(project, tmp_path / "b", picture(1), "another.bmp")
    assert len(project.health()) == 1


def test_labels_that_classifiers_doubt(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from dafusion_core.storage import results

    record = {
        "labels": ["dock", "fern"],
        "test": {
            "image_ids": [1, 2, 3],
            "truth": [0, 0, 0],
            "probabilities": [[0.05, 0.95], [0.3, 0.7], [0.9, 0.1]],
        },
    }
    monkeypatch.setattr(results, "training_runs", lambda db: [SimpleNamespace(record=record)] * 2)
    labels = {i.id: i.label for i in project.images()}
    assert (labels[1], labels[3]) == ("dock", "dock")
    (finding,) = project.health()
    assert (finding.kind, finding.images) == ("label", (1,))
    assert "say “fern” (95%)" in finding.text
    project.remedy(finding, "unsure")
    assert project.image(1).is_unsure


def test_projects_from_before_are_measured_when_asked(project: Project, tmp_path: Path) -> None:
    add(project, tmp_path / "a", picture(1), "copy.jpg", quality=90)
    project.file.db.execute("DELETE FROM picture_fact")
    seen: list[int] = []
    assert len(project.health(lambda done, total, path: seen.append(done))) == 1
    assert seen == list(range(1, 32))
