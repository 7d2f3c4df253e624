from __future__ import annotations

from pathlib import Path

import click
import pytest

from dafusion_core.cli.options import parse_ids, parse_model
from dafusion_core.cli.output import (
    duration,
    format_table,
    plural,
    readable_bytes,
    split_sentences,
    to_json,
)
from dafusion_core.cli.running import chosen_devices
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Curation, ImportProblem


def test_tables_align_text_left_and_numbers_right() -> None:
    assert format_table(("class", "n"), [("dock", 5), ("nettle", 12)]) == [
        "class    n",
        "──────  ──",
        "dock     5",
        "nettle  12",
    ]
    assert format_table(("class",), []) == ["class", "─────"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (12000, "3 h 20 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(12, "12 bytes"), (1500, "2 kB"), (2.5e9, "2.5 GB"), (7e12, "7.0 TB")]
)
def test_sizes(count: float, text: str) -> None:
    assert readable_bytes(count) == text


def test_plurals() -> None:
    assert plural(1, "picture") == "1 picture"
    assert plural(1200, "class", "classes") == "1,200 classes"


def test_values_become_json() -> None:
    value = {"state": Curation.KEPT, "where": Path("a"), "list": (ImportProblem("p", "r"),)}
    assert to_json(value) == {
        "state": "kept",
        "where": "a",
        "list": [{"path": "p", "reason": "r", "is_refused": True}],
    }


def test_hints_become_two_lines() -> None:
    assert split_sentences("Nothing is lost. Free space. Resume.") == [
        "Nothing is lost.",
        "Free space. Resume.",
    ]
    assert split_sentences("Try again.") == ["Try again."]


def test_ids_and_ranges() -> None:
    assert parse_ids("7, 3-5 4") == [7, 3, 4, 5]
    for wrong in ("", "a", "5-3", "1-"):
        with pytest.raises(click.BadParameter):
            parse_ids(wrong)


def test_what_a_model_text_means(tmp_path: Path) -> None:
    folder = tmp_path / "owner"
    (folder / "name").mkdir(parents=True)
    (tmp_path / "one.safetensors").touch()
    assert parse_model("bundled").kind == "bundled"
    assert parse_model(str(folder / "name")).kind == "folder"
    assert parse_model(str(tmp_path / "one.safetensors")).kind == "file"
    hub = parse_model("owner/name@v2")
    assert (hub.kind, hub.location, hub.revision) == ("hub", "owner/name", "v2")
    for wrong in ("./owner/name", "just-a-word", "a/b/c", "~/x/y"):
        with pytest.raises(click.BadParameter):
            parse_model(wrong)


def test_a_folder_wins_over_a_hub_id_of_the_same_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert parse_model("owner/name").kind == "folder"


def test_devices_come_from_the_option_or_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_devices(None) == ("auto",)
    monkeypatch.setenv("DAFUSION_DEVICE", "cuda:1")
    assert chosen_devices(None) == ("cuda:1",)
    assert chosen_devices("cpu, cuda:0,cpu") == ("cpu", "cuda:0")
    with pytest.raises(UserError):
        chosen_devices(" , ")
