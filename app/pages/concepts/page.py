"""What each class means to the generator, and how well it was learned."""

from __future__ import annotations

from PySide6.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from app.actions import Actions
from app.plans import queue_concepts
from app.session import Session
from app.widgets.page import Page
from app.widgets.parts import EmptyState, action_button, label, row
from app.widgets.plain_table import PlainTable
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.records import ErasedModel, Part, TokenEmbedding


class ConceptsPage(Page):
    """One row per class: its token, its training images, what was learned."""

    watch = ("images", "splits", "concepts", "jobs")

    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__(
            session,
            "Concepts",
            "Each class gets a token of its own, learned from its training images only. Erasing "
            "its name from the model first makes sure that nothing was known in advance.",
        )
        self.buttons.addWidget(action_button(actions["concepts"], "primary"))
        self.erase_box = QCheckBox("Erase the class names first")
        self.erase_box.setChecked(True)
        self.erase_box.setToolTip("Without this, the model may already know the class by name.")
        self.table = PlainTable(
            ["Class", "Token", "Training images", "Learned", "Held-out loss", "Moved"], (2, 4, 5)
        )
        self.note = label("", "muted", wrap=True)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row(self.erase_box, None))
        layout.addWidget(self.table, 1)
        layout.addWidget(self.note)
        self.set_pages(
            content,
            EmptyState(
                "No classes yet",
                "Classes come from the folders of your pictures.",
                action_button(actions["import"], "primary"),
            ),
        )
        actions.bind("concepts", self.start)

    def start(self) -> None:
        """Queue erasure and inversion."""
        erase = self.erase_box.isChecked()
        self.session.run(lambda: queue_concepts(self.project, erase=erase))

    def refresh(self, changes: ProjectChanges | None) -> None:
        """Read concepts and what was learned again."""
        concepts = self.project.concepts()
        self.show_content(bool(concepts))
        learned = {found.concept_id: found for found in self.project.embeddings()}
        counts: dict[int, int] = {}
        for image in self.project.images(part=Part.TRAIN):
            counts[image.label_id] = counts.get(image.label_id, 0) + 1
        has_split = self.project.current_split() is not None
        rows = []
        for concept in concepts:
            images = f"{counts.get(concept.label_id, 0):,}" if has_split else "–"
            found = learned.get(concept.id)
            rows.append([concept.name, concept.placeholder, images, *_learned(found)])
        self.table.fill(rows)
        erased = self.project.erasures()
        self.note.setText(_erasure_note(erased[-1] if erased else None))


def _learned(found: TokenEmbedding | None) -> list[str]:
    if found is None:
        return ["not yet", "–", "–"]
    record = found.record
    before, after = record.get("held_out_before"), record.get("held_out_after")
    loss = f"{before:.4f} → {after:.4f}" if before is not None and after is not None else "–"
    moved = record.get("moved")
    steps = record.get("steps")
    return [
        f"{steps:,} steps" if steps else "yes",
        loss,
        f"{moved:.3f}" if isinstance(moved, (int, float)) else "–",
    ]


def _erasure_note(erased: ErasedModel | None) -> str:
    if erased is None:
        return "Nothing has been erased from the model."
    names = ", ".join(erased.concepts)
    return f"Erased from the model ({erased.method.upper()}): {names}."
