"""An import that is killed, or stopped, at any moment loses nothing and doubles nothing."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

import dafusion_core as df
from tests.unit.pictures import noise, save
from tests.unit.test_api_roundtrip import content

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
import dafusion_core as df
project = df.open(sys.argv[1])
print("begin", flush=True)
report = project.import_data(sys.argv[2])
print("end", report.imported, flush=True)
project.close()
"""


def make_data(folder: Path, count: int) -> None:
    """Pictures in parts and classes, so that an import also makes a split in the end."""
    for i in range(count):
        part = "test" if i % 3 == 0 else "train"
        save(noise(i, 320, 240), folder / part / f"class {i % 4}" / f"{i}.png")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_kill_at_ten_random_moments(tmp_path: Path) -> None:
    make_data(tmp_path / "data", 400)
    with df.create(tmp_path / "whole") as whole:
        began = time.monotonic()
        assert whole.import_data(tmp_path / "data").imported == 400
        taken = time.monotonic() - began
        expected = content(whole)
    with df.create(tmp_path / "killed") as made:
        path = made.path
    chance = random.Random(0)
    kills = counts = 0
    while kills < 10:
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(path), str(tmp_path / "data")],
            stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "begin\n"
        time.sleep(chance.uniform(0, 0.3 * taken))
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
        process.stdout.close()
        process.wait()
        with df.open(path) as project:
            now = project.image_count()
            assert now >= counts
            # Every row has its file, whole; nothing is there twice; no file is without a row.
            found = project.verify()
            assert (found.missing, found.changed) == ((), ())
            files = {p.relative_to(project.files).as_posix()
                     for p in project.files.glob("objects/*/*")}  # fmt: skip
            assert files == {image.path for image in project.images()}
            # Thumbnails may be missing, but there are none of other pictures, and none damaged.
            kept = project.file.objects.thumbnails
            names = kept.names()
            assert names <= {Path(path).stem for path in files}
            assert all(kept.read(name) for name in names)
            if kept.path.exists():
                with closing(sqlite3.connect(kept.path)) as db:
                    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            if "end" in rest and now == 400:
                # It was quicker than the signal: begin again, to be killed while at work.
                project.file.db.execute("DELETE FROM split")
                project.file.db.execute("DELETE FROM image WHERE id % 2")
                now = project.image_count()
            counts = now
        kills += 1
    with df.open(path) as project:
        project.import_data(tmp_path / "data")
        assert content(project) == expected
        assert len(project.splits()) == 1
        assert project.file.objects.thumbnails.names()


def test_stopping_at_any_file_and_going_on(tmp_path: Path) -> None:
    make_data(tmp_path / "data", 30)
    with df.create(tmp_path / "whole") as whole:
        whole.import_data(tmp_path / "data")
        expected = content(whole)
    with df.create(tmp_path / "stopped") as project:
        for stop in (0, 1, 7, 20):
            asked = iter(range(1000))
            report = project.import_data(
                tmp_path / "data", should_stop=lambda a=asked, s=stop: next(a) >= s
            )
            assert report.stopped
            assert project.splits() == []
        assert project.import_data(tmp_path / "data").imported == 10
        assert content(project) == expected


def test_a_file_that_changes_during_the_import_is_stored_as_it_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_data(tmp_path / "data", 6)
    victim = next(iter(sorted((tmp_path / "data").rglob("*.png"))))
    from dafusion_core.datasets import importing

    real = importing.examine_picture

    def examine(path: object, *rest: object) -> object:
        found = real(path, *rest)  # type: ignore[arg-type]
        if str(path) == str(victim):
            victim.write_bytes(b"written over while it was imported")
        return found

    monkeypatch.setattr(importing, "examine_picture", examine)
    with df.create(tmp_path / "p") as project:
        assert project.import_data(tmp_path / "data").imported == 6
        assert not project.verify().changed
