"""A flat folder with a CSV or TSV list: path, label, split, group, note.

Delimiter, header and encoding are found out; which column is what can be said too. Cells are only
ever text: a formula is a name like any other.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dafusion_core.datasets.naming import natural_key, normal_name, show_name
from dafusion_core.datasets.plan import Entry, ImportPlan, shorten_problems
from dafusion_core.datasets.sniffing import is_picture_name
from dafusion_core.datasets.sources.common import (
    Findings,
    PictureIndex,
    absolute,
    find_part,
    read_text,
)
from dafusion_core.domain.errors import UserError
from dafusion_core.language import _

__all__ = ["ROLES", "TablePreview", "plan_table", "preview_table", "table_rows"]

#: What a column can be, and the headers (lower case) by which it is known.
ROLES: Mapping[str, frozenset[str]] = {
    "path": frozenset(
        ["path", "file", "filename", "file_name", "filepath", "file_path", "image", "img",
         "image_path", "image_id", "name"]
    ),
    "label": frozenset(["label", "class", "class_name", "category", "species", "target", "y"]),
    "split": frozenset(["split", "part", "set", "subset", "fold", "usage"]),
    "group": frozenset(["group", "plant", "patient", "field", "site", "plot", "subject", "date"]),
    "note": frozenset(["note", "notes", "comment", "remark", "remarks"]),
    "unsure": frozenset(["unsure", "is_unsure", "not_sure", "uncertain"]),
}  # fmt: skip
_DELIMITERS = ",;\t|"
_MAX_CELL = 1 << 20


@dataclass(frozen=True, slots=True)
class TablePreview:
    """How a list would be read. `columns`: role → column number; `rows`: the first ones."""

    delimiter: str
    has_header: bool
    header: tuple[str, ...]
    columns: Mapping[str, int]
    rows: tuple[tuple[str, ...], ...]


def preview_table(
    path: Path | str,
    delimiter: str = "",
    has_header: bool | None = None,
    columns: Mapping[str, str | int] | None = None,
) -> TablePreview:
    """Find out how a list is written. What is given is not guessed; `columns` maps roles to
    header texts or numbers (from 0). Raises UserError when no column holds paths."""
    return _preview(read_text(absolute(path)), absolute(path), delimiter, has_header, columns)


def plan_table(
    path: Path | str,
    pictures: Path | str | None = None,
    delimiter: str = "",
    has_header: bool | None = None,
    columns: Mapping[str, str | int] | None = None,
) -> ImportPlan:
    """The plan of a list. `pictures`: the folder that its paths start from (default: the list's).

    Raises UserError as `preview_table`.
    """
    file = absolute(path)
    text = read_text(file)
    preview = _preview(text, file, delimiter, has_header, columns)
    root = absolute(pictures) if pictures is not None else file.parent
    findings, index = Findings(), PictureIndex(root)
    entries: dict[str, Entry] = {}
    for number, row in enumerate(_rows(text, preview.delimiter), start=1):
        if number == 1 and preview.has_header:
            continue
        if not any(cell.strip() for cell in row):
            continue
        cells = {
            role: row[column].strip() if column < len(row) else ""
            for role, column in preview.columns.items()
        }
        where = _("{name}, row {number}: {show_name2}").format(
            name=show_name(file.name), number=number, show_name2=show_name(cells["path"])
        )
        found, reason = index.find(cells["path"])
        if found is None:
            findings.refuse(where, reason)
            continue
        if (part_text := cells.get("split", "")) and find_part(part_text) is None:
            findings.remark(
                where,
                _("“{name}” is no part of a split").format(name=show_name(part_text)),
            )
        entry = Entry(
            str(found),
            normal_name(cells.get("label", "")),
            part=find_part(part_text),
            group=normal_name(cells.get("group", "")),
            note=cells.get("note", ""),
            is_unsure=cells.get("unsure", "").lower() in ("1", "true", "yes", "x"),
        )
        known = entries.get(entry.path)
        if known is None:
            entries[entry.path] = entry
        elif known != entry:
            findings.refuse(
                where,
                _("the file is listed before as “{label}”; the first row counts").format(
                    label=known.label
                )
                if known.label != entry.label
                else _("the file is listed before with other details; the first row counts"),
            )
        else:
            findings.refuse(where, _("the file is listed twice"))
    if "label" not in preview.columns:
        findings.warnings.append(_("No column holds classes, so the pictures will have none."))
    ordered = sorted(entries.values(), key=lambda e: (natural_key(e.label), natural_key(e.path)))
    return ImportPlan(
        "table",
        root,
        tuple(ordered),
        shorten_problems(findings.problems),
        tuple(findings.warnings),
        details={"preview": preview},
    )


def table_rows(text: str, preview: TablePreview) -> Iterator[dict[str, str]]:
    """The rows of a list as role → cell, blank ones left out."""
    for number, row in enumerate(_rows(text, preview.delimiter)):
        if (number or not preview.has_header) and any(cell.strip() for cell in row):
            yield {
                role: row[column].strip()
                for role, column in preview.columns.items()
                if column < len(row)
            }


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(_MAX_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:  # a cell of more than a million characters, or a stray zero byte
            yield []


def _preview(
    text: str,
    file: Path,
    delimiter: str,
    has_header: bool | None,
    columns: Mapping[str, str | int] | None,
) -> TablePreview:
    # Half a megabyte is enough to see how it is written, also of a list with a million rows.
    sample = text[: 1 << 19]
    delimiter = delimiter or _find_delimiter(sample)
    first: list[tuple[str, ...]] = []
    for row in _rows(sample, delimiter):
        if any(cell.strip() for cell in row):
            first.append(tuple(cell.strip() for cell in row))
        if len(first) == 20:
            break
    if not first:
        raise UserError(
            _("“{name}” is empty.").format(name=show_name(file.name)),
            _("Choose a list with paths."),
        )
    if has_header is None:
        has_header = _is_header(first[0])
    header = first[0] if has_header else ()
    found = _find_columns(header, first[1:] if has_header else first, columns or {})
    if "path" not in found:
        raise UserError(
            _("No column of “{name}” holds the paths of pictures.").format(
                name=show_name(file.name)
            ),
            _("Name it: its header should be “path” or “filename”."),
        )
    rows = first[1:] if has_header else first
    return TablePreview(delimiter, has_header, header, found, tuple(rows[:10]))


def _find_delimiter(sample: str) -> str:
    """The delimiter that cuts the first lines into the same number of cells, two or more."""
    best, best_score = ",", -1.0
    for delimiter in _DELIMITERS:
        widths = [len(row) for _, row in zip(range(20), _rows(sample, delimiter), strict=False)
                  if row]  # fmt: skip
        if not widths or max(widths) < 2:
            continue
        common = max(set(widths), key=widths.count)
        score = widths.count(common) / len(widths) if common > 1 else 0.0
        if score > best_score + 0.05:
            best, best_score = delimiter, score
    return best


def _is_header(row: Sequence[str]) -> bool:
    known = {name for names in ROLES.values() for name in names}
    words = [cell.lower().replace(" ", "_") for cell in row]
    return any(word in known for word in words) and not any(is_picture_name(c) for c in row)


def _find_columns(
    header: Sequence[str], rows: Sequence[Sequence[str]], asked: Mapping[str, str | int]
) -> dict[str, int]:
    words = [cell.lower().replace(" ", "_") for cell in header]
    found: dict[str, int] = {}
    for role, wanted in asked.items():
        if role not in ROLES:
            raise UserError(
                _("“{role}” is not one of {ROLES}.").format(role=role, ROLES=", ".join(ROLES))
            )
        if isinstance(wanted, int) or str(wanted).isdigit():
            found[role] = int(wanted)
        elif wanted in header:
            found[role] = list(header).index(wanted)
        else:
            raise UserError(
                _("There is no column “{wanted}”.").format(wanted=wanted),
                _("Columns: {header}.").format(header=", ".join(header) or _("no header")),
            )
    for role, names in ROLES.items():
        # "image_id" and "name" are weaker than "path": earlier names of the list win.
        hits = [i for i, word in enumerate(words) if word in names and i not in found.values()]
        if role not in found and hits:
            found[role] = hits[0]
    if not header:
        width = max((len(row) for row in rows), default=0)
        pictures = [
            sum(is_picture_name(row[i]) for row in rows if i < len(row)) for i in range(width)
        ]
        if "path" not in found and pictures and max(pictures):
            found["path"] = pictures.index(max(pictures))
        for role in ("label", "split", "group"):
            free = [i for i in range(width) if i not in found.values()]
            if role not in found and free:
                found[role] = free[0]
    return found
