"""The whole path with one command, and going on with it, with quick methods."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dafusion_core import api as df
from dafusion_core import resources
from dafusion_core.api.chain import ChainOptions, erasure_spec
from dafusion_core.domain.specs import ModelSource
from dafusion_core.meadow import sample
from tests.unit.cli_driver import CommandLine, make_pictures


@pytest.fixture
def dafusion(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    make_pictures(tmp_path / "photos")
    return CommandLine(capsys)


def test_run_goes_from_a_folder_to_a_verdict(dafusion: CommandLine, tmp_path: Path) -> None:
    answer = dafusion("run", "photos", "--seeds", "0-2", "--t0", "0.5")
    assert answer.code == 0, answer.err
    for word in ("DA-Fusion", "standard augmentation", "Accuracy by seed", "dock"):
        assert word in answer.out
    assert (tmp_path / "photos.dafusion").exists()
    again = dafusion.ok("run", "photos")
    assert [job["kind"] for job in again["jobs"]] == [
        "erase",
        "invert",
        "generate",
        "train",
        "compare",
    ]
    assert all(job["attempt"] == 1 for job in again["jobs"]), "nothing is done twice"
    assert again["verdict"]["sentences"]
    assert again["synthetic_images"] == 9


def test_the_verdict_can_be_seen_again_and_made_again(dafusion: CommandLine) -> None:
    dafusion.ok("run", "photos", "--seeds", "0-1", "--t0", "0.5", "--no-erasure")
    assert "Accuracy by class" in dafusion("report").out
    assert dafusion.ok("report")["verdict"]["baseline"] == "standard augmentation"
    made = dafusion.ok("compare", "--baseline", "DA-Fusion")
    assert made["verdict"]["baseline"] == "DA-Fusion"


def test_options_reach_the_jobs(dafusion: CommandLine) -> None:
    words = ("--alpha", 0.3, "--shots", 2, "--variants", 2, "--t0", "0.25,0.75", "--seed", 5)
    dafusion.ok("run", "photos", "--seeds", "0-1", "--no-erasure", *words)
    with df.open("photos.dafusion", read_only=True) as project:
        by_kind = {job.kind: job for job in project.jobs()}
        assert "erase" not in by_kind
        assert by_kind["generate"].total == 3 * 2 * 2 * 2
        assert by_kind["generate"].spec["seed"] == 5
        assert by_kind["train"].spec["arms"][1]["alpha"] == 0.3
        assert by_kind["train"].spec["seeds"] == [0, 1]


def test_a_chain_that_failed_goes_on_where_it_was(
    dafusion: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAFUSION_TEST_TROUBLE", "disk-full@5")
    answer = dafusion("run", "photos", "--seeds", "0-1", "--t0", "0.5", "--json")
    assert answer.code == 1
    states = {job["kind"]: job["state"] for job in answer.json["jobs"]}
    assert (states["generate"], states["train"]) == ("failed", "queued")
    assert answer.json["verdict"] is None
    monkeypatch.delenv("DAFUSION_TEST_TROUBLE")
    done = dafusion.ok("run", "photos")
    attempts = {job["kind"]: job["attempt"] for job in done["jobs"]}
    assert attempts == {"erase": 1, "invert": 1, "generate": 2, "train": 1, "compare": 1}
    assert done["synthetic_images"] == 9


def test_again_makes_a_new_chain(dafusion: CommandLine) -> None:
    first = dafusion.ok("run", "photos", "--seeds", "0-1", "--t0", "0.5")
    second = dafusion.ok("run", "photos", "--seeds", "0-1", "--t0", "0.5", "--again")
    assert min(job["id"] for job in second["jobs"]) > max(job["id"] for job in first["jobs"])


def test_demo_draws_the_sample_and_uses_its_parts(
    dafusion: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "resources" / "backbones").mkdir(parents=True)
    (tmp_path / "resources" / resources.BACKBONES["resnet50"]).touch()
    monkeypatch.setattr(resources, "_PLACES", (tmp_path / "resources",))
    monkeypatch.setattr(sample, "TRAIN", 1)
    monkeypatch.setattr(sample, "TEST", 2)
    answer = dafusion("demo")
    assert "dandelion 1/2, leafy spurge 1/2" in answer.out
    assert "can be used all the same" in answer.err
    done = dafusion.ok("demo")
    assert done["synthetic_images"] == 4 * 1 * 4
    assert done["project"] == "dafusion-demo.dafusion" or Path(done["project"]).exists()
    assert done["verdict"]["sentences"]
    assert dafusion("demo").code == 0
    assert [j["state"] for j in dafusion.ok("jobs")["jobs"]] == ["succeeded"] * 5


def test_the_sample_can_be_looked_at_and_run_by_hand(
    dafusion: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "TRAIN", 2)
    monkeypatch.setattr(sample, "TEST", 2)
    assert dafusion.ok("sample", "weeds")["is_new"]
    assert not dafusion.ok("sample", "weeds")["is_new"]
    assert dafusion("sample", "photos").code == 2
    assert "leafy spurge 2/2" in dafusion("run", "weeds", "--seeds", "0-1", "--t0", "0.5").out


def test_a_folder_without_classes_is_refused_before_any_job(
    dafusion: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    answer = dafusion("run", "empty")
    assert answer.code == 2
    with df.open("empty.dafusion", read_only=True) as project:
        assert project.jobs() == []


def test_the_bundled_model_holds_names_that_are_not_erased() -> None:
    options = ChainOptions()
    spec = erasure_spec(options, ["dandelion", "Marigold"])
    held = {*erasure_spec(options, ["dandelion"]).preserve}
    assert "marigold" in held
    assert {*spec.preserve} == held - {"marigold"}
    other = replace(options, model=ModelSource("folder", "/elsewhere"))
    assert erasure_spec(other, ["dandelion"]).preserve == ()
