"""The pages of a project, each made when it is first looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from app.actions import Actions
from app.session import Session
from app.steps import Step
from app.widgets.page import Page

#: Actions that a page binds when it is made; until then they make it.
KEYS_OF_PAGES = {
    "health": Step.IMAGES,
    "concepts": Step.CONCEPTS,
    "generate": Step.GENERATE,
    "train": Step.TRAIN,
}

#: The main action of each step: what its first button does, or what moves the project on.
MAIN_KEYS = {
    Step.IMAGES: "import",
    Step.CONCEPTS: "concepts",
    Step.GENERATE: "generate",
    Step.CURATE: "everything",
    Step.TRAIN: "train",
    Step.REPORT: "report",
}


def make_page(step: Step, session: Session, actions: Actions) -> Page:
    """A new page. Its module is imported here, because nobody looks at all pages at once."""
    if step is Step.IMAGES:
        from app.pages.images.page import ImagesPage

        return ImagesPage(session, actions)
    if step is Step.CONCEPTS:
        from app.pages.concepts.page import ConceptsPage

        return ConceptsPage(session, actions)
    if step is Step.GENERATE:
        from app.pages.generate.page import GeneratePage

        return GeneratePage(session, actions)
    if step is Step.CURATE:
        from app.pages.curate.page import CuratePage

        return CuratePage(session, actions)
    if step is Step.TRAIN:
        from app.pages.train.page import TrainPage

        return TrainPage(session, actions)
    from app.pages.report.page import ReportPage

    return ReportPage(session, actions)


class PageShelf(Mapping[Step, Page]):
    """Pages by step: asking for one makes it. Making all six took a third of the time in which a
    project opens."""

    def __init__(self, make: Callable[[Step], Page]) -> None:
        self._make = make
        self._made: dict[Step, Page] = {}

    def __getitem__(self, step: Step) -> Page:
        if step not in self._made:
            self._made[step] = self._make(step)
        return self._made[step]

    def __iter__(self) -> Iterator[Step]:
        return iter(Step)

    def __len__(self) -> int:
        return len(Step)

    def is_made(self, step: Step) -> bool:
        """Whether somebody has looked at it."""
        return step in self._made

    def step_of(self, page: object) -> Step:
        """The step of a page that was made."""
        return next(step for step, made in self._made.items() if made is page)
