"""The command line with quick methods in its workers: as a function for tests, and as a program
(`python -m tests.unit.cli_driver ARGUMENTS`) for those that send it signals.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from PIL import Image

from dafusion_core.api import Project
from dafusion_core.cli.main import main
from dafusion_core.jobs.events import JobEvent
from dafusion_core.jobs.supervisor import JobSupervisor
from tests.fake_methods import TARGET, picture

CLASSES = ("dock", "nettle", "thistle")


@contextmanager
def quick_methods():  # type: ignore[no-untyped-def]
    """Let every supervisor start workers that have the fake methods."""

    def supervisor(
        self: Project, on_event: Callable[[JobEvent], None], devices: Sequence[str] = ("auto",)
    ) -> JobSupervisor:
        return JobSupervisor(self.file, on_event, ("cpu",), TARGET)

    with mock.patch.object(Project, "supervisor", supervisor):
        yield


@dataclass
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on stdout."""
        return json.loads(self.out)


@dataclass
class CommandLine:
    capture: pytest.CaptureFixture[str]

    def __call__(self, *words: object) -> Answer:
        self.capture.readouterr()
        with quick_methods():
            code = main([str(word) for word in words])
        seen = self.capture.readouterr()
        return Answer(code, seen.out, seen.err)

    def ok(self, *words: object) -> Any:
        """The JSON answer of a command that must succeed."""
        answer = self(*words, "--json")
        assert answer.code == 0, answer.err
        return answer.json


def make_pictures(folder: Path, per_class: int = 6) -> Path:
    """A folder per class with small pictures, all different."""
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for index in range(per_class):
            image = picture(number * 1000 + index * 7919)
            image.resize((40, 30), Image.Resampling.BILINEAR).save(folder / name / f"{index}.png")
    return folder


if __name__ == "__main__":
    with quick_methods():
        code = main(sys.argv[1:])
    raise SystemExit(code)
