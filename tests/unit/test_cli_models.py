"""Downloading a model: asked for, shown, agreed to. The hub is a stand-in."""

from __future__ import annotations

import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dafusion_core.cli import machine
from tests.unit.cli_driver import CommandLine


@dataclass
class File:
    rfilename: str
    size: int = 1_000_000_000


@dataclass
class Hub:
    """What the verb uses of huggingface_hub."""

    downloads: list[dict[str, Any]] = field(default_factory=list)
    failure: Exception | None = None

    class HTTPError(OSError):
        pass

    def module(self) -> types.SimpleNamespace:
        return types.SimpleNamespace(
            HfApi=lambda: self,
            snapshot_download=self.snapshot_download,
            errors=types.SimpleNamespace(HfHubHTTPError=self.HTTPError),
        )

    def model_info(self, name: str, **options: Any) -> Any:
        if self.failure:
            raise self.failure
        names = [
            "model_index.json",
            "unet/config.json",
            "unet/diffusion_pytorch_model.safetensors",
            "unet/diffusion_pytorch_model.fp16.safetensors",
            "unet/diffusion_pytorch_model.bin",
            "vae/diffusion_pytorch_model.safetensors",
            "tokenizer/vocab.json",
            "v1-5-pruned.ckpt",
            "safety_checker/model.safetensors",
        ]
        card = {"license": "openrail"}
        return types.SimpleNamespace(siblings=[File(name) for name in names], card_data=card)

    def snapshot_download(self, name: str, **options: Any) -> str:
        self.downloads.append({"name": name, **options})
        return "cache/model"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    made = Hub()
    monkeypatch.setattr(machine, "import_module", lambda name: made.module())
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # so that what the verb sets is put back
    return made


@pytest.fixture
def dafusion(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    return CommandLine(capsys)


def test_size_and_licence_are_shown_and_only_what_is_needed_is_fetched(
    hub: Hub, dafusion: CommandLine
) -> None:
    answer = dafusion("models", "download", "owner/name@v1", "--yes", "--json")
    assert answer.code == 0, answer.err
    assert "owner/name: 5.0 GB, licence: openrail." in answer.err
    assert answer.json["bytes"] == 5_000_000_000
    (download,) = hub.downloads
    assert download["revision"] == "v1"
    assert set(download["allow_patterns"]) == {
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "tokenizer/vocab.json",
    }


def test_looking_downloads_nothing(hub: Hub, dafusion: CommandLine) -> None:
    answer = dafusion("models", "download", "owner/name", "--look", "--json")
    assert answer.code == 0, answer.err
    assert answer.json == {"model": "owner/name", "bytes": 5_000_000_000, "licence": "openrail"}
    assert hub.downloads == []


def test_without_agreement_nothing_is_fetched(
    hub: Hub, dafusion: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine.click, "confirm", lambda *words, **options: False)
    answer = dafusion("models", "download", "owner/name")
    assert (answer.code, hub.downloads) == (0, [])
    assert "Nothing was downloaded" in answer.err


def test_a_network_that_fails_is_the_environment(hub: Hub, dafusion: CommandLine) -> None:
    hub.failure = Hub.HTTPError("503 the hub is away")
    answer = dafusion("models", "download", "owner/name", "--yes")
    assert answer.code == 3
    assert "503 the hub is away" in answer.err
    assert "What has arrived is kept" in answer.err
    hub.failure = RuntimeError("Name or service not known")  # as without a connection
    answer = dafusion("models", "download", "owner/name", "--yes")
    assert answer.code == 3
    assert "copy the model's folder" in answer.err


def test_what_is_here_already_is_not_downloaded(hub: Hub, dafusion: CommandLine) -> None:
    answer = dafusion("models", "download", "bundled", "--yes")
    assert (answer.code, hub.downloads) == (2, [])
