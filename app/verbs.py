"""What the one main button can say. Apart from `app.plans`, so that the window starts light."""

from __future__ import annotations

from enum import StrEnum

from dafusion_core.language import _


class MainVerb(StrEnum):
    """What the one main button does, by what is there already."""

    EVERYTHING = "everything"
    RESUME = "resume"
    CATCH_UP = "catch up"
    WORKING = "working"
    NOTHING = "nothing"


MAIN_TEXTS = {
    MainVerb.EVERYTHING: (
        _("Do everything"),
        _("Every step with sensible settings, up to the verdict."),
    ),
    MainVerb.RESUME: (_("Resume"), _("Goes on with what is not finished; what is done is kept.")),
    MainVerb.CATCH_UP: (_("Bring up to date"), _("Repeats only what is missing or out of date.")),
    MainVerb.WORKING: (_("Working…"), _("Jobs at the right show how far it is.")),
    MainVerb.NOTHING: (_("Up to date"), _("Every step is done. Repeat one from its own page.")),
}
