"""Entry of the command line: finds the verb, runs it, turns errors into words and exit codes.

A verb's module is imported when the verb is used, so that `--help` and `--version` stay quick.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from dafusion_core import __version__
from dafusion_core.cli.output import EXIT_INTERRUPTED, EXIT_OK, report_error

# Verb → (module, what it does). In the order in which somebody new needs them.
VERBS: dict[str, tuple[str, str]] = {
    "demo": ("chain", "See the whole chain work on sample pictures."),
    "run": ("chain", "From a folder of pictures to a verdict."),
    "new": ("images", "Make an empty project."),
    "sample": ("images", "Draw sample pictures to try things with."),
    "import": ("images", "Add pictures: a folder per class, CSV, COCO, VOC …"),
    "annotate": ("marking", "Classes, groups, doubts, notes, regions; undo."),
    "health": ("annotating", "Find copies, leaks, blur, wrong classes."),
    "split": ("dividing", "Divide them into training and test pictures."),
    "erase": ("work", "Make the base model forget the classes."),
    "invert": ("work", "Learn a word for each class."),
    "generate": ("work", "Make synthetic images."),
    "check": ("engine", "Measure them: distances, class, sharpness."),
    "curate": ("images", "Decide which of them may train."),
    "train": ("work", "Fit classifiers with and without them."),
    "compare": ("work", "Say whether they helped."),
    "experiment": ("experiments", "Arms × shots × seeds: plan, run, show, extend."),
    "inspect": ("classifiers", "What a classifier gets wrong."),
    "report": ("results", "Show the verdict; write a report."),
    "export": ("results", "Write the pictures for other programs."),
    "predict": ("classifiers", "Ask a classifier about pictures; answers as CSV."),
    "export-model": ("classifiers", "Write a classifier for other programs."),
    "curves": ("classifiers", "Write the curves for TensorBoard."),
    "care": ("caring", "Verify, locate, empty, copy, merge, archive."),
    "jobs": ("queueing", "List, cancel, pause, resume, retry jobs."),
    "worker": ("queueing", "Work through the queue; go on after a stop."),
    "presets": ("engine", "Named settings, and where they come from."),
    "backbones": ("classifiers", "List networks; fetch their ImageNet weights."),
    "models": ("machine", "List, check and download base models."),
    "settings": ("machine", "Show or change your settings."),
    "doctor": ("machine", "Look at this computer and say what is wrong."),
}

EPILOG = """\b
Begin with:
  dafusion demo                 the whole chain on sample pictures, in some minutes
  dafusion run FOLDER           the same on your own, one folder of pictures per class
  dafusion                      the window
\b
Exit codes:
  0    done
  1    a job failed, or a mistake of ours
  2    the request cannot be done as asked
  3    the computer is in the way: disk, permissions, lock, driver
  130  stopped by you; what was finished is kept
\b
Shell completion, for bash (zsh and fish likewise):
  eval "$(_DAFUSION_COMPLETE=bash_source dafusion)"
"""


class Verbs(click.Group):
    """The verbs, each imported from its module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in their teaching order."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command object of a verb."""
        if cmd_name not in VERBS:
            return None
        module: Any = import_module(f"dafusion_core.cli.{VERBS[cmd_name][0]}")
        name = "import_" if cmd_name == "import" else cmd_name.replace("-", "_")
        command: click.Command = getattr(module, name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list without importing every module."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])


@click.command(cls=Verbs, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", prog_name="dafusion")
def cli() -> None:
    """Synthetic training pictures from a diffusion model, and whether they help.

    Every verb explains itself: `dafusion VERB --help`. With --json it prints one JSON object and
    nothing else on stdout. A project is a file NAME.dafusion and the folder NAME.files beside it.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `arguments` default to those of the process."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    is_json, is_debug = "--json" in words, "--debug" in words
    try:
        code = cli.main(words, prog_name="dafusion", standalone_mode=False)
        sys.stdout.flush()
        return int(code or EXIT_OK)
    except click.exceptions.Exit as request:
        return request.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped by you. Everything that was finished is kept.", err=True)
        return EXIT_INTERRUPTED
    except Exception as error:
        return report_error(error, is_json=is_json, is_debug=is_debug)
