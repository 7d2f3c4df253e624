"""Concepts and what was learned about them: erased models and token embeddings."""

from __future__ import annotations

import json
import re
import unicodedata

from dafusion_core.domain.records import Concept, ErasedModel, TokenEmbedding
from dafusion_core.storage.database import Database


def make_placeholder(name: str, taken: set[str]) -> str:
    """The token that stands for a class in prompts: `<leafy_spurge>`, unique in the project.

    Letters of other scripts are kept; what tokenizers could split on becomes an underscore.
    """
    word = re.sub(r"[^\w]+", "_", unicodedata.normalize("NFKC", name).lower()).strip("_")
    base = word or "class"
    token, number = f"<{base}>", 2
    while token in taken:
        token, number = f"<{base}_v{number}>", number + 1
    return token


def ensure_concepts(db: Database, initialiser: str = "the") -> list[Concept]:
    """One concept per label; those missing are made."""
    with db.atomic():
        taken = {row[0] for row in db.query("SELECT placeholder FROM concept")}
        missing = db.query(
            "SELECT id, name FROM label WHERE id NOT IN (SELECT label_id FROM concept) "
            "AND ordinal >= 0 ORDER BY ordinal"
        )
        for row in missing:
            placeholder = make_placeholder(row["name"], taken)
            taken.add(placeholder)
            db.insert(
                "concept",
                {
                    "label_id": row["id"],
                    "name": row["name"],
                    "placeholder": placeholder,
                    "initialiser": initialiser,
                },
            )
    return all_concepts(db)


def all_concepts(db: Database) -> list[Concept]:
    """Concepts of the classes there are, in label order."""
    rows = db.query(
        "SELECT concept.id, label_id, concept.name, placeholder, initialiser FROM concept "
        "JOIN label ON label.id = label_id WHERE label.ordinal >= 0 ORDER BY label.ordinal"
    )
    return [Concept(*row) for row in rows]


def past_concepts(db: Database) -> list[Concept]:
    """Concepts of removed and merged classes: results that were made for them still name them."""
    rows = db.query(
        "SELECT concept.id, label_id, concept.name, placeholder, initialiser FROM concept "
        "JOIN label ON label.id = label_id WHERE label.ordinal < 0 ORDER BY concept.id"
    )
    return [Concept(*row) for row in rows]


def concept_labels(db: Database) -> dict[int, str]:
    """Concept id → name of the class that its images are of now: after a merge, the other one."""
    labels = {row["id"]: row for row in db.query("SELECT id, name, merged_into FROM label")}
    found = {}
    for row in db.query("SELECT id, label_id FROM concept"):
        label, seen = labels[row["label_id"]], set[int]()
        while label["merged_into"] is not None and label["id"] not in seen:
            seen.add(label["id"])
            label = labels[label["merged_into"]]
        found[row["id"]] = label["name"]
    return found


def erased_models(db: Database, job_id: int | None = None) -> list[ErasedModel]:
    """Results of erasures, oldest first."""
    rows = db.query("SELECT * FROM erasure WHERE ?1 IS NULL OR job_id = ?1 ORDER BY id", [job_id])
    return [
        ErasedModel(
            id=row["id"],
            job_id=row["job_id"],
            method=row["method"],
            concepts=tuple(json.loads(row["concepts_json"])),
            path=row["path"],
            sha256=row["sha256"],
            base_hash=row["base_hash"],
            record=json.loads(row["record_json"]),
        )
        for row in rows
    ]


def token_embeddings(db: Database, job_id: int | None = None) -> list[TokenEmbedding]:
    """Results of inversions, oldest first."""
    rows = db.query("SELECT * FROM inversion WHERE ?1 IS NULL OR job_id = ?1 ORDER BY id", [job_id])
    return [
        TokenEmbedding(
            id=row["id"],
            job_id=row["job_id"],
            concept_id=row["concept_id"],
            placeholder=row["placeholder"],
            path=row["path"],
            sha256=row["sha256"],
            record=json.loads(row["record_json"]),
        )
        for row in rows
    ]


def inversion_files(db: Database, job_id: int, role: str) -> dict[int, tuple[str, str]]:
    """{concept id: (path, sha256)} of what an inversion left besides embeddings.

    `role` "state": the optimiser's state; "lora": low-rank changes of the network.
    """
    rows = db.query(
        "SELECT concept_id, inversion_file.path, inversion_file.sha256 FROM inversion_file "
        "JOIN inversion ON inversion.id = inversion_id WHERE job_id = ? AND role = ? "
        "ORDER BY inversion_id",
        [job_id, role],
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def sheet_paths(db: Database, job_id: int) -> dict[int, str]:
    """{erasure id: its before-and-after picture, relative} of a job; one per model it made."""
    rows = db.query(
        "SELECT id, sheet_path FROM erasure WHERE job_id = ? AND sheet_path IS NOT NULL "
        "ORDER BY id",
        [job_id],
    )
    return {row["id"]: row["sheet_path"] for row in rows}
