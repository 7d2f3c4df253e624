"""Opening, locking and refusing project files; what is refused is not changed."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from dafusion_core.domain.errors import EnvironmentProblem, ProjectDamaged, UserError
from dafusion_core.storage import migrations, project
from dafusion_core.storage.database import APPLICATION_ID
from dafusion_core.storage.images import add_label, all_labels
from dafusion_core.storage.migrations import MIGRATIONS, SCHEMA_VERSION
from dafusion_core.storage.project import create_project, files_folder, open_project


@pytest.fixture
def weeds(tmp_path: Path) -> Path:
    """A closed project with one label."""
    made = create_project(tmp_path / "weeds")
    add_label(made.db, "thistle")
    made.close()
    return made.path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def snapshot(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "project.lock"
    }


def test_a_project_is_one_file_and_one_folder_once_closed(weeds: Path) -> None:
    names = {path.name for path in weeds.parent.iterdir()}
    assert names == {"weeds.dafusion", "weeds.files"}
    assert not (files_folder(weeds) / "owner.json").exists()


def test_what_was_written_is_there_after_reopening(weeds: Path) -> None:
    opened = open_project(weeds)
    assert [label.name for label in all_labels(opened.db)] == ["thistle"]
    assert opened.db.value("PRAGMA journal_mode") == "wal"
    assert not opened.was_unclean
    opened.close()


def test_the_pair_can_be_moved(weeds: Path, tmp_path: Path) -> None:
    new = tmp_path / "elsewhere" / "renamed.dafusion"
    new.parent.mkdir()
    shutil.move(weeds, new)
    shutil.move(files_folder(weeds), files_folder(new))
    opened = open_project(new)
    assert all_labels(opened.db)
    assert opened.warnings == ()
    opened.close()


def test_a_project_moved_without_its_folder_says_so(weeds: Path) -> None:
    shutil.rmtree(files_folder(weeds))
    opened = open_project(weeds)
    assert "pictures and weights are missing" in opened.warnings[0]
    opened.close()


def test_create_does_not_touch_what_is_there(weeds: Path) -> None:
    before = snapshot(weeds.parent)
    with pytest.raises(UserError, match="there already"):
        create_project(weeds)
    assert snapshot(weeds.parent) == before


def test_create_refuses_a_filled_files_folder(tmp_path: Path) -> None:
    (tmp_path / "x.files").mkdir()
    (tmp_path / "x.files" / "precious").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        create_project(tmp_path / "x")
    assert (tmp_path / "x.files" / "precious").read_text() == "mine"


def test_the_second_opener_reads_and_is_told_who_writes(weeds: Path) -> None:
    first = open_project(weeds)
    second = open_project(weeds)
    assert second.is_read_only
    assert f"process {os.getpid()}" in second.lock_owner
    assert [label.name for label in all_labels(second.db)] == ["thistle"]
    with pytest.raises(EnvironmentProblem, match="reading only"):
        second.require_writable()
    with pytest.raises(EnvironmentProblem, match="reading only"):
        add_label(second.db, "dock")
    add_label(first.db, "dock")
    assert len(all_labels(second.db)) == 2
    second.close()
    first.close()
    third = open_project(weeds)
    assert not third.is_read_only
    third.close()


def test_a_newer_schema_is_refused_and_not_changed(weeds: Path) -> None:
    connection = sqlite3.connect(weeds)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    before = snapshot(weeds.parent)
    with pytest.raises(ProjectDamaged, match="newer version"):
        open_project(weeds)
    assert snapshot(weeds.parent) == before


def test_a_foreign_database_is_refused_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "browser.dafusion"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE cookies(a)")
    connection.commit()
    connection.close()
    before = snapshot(tmp_path)
    with pytest.raises(ProjectDamaged, match="another program"):
        open_project(path)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("content", [b"", b"hello", b"x" * 5000])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "letter.dafusion"
    path.write_bytes(content)
    with pytest.raises(ProjectDamaged, match="not a DA-Fusion Studio project"):
        open_project(path)
    assert path.read_bytes() == content
    assert not files_folder(path).exists()


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no project"):
        open_project(tmp_path / "nowhere.dafusion")


@pytest.mark.parametrize("how", ["truncated", "scribbled", "scribbled after a crash"])
def test_a_corrupt_file_is_refused_and_not_changed(weeds: Path, how: str) -> None:
    content = bytearray(weeds.read_bytes())
    if how == "truncated":
        content = content[: len(content) // 2]
    else:
        content[100:9000] = b"\xaa" * 8900
    weeds.write_bytes(content)
    if "crash" in how:
        (files_folder(weeds) / "owner.json").write_text("{}")
    before = digest(weeds)
    with pytest.raises(ProjectDamaged):
        open_project(weeds)
    assert digest(weeds) == before


def test_damage_deep_inside_is_found_after_a_crash(weeds: Path) -> None:
    opened = open_project(weeds)
    for number in range(3000):
        opened.db.insert("image_group", {"name": f"group {number}" * 10})
    opened.close()
    content = bytearray(weeds.read_bytes())
    content[-20_000:-10_000] = b"\xaa" * 10_000
    weeds.write_bytes(content)
    note = files_folder(weeds) / "owner.json"
    note.write_text(
        '{"pid": 1, "started": 1, "host": "a", "user": "b", "program": "c", "since": "d"}'
    )
    for _ in range(2):  # refused again, not forgotten after the first refusal
        with pytest.raises(ProjectDamaged, match="damaged"):
            open_project(weeds)
        assert note.exists()


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_read_only_place_is_opened_for_reading(weeds: Path) -> None:
    weeds.parent.chmod(0o555)
    try:
        opened = open_project(weeds)
        assert opened.is_read_only
        assert all_labels(opened.db)
        opened.close()
    finally:
        weeds.parent.chmod(0o755)


def test_a_place_that_refuses_writing_is_opened_for_reading(
    weeds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same without file modes, which do not bind root."""
    monkeypatch.setattr(project.os, "access", lambda path, mode: mode != os.W_OK)
    before = snapshot(weeds.parent)
    opened = open_project(weeds)
    assert opened.is_read_only
    assert "cannot be written to" in opened.warnings[0]
    assert all_labels(opened.db)
    opened.close()
    assert snapshot(weeds.parent) == before


def test_a_network_folder_gets_the_rollback_journal_and_a_warning(
    weeds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "file_system_of", lambda path: "nfs4")
    opened = open_project(weeds)
    assert opened.db.value("PRAGMA journal_mode") == "delete"
    assert "network folder" in opened.warnings[0]
    opened.close()


def test_the_file_system_of_a_place_is_the_innermost_mount(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Part:
        def __init__(self, mountpoint: str, fstype: str) -> None:
            self.mountpoint, self.fstype = mountpoint, fstype

    parts = [Part("/", "ext4"), Part(str(tmp_path), "NFS"), Part(f"{tmp_path}x", "cifs")]
    monkeypatch.setattr(project.psutil, "disk_partitions", lambda all: parts)
    assert project.file_system_of(tmp_path / "deep") == "nfs"
    assert project.file_system_of(Path("/")) == "ext4"


def test_an_old_schema_is_backed_up_before_it_is_changed(
    weeds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = list(MIGRATIONS._migrations)
    monkeypatch.setattr(MIGRATIONS, "_migrations", steps)

    @MIGRATIONS()
    def second(db: object) -> None:
        db.execute("ALTER TABLE label ADD COLUMN colour TEXT")  # type: ignore[attr-defined]

    for module in (migrations, project):
        monkeypatch.setattr(module, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    opened = open_project(weeds)
    assert "colour" in {row["name"] for row in opened.db.query("PRAGMA table_info(label)")}
    assert "backup" in opened.warnings[0]
    opened.close()
    (backup,) = weeds.parent.glob(f"weeds.dafusion.backup-{SCHEMA_VERSION}-*")
    old = sqlite3.connect(backup)
    assert old.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
    assert old.execute("SELECT name FROM label WHERE id > 0").fetchall() == [("thistle",)]
    old.close()


def test_a_failed_migration_leaves_the_old_schema(
    weeds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MIGRATIONS, "_migrations", list(MIGRATIONS._migrations))

    @MIGRATIONS()
    def broken(db: object) -> None:
        db.execute("ALTER TABLE label ADD COLUMN colour TEXT")  # type: ignore[attr-defined]
        raise RuntimeError("half way")

    for module in (migrations, project):
        monkeypatch.setattr(module, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    with pytest.raises(RuntimeError, match="half way"):
        open_project(weeds)
    monkeypatch.undo()
    opened = open_project(weeds)
    assert "colour" not in {row["name"] for row in opened.db.query("PRAGMA table_info(label)")}
    opened.close()


def test_the_schema_number_counts_the_steps(weeds: Path) -> None:
    assert len(MIGRATIONS._migrations) == SCHEMA_VERSION
    header = weeds.read_bytes()[:100]
    assert int.from_bytes(header[68:72], "big") == APPLICATION_ID
    assert int.from_bytes(header[60:64], "big") == SCHEMA_VERSION


def test_an_old_schema_is_read_after_it_was_brought_up_to_date(
    weeds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MIGRATIONS, "_migrations", list(MIGRATIONS._migrations))

    @MIGRATIONS()
    def second(db: object) -> None:
        db.execute("ALTER TABLE label ADD COLUMN colour TEXT")  # type: ignore[attr-defined]

    for module in (migrations, project):
        monkeypatch.setattr(module, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    with monkeypatch.context() as refusing:
        refusing.setattr(project.os, "access", lambda path, mode: False)
        with pytest.raises(EnvironmentProblem, match="an older version of this program"):
            open_project(weeds)
    assert list(weeds.parent.glob("*.backup-*")) == []
    reading = open_project(weeds, read_only=True)
    assert reading.is_read_only
    assert "colour" in {row["name"] for row in reading.db.query("PRAGMA table_info(label)")}
    reading.close()
    assert len(list(weeds.parent.glob("*.backup-*"))) == 1


def test_a_project_moved_away_is_not_made_anew_by_another_thread(tmp_path: Path) -> None:
    opened = create_project(tmp_path / "here")
    failed: list[Exception] = []

    def read() -> None:
        try:
            opened.db.query("SELECT 1 FROM label")
        except EnvironmentProblem as error:
            failed.append(error)

    try:
        opened.path.rename(tmp_path / "there.dafusion")
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        assert not opened.path.exists()
        assert failed
        (tmp_path / "there.dafusion").rename(opened.path)
    finally:
        opened.close()
