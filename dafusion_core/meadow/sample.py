"""The sample: pictures to try the whole path with, drawn where they are wanted."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dafusion_core.domain.errors import UserError, translate_os_error
from dafusion_core.language import _
from dafusion_core.meadow.folder import hash_pictures, write_folder
from dafusion_core.meadow.species import find_species

SAMPLE = tuple(
    find_species(name) for name in ("dandelion", "rough hawkbit", "leafy spurge", "marsh cypress")
)
"""Two pairs of look-alikes, which a few pictures do not tell apart. The bundled model knows the
first by name, so that a fair trial has something to erase, and has never seen the others."""

TRAIN, TEST = 4, 36
"""Pictures per species in each part. With few, there is something left to gain: the classifier of
`ChainOptions` names 87 % of the test pictures right after 4, 94 % after 8 or 12."""

SEED = 9_000_000
"""Far from the seeds of training, of checks and of benchmarks."""

DIGEST = "90d9a4efd17edf13dc2994178d48df98e02e5938b99a5a7ed3b684659bc6d310"
"""`hash_pictures` of the sample, on every machine."""

_RECORD = "drawn.sha256"


@dataclass(frozen=True, slots=True)
class SampleReport:
    """What `draw_sample` did. `stopped`: nothing was written, on request."""

    folder: Path
    digest: str = ""
    is_new: bool = False
    stopped: bool = False

    @property
    def warning(self) -> str:
        """A sentence when the pictures are not those of other machines, else ""."""
        if self.stopped or self.digest == DIGEST:
            return ""
        return _(
            "The sample pictures came out a little differently than on other computers, probably "
            "because of another version of numpy or Pillow. They can be used all the same, but "
            "results may differ from those in the documentation."
        )


def sample_folder(project: Path) -> Path:
    """Where the sample pictures of a project file go: beside it."""
    return project.with_name(f"{project.stem}-pictures")


def draw_sample(
    folder: Path | str,
    on_progress: Callable[[int, int, str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> SampleReport:
    """Draw the sample into a folder that is new or empty (seconds); a whole one is used again.

    Its layout is that of `write_folder`. Raises UserError when something else is in the folder,
    or pictures of the sample were changed, and EnvironmentProblem when it cannot be written.
    """
    folder = Path(os.path.abspath(folder))
    try:
        if folder.exists() and any(folder.iterdir()):
            return SampleReport(folder, _check(folder))
        is_whole = write_folder(
            folder,
            SAMPLE,
            TRAIN,
            TEST,
            first_seed=SEED,
            on_progress=on_progress,
            should_stop=should_stop,
        )
        if not is_whole:
            return SampleReport(folder, stopped=True)
        digest = hash_pictures(folder)
        if digest != DIGEST:  # so that it is known again on this machine
            (folder / _RECORD).write_text(digest + "\n", encoding="utf-8")
    except OSError as error:
        raise translate_os_error(error, _("drawing the sample pictures")) from error
    return SampleReport(folder, digest, is_new=True)


def _check(folder: Path) -> str:
    """The digest of the sample that lies in `folder`. Raises UserError if it is not whole."""
    digest = hash_pictures(folder)
    record = folder / _RECORD
    known = record.read_text(encoding="utf-8").strip() if record.is_file() else DIGEST
    if digest != known:
        raise UserError(
            _(
                "The folder “{folder}” holds something else than the sample pictures, or they "
                "were changed. Nothing was written."
            ).format(folder=folder),
            _("Choose another folder, or move this one away."),
        )
    return digest
