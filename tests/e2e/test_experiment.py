"""An experiment killed at random moments ends with the table of an undisturbed one."""

from __future__ import annotations

import os
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest

import dafusion_core as df
from dafusion_core.api import ChainOptions
from dafusion_core.api.experiments import experiment_jobs, experiment_table, plan_experiment
from dafusion_core.api.presets import make_experiment
from dafusion_core.domain.experiments import ExperimentArm
from dafusion_core.domain.records import JobState
from tests.e2e.projects import CLASSES, make_project, start_driver
from tests.e2e.test_kill import copy_project, kill, wait_until_done

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kill -9 is a POSIX thing")


def plan(folder: Path, shots: tuple[int, ...], seeds: int) -> Path:
    """A closed project with an experiment of three arms in its queue."""
    with make_project(folder) as project:
        options = ChainOptions(variants=1, t0_set=(0.5,), epochs=1)
        spec = make_experiment("quick", CLASSES, options, shots=shots, seeds=tuple(range(seeds)))
        third = ExperimentArm("RandAugment", augmentation="randaugment")
        plan_experiment(project, replace(spec, arms=(*spec.arms, third)))
        return project.path


def outcome(path: Path) -> tuple[object, dict[str, str]]:
    """The table, and the bytes of every synthetic image by its unit."""
    with df.open(path) as project:
        assert project.file.db.value("PRAGMA integrity_check") == "ok"
        jobs = experiment_jobs(project, 1)
        assert {job.state for job in jobs} == {JobState.SUCCEEDED}
        assert len(project.runs()) == sum(job.total for job in jobs if job.kind == "train")
        units = {unit.id: f"{job.id}/{unit.key}" for job in jobs for unit in project.units(job.id)}
        images = project.synthetic(project.synthetic_ids())
        return experiment_table(project, 1), {units[i.unit_id]: i.sha256 for i in images}


def check(tmp_path: Path, shots: tuple[int, ...], seeds: int, kills: int) -> None:
    (tmp_path / "planned").mkdir()
    (tmp_path / "calm").mkdir()
    path = plan(tmp_path / "planned", shots, seeds)
    calm = copy_project(path, tmp_path / "calm")
    assert start_driver(calm).wait(500) == 0
    expected = outcome(calm)
    with df.open(path, read_only=True) as project:
        total = sum(job.total for job in project.jobs())
    moments = random.Random()
    for number in range(kills):
        driver = start_driver(path)
        try:
            wait_until_done(path, total * (number + 1) // (kills + 2))
            time.sleep(moments.uniform(0, 0.05))
            kill(driver, moments.choice(("worker", "program", "both")))
            if moments.random() < 0.5:
                kill(driver, "both")
            driver.kill()
        finally:
            driver.kill()
            driver.wait()
    assert start_driver(path).wait(500) == 0
    assert outcome(path) == expected


def test_killed_twice(tmp_path: Path) -> None:
    check(tmp_path, shots=(1, 2), seeds=2, kills=2)


@pytest.mark.slow
def test_three_arms_three_shots_eight_seeds_killed_ten_times(tmp_path: Path) -> None:
    check(tmp_path, shots=(1, 2, 4), seeds=8, kills=10)
