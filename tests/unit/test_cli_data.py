"""The verbs for data: import with a preview, annotate, split, health, export, care."""

from __future__ import annotations

from pathlib import Path

import pytest

import dafusion_core as df
from tests.unit.cli_driver import CommandLine, make_pictures
from tests.unit.test_api_roundtrip import content


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


@pytest.fixture
def project(cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "weeds.dafusion"
    monkeypatch.setenv("DAFUSION_PROJECT", str(path))
    cli.ok("new", path)
    cli.ok("import", make_pictures(tmp_path / "photos"))
    return path


def test_a_preview_changes_nothing(cli: CommandLine, project: Path, tmp_path: Path) -> None:
    (tmp_path / "photos" / "notes.txt").write_text("x")
    rows = "".join(f"photos/dock/{i}.png,dock {i}\n" for i in range(3)) + "gone.png,dock\n"
    (tmp_path / "list.csv").write_text("image,species\n" + rows)
    found = cli.ok("import", tmp_path / "list.csv", "--dry-run", "--option", "label=species")
    assert (found["form"], found["pictures"]) == ("table", 3)
    assert found["per_class"] == {"dock 0": 1, "dock 1": 1, "dock 2": 1}
    assert "not there" in found["problems"][0]["reason"]
    with df.open(project) as opened:
        assert opened.image_count() == 18
        assert len(opened.labels()) == 3
    answer = cli("import", tmp_path / "photos", "--dry-run")
    assert "one folder per class: 18 pictures in 3 classes" in answer.out
    assert "would be left out" in answer.err
    assert cli("import", tmp_path / "photos", "--option", "x=1").code == 2


def test_a_project_that_stays_empty_is_not_sent_on(
    cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAFUSION_PROJECT", str(tmp_path / "p.dafusion"))
    cli.ok("new", tmp_path / "p.dafusion")
    for name in ("ash", "dock"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "1.jpg").write_text("no picture")
    answer = cli("import", tmp_path / "photos")
    assert "left out" in answer.err
    assert "has no pictures yet" in answer.out
    assert "Next" not in answer.out
    assert "Next: dafusion split" in cli("import", make_pictures(tmp_path / "more")).out


def test_annotating_by_id(cli: CommandLine, project: Path) -> None:
    assert cli.ok("annotate", "label", "1-3", "sorrel")["text"] == "Label 3 images “sorrel”"
    cli.ok("annotate", "label", "4", "")
    cli.ok("annotate", "unsure", "5")
    cli.ok("annotate", "note", "5", "leaf eaten")
    cli.ok("annotate", "group", "5,6", "plant 1")
    cli.ok("annotate", "reject", "7")
    shown = cli.ok("annotate")
    assert shown["classes"] == {"dock": 2, "nettle": 6, "thistle": 6, "sorrel": 3}
    assert shown["unlabelled"] == 1
    assert shown["groups"] == {"plant 1": [5, 6]}
    (row,) = cli.ok("annotate", "list", "--unsure")["images"]
    assert (row["id"], row["note"]) == (5, "leaf eaten")
    cli.ok("annotate", "rename", "sorrel", "sheep’s sorrel")
    cli.ok("annotate", "merge", "sheep’s sorrel", "--into", "dock")
    cli.ok("annotate", "order", "thistle", "dock", "nettle")
    cli.ok("annotate", "remove", "nettle")
    cli.ok("annotate", "split", "1", "new")
    assert list(cli.ok("annotate")["classes"]) == ["thistle", "dock", "new"]
    for _ in range(11):
        cli.ok("annotate", "undo")
    assert cli.ok("annotate", "undo")["text"] == ""
    assert cli.ok("annotate")["classes"] == {"dock": 6, "nettle": 6, "thistle": 6}
    assert cli.ok("annotate", "redo")["text"] == "Redo: Label 3 images “sorrel”"
    assert cli("annotate", "label", "99", "x").code == 2
    groups = cli.ok("annotate", "group-by", "folder", "--dry-run")["groups"]
    assert list(groups) == ["photos/dock", "photos/nettle", "photos/thistle"]
    assert "into 3 groups" in cli.ok("annotate", "group-by", "folder")["text"]


def test_splits_what_if_by_hand_and_locked(cli: CommandLine, project: Path) -> None:
    planned = cli.ok("split", "--test", "0.5", "--what-if")
    assert planned["per_class"][0] == {"class": "dock", "train": 3, "test": 3}
    assert cli.ok("split", "list")["splits"] == []
    cli.ok("split", "--test", "0.5")
    with df.open(project) as opened:
        test = [image.id for image in opened.images(part="test")]
        train = [image.id for image in opened.images(part="train")]
    assert cli.ok("split", "move", train[0], "validation")["text"] == "Move 1 image to validation"
    cli.ok("split", "lock")
    assert cli("split", "move", test[0], "train").code == 2
    cli.ok("split", "--seed", "9", "--shots", "2")
    with df.open(project) as opened:
        assert [image.id for image in opened.images(part="test")] == test
        assert len(opened.images(part="train")) == 6
    cli.ok("split", "use", "1")
    assert cli.ok("split", "list")["splits"][0]["is_current"]
    cli.ok("split", "unlock")
    assert cli.ok("split", "stale")["stale"] == []
    project.with_name("parts.csv").write_text(
        "file,split\n" + "".join(f"{name}/{i}.png,{'test' if i < 2 else 'train'}\n"
                                 for name in ("dock", "nettle", "thistle") for i in range(6))
    )  # fmt: skip
    counts = cli.ok("split", "--list", project.with_name("parts.csv"))["per_class"]
    assert counts[1] == {"class": "nettle", "test": 2, "train": 4}


def test_health_and_its_remedies(cli: CommandLine, project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "more" / "dock" / "copy.bmp"
    copy.parent.mkdir(parents=True)
    from PIL import Image

    with Image.open(tmp_path / "photos" / "dock" / "0.png") as image:
        image.save(copy)
    cli.ok("import", tmp_path / "more")
    found = [f for f in cli.ok("health")["findings"] if f["kind"] == "duplicate"]
    assert found[0]["images"] == [1, 19]
    key = found[0]["key"]
    assert f"--fix {key} --with" in cli("health").out
    assert cli("health", "--fix", key).code == 2
    assert cli.ok("health", "--fix", key, "--with", "reject")["text"] == "Reject 1 image"
    assert not [f for f in cli.ok("health")["findings"] if f["kind"] == "duplicate"]
    assert cli("health", "--dismiss", "nothing").code == 2


def test_export_and_import_again(cli: CommandLine, project: Path, tmp_path: Path) -> None:
    cli.ok("split", "--test", "0.5")
    for form in ("coco", "voc", "huggingface"):
        assert cli.ok("export", tmp_path / form, "--form", form)["real"] == 18
        assert cli("export", tmp_path / form, "--form", form).code == 2
        again = tmp_path / f"{form}.dafusion"
        cli.ok("new", again)
        assert cli.ok("import", tmp_path / form, "--project", again)["imported"] == 18
        with df.open(again) as one, df.open(project) as other:
            assert content(one) == content(other)
    assert cli.ok("export", tmp_path / "t", "--form", "csv", "--parts", "train")["real"] == 9
    assert cli("export", tmp_path / "x", "--parts", "exam").code == 2
    assert cli("export", tmp_path / "x", "--no-real", "--no-synthetic").code == 2


def test_care_of_the_files(cli: CommandLine, project: Path, tmp_path: Path) -> None:
    assert cli.ok("care", "verify") == {"checked": 18, "missing": [], "changed": []}
    assert cli("care", "empty").code == 2
    cli.ok("annotate", "reject", "1")
    assert cli.ok("care", "empty", "--yes")["freed"]["real"] == 1
    cli.ok("care", "archive", tmp_path / "a.zip")
    unpacked = cli.ok("care", "unpack", tmp_path / "a.zip", tmp_path / "here")["project"]
    cli.ok("care", "copy", tmp_path / "copy")
    moved = cli.ok("care", "move", tmp_path / "moved", "--project", unpacked)["project"]
    assert not Path(unpacked).exists()
    with df.open(moved) as opened:
        assert opened.image_count() == 17
    assert cli.ok("care", "merge", moved)["imported"] == 0
    assert cli.ok("care", "shrink")["freed"]["files"] == 0
    with df.open(project) as opened:
        gone = opened.image_path(opened.images()[0])
        gone.unlink()
    assert cli("care", "verify").code == 1
    assert cli.ok("care", "locate", tmp_path / "photos") == {"found": 1, "missing": []}
