from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from dafusion_core.datasets import importing
from dafusion_core.datasets.facts import PictureFacts
from dafusion_core.datasets.importing import ExistingImage, ImportReport, NewImage, import_folder
from dafusion_core.domain.errors import DiskFull, UserError
from tests.unit.pictures import make_class_folder, noise, save


class MemoryStore:
    """A project in memory that counts transactions and refuses calls from other threads."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.rows: list[NewImage] = []
        self.problems: dict[str, tuple[str, bool]] = {}
        self.adopted: list[Path] = []
        self.transactions: list[int] = []
        self.full_after: int | None = None
        self._thread = threading.get_ident()

    def _check(self) -> None:
        assert threading.get_ident() == self._thread

    def known_sources(self) -> Mapping[str, tuple[int, int]]:
        self._check()
        return {row.original_path: (row.bytes, row.mtime_ns) for row in self.rows}

    def find_by_hash(self, sha256: str) -> ExistingImage | None:
        self._check()
        for i, row in enumerate(self.rows):
            if row.sha256 == sha256:
                return ExistingImage(i + 1, self.labels[row.label_id], row.original_path)
        return None

    def add_label(self, name: str) -> int:
        self._check()
        if name not in self.labels:
            self.labels.append(name)
        return self.labels.index(name)

    def adopt_file(self, path: Path, sha256: str) -> str:
        self._check()
        if self.full_after is not None and len(self.adopted) >= self.full_after:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        self.adopted.append(path)
        return f"objects/{sha256[:2]}/{sha256[2:]}{path.suffix.lower()}"

    def adopt_data(self, data: bytes, sha256: str, suffix: str) -> str:
        return self.adopt_file(Path(f"{len(data)} bytes{suffix}"), sha256)

    def find_synthetic(self, sha256: str, facts: PictureFacts, path: str) -> str:
        self._check()
        return ""

    def add_images(self, rows: Sequence[NewImage]) -> None:
        self._check()
        assert rows
        self.transactions.append(len(rows))
        self.rows += rows

    def add_problem(self, path: str, reason: str, is_refused: bool) -> None:
        self._check()
        self.problems[path] = (reason, is_refused)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def reasons(report: ImportReport) -> dict[str, str]:
    return {Path(problem.path).name: problem.reason for problem in report.problems}


def test_everything_is_imported_in_order(store: MemoryStore, tmp_path: Path) -> None:
    root = make_class_folder(tmp_path, {"oak": 12, "Ash": 90})
    seen: list[tuple[int, int]] = []
    report = import_folder(store, root, on_progress=lambda done, all_, _: seen.append((done, all_)))
    assert report.imported == 102
    assert report.per_label == {"Ash": 90, "oak": 12}
    assert report.problems == ()
    assert not report.stopped
    assert store.labels == ["Ash", "oak"]
    assert store.transactions == [64, 38]
    assert seen == [(i, 102) for i in range(1, 103)]
    paths = [Path(row.original_path).name for row in store.rows]
    assert paths[:3] == ["Ash_0.png", "Ash_1.png", "Ash_2.png"]
    assert paths[10] == "Ash_10.png"
    row = store.rows[0]
    assert (row.width, row.height, row.mode, row.is_reference) == (48, 40, "RGB", False)
    assert row.path == f"objects/{row.sha256[:2]}/{row.sha256[2:]}.png"
    assert row.bytes == Path(row.original_path).stat().st_size
    assert report.sentence == "102 images imported."


def test_references_copy_nothing(store: MemoryStore, tmp_path: Path) -> None:
    root = make_class_folder(tmp_path, {"oak": 2, "ash": 2})
    import_folder(store, root, mode="reference")
    assert store.adopted == []
    assert all(row.is_reference and row.path == row.original_path for row in store.rows)
    assert all(Path(row.path).is_absolute() for row in store.rows)


def test_repeating_adds_nothing_but_what_is_new(store: MemoryStore, tmp_path: Path) -> None:
    root = make_class_folder(tmp_path, {"oak": 3, "ash": 3})
    import_folder(store, root)
    again = import_folder(store, root)
    assert (again.imported, again.skipped_known, again.problems) == (0, 6, ())
    save(noise(77), root / "oak" / "new.png")
    third = import_folder(store, root)
    assert (third.imported, third.skipped_known) == (1, 6)
    assert "6 already in the project" in third.sentence


def test_known_files_are_not_read_again(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_class_folder(tmp_path, {"oak": 3, "ash": 3})
    import_folder(store, root)
    monkeypatch.setattr(importing, "examine_picture", lambda *_: pytest.fail("read again"))
    assert import_folder(store, root).skipped_known == 6


def test_stopped_imports_go_on(store: MemoryStore, tmp_path: Path) -> None:
    root = make_class_folder(tmp_path, {"oak": 40, "ash": 60})
    asked = iter(range(1000))
    report = import_folder(store, root, should_stop=lambda: next(asked) >= 70)
    assert report.stopped
    assert report.imported == len(store.rows) == 70
    assert "import the folder again to go on" in report.sentence
    rest = import_folder(store, root)
    assert (rest.imported, rest.skipped_known, rest.stopped) == (30, 70, False)
    assert len({row.sha256 for row in store.rows}) == 100

    at_once = MemoryStore()
    import_folder(at_once, root)
    assert [row.original_path for row in store.rows] == [row.original_path for row in at_once.rows]
    assert store.labels == at_once.labels


def test_a_full_disk_keeps_what_was_adopted(store: MemoryStore, tmp_path: Path) -> None:
    root = make_class_folder(tmp_path, {"oak": 5, "ash": 5})
    store.full_after = 7
    with pytest.raises(DiskFull, match="copying the pictures into the project"):
        import_folder(store, root)
    assert len(store.rows) == 7
    store.full_after = None
    assert import_folder(store, root).imported == 3


def test_exact_duplicates_are_listed(store: MemoryStore, tmp_path: Path) -> None:
    root = make_class_folder(tmp_path, {"oak": 2, "ash": 2})
    shutil.copy(root / "oak" / "oak_0.png", root / "oak" / "zz copy.png")
    report = import_folder(store, root)
    assert report.imported == 4
    assert reasons(report) == {"zz copy.png": f"exact duplicate of “{root / 'oak' / 'oak_0.png'}”"}
    assert report.refused == 1
    # Again, with the twin now in the project instead of the same import.
    again = import_folder(store, root)
    assert reasons(again) == reasons(report)
    assert again.imported == 0


def test_one_picture_in_two_classes_is_a_conflict(store: MemoryStore, tmp_path: Path) -> None:
    root = make_class_folder(tmp_path, {"oak": 2, "ash": 2})
    shutil.copy(root / "ash" / "ash_0.png", root / "oak" / "same.png")
    report = import_folder(store, root)
    assert report.per_label == {"ash": 2, "oak": 2}
    reason = reasons(report)["same.png"]
    assert "also in class “ash”" in reason
    assert "it stays there" in reason
    assert store.problems[str(root / "oak" / "same.png")] == (reason, True)


def test_files_that_changed_are_not_imported_twice(store: MemoryStore, tmp_path: Path) -> None:
    root = make_class_folder(tmp_path, {"oak": 2, "ash": 2})
    import_folder(store, root)
    touched, edited = root / "oak" / "oak_0.png", root / "oak" / "oak_1.png"
    os.utime(touched, ns=(1, 1))
    save(noise(500), edited)
    report = import_folder(store, root)
    assert (report.imported, report.skipped_known) == (0, 3)
    assert "changed after it was imported" in reasons(report)["oak_1.png"]
    assert len(store.rows) == 4


def test_bad_files_are_listed_and_the_rest_comes_in(store: MemoryStore, tmp_path: Path) -> None:
    root = make_class_folder(tmp_path, {"oak": 2, "ash": 2})
    (root / "oak" / "fake.jpg").write_text("no picture")
    (root / "oak" / "nothing.png").touch()
    (root / "notes.txt").write_text("x")
    save(noise(9, 20, 20), root / "ash" / "tiny.png")
    report = import_folder(store, root)
    assert report.imported == 5
    found = reasons(report)
    assert set(found) == {"fake.jpg", "nothing.png", "notes.txt", "tiny.png"}
    assert "text" in found["fake.jpg"]
    assert "empty" in found["nothing.png"]
    assert store.problems[str(root / "ash" / "tiny.png")] == ("it is only 20×20 pixels", False)
    assert report.sentence == "5 images imported, 3 left out, 1 with a warning."


def test_classes_without_usable_pictures_make_no_label(store: MemoryStore, tmp_path: Path) -> None:
    root = make_class_folder(tmp_path, {"oak": 2})
    (root / "ash").mkdir()
    (root / "ash" / "fake.jpg").write_text("no picture")
    report = import_folder(store, root)
    assert store.labels == ["oak"]
    assert report.per_label == {"oak": 2}


def test_wrong_layouts_change_nothing(store: MemoryStore, tmp_path: Path) -> None:
    save(noise(1), tmp_path / "a.png")
    with pytest.raises(UserError, match="no class folders"):
        import_folder(store, tmp_path)
    assert not store.rows
    assert not store.problems


def test_an_error_of_the_caller_keeps_whole_batches(store: MemoryStore, tmp_path: Path) -> None:
    root = make_class_folder(tmp_path, {"oak": 4, "ash": 4})

    def fail(done: int, _total: int, _path: str) -> None:
        if done == 3:
            raise RuntimeError("window gone")

    with pytest.raises(RuntimeError, match="window gone"):
        import_folder(store, root, on_progress=fail)
    assert len(store.rows) == 3


def test_every_odd_format_is_imported_or_named(
    store: MemoryStore, tmp_path: Path, shared_data: Path
) -> None:
    odd = shared_data / "odd-formats"
    files = sorted(odd.iterdir())
    for i, file in enumerate(files):
        target = tmp_path / ("one" if i % 2 else "two") / file.name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(file, target)
    report = import_folder(store, tmp_path)
    imported = {Path(row.original_path).name for row in store.rows}
    refused = {Path(p.path).name for p in report.problems if p.is_refused}
    assert refused == {"truncated.jpg", "multipage_rgb.tif"}
    assert imported == {file.name for file in files} - refused
    assert all(problem.reason for problem in report.problems)


def test_real_photographs(store: MemoryStore, shared_data: Path) -> None:
    report = import_folder(store, shared_data / "ground-cover", mode="reference")
    assert report.per_label == {"brick": 16, "grass": 16, "gravel": 16}
    assert report.problems == ()
    assert {(row.width, row.height, row.mode) for row in store.rows} == {(128, 128, "L")}
