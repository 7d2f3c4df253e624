"""Sentences that a concept's pictures are described with while its token is learned.

They say that there is a photograph and nothing about what is on it, so that all knowledge of the
class has to go into the learned vectors. Twenty-seven, as in the paper's recipe (§1.3).
"""

from __future__ import annotations

import re

from dafusion_core.domain.errors import UserError
from dafusion_core.language import _

__all__ = ["OBJECT_TEMPLATES", "check_neutral", "class_words"]

OBJECT_TEMPLATES: tuple[str, ...] = (
    "a photo of a {}",
    "a photo of the {}",
    "a photo of one {}",
    "a photo of my {}",
    "a bright photo of a {}",
    "a bright photo of the {}",
    "a dark photo of a {}",
    "a dark photo of the {}",
    "a cropped photo of a {}",
    "a cropped photo of the {}",
    "a close-up photo of a {}",
    "a close-up photo of the {}",
    "a picture of a {}",
    "a picture of the {}",
    "a picture of one {}",
    "a picture of my {}",
    "a bright picture of a {}",
    "a dark picture of the {}",
    "a cropped picture of a {}",
    "a close-up picture of the {}",
    "a photograph of a {}",
    "a photograph of the {}",
    "a bright photograph of the {}",
    "a dark photograph of a {}",
    "a close-up photograph of a {}",
    "a rendering of a {}",
    "a rendering of the {}",
)


def class_words(name: str) -> set[str]:
    """The words of a class name, in lower case. Words of one or two letters do not count."""
    return {word for word in re.split(r"[\W_]+", name.lower()) if len(word) > 2}


def check_neutral(
    name: str, prompts: tuple[str, ...] | list[str], synonyms: tuple[str, ...] = ()
) -> None:
    """Refuse prompts that name the class: the model would know it from its text, not its pictures.

    The placeholder must already be taken out of `prompts`. `synonyms` are other words for it
    that must not appear either. Raises UserError.
    """
    for word in (name, *synonyms):
        wanted = class_words(word)
        for prompt in prompts:
            found = wanted & class_words(prompt)
            if not found:
                continue
            if word == name:
                raise UserError(
                    _(
                        "The class “{name}” shares the word “{found}” with the sentence “{prompt}” "
                        "that its pictures are described with."
                    ).format(name=name, found=min(found), prompt=prompt),
                    _("Rename the class, so that the model cannot know it by its name."),
                )
            raise UserError(
                _(
                    "The forbidden word “{word}” is in the sentence “{prompt}” that pictures are "
                    "described with."
                ).format(word=word, prompt=prompt),
                _("Take it off the list if it does not give a class away."),
            )
