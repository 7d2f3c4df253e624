"""Joins `datasets.importing` to the project: the image store it asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dafusion_core.datasets.importing import ExistingImage, NewImage
from dafusion_core.storage import images
from dafusion_core.storage.project import ProjectFile


@dataclass(frozen=True, slots=True)
class ProjectImages:
    """`datasets.importing.ImageStore` over a project file."""

    file: ProjectFile

    def known_sources(self) -> Mapping[str, tuple[int, int]]:
        """Original path → (bytes, mtime_ns) of every image in the project."""
        return images.known_sources(self.file.db)

    def find_by_hash(self, sha256: str) -> ExistingImage | None:
        """The image whose original had these contents."""
        found = images.find_by_hash(self.file.db, sha256)
        if found is None:
            return None
        return ExistingImage(found.id, found.label, found.original_path)

    def add_label(self, name: str) -> int:
        """The id of the label with this name, made if it is new."""
        return images.add_label(self.file.db, name)

    def adopt_file(self, path: Path, sha256: str) -> str:
        """Copy a file into the files folder; its path there, relative."""
        return self.file.objects.copy_in(path, sha256)

    def add_images(self, rows: Sequence[NewImage]) -> None:
        """Add all rows in one transaction."""
        images.add_images(
            self.file.db,
            [
                {
                    "path": row.path,
                    "is_reference": int(row.is_reference),
                    "sha256": row.sha256,
                    "width": row.width,
                    "height": row.height,
                    "mode": row.mode,
                    "label_id": row.label_id,
                    "original_path": row.original_path,
                    "original_size": row.bytes,
                    "original_mtime_ns": row.mtime_ns,
                }
                for row in rows
            ],
        )

    def add_problem(self, path: str, reason: str, is_refused: bool) -> None:
        """Remember a problem; replaces what was said about the same path before."""
        images.add_problem(self.file.db, path, reason, is_refused)
