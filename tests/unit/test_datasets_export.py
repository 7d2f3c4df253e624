from __future__ import annotations

import csv
import hashlib
import os
import shutil
from pathlib import Path

import pytest

from dafusion_core.datasets.export import (
    MANIFEST,
    UNFINISHED,
    ExportItem,
    export_folder,
    safe_names,
)
from dafusion_core.domain.errors import DiskFull, EnvironmentProblem, UserError
from tests.unit.pictures import noise, save


@pytest.fixture
def items(tmp_path: Path) -> list[ExportItem]:
    """Two photos of two classes; two synthetic images of the first, one of a photo left out."""
    made = []
    for i, label in ((1, "oak"), (2, "Esche/grün")):
        path = save(noise(i), tmp_path / "objects" / f"{i}.png")
        made.append(real(i, label, path, "photo one.PNG"))
    for i, source, t0 in ((7, 1, 0.5), (8, 1, 0.25), (9, 33, 0.5)):
        path = save(noise(50 + i), tmp_path / "objects" / f"s{i}.png")
        made.append(
            ExportItem(
                "synthetic", i, "oak", "train", path, path.name, sha(path), source, t0, 99, "kept"
            )
        )
    return made


def real(i: int, label: str, path: Path, name: str) -> ExportItem:
    return ExportItem("real", i, label, "train" if i % 2 else "test", path, name, sha(path))


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / MANIFEST).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_everything_is_there_with_its_lineage(items: list[ExportItem], tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = export_folder(items, out)
    assert (report.real, report.synthetic, report.stopped) == (2, 3, False)
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == {
        MANIFEST,
        "real/oak/1_photo one.png",
        "real/Esche_grün/2_photo one.png",
        "synthetic/oak/1_photo one/t0.5_7.png",
        "synthetic/oak/1_photo one/t0.25_8.png",
        "synthetic/oak/33/t0.5_9.png",
    }
    rows = read_manifest(out)
    assert ",".join(rows[0]).startswith("path,label,part,kind,source,t0,seed,curation,sha256,")
    assert {row["path"] for row in rows} == files - {MANIFEST}
    for row in rows:
        assert sha(out / row["path"]) == row["sha256"]
    by_path = {row["path"]: row for row in rows}
    one = by_path["synthetic/oak/1_photo one/t0.25_8.png"]
    assert one["source"] == "real/oak/1_photo one.png"
    assert (one["t0"], one["seed"], one["curation"]) == ("0.25", "99", "kept")
    assert (one["label"], one["part"], one["kind"]) == ("oak", "train", "synthetic")
    assert by_path["synthetic/oak/33/t0.5_9.png"]["source"] == "image 33"
    photo = by_path["real/Esche_grün/2_photo one.png"]
    assert (photo["label"], photo["part"]) == ("Esche/grün", "test")
    assert (photo["source"], photo["t0"]) == ("photo one.PNG", "")
    assert report.bytes == sum((out / row["path"]).stat().st_size for row in rows)
    assert "2 real and 3 synthetic images" in report.sentence


def test_the_order_of_the_items_does_not_matter(items: list[ExportItem], tmp_path: Path) -> None:
    export_folder(items, tmp_path / "a")
    export_folder(items[::-1], tmp_path / "b")
    assert (tmp_path / "a" / MANIFEST).read_bytes() == (tmp_path / "b" / MANIFEST).read_bytes()


def test_nothing_is_overwritten_unasked(items: list[ExportItem], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".DS_Store").touch()
    (out / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match=r"not empty \(it holds “thesis.txt”\)"):
        export_folder(items, out)
    assert {path.name for path in out.iterdir()} == {".DS_Store", "thesis.txt"}
    export_folder(items, out, overwrite=True)
    assert (out / "thesis.txt").read_text() == "precious"
    assert len(read_manifest(out)) == 5
    with pytest.raises(UserError, match="not empty"):
        export_folder(items, out)


def test_the_projects_own_folder_is_refused(items: list[ExportItem], tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in (tmp_path / "objects").iterdir()}
    for folder in (tmp_path, tmp_path / "objects"):
        with pytest.raises(UserError, match="images of the project itself"):
            export_folder(items, folder, overwrite=True)
    assert {path: path.read_bytes() for path in (tmp_path / "objects").iterdir()} == before


def test_wrong_destinations(items: list[ExportItem], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        export_folder(items, tmp_path / "file")
    with pytest.raises(UserError, match="no images"):
        export_folder([], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("change", ["missing", "different"])
def test_a_picture_that_is_gone_stops_with_a_whole_manifest(
    items: list[ExportItem], tmp_path: Path, change: str
) -> None:
    victim = items[3].path
    if change == "missing":
        victim.unlink()
    else:
        save(noise(1234), victim)
    word = "missing" if change == "missing" else "changed since"
    with pytest.raises(EnvironmentProblem, match=word):
        export_folder(items, tmp_path / "out")
    rows = read_manifest(tmp_path / "out")
    left = {path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    left.discard(tmp_path / "out" / UNFINISHED)  # with it the export can go on
    assert left == {tmp_path / "out" / row["path"] for row in rows} | {tmp_path / "out" / MANIFEST}
    assert rows


def test_a_full_disk_is_told(
    items: list[ExportItem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copystat", full)
    with pytest.raises(DiskFull, match="exporting to"):
        export_folder(items, tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_it_can_be_stopped(items: list[ExportItem], tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    asked = iter([False, False, True])
    report = export_folder(
        items,
        tmp_path / "out",
        on_progress=lambda done, total, _: seen.append((done, total)),
        should_stop=lambda: next(asked),
    )
    assert report.stopped
    assert seen == [(1, 5), (2, 5)]
    assert len(read_manifest(tmp_path / "out")) == 2
    assert "Stopped early" in report.sentence


def test_folder_names_are_safe_and_distinct() -> None:
    names = ["oak", "Oak", "a/b", "a\\b", "a:b", "CON", "nul.txt", "...", " x ", "x", "", "..", "é"]
    names += ["L" * 300, "L" * 301, ".hidden", "写真 🌼", "tab\there"]
    safe = safe_names(names)
    assert list(safe) == list(dict.fromkeys(names))
    assert len({folder.casefold() for folder in safe.values()}) == len(safe)
    for folder in safe.values():
        assert folder
        assert len(folder) <= 85
        assert not set('<>:"/\\|?*\t') & set(folder)
        assert folder == folder.strip(" .")
        assert folder.split(".")[0].lower() not in ("con", "nul")
    assert safe["oak"] == "oak"
    assert safe["写真 🌼"] == "写真 🌼"


def test_labels_that_look_alike_stay_apart(tmp_path: Path) -> None:
    items = []
    for i, label in enumerate(("Oak", "oak", "o/k", "o:k"), 1):
        path = save(noise(i), tmp_path / "in" / f"{i}.png")
        items.append(real(i, label, path, "../../evil name.png"))
    export_folder(items, tmp_path / "out")
    rows = read_manifest(tmp_path / "out")
    assert len({os.path.dirname(row["path"]).casefold() for row in rows}) == 4
    for row in rows:
        target = (tmp_path / "out" / row["path"]).resolve()
        assert target.is_relative_to((tmp_path / "out").resolve())
        assert target.is_file()
