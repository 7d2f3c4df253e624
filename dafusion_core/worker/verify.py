"""Before a job begins: are the files it was bound to still there, and still the same?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dafusion_core.domain.errors import EnvironmentProblem
from dafusion_core.domain.inputs import AnyInputs, EmbeddingInput, FileInput, ImageInput
from dafusion_core.language import _
from dafusion_core.storage.objects import ObjectStore, hash_file

HashedFile = FileInput | EmbeddingInput | ImageInput


def check_files(objects: ObjectStore, inputs: AnyInputs) -> None:
    """Raise EnvironmentProblem naming the files that are missing or not what they were.

    Learned weights and referenced pictures are compared by hash: both can be replaced behind the
    project's back. Copied pictures are named by their hash, so being there is enough; a picture
    that cannot be decoded fails alone later.
    """
    missing, changed = [], []
    for file in dict.fromkeys(_hashed_files(inputs)):  # a source is also its concept's image
        path = objects.path(file.path)
        if not path.is_file():
            missing.append(path)
        elif _can_be_replaced(file) and hash_file(path) != file.sha256:
            changed.append(path)
    if missing:
        raise EnvironmentProblem(
            _("{name} missing, which this job needs.").format(name=_name(missing)),
            _("Put the files back where they were, then retry. Nothing was lost."),
        )
    if changed:
        raise EnvironmentProblem(
            _("{name} no longer what this job was queued with.").format(name=_name(changed)),
            _("Restore the files, or import and queue again; results would mix two states."),
        )


def _can_be_replaced(file: HashedFile) -> bool:
    return not isinstance(file, ImageInput) or Path(file.path).is_absolute()


def _name(paths: list[Path]) -> str:
    if len(paths) == 1:
        return _("The file “{paths}” is").format(paths=paths[0])
    return _("{number} files (such as “{paths}”) are").format(number=len(paths), paths=paths[0])


def _hashed_files(value: Any) -> Iterator[HashedFile]:
    if isinstance(value, HashedFile):
        yield value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _hashed_files(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _hashed_files(item)
    elif isinstance(value, tuple):
        for item in value:
            yield from _hashed_files(item)
