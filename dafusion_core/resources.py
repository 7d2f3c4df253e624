"""Where the files that come with the program are: models, weights, icons, translations.

In a checkout they are in `resources/` beside this package; in an installed wheel the build put
them inside it.
"""

from __future__ import annotations

from pathlib import Path

from dafusion_core.domain.errors import EnvironmentProblem, UserError

_PACKAGE = Path(__file__).resolve().parent
_PLACES = (_PACKAGE / "_resources", _PACKAGE.parent / "resources")

#: Classifier network → the weights for it that come with the program.
BACKBONES = {"resnet50": "backbones/resnet50-meadow.safetensors"}


def resources_root() -> Path:
    """The folder with everything that comes with the program.

    Raises EnvironmentProblem where the installation has none.
    """
    for place in _PLACES:
        if place.is_dir():
            return place
    raise EnvironmentProblem(
        "The files that come with the program are missing from this installation.",
        "Install it again.",
    )


def resource_path(relative: str) -> Path:
    """The path of one bundled file or folder, for example `resource_path("models")`.

    Raises EnvironmentProblem when it does not exist.
    """
    path = resources_root() / relative
    if not path.exists():
        raise EnvironmentProblem(
            f"“{relative}” is missing from the files that come with the program ({path.parent}).",
            "Install the program again; in a checkout, `git status` shows what was deleted.",
        )
    return path


def backbone_path(backbone: str) -> Path:
    """The bundled first weights of a classifier network (`weights="bundled"`).

    Raises UserError for networks that none come for, and where the file is missing.
    """
    if backbone not in BACKBONES:
        raise UserError(
            f"No weights for {backbone} come with the program, only for {', '.join(BACKBONES)}.",
            "Choose that network, a weights file of your own, or train from scratch.",
        )
    try:
        return resource_path(BACKBONES[backbone])
    except EnvironmentProblem as error:
        raise UserError(
            f"The bundled weights of {backbone} are not part of this installation.",
            "Install the program again, choose a weights file, or train from scratch.",
        ) from error
