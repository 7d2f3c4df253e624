"""Verbs for experiments and for trained classifiers, with quick methods in real workers."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.unit.cli_driver import CommandLine, make_pictures


@pytest.fixture
def dafusion(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    line = CommandLine(capsys)
    line.ok("new", "weeds.dafusion")
    line.ok("import", make_pictures(tmp_path / "photos"))
    return line


def test_an_experiment_from_plan_to_table(dafusion: CommandLine, tmp_path: Path) -> None:
    assert "quick" in dafusion.ok("experiment")["presets"]
    refused = dafusion("experiment", "run")
    assert (refused.code, "no experiment" in refused.err) == (2, True)
    shape = ("--shots", "1,all", "--seeds", "0-1", "--protocol", "paper")
    planned = dafusion.ok("experiment", "plan", "quick", *shape)
    assert (planned["jobs"], planned["shots"]) == (17, [1, 0])
    half = dafusion.ok("experiment", "show")
    assert half["table"]["finished"] == 0
    done = dafusion.ok("experiment", "run")
    assert (done["succeeded"], done["table"]["finished"]) == (17, 8)
    more = dafusion.ok("experiment", "extend", "quick", "--arm", "CutMix", "--seeds", "2")
    assert more["added"] == 4 + 2 * 5  # CutMix of two seeds at two shots, and the third seed
    dafusion.ok("experiment", "run", "1")
    shown = dafusion("experiment", "show", "--csv", tmp_path / "table.csv")
    assert "CutMix" in shown.out
    assert "All images: DA-Fusion" in shown.out
    with (tmp_path / "table.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["shots"], row["arm"]) for row in rows[:3]] == [
        ("1", "standard augmentation"), ("1", "DA-Fusion"), ("1", "CutMix"),
    ]  # fmt: skip
    assert {row["seeds"] for row in rows} == {"3"}
    again = dafusion("experiment", "plan", "quick")
    assert again.code == 2
    # What an experiment queued is not what single steps build on.
    assert dafusion("generate").code == 2


def test_a_classifier_is_looked_at_and_its_curves_written(
    dafusion: CommandLine, tmp_path: Path
) -> None:
    assert dafusion("inspect").code == 2
    dafusion.ok("split")
    dafusion.ok("invert", "--no-erasure")
    dafusion.ok("generate", "--t0", "0.5", "--variants", 1)
    dafusion.ok("train", "--seeds", "0", "--mixing", "concatenate", "--batch-mix", "cutmix")
    seen = dafusion.ok("inspect")
    assert seen["arm"] == "standard augmentation"
    assert len(seen["inspection"]["cells"]) == 3
    assert "precision" in dafusion("inspect", "--run", 2).out
    board = dafusion.ok("curves", tmp_path / "board")
    assert len(board["files"]) == 3  # one per concept
    assert dafusion("predict", tmp_path / "nothing").code == 2
