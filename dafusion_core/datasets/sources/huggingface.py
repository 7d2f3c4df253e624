"""Hugging Face data sets on disk: image folders with metadata, and parquet files.

An image folder is train/daisy/1.png …, or pictures with metadata.csv or metadata.jsonl whose
`file_name` names them. A parquet data set holds the pictures themselves, in a column of structs
{bytes, path}; which column is what is told from names and types, and classes from the features
that `datasets` writes into the file.
"""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from dafusion_core.datasets.naming import natural_key, normal_name, show_name
from dafusion_core.datasets.plan import Entry, ImportPlan, PlannedRegion, shorten_problems
from dafusion_core.datasets.sources.common import (
    Findings,
    PictureIndex,
    absolute,
    find_part,
    read_text,
    sort_entries,
    walk_files,
)
from dafusion_core.domain.errors import BadImage, EnvironmentProblem, UserError
from dafusion_core.domain.records import Part
from dafusion_core.domain.regions import RegionKind
from dafusion_core.language import _

__all__ = ["find_metadata", "find_parquet", "plan_image_folder", "plan_parquet"]

_LABELS = ("label", "labels", "class", "category", "target", "fine_label")


def find_metadata(root: Path) -> list[Path]:
    """The metadata files of an image folder, at most three folders deep."""
    found = [p for p in walk_files(root) if p.name in ("metadata.csv", "metadata.jsonl")]
    return [path for path in found if len(path.relative_to(root).parts) <= 3]


def plan_image_folder(folder: Path | str) -> ImportPlan:
    """The plan of an image folder with metadata. Raises UserError when it has none."""
    root = absolute(folder)
    files = find_metadata(root)
    if not files:
        raise UserError(_("“{root}” holds no metadata.csv or metadata.jsonl.").format(root=root))
    findings, entries = Findings(), dict[str, Entry]()
    for file in files:
        index = PictureIndex(file.parent)
        for number, row in _metadata_rows(file, findings):
            where = _("{relative_to}, row {number}").format(
                relative_to=file.relative_to(root), number=number
            )
            name = str(row.get("file_name") or row.get("image") or "")
            path, reason = index.find(name)
            if path is None:
                findings.refuse(f"{where}: {show_name(name)}", reason)
            elif str(path) in entries:
                findings.refuse(f"{where}: {show_name(name)}", _("the file is listed twice"))
            else:
                entries[str(path)] = _metadata_entry(path, row, root)
    return ImportPlan(
        "huggingface",
        root,
        sort_entries(entries.values(), root),
        shorten_problems(findings.problems),
    )


def _metadata_rows(file: Path, findings: Findings) -> Iterator[tuple[int, Mapping[str, Any]]]:
    text = read_text(file)
    if file.suffix == ".csv":
        yield from enumerate(csv.DictReader(io.StringIO(text, newline="")), start=2)
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            if not isinstance(value, dict):
                raise ValueError(_("it is no object"))
        except (ValueError, RecursionError) as error:
            findings.refuse(
                _("{name}, row {number}").format(name=show_name(file), number=number),
                _("it is not readable ({error})").format(error=error),
            )
        else:
            yield number, value


def _metadata_entry(path: Path, row: Mapping[str, Any], root: Path) -> Entry:
    label = next((str(row[key]) for key in _LABELS if row.get(key) not in (None, "")), "")
    folders = path.relative_to(root).parts[:-1] if path.is_relative_to(root) else ()
    if not label and "label" not in row and folders and find_part(folders[-1]) is None:
        label = folders[-1]
    part = find_part(str(row.get("split") or row.get("part") or ""))
    if part is None:
        part = next((p for name in folders if (p := find_part(name))), None)
    return Entry(
        str(path),
        normal_name(label),
        part=part,
        group=normal_name(str(row.get("group") or "")),
        note=str(row.get("note") or ""),
        is_unsure=str(row.get("is_unsure") or "").lower() in ("1", "true", "yes"),
        regions=tuple(_regions(row)),
    )


def _regions(row: Mapping[str, Any]) -> Iterator[PlannedRegion]:
    """Regions as this program writes them, or `objects` with boxes as `datasets` documents it."""
    value = row.get("regions")
    if isinstance(value, str) and value.startswith("["):
        value = json.loads(value)
    for region in value or ():
        if isinstance(region, dict) and region.get("kind") in {kind.value for kind in RegionKind}:
            yield PlannedRegion(
                RegionKind(region["kind"]), dict(region["data"]), str(region.get("label") or "")
            )
    objects = row.get("objects")
    if isinstance(objects, dict):
        for box in objects.get("bbox") or ():
            if len(box) == 4 and box[2] > 0 and box[3] > 0:
                yield PlannedRegion(RegionKind.BOX, {"box": [float(side) for side in box]})


# Parquet ------------------------------------------------------------------------------------


def find_parquet(root: Path) -> list[Path]:
    """Parquet files below a folder, or the file itself."""
    if root.is_file():
        return [root] if root.suffix == ".parquet" else []
    return list(walk_files(root, ".parquet"))


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise EnvironmentProblem(
            _("Parquet files are read with the library pyarrow, which is not installed."),
            _("Install it: pip install 'dafusion-studio[parquet]'."),
        ) from error
    return pyarrow.parquet


def plan_parquet(folder: Path | str, configuration: str = "") -> ImportPlan:
    """The plan of a parquet file or of all below a folder.

    The part comes from the file's name (train-00000-of-00002.parquet) or folder. Where folders
    are configurations of one data set (crop/, context/ of leafy spurge), `configuration` says
    which. Raises UserError when there is no picture column or more than one configuration, and
    EnvironmentProblem without pyarrow.
    """
    root = absolute(folder)
    files = find_parquet(root)
    if not files:
        raise UserError(_("“{root}” holds no parquet files.").format(root=root))
    files = _choose(files, root, configuration)
    findings, entries, labels = Findings(), list[Entry](), dict[str, None]()
    for file in files:
        try:
            entries += _parquet_entries(file, root, labels)
        except UserError as error:
            findings.refuse(file, error.text)
    if not entries and findings.problems:
        raise UserError(findings.problems[0].reason, _("Choose a data set of pictures."))
    base = root if root.is_dir() else root.parent
    ordered = sorted(entries, key=lambda entry: natural_key(entry.label))
    return ImportPlan(
        "parquet", base, tuple(ordered), shorten_problems(findings.problems),
        labels=tuple(label for label in labels if label),
    )  # fmt: skip


def _choose(files: list[Path], root: Path, configuration: str) -> list[Path]:
    found: dict[str, list[Path]] = {}
    for file in files:
        folders = file.relative_to(root).parts[:-1] if root.is_dir() else ()
        name = next((part for part in folders if part in ("crop", "context", "unlabelled")), "")
        found.setdefault(name, []).append(file)
    if configuration:
        if configuration not in found:
            known = ", ".join(sorted(name for name in found if name)) or "none"
            raise UserError(
                _("There is no configuration “{configuration}”.").format(
                    configuration=configuration
                ),
                _("There are: {known}.").format(known=known),
            )
        return found[configuration]
    if "crop" in found and "context" in found:
        raise UserError(
            _("This release shows the same plants twice, as “crop” and as “context”."),
            _("Say which configuration to import (crop is what the paper used)."),
        )
    return files


def _parquet_entries(file: Path, root: Path, labels: dict[str, None]) -> Iterator[Entry]:
    parquet = _pyarrow()
    import pyarrow

    try:
        table = parquet.ParquetFile(file)
        schema = table.schema_arrow
        picture = next(
            (
                field.name
                for field in schema
                if pyarrow.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0
            ),
            None,
        )
        if picture is None:
            raise UserError(_("no column of it holds pictures"))
        features = _features(schema)
        label = next((n for n in _LABELS if n in schema.names), None)
        names = _class_names(features, label)
        for name in names:
            labels.setdefault(name, None)
        wanted = [name for name in (label, "split", "group", "note", "is_unsure", "regions")
                  if name and name in schema.names]  # fmt: skip
        rows = table.read(columns=wanted).to_pylist() if wanted else [{}] * table.metadata.num_rows
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(
            _("it cannot be read as parquet ({splitlines})").format(
                splitlines=str(error).splitlines()[0]
            )
        ) from error
    part = _file_part(file, root)
    for number, row in enumerate(rows):
        value = row.get(label) if label else None
        text = "" if value is None else str(value)
        if isinstance(value, int) and 0 <= value < len(names):
            text = names[value]
        yield Entry(
            str(file),
            normal_name("" if text == "-1" else text),
            origin=f"{file}#{number}",
            part=find_part(str(row.get("split") or "")) or part,
            group=normal_name(str(row.get("group") or "")),
            note=str(row.get("note") or ""),
            is_unsure=str(row.get("is_unsure") or "").lower() in ("1", "true"),
            regions=tuple(_regions(row)),
            fetch=_Cell(file, picture, number),
        )


def _features(schema: Any) -> Mapping[str, Any]:
    try:
        raw = (schema.metadata or {}).get(b"huggingface", b"{}")
        value = json.loads(raw)["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return value if isinstance(value, dict) else {}


def _class_names(features: Mapping[str, Any], label: str | None) -> list[str]:
    feature = features.get(label or "")
    names = feature.get("names") if isinstance(feature, dict) else None
    return [normal_name(str(name)) for name in names] if isinstance(names, list) else []


def _file_part(file: Path, root: Path) -> Part | None:
    words = [file.stem.split("-")[0]]
    if file.is_relative_to(root):
        words += file.relative_to(root).parts[:-1][::-1]
    return next((part for word in words if (part := find_part(word))), None)


_reading = threading.Lock()


class _Cell:
    """Reads the picture in one row of a parquet file; the last row group read is kept."""

    _cache: ClassVar[dict[Path, tuple[int, int, list[Any]]]] = {}

    def __init__(self, file: Path, column: str, row: int) -> None:
        self._file, self._column, self._row = file, column, row

    def __call__(self) -> bytes:
        with _reading:  # several threads import, and share the row group
            return self._fetch()

    def _fetch(self) -> bytes:
        first, count, cells = self._cache.get(self._file, (0, 0, []))
        if not first <= self._row < first + count:
            first, cells = self._read()
            self._cache.clear()  # row groups can be large: only the newest is kept
            self._cache[self._file] = (first, len(cells), cells)
        value = cells[self._row - first]
        if not isinstance(value, dict) or not value.get("bytes"):
            raise BadImage(_("the row holds no picture"))
        return bytes(value["bytes"])

    def _read(self) -> tuple[int, list[Any]]:
        table = _pyarrow().ParquetFile(self._file)
        first = 0
        for group in range(table.num_row_groups):
            rows = table.metadata.row_group(group).num_rows
            if self._row < first + rows:
                cells = table.read_row_group(group, columns=[self._column])
                return first, cells.column(0).to_pylist()
            first += rows
        raise BadImage(_("the row is not there any more"))
