"""kill -9 while a concept is erased and while words are learned: the result is the same.

The command line, the engine and the bundled model; what is compared is every learned number.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

import dafusion_core as df
from dafusion_core.domain.records import JobState
from dafusion_core.meadow import SAMPLE, write_folder
from tests.e2e.test_kill import copy_project, kill, start_worker

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="kill -9 is a POSIX thing"),
]

TOLERANCE = 1e-6  # float32 on the same machine; with the same threads it comes out the same
#: Where the worker leaves what an erasure and an inversion can go on from.
ERASING, LEARNING = "kept/*/erase-*/training.safetensors", "kept/*/unit-*.safetensors"


def plan(folder: Path) -> Path:
    """A project with an erasure by training and an inversion in its queue."""
    write_folder(folder / "pictures", SAMPLE[:2], 3, 3)
    with df.create(folder / "weeds") as project:
        project.import_data(folder / "pictures")
        project.erase(
            method="esd", concepts=("dandelion",), guide="plant", iterations=20, steps=4,
            learning_rate=1e-3,
        )  # fmt: skip
        project.invert(steps=24, batch_size=2, learning_rate=5e-3)
    return project.path


def learned(path: Path) -> dict[str, Any]:
    """Every number that the two jobs learned, by file and name."""
    with df.open(path) as project:
        assert [job.state for job in project.jobs()] == [JobState.SUCCEEDED] * 2
        assert project.file.db.value("PRAGMA integrity_check") == "ok"
        files = [(model.sha256, "erased", model.path) for model in project.erasures()]
        files += [(e.sha256, e.placeholder, e.path) for e in project.embeddings()]
        return {
            f"{name}/{key}": value
            for _, name, file in files
            for key, value in load_file(project.file.objects.path(file)).items()
        }


def kill_when_there_is(path: Path, pattern: str) -> None:
    """Start the queue, and kill program and worker once a state was left that fits `pattern`."""
    driver = start_worker(path, DAFUSION_SAVE_EVERY_S="0")
    try:
        deadline = time.monotonic() + 300
        while not list(path.with_suffix(".files").glob(pattern)):
            assert driver.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        kill(driver, "both")
        driver.wait(60)
    finally:
        driver.kill()
        driver.wait()


def test_killed_while_erasing_and_while_learning(tmp_path: Path) -> None:
    planned = plan(tmp_path)
    (tmp_path / "killed").mkdir()
    path = copy_project(planned, tmp_path / "killed")
    assert start_worker(planned).wait(300) == 0
    expected = learned(planned)

    kill_when_there_is(path, ERASING)
    with df.open(path) as project:
        assert [job.done for job in project.jobs()] == [0, 0]
    kill_when_there_is(path, LEARNING)
    with df.open(path) as project:
        assert [job.done for job in project.jobs()] == [1, 0]
        assert project.erasures()[0].record["begun_at_step"] in (10, 20)
    assert start_worker(path).wait(300) == 0
    found = learned(path)
    with df.open(path) as project:
        begun = {embedding.record["begun_at_step"] for embedding in project.embeddings()}
        assert begun <= {10, 20}
        assert not list(project.files.glob("kept/*/*"))

    assert found.keys() == expected.keys()
    assert len(found) > 100  # every tensor of the network, and two words
    apart = {name: float(abs(found[name] - expected[name]).max()) for name in found}
    assert max(apart.values()) <= TOLERANCE, sorted(apart.items(), key=lambda pair: -pair[1])[:5]
