"""Notes beside a verdict: what was left out of it, and what to beware of.

They are stored in English with the verdict. `tell_note` recognises its own sentences again by their
templates and words them in the language of the moment; what it does not know stays as it is.
"""

from __future__ import annotations

import re
from functools import cache

from dafusion_core.evaluation.wording import arm_title
from dafusion_core.language import ENGLISH, N_, _, spoken

__all__ = ["ABSENT", "CUT", "CUT_RUN", "LONELY", "MANY", "SINGLE", "tell_note"]

ABSENT = N_("No test images of {classes}: left out of every mean, not counted as 0.")
SINGLE = N_(
    "A single test image of {classes}: how much such images differ is guessed from other classes."
)
CUT = N_(
    "Ended by hand before the last epoch: {runs}. Such a run learned for less long than the "
    "others, which may be all there is to a difference."
)
CUT_RUN = N_("“{arm}” seed {seed} (epoch {epoch})")
LONELY = N_("Seeds {seeds} of “{arm}” have no partner in “{baseline}”: left out of the difference.")
MANY = N_(
    "{number} arms are each compared with “{baseline}” on their own: the more arms, the likelier "
    "one of them helps or hurts by chance."
)


def tell_note(note: str) -> str:
    """A stored note in the language of the moment."""
    if spoken() == ENGLISH:
        return note
    for template in (ABSENT, SINGLE, CUT, LONELY, MANY):
        found = _pattern(template).fullmatch(note)
        if found is None:
            continue
        values = {name: _tell_value(name, text) for name, text in found.groupdict().items()}
        return _(template).format(**values)
    return note


def _tell_value(name: str, text: str) -> str:
    if name in ("arm", "baseline"):
        return arm_title(text)
    if name == "runs":
        return _pattern(CUT_RUN).sub(
            lambda found: _(CUT_RUN).format(
                arm=arm_title(found["arm"]), seed=found["seed"], epoch=found["epoch"]
            ),
            text,
        )
    return text


@cache
def _pattern(template: str) -> re.Pattern[str]:
    """Matches what the template makes, a group per placeholder."""
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(template)), re.DOTALL)
