"""Options that several verbs share, each explained once."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from dafusion_core.cli.output import Output
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.specs import ModelSource

F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:  # Only newer versions of click can be subscripted when running.
    ParamType = click.ParamType

PROJECT_VARIABLE = "DAFUSION_PROJECT"

project_option = click.option(
    "--project",
    "-p",
    "project_path",
    type=click.Path(path_type=Path),
    envvar=PROJECT_VARIABLE,
    show_envvar=True,
    help="The project file, NAME.dafusion. Without it: the only one in the current folder.",
)


def verb(function: F) -> F:
    """Give a command `--json` and `--debug`, and hand it an `Output` as first argument."""

    @click.option("--json", "is_json", is_flag=True, help="One JSON object on stdout, no text.")
    @click.option("--debug", is_flag=True, help="Show the traceback if something goes wrong.")
    @functools.wraps(function)
    def run(*arguments: Any, is_json: bool, debug: bool, **options: Any) -> Any:
        return function(Output(is_json), *arguments, **options)

    return run  # type: ignore[return-value]


def find_project(path: Path | None) -> Path:
    """The project that is meant: the one given, or the only one here.

    Raises UserError when that is not clear.
    """
    path = _from_command_before(path)
    if path is not None:
        return path
    here = sorted(Path.cwd().glob("*.dafusion"))
    if len(here) == 1:
        return here[0]
    if not here:
        raise UserError(
            "No project was given, and there is none in this folder. Nothing was done.",
            f"Name one with --project NAME.dafusion or in ${PROJECT_VARIABLE}, or make one with "
            "`dafusion new NAME.dafusion`.",
        )
    names = ", ".join(place.name for place in here[:5])
    raise UserError(
        f"This folder has several projects ({names}). Nothing was done.",
        "Say which one with --project.",
    )


def _from_command_before(path: Path | None) -> Path | None:
    """Let `dafusion jobs --project P show 4` mean what `dafusion jobs show 4 --project P` does.

    What was typed at either place wins over the environment.
    """
    context = click.get_current_context(silent=True)
    while context is not None:
        if context.get_parameter_source("project_path") is ParameterSource.COMMANDLINE:
            typed: Path = context.params["project_path"]
            return typed
        context = context.parent
    return path


def parse_ids(text: str) -> list[int]:
    """Ids written as “3”, “3,5,9” or “10-20”, in any mixture, in the order given.

    Raises click.BadParameter when it is none of these.
    """
    ids: dict[int, None] = {}
    for piece in re.split(r"[,\s]+", text.strip()):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", piece)
        if match is None:
            raise click.BadParameter(f"“{piece}” is neither an id like 7 nor a range like 10-20.")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise click.BadParameter(f"The range {piece} runs backwards.")
        ids.update(dict.fromkeys(range(first, last + 1)))
    return list(ids)


class IdList(ParamType):
    """Ids and ranges of ids."""

    name = "ids"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A list of ids from its text."""
        return value if isinstance(value, list) else parse_ids(str(value))


class Numbers(ParamType):
    """Numbers separated by commas, as a tuple."""

    def __init__(self, kind: type[int] | type[float]) -> None:
        self.kind = kind
        self.name = "numbers" if kind is float else "whole numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A tuple of numbers from its text; whole numbers may be a range like 0-7."""
        if isinstance(value, tuple):
            return value
        if self.kind is int and re.fullmatch(r"[\d,\s-]+", str(value)):
            return tuple(parse_ids(str(value)))
        try:
            return tuple(self.kind(piece) for piece in re.split(r"[,\s]+", str(value).strip()))
        except ValueError:
            self.fail(f"“{value}” is not a list of {self.name} such as 0.25,0.5.", param, ctx)


class Model(ParamType):
    """A base model: bundled, a folder, a .safetensors file, or a hub id (owner/name)."""

    name = "model"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A ModelSource from its text."""
        return value if isinstance(value, ModelSource) else parse_model(str(value))


def parse_model(text: str) -> ModelSource:
    """Which base model `text` means. What exists on disk wins over a hub id of the same form.

    A hub id may carry a revision: owner/name@revision. Raises click.BadParameter.
    """
    if text in ("", "bundled"):
        return ModelSource()
    path = Path(text).expanduser()
    if path.is_dir():
        return ModelSource("folder", str(path.resolve()))
    if path.is_file() or path.suffix == ".safetensors":
        return ModelSource("file", str(path.resolve()))
    match = re.fullmatch(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", text)
    if match is None or text.startswith((".", "/", "~")):
        raise click.BadParameter(
            f"“{text}” is not there. Give a diffusers folder, a .safetensors file, a hub id such "
            "as owner/name, or bundled."
        )
    return ModelSource("hub", match[1], match[2] or "")


model_option = click.option(
    "--model",
    type=Model(),
    default="bundled",
    show_default=True,
    help="Base model: a diffusers folder, a .safetensors file, a hub id already downloaded "
    "(owner/name or owner/name@revision), or bundled.",
)

device_option = click.option(
    "--device",
    "devices",
    metavar="NAME[,NAME]",
    help="Where to compute: auto, cpu, cuda:0, or several separated by commas. "
    "Default: the setting “device”.",
)

queue_option = click.option(
    "--queue",
    "only_queue",
    is_flag=True,
    help="Only put the job into the queue; `dafusion worker` (or the window) will run it.",
)
