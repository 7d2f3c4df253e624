from __future__ import annotations

import os
import random
import sys
import unicodedata
from pathlib import Path

import pytest

from dafusion_core.datasets import folder as module
from dafusion_core.datasets.folder import FolderScan, scan_folder
from dafusion_core.datasets.naming import natural_key
from dafusion_core.domain.errors import EnvironmentProblem, UserError
from tests.unit.pictures import make_class_folder, noise, save

needs_links = pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")


def reasons(scan: FolderScan) -> dict[str, str]:
    return {str(Path(p.path).relative_to(scan.root)): p.reason for p in scan.problems}


def names(scan: FolderScan) -> dict[str, list[str]]:
    return {
        label: [path.relative_to(scan.root).as_posix() for path in paths]
        for label, paths in scan.classes.items()
    }


def test_one_folder_per_class_in_natural_order(tmp_path: Path) -> None:
    for name in (
        "b/img10.png",
        "b/img2.png",
        "b/IMG1.png",
        "A10/x.png",
        "a2/x.png",
        "a2/sub/y.JPG",
    ):
        save(noise(len(name)), tmp_path / name)
    scan = scan_folder(tmp_path)
    assert names(scan) == {
        "a2": ["a2/sub/y.JPG", "a2/x.png"],
        "A10": ["A10/x.png"],
        "b": ["b/IMG1.png", "b/img2.png", "b/img10.png"],
    }
    assert scan.count == 6
    assert next(scan.files()) == (tmp_path / "a2/sub/y.JPG", "a2")
    assert scan.problems == ()
    assert scan.warnings == ()


def test_the_file_systems_order_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_class_folder(tmp_path, {"oak": 12, "ash": 11, "elm": 3})
    (tmp_path / "oak" / "notes.txt").write_text("hello")
    (tmp_path / "elm" / "list.txt").write_text("hello")
    expected = scan_folder(tmp_path)
    real = os.scandir
    rng = random.Random(1)

    class Shuffled:
        def __init__(self, path: Path) -> None:
            with real(path) as entries:
                self.entries = list(entries)
            rng.shuffle(self.entries)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *_: object) -> None:
            pass

        def close(self) -> None:
            pass

    monkeypatch.setattr(module.os, "scandir", Shuffled)
    for _ in range(5):
        again = scan_folder(tmp_path)
        assert list(again.files()) == list(expected.files())
        assert again == expected


def test_hidden_things_are_passed_over_silently(tmp_path: Path) -> None:
    make_class_folder(tmp_path, {"oak": 2, "ash": 2})
    for name in (".git/x.png", "oak/._oak_0.png", "oak/.cache/y.png", "__MACOSX/oak/z.png"):
        save(noise(1), tmp_path / name)
    (tmp_path / "oak" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" * 9)
    (tmp_path / "desktop.ini").write_text("[x]")
    (tmp_path / ".DS_Store").write_bytes(bytes(9))
    scan = scan_folder(tmp_path)
    assert scan.problems == ()
    assert scan.count == 4


def test_what_is_no_picture_is_listed_with_its_reason(tmp_path: Path) -> None:
    make_class_folder(tmp_path, {"oak": 2, "ash": 2})
    (tmp_path / "oak" / "notes.txt").write_text("measured on Monday")
    (tmp_path / "oak" / "empty.dat").touch()
    (tmp_path / "oak" / "clip.mp4").write_bytes(b"\x00\x00\x00\x18ftypisom" + bytes(20))
    (tmp_path / "readme.md").write_text("# hello")
    save(noise(7), tmp_path / "loose.png")
    (tmp_path / "elm").mkdir()
    save(noise(8), tmp_path / "ash" / "no ending", format="PNG")
    scan = scan_folder(tmp_path)
    found = reasons(scan)
    assert set(found) == {
        "oak/notes.txt",
        "oak/empty.dat",
        "oak/clip.mp4",
        "readme.md",
        "loose.png",
        "elm",
    }
    assert "text" in found["oak/notes.txt"]
    assert "empty" in found["oak/empty.dat"]
    assert "video" in found["oak/clip.mp4"]
    assert "outside the class folders" in found["loose.png"]
    assert "move it into one" in found["loose.png"]
    assert "no pictures" in found["elm"]
    assert all(problem.is_refused for problem in scan.problems)
    assert names(scan)["ash"] == ["ash/ash_0.png", "ash/ash_1.png", "ash/no ending"]


def test_awkward_names(tmp_path: Path) -> None:
    long = "L" * 200
    awkward = ['it\'s “quoted” "twice"', "white  space", "写真 🌼", "100 %_[x]{y}#", "-dash", long]
    if os.name == "nt":
        awkward = [name.replace('"', "") for name in awkward]
    for i, name in enumerate(awkward):
        save(noise(i), tmp_path / "a b 'c' 🌿" / name / f"{name}.png")
    scan = scan_folder(tmp_path / "a b 'c' 🌿")
    assert set(scan.classes) == set(awkward)
    assert scan.count == len(awkward)
    assert all(path.is_file() for path, _ in scan.files())


def test_class_names_have_one_unicode_form(tmp_path: Path) -> None:
    composed, decomposed = "Gänseblümchen", unicodedata.normalize("NFD", "Gänseblümchen")
    assert composed != decomposed
    save(noise(1), tmp_path / decomposed / "a.png")
    save(noise(2), tmp_path / "oak" / "b.png")
    save(noise(3), tmp_path / " ash " / "b.png")
    assert list(scan_folder(tmp_path).classes) == ["ash", composed, "oak"]
    save(noise(4), tmp_path / composed / "c.png")
    if len(list(tmp_path.iterdir())) == 4:  # file systems that tell the two apart
        scan = scan_folder(tmp_path)
        assert len(scan.classes[composed]) == 2
        assert any("became one class" in warning for warning in scan.warnings)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows such names")
def test_names_that_are_no_text(tmp_path: Path) -> None:
    make_class_folder(tmp_path, {"oak": 2, "ash": 2})
    (tmp_path / "oak" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"x")
    (tmp_path / os.fsdecode(b"gr\xfcn")).mkdir()
    scan = scan_folder(tmp_path)
    assert scan.count == 4
    assert len(scan.problems) == 2
    for problem in scan.problems:
        problem.path.encode("utf-8")
        assert "not valid text" in problem.reason
    with pytest.raises(UserError, match="not valid text"):
        scan_folder(tmp_path / os.fsdecode(b"gr\xfcn"))


def test_very_deep_folders(tmp_path: Path) -> None:
    deep = tmp_path / "oak"
    for _ in range(100):
        deep = deep / "d"
    save(noise(1), deep / "x.png")
    save(noise(2), tmp_path / "ash" / "x.png")
    assert scan_folder(tmp_path).count == 2


# ------------------------------------------------------------------------------- links


@needs_links
def test_links_that_lead_in_circles_do_no_harm(tmp_path: Path) -> None:
    root = make_class_folder(tmp_path / "data", {"oak": 2, "ash": 2})
    (root / "oak" / "again").symlink_to(root / "oak")
    (root / "oak" / "up").symlink_to(root)
    (root / "oak" / "above").symlink_to(tmp_path)
    (root / "ash" / "other").symlink_to(root / "oak")
    (root / "ash" / "self").symlink_to("self")
    (root / "ash" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (root / "loop").symlink_to(root)
    scan = scan_folder(root)
    assert {label: len(paths) for label, paths in scan.classes.items()} == {"oak": 2, "ash": 2}
    found = reasons(scan)
    assert "link to “oak”" in found["oak/again"]
    assert "the chosen folder itself" in found["oak/up"]
    assert "a loop" in found["oak/above"]
    assert "link to “oak”" in found["ash/other"]
    assert "leads nowhere" in found["ash/self"]
    assert "leads nowhere" in found["ash/gone.png"]
    assert "the chosen folder itself" in found["loop"]
    assert len(found) == 7


@needs_links
def test_links_to_folders_outside_are_followed_once(tmp_path: Path) -> None:
    outside = make_class_folder(tmp_path / "store", {"oak": 3, "ash": 2})
    (outside / "oak" / "back").symlink_to(outside / "oak")
    root = tmp_path / "data"
    root.mkdir()
    (root / "oak").symlink_to(outside / "oak")
    (root / "twice").symlink_to(outside / "oak")
    (root / "ash").symlink_to(outside / "ash")
    scan = scan_folder(root)
    assert {label: len(paths) for label, paths in scan.classes.items()} == {"oak": 3, "ash": 2}
    found = reasons(scan)
    assert set(found) == {"twice", "oak/back"}
    assert "same folder as “oak”" in found["twice"]


@needs_links
def test_the_chosen_folder_may_itself_be_a_link(tmp_path: Path) -> None:
    real = make_class_folder(tmp_path / "real", {"oak": 2, "ash": 2})
    (tmp_path / "link").symlink_to(real)
    scan = scan_folder(tmp_path / "link")
    assert scan.count == 4
    assert scan.problems == ()


# ------------------------------------------------------------------------------- wrong layouts


def complaint(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        scan_folder(folder)
    return str(caught.value)


def test_wrong_choices_are_explained(tmp_path: Path) -> None:
    assert "There is no folder" in complaint(tmp_path / "nowhere")
    file = save(noise(1), tmp_path / "files" / "a.png")
    assert "is a file, not a folder" in complaint(file)
    assert "There is no folder" in complaint(file / "below")
    (tmp_path / "empty").mkdir()
    assert "is empty" in complaint(tmp_path / "empty")
    text = complaint(tmp_path / "files")
    assert "holds 1 picture but no class folders" in text
    assert "one folder per class, for example" in text
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "a.txt").write_text("x")
    assert "no class folders and no pictures" in complaint(tmp_path / "papers")
    (tmp_path / "hollow" / "oak").mkdir(parents=True)
    (tmp_path / "hollow" / "ash").mkdir()
    assert "No picture was found in the 2 folders" in complaint(tmp_path / "hollow")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="may read everything")
def test_forbidden_folders(tmp_path: Path) -> None:
    root = make_class_folder(tmp_path / "data", {"oak": 2, "ash": 2})
    (root / "ash").chmod(0)
    try:
        scan = scan_folder(root)
        assert "cannot be read" in reasons(scan)["ash"]
    finally:
        (root / "ash").chmod(0o700)
    root.chmod(0)
    try:
        with pytest.raises(EnvironmentProblem, match="cannot be read"):
            scan_folder(root)
    finally:
        root.chmod(0o700)


def test_one_class_is_a_warning_with_advice(tmp_path: Path) -> None:
    make_class_folder(tmp_path / "flowers", {"daisy": 2, "rose": 2})
    (warning,) = scan_folder(tmp_path).warnings
    assert "only one class, “flowers”" in warning
    assert "choose “flowers” instead" in warning
    make_class_folder(tmp_path / "alone", {"oak": 2})
    (warning,) = scan_folder(tmp_path / "alone").warnings
    assert "instead" not in warning


def test_parts_of_a_split_are_pointed_out(tmp_path: Path) -> None:
    for part in ("train", "test"):
        make_class_folder(tmp_path / part, {"daisy": 2, "rose": 2})
    (warning,) = scan_folder(tmp_path).warnings
    assert "parts of a split" in warning


def test_natural_order_is_total() -> None:
    names = [
        "a",
        "A",
        "a1",
        "a01",
        "a10",
        "a2",
        "",
        "10",
        "9",
        "é",
        "e\u0301",
        "a1b2",
        "a1b10",
        "²",
    ]
    ordered = sorted(names, key=natural_key)
    for seed in range(20):
        shuffled = names[:]
        random.Random(seed).shuffle(shuffled)
        assert sorted(shuffled, key=natural_key) == ordered
    assert ordered.index("9") < ordered.index("10")
    assert ordered.index("a1b2") < ordered.index("a1b10")
