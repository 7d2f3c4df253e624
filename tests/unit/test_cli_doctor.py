"""What the doctor says about machines that this one is not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from dafusion_core.cli import diagnosis, torch_facts
from dafusion_core.cli.diagnosis import Finding
from tests.unit.cli_driver import CommandLine

HEALTHY: dict[str, Any] = {
    "torch": {
        "version": "2.13.0+cu130",
        "cuda_build": "13.0",
        "has_cuda": True,
        "threads": 8,
        "is_torchvision_complete": True,
    },
    "devices": [
        {"device": "cuda:0", "name": "Card", "total_bytes": 8 * 10**9, "free_bytes": 7 * 10**9}
    ],
    "libraries": {"problems": {}},
    "model": {"path": "models/bundled", "bytes": 13_000_000},
}


def healthy(**changes: Any) -> dict[str, Any]:
    facts = json.loads(json.dumps(HEALTHY))
    facts["torch"].update(changes)
    return facts  # type: ignore[no-any-return]


def of(findings: list[Finding], topic: str) -> Finding:
    return next(finding for finding in findings if finding.topic == topic)


@pytest.fixture(autouse=True)
def _all_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "version_of", lambda name: "1.0")
    monkeypatch.setattr(diagnosis, "has_nvidia_driver", lambda: True)


def test_a_healthy_machine_has_nothing_to_say() -> None:
    findings = diagnosis.look_at_torch(healthy())
    assert all(finding.state == "fine" and not finding.text for finding in findings)
    assert of(findings, "Device cuda:0").value == "Card, 7.0 GB of 8.0 GB free"


def test_a_card_with_a_cpu_build_of_torch_is_pointed_out() -> None:
    finding = of(diagnosis.look_at_torch(healthy(cuda_build=None, has_cuda=False)), "torch")
    assert finding.state == "note"
    assert "NVIDIA" in finding.text
    assert "install a CUDA build" in finding.text


def test_a_card_that_the_driver_does_not_give_is_pointed_out() -> None:
    finding = of(diagnosis.look_at_torch(healthy(has_cuda=False)), "torch")
    assert "driver may be too old for CUDA 13.0" in finding.text


def test_no_card_and_no_cuda_build_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "has_nvidia_driver", lambda: False)
    findings = diagnosis.look_at_torch(healthy(cuda_build=None, has_cuda=False))
    assert of(findings, "torch").state == "fine"


def test_torchvision_of_another_build_is_no_problem_but_known() -> None:
    findings = diagnosis.look_at_torch(healthy(is_torchvision_complete=False))
    assert of(findings, "torchvision").state == "note"


def test_a_library_that_does_not_load_is_a_problem() -> None:
    facts = healthy()
    facts["libraries"]["problems"]["diffusers"] = "ImportError: no such name"
    finding = of(diagnosis.look_at_torch(facts), "diffusers")
    assert finding.state == "problem"
    assert "no such name" in finding.text


def test_torch_that_does_not_load_is_one_problem_not_ten() -> None:
    facts = {"torch": {"error": "libcudnn.so.9: cannot open shared object file"}}
    findings = diagnosis.look_at_torch(facts)
    assert [finding.state for finding in findings] == ["problem"]
    assert "libcudnn" in findings[0].text
    assert diagnosis.look_at_model(facts).state == "problem"


def test_torch_that_crashes_its_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], -11, "", "warning\nFatal: illegal instruction\n")

    monkeypatch.setattr(subprocess, "run", crash)
    assert diagnosis.torch_facts()["torch"]["error"] == "Fatal: illegal instruction"


def test_a_missing_system_library_of_qt_comes_with_the_command_that_installs_it() -> None:
    text = diagnosis.explain_qt(
        "Traceback …\nImportError: libEGL.so.1: cannot open shared object file: No such file\n"
    )
    assert "libEGL.so.1 is missing" in text
    assert "apt-get install libegl1" in text


@pytest.mark.parametrize("version", sorted(diagnosis.BAD_QT))
def test_known_bad_versions_of_qt_are_named(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "version_of", lambda name: version)
    assert diagnosis.look_at_qt().state == "problem"


def test_no_qt_means_no_window_but_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "version_of", lambda name: None)
    finding = diagnosis.look_at_qt()
    assert finding.state == "note"
    assert "pip install PySide6-Essentials" in finding.text


@pytest.mark.parametrize(("version", "state"), [((3, 10, 1), "problem"), ((3, 13, 0), "fine")])
def test_python_versions(version: tuple[int, ...], state: str) -> None:
    assert diagnosis.look_at_python(version).state == state


def test_little_disk_and_little_memory_are_notes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(diagnosis.shutil, "disk_usage", lambda path: usage(10, 9, 10**9))
    assert diagnosis.look_at_disk(tmp_path / "new" / "deep").state == "note"
    memory = namedtuple("memory", "total available")
    monkeypatch.setattr(diagnosis.psutil, "virtual_memory", lambda: memory(4 * 10**9, 10**9))
    assert diagnosis.look_at_memory().state == "note"


def test_a_project_that_is_none_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "holiday.dafusion"
    path.write_bytes(b"dear diary" * 100)
    finding = diagnosis.look_at_project(path)
    assert finding.state == "problem"
    assert path.read_bytes() == b"dear diary" * 100


def test_a_wrong_environment_variable_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAFUSION_AUTO_ADVANCE", "many")
    finding = diagnosis.look_at_settings()
    assert finding.state == "problem"
    assert "DAFUSION_AUTO_ADVANCE=many" in finding.value


def test_the_verb_prints_every_finding_and_exits_with_3_on_a_problem(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = [Finding("Python", "3.11"), Finding("torch", "?", "problem", "It is broken.")]
    monkeypatch.setattr("dafusion_core.cli.machine.examine", lambda project: findings)
    dafusion = CommandLine(capsys)
    answer = dafusion("doctor")
    assert answer.code == 3
    assert answer.out.splitlines() == ["✓ Python  3.11", "✗ torch   ?", "          It is broken."]
    assert dafusion("doctor", "--json").json["is_fine"] is False


def test_the_facts_are_json_even_where_torch_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dafusion_core.engine.torch_setup", None)
    facts = torch_facts.gather()
    assert json.loads(json.dumps(facts)) == facts
    assert "error" in facts["torch"]
