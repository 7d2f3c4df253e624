"""What a verb says: sentences for people, or one JSON object for programs, and errors for both."""

from __future__ import annotations

import dataclasses
import json
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import click

from dafusion_core.domain.errors import DaFusionError, describe_error

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_ENVIRONMENT = 3
EXIT_INTERRUPTED = 130


class Output:
    """Where a verb puts what it has to say.

    `say` is for people and silent with `--json`; `note` goes to stderr and is always heard;
    `result` is the one JSON object, printed only with `--json`.
    """

    def __init__(self, is_json: bool) -> None:
        self.is_json = is_json

    def say(self, text: str = "") -> None:
        """A line for people, on stdout."""
        if not self.is_json:
            click.echo(text)

    def note(self, text: str) -> None:
        """A line about what is going on, on stderr."""
        click.echo(text, err=True)

    def table(self, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table for people."""
        for line in format_table(head, rows):
            self.say(line)

    def result(self, value: Mapping[str, Any]) -> None:
        """The answer for programs."""
        if self.is_json:
            click.echo(json.dumps(to_json(value), ensure_ascii=False, indent=2))


def to_json(value: Any) -> Any:
    """`value` with records, paths and enumerations turned into JSON values."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_json(item) for item in value]
    return value


def format_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of a table with aligned columns; columns of numbers are aligned right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max([len(title), *(len(row[i]) for row in cells)]) for i, title in enumerate(head)]
    is_number = [
        bool(cells) and all(_looks_like_number(row[i]) for row in cells) for i in range(len(head))
    ]

    def line(row: Sequence[str]) -> str:
        parts = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, is_number, strict=True)
        ]
        return "  ".join(parts).rstrip()

    return [line(head), line(["─" * width for width in widths]), *(line(row) for row in cells)]


def _looks_like_number(text: str) -> bool:
    return text in ("", "–") or text.lstrip("+-−").replace(".", "", 1).rstrip(" %").isdigit()


def plural(number: int, one: str, many: str = "") -> str:
    """“1 picture”, “2 pictures”."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """A length of time as people say it: “40 s”, “12 min”, “3 h 20 min”."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def readable_bytes(count: float) -> str:
    """A size as people say it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit in ("bytes", "kB") else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def report_error(error: BaseException, *, is_json: bool, is_debug: bool) -> int:
    """Tell what happened, what is safe and what to do; return the exit code.

    With `is_json` the same goes to stdout as {"error": {…}}; the traceback is for `is_debug`.
    """
    if isinstance(error, click.ClickException):
        kind, text, hint = "usage", error.format_message(), _usage_hint(error)
        code = EXIT_USAGE
    else:
        kind, text, hint = describe_error(error)
        code = getattr(error, "exit_code", EXIT_FAILED)
        if not isinstance(error, DaFusionError) and isinstance(error, OSError):
            code = EXIT_ENVIRONMENT
        if kind == "bug":
            hint += " Run it again with --debug to see them, and please report this."
    for line in (f"Error: {text}", *filter(None, split_sentences(hint))):
        click.echo(line, err=True)
    if is_debug:
        traceback.print_exception(error, file=sys.stderr)
    if is_json:
        value = {"kind": kind, "text": text, "hint": hint.strip(), "exit_code": code}
        click.echo(json.dumps({"error": value}, ensure_ascii=False, indent=2))
    return code


def split_sentences(hint: str) -> list[str]:
    """What is safe and what to do, each on a line of its own."""
    first, dot, rest = hint.strip().partition(". ")
    return [first + dot.strip(), rest] if rest else [first]


def _usage_hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "dafusion"
    return f"Nothing was done. `{command} --help` shows how it is used."
