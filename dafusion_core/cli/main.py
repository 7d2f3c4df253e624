"""Entry of the command line."""

from __future__ import annotations

from collections.abc import Sequence

import click

from dafusion_core import __version__


@click.group()
@click.version_option(__version__, prog_name="dafusion")
def cli() -> None:
    """Diffusion-based data augmentation for small labelled image sets."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    result = cli(list(arguments) if arguments is not None else None, standalone_mode=False)
    return int(result or 0)
