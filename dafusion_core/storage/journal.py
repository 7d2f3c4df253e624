"""One journal for every command that can be undone: what each changed row was and became.

While a command is recorded, triggers of this connection note old and new values of every row it
touches, whatever statements it uses. Undo plays the notes backwards, redo forwards, so that rows
pass through the same states again and no constraint is met that was not met before.

Not recorded: imports and the work of jobs. Where such a step takes away the ground of an undo
(pictures were imported into a class that undo would remove), see `forget_structure` and
`_withdraw`. A new split is one note, however many images it divides (`note_split`); once a job was
queued with it, undo passes over it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.errors import UserError
from dafusion_core.language import _
from dafusion_core.storage.database import Database, utc_now

__all__ = ["Record", "forget", "forget_structure", "next_redo", "next_undo", "recording"]
__all__ += ["note_split", "redo", "undo"]


@dataclass(frozen=True, slots=True)
class _Watched:
    """A table in the journal: its key, the columns that are kept, and who must look again."""

    key: tuple[str, ...]
    columns: tuple[str, ...]
    view: str
    only_updates: bool = False


_TABLES = {
    "image": _Watched(
        ("id",),
        ("label_id", "group_id", "is_unsure", "is_rejected", "note"),
        "images",
        only_updates=True,
    ),
    "synthetic_image": _Watched(("id",), ("curation", "rating"), "curation", only_updates=True),
    "label": _Watched(("id",), ("name", "ordinal", "merged_into"), "concepts"),
    "concept": _Watched(("id",), ("label_id", "name", "placeholder", "initialiser"), "concepts"),
    "image_group": _Watched(("id",), ("name",), "images"),
    "region": _Watched(("id",), ("image_id", "label_id", "kind", "data_json"), "regions"),
    "split_image": _Watched(("split_id", "image_id"), ("part",), "splits"),
    "locked_test": _Watched(("image_id",), (), "splits"),
    "dismissed_finding": _Watched(("key",), (), "images"),
    "project": _Watched(("key",), ("value",), "splits"),
}
_STRUCTURE = ("label", "concept", "image_group")
_NEW_SPLIT = "new_split"
# What can be undone: not the making of a split that jobs were queued with.
_CAN_BE_UNDONE = """NOT EXISTS (
  SELECT 1 FROM change JOIN job
  ON json_extract(job.spec_json, '$.split_id') = json_extract(change.key_json, '$[0]')
  WHERE change.operation_id = operation.id AND change.kind = 'new_split')"""


@dataclass
class Record:
    """A command being recorded. Set `text` to what it did; `changes` is there afterwards."""

    text: str = ""
    changes: ProjectChanges = field(default_factory=ProjectChanges)


def note_split(db: Database, split_id: int) -> None:
    """Note, inside a recording, that a split was made: the whole of it in one row."""
    operation = db.value("SELECT operation_id FROM temp.recording")
    parts = db.value(
        "SELECT json_group_object(image_id, part) FROM split_image WHERE split_id = ?", [split_id]
    )
    db.execute(
        "INSERT INTO change(operation_id, kind, key_json, new_json) "
        "SELECT ?, ?, json_array(id), json_object('name', name, 'seed', seed, 'spec_json', "
        "spec_json, 'created_at', created_at, 'parts', json(?)) FROM split WHERE id = ?",
        [operation, _NEW_SPLIT, parts, split_id],
    )


def _json_of(columns: Sequence[str], row: str) -> str:
    pairs = ", ".join(f"'{column}', {row}.{column}" for column in columns)
    return f"json_object({pairs})"


def _watch(db: Database) -> None:
    """Make this connection's triggers; they do nothing while no command is recorded."""
    if db.value("SELECT 1 FROM temp.sqlite_master WHERE name = 'recording'"):
        return
    db.execute("CREATE TEMP TABLE recording (operation_id INTEGER PRIMARY KEY)")
    for table, watched in _TABLES.items():
        for event in ("UPDATE",) if watched.only_updates else ("UPDATE", "INSERT", "DELETE"):
            if event == "UPDATE" and not watched.columns:
                continue
            rows = {"UPDATE": ("OLD", "NEW"), "INSERT": (None, "NEW"), "DELETE": ("OLD", None)}
            old, new = rows[event]
            of = f" OF {', '.join(watched.columns)}" if event == "UPDATE" else ""
            key = ", ".join(f"{new or old}.{column}" for column in watched.key)
            old_json = _json_of(watched.columns, old) if old else "NULL"
            new_json = _json_of(watched.columns, new) if new else "NULL"
            db.execute(
                f"CREATE TEMP TRIGGER journal_{table}_{event} AFTER {event}{of} ON main.{table} "
                "WHEN EXISTS (SELECT 1 FROM recording) "
                f"AND {old_json} IS NOT {new_json} BEGIN "
                "INSERT INTO change(operation_id, kind, key_json, old_json, new_json) "
                f"SELECT operation_id, '{table}', json_array({key}), {old_json}, {new_json} "
                "FROM recording; END"
            )


@contextmanager
def recording(db: Database, text: str = "") -> Iterator[Record]:
    """Run a command in one transaction and keep what it changed as one undoable operation.

    Inside another recording it becomes part of that one. A command that changed nothing leaves
    no operation; one that did ends what could be redone, as users expect of any editor.
    """
    _watch(db)
    record = Record(text)
    outer = db.value("SELECT operation_id FROM temp.recording")
    if outer is not None:
        first = db.value("SELECT coalesce(max(id), 0) FROM change")
        yield record
        record.changes = _describe(db, int(outer), record.text, after=first)
        return
    with db.atomic():
        operation = db.insert("operation", {"text": text, "at": utc_now()})
        db.execute("INSERT INTO temp.recording VALUES (?)", [operation])
        yield record
        db.execute("DELETE FROM temp.recording")
        record.changes = _describe(db, operation, record.text)
        if record.changes:
            db.execute("DELETE FROM operation WHERE is_undone = 1")
            db.execute("UPDATE operation SET text = ? WHERE id = ?", [record.text, operation])
        else:
            db.execute("DELETE FROM operation WHERE id = ?", [operation])


def _describe(db: Database, operation: int, text: str, after: int = 0) -> ProjectChanges:
    rows = db.query(
        "SELECT kind, key_json, coalesce(new_json, old_json) AS value FROM change "
        "WHERE operation_id = ? AND id > ? ORDER BY id",
        [operation, after],
    )
    if not rows:
        return ProjectChanges()
    views = {"splits" if row["kind"] == _NEW_SPLIT else _TABLES[row["kind"]].view for row in rows}
    images: dict[int, None] = {}
    made: dict[int, None] = {}
    for row in rows:
        if row["kind"] == "synthetic_image":
            made[json.loads(row["key_json"])[0]] = None
        elif row["kind"] in ("image", "locked_test"):
            images[json.loads(row["key_json"])[0]] = None
        elif row["kind"] == "split_image":
            images[json.loads(row["key_json"])[1]] = None
        elif row["kind"] == "region":
            images[json.loads(row["value"])["image_id"]] = None
    return ProjectChanges(
        images="images" in views or "concepts" in views,
        regions="regions" in views,
        splits="splits" in views,
        concepts="concepts" in views,
        curation="curation" in views,
        text=text,
        synthetic_ids=tuple(made),
        image_ids=tuple(images),
    )


def next_undo(db: Database) -> sqlite3.Row | None:
    """The operation that undo would take back (columns id, text, at)."""
    return db.one(
        f"SELECT id, text, at FROM operation WHERE is_undone = 0 AND {_CAN_BE_UNDONE} "
        "ORDER BY id DESC LIMIT 1"
    )


def next_redo(db: Database) -> sqlite3.Row | None:
    """The operation that redo would do again (columns id, text, at)."""
    return db.one("SELECT id, text, at FROM operation WHERE is_undone = 1 ORDER BY id LIMIT 1")


def undo(db: Database) -> ProjectChanges | None:
    """Take back the newest operation; None if there is none.

    Raises UserError when something that cannot be undone stands in its way; nothing is changed.
    """
    return _travel(db, next_undo(db), is_undo=True)


def redo(db: Database) -> ProjectChanges | None:
    """Do the oldest undone operation again; None if there is none. Raises UserError as `undo`."""
    return _travel(db, next_redo(db), is_undo=False)


def _travel(db: Database, operation: sqlite3.Row | None, *, is_undo: bool) -> ProjectChanges | None:
    if operation is None:
        return None
    _watch(db)
    wanted = "old_json" if is_undo else "new_json"
    words = _("Undo: {text}") if is_undo else _("Redo: {text}")
    try:
        with db.atomic():
            db.execute("PRAGMA defer_foreign_keys = ON")
            rows = db.query(
                f"SELECT kind, key_json, old_json, new_json, {wanted} AS wanted FROM change "
                f"WHERE operation_id = ? ORDER BY id {'DESC' if is_undo else ''}",
                [operation["id"]],
            )
            for (kind, is_gone), run in groupby(
                rows, key=lambda row: (row["kind"], row["wanted"] is None)
            ):
                _restore(db, kind, is_gone, list(run), operation["at"])
            db.execute(
                "UPDATE operation SET is_undone = ? WHERE id = ?", [int(is_undo), operation["id"]]
            )
            changes = _describe(db, operation["id"], words.format(text=operation["text"]))
    except sqlite3.IntegrityError as error:
        raise UserError(
            (
                _(
                    "“{text}” cannot be undone: what was done since then builds on it. Nothing "
                    "was changed."
                )
                if is_undo
                else _(
                    "“{text}” cannot be redone: what was done since then builds on it. Nothing "
                    "was changed."
                )
            ).format(text=operation["text"]),
            _("Change it by hand instead."),
        ) from error
    return changes


def _restore(db: Database, kind: str, is_gone: bool, rows: Sequence[sqlite3.Row], at: str) -> None:
    """Bring rows of one table to their `wanted` values, or remove them."""
    if kind == _NEW_SPLIT:
        for row in rows:
            _restore_split(db, json.loads(row["key_json"])[0], row["wanted"])
        return
    watched = _TABLES[kind]
    keys = [json.loads(row["key_json"]) for row in rows]
    where = " AND ".join(f"{column} = ?" for column in watched.key)
    if is_gone:
        for key in keys:
            if kind not in ("label", "concept") or _withdraw(db, kind, key[0], at):
                db.execute(f"DELETE FROM {kind} WHERE {where}", key)
        return
    values = [json.loads(row["wanted"]) for row in rows]
    columns = watched.columns
    if watched.only_updates:
        # Notes of earlier versions name a single column.
        for names, run in groupby(zip(keys, values, strict=True), key=lambda pair: tuple(pair[1])):
            sets = ", ".join(f"{column} = ?" for column in names)
            db.execute_many(
                f"UPDATE {kind} SET {sets} WHERE {where}",
                [[value[name] for name in names] + key for key, value in run],
            )
        return
    names = (*watched.key, *columns)
    sets = ", ".join(f"{column} = excluded.{column}" for column in columns)
    db.execute_many(
        f"INSERT INTO {kind}({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "
        f"ON CONFLICT({', '.join(watched.key)}) DO {f'UPDATE SET {sets}' if sets else 'NOTHING'}",
        [
            key + [value[column] for column in columns]
            for key, value in zip(keys, values, strict=True)
        ],
    )


def _restore_split(db: Database, split_id: int, wanted: str | None) -> None:
    """Take a split away with its parts, or bring it back as it was made."""
    if wanted is None:
        db.execute("DELETE FROM split WHERE id = ?", [split_id])
        return
    value = json.loads(wanted)
    names = ("name", "seed", "spec_json", "created_at")
    db.insert("split", {"id": split_id} | {name: value[name] for name in names})
    db.execute_many(
        "INSERT INTO split_image(split_id, image_id, part) VALUES (?, ?, ?)",
        [(split_id, int(image_id), part) for image_id, part in value["parts"].items()],
    )


def _withdraw(db: Database, kind: str, row_id: Any, since: str) -> bool:
    """Whether a class may really go. One that jobs queued `since` may know is only hidden."""
    if not db.value("SELECT count(*) FROM job WHERE created_at >= ?", [since]):
        return True
    if kind == "label":
        db.execute("UPDATE label SET ordinal = -2 WHERE id = ?", [row_id])
    return False


def forget(db: Database) -> None:
    """Empty the journal, when rows that it speaks of are gone for good."""
    db.execute("DELETE FROM operation")


def forget_structure(db: Database) -> None:
    """Called by imports that make a class or add images: undo must not pull it away from under
    them. The journal is emptied if it has made or changed classes or groups."""
    marks = ", ".join("?" * len(_STRUCTURE))
    if db.value(f"SELECT 1 FROM change WHERE kind IN ({marks}) LIMIT 1", _STRUCTURE):
        forget(db)
