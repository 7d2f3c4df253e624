"""Where the files that come with the program are: the bundled model, the sample pictures, icons.

In a checkout they are in `resources/` beside this package; in an installed wheel the build put
them inside it.
"""

from __future__ import annotations

from pathlib import Path

from dafusion_core.domain.errors import EnvironmentProblem

_PACKAGE = Path(__file__).resolve().parent
_PLACES = (_PACKAGE / "_resources", _PACKAGE.parent / "resources")


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
    """The path of one bundled file or folder, for example `resource_path("sample")`.

    Raises EnvironmentProblem when it does not exist.
    """
    path = resources_root() / relative
    if not path.exists():
        raise EnvironmentProblem(
            f"“{relative}” is missing from the files that come with the program ({path.parent}).",
            "Install the program again; in a checkout, `git status` shows what was deleted.",
        )
    return path
