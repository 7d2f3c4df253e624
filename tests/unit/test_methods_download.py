"""The job that fetches a base model: progress from the cache, an end at once, the hub's errors."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dafusion_core.domain.errors import Cancelled, EnvironmentProblem, UserError
from dafusion_core.domain.inputs import DownloadInputs
from dafusion_core.domain.records import JobUnit, UnitState
from dafusion_core.domain.specs import DownloadSpec, ModelSource, load_spec
from dafusion_core.jobs.context import NullContext
from dafusion_core.methods import download
from dafusion_core.storage.hub import bytes_here

SPEC = DownloadSpec(ModelSource("hub", "owner/name", "v1"), 1000)
UNIT = JobUnit(1, 1, 0, "model", 0, UnitState.TODO, {}, None)
FETCH = """
import json, os, pathlib, sys, time
assert sys.argv[1:] == ["models", "download", "owner/name@v1", "--yes", "--json"], sys.argv
blobs = pathlib.Path(os.environ["HF_HUB_CACHE"]) / "models--owner--name" / "blobs"
blobs.mkdir(parents=True)
(blobs / "x").write_bytes(b"0" * 400)
time.sleep({wait})
print(json.dumps({answer}))
"""


@dataclass
class Watched(NullContext):
    """Notes the progress; wants no more of it from a share on."""

    stop_at: float = 2.0
    shares: list[float] = field(default_factory=list)

    def progress(self, done: float, total: float, phase: str = "") -> None:
        self.shares.append(done / total)
        if done / total >= self.stop_at:
            raise Cancelled("Cancelled by the user.")


@pytest.fixture
def ctx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.setattr(download, "PROGRAM", (sys.executable, str(tmp_path / "fetch.py")))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return Watched(tmp_path)


def test_the_model_arrives(ctx: Watched) -> None:
    text = FETCH.format(wait=0.6, answer={"model": "owner/name", "path": "there"})
    (ctx.scratch / "fetch.py").write_text(text)
    download.run(SPEC, DownloadInputs(), [UNIT], ctx)
    assert 0.4 in ctx.shares
    assert ctx.shares == sorted(ctx.shares)
    assert ctx.shares[-1] == 1
    assert ctx.results["model"][1] == {"model": "owner/name", "path": "there"}


def test_a_cancel_ends_it_at_once_and_keeps_what_came(ctx: Watched) -> None:
    marker = ctx.scratch / "finished"
    (ctx.scratch / "fetch.py").write_text(
        FETCH.format(wait=1, answer={}) + f"open({str(marker)!r}, 'w')"
    )
    ctx.stop_at = 0.4
    with pytest.raises(Cancelled):
        download.run(SPEC, DownloadInputs(), [UNIT], ctx)
    assert bytes_here("owner/name") == 400
    assert not marker.exists()
    assert ctx.results == {}


@pytest.mark.parametrize(
    ("answer", "text", "hint"),
    [
        ({"error": {"text": "No such model.", "hint": "Look at the name."}}, "No such", "Look at"),
        ("nonsense", "owner/name@v1 could not be downloaded", "then retry"),
    ],
)
def test_what_the_hub_says_is_the_error(ctx: Watched, answer: object, text: str, hint: str) -> None:
    shown = repr(answer) if isinstance(answer, dict) else "None"
    (ctx.scratch / "fetch.py").write_text(FETCH.format(wait=0, answer=shown))
    with pytest.raises(EnvironmentProblem, match=text) as caught:
        download.run(SPEC, DownloadInputs(), [UNIT], ctx)
    assert hint in caught.value.hint
    assert ctx.results == {}


def test_only_models_of_the_hub_are_downloaded() -> None:
    assert load_spec("download", SPEC.to_dict()) == SPEC
    with pytest.raises(UserError, match="Only models of the hub"):
        DownloadSpec(ModelSource())
