from __future__ import annotations

from pathlib import Path

import pytest

from dafusion_core import resources
from dafusion_core.domain.errors import EnvironmentProblem


def test_a_bundled_folder_is_found_in_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "resources" / "models").mkdir(parents=True)
    monkeypatch.setattr(
        resources, "_PLACES", (tmp_path / "dafusion_core" / "_resources", tmp_path / "resources")
    )
    assert resources.resource_path("models") == tmp_path / "resources" / "models"


def test_the_copy_inside_the_package_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("inside", "outside"):
        (tmp_path / folder / "models").mkdir(parents=True)
    monkeypatch.setattr(resources, "_PLACES", (tmp_path / "inside", tmp_path / "outside"))
    assert resources.resource_path("models") == tmp_path / "inside" / "models"


def test_a_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "resources").mkdir()
    monkeypatch.setattr(resources, "_PLACES", (tmp_path / "resources",))
    with pytest.raises(EnvironmentProblem, match="models/none"):
        resources.resource_path("models/none")


def test_an_installation_without_resources_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "_PLACES", (tmp_path / "nothing",))
    with pytest.raises(EnvironmentProblem, match="missing from this installation"):
        resources.resource_path("models")
