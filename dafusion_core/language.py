"""The words of the program in the language of its user. No Qt: core and window share a catalogue.

English is written in the code; `_("Keep")` looks it up in `locale/LANGUAGE/LC_MESSAGES/dafusion.mo`
of the bundled files and falls back to itself. `install` is called once, before the modules with
sentences in their constants are imported. Until then everything is English, so a script, a test
and the command line get English without asking.

Whole sentences are translated, never pieces: `_("Open {name}").format(name=name)`. Words of the
database, keys of settings and names of objects are not translated; what shows them has a table.
"""

from __future__ import annotations

import gettext
import locale
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

DOMAIN = "dafusion"
ENGLISH = "en"
SYSTEM = "system"

#: Language code → its own name for itself.
LANGUAGES = {ENGLISH: "English", "ko": "한국어"}

_PACKAGE = Path(__file__).resolve().parent
_PLACES = (_PACKAGE / "_resources" / "locale", _PACKAGE.parent / "resources" / "locale")

_installed: gettext.NullTranslations = gettext.NullTranslations()
_code = ENGLISH
_meanwhile: ContextVar[gettext.NullTranslations | None] = ContextVar("meanwhile", default=None)
_spoken: ContextVar[str | None] = ContextVar("spoken", default=None)


def _(message: str) -> str:
    """`message` in the installed language; the empty text stays empty."""
    return _translations().gettext(message) if message else ""


def N_(message: str) -> str:  # noqa: N802 - the usual name for a mark that translates nothing yet
    """`message` itself: marks a text for the catalogue that `_` translates where it is shown."""
    return message


def pgettext(context: str, message: str) -> str:
    """`message` as it is meant in `context`, for English words with two meanings."""
    return _translations().pgettext(context, message)


def ngettext(one: str, many: str, number: int) -> str:
    """The form of a text for this number, with its placeholders still in it."""
    return _translations().ngettext(one, many, number)


def count(number: int, one: str, many: str) -> str:
    """A number with what it counts: `count(3, "{n:,} image", "{n:,} images")` is `3 images`."""
    return ngettext(one, many, number).format(n=number)


def available() -> tuple[str, ...]:
    """The codes that `install` takes."""
    return tuple(LANGUAGES)


def current() -> str:
    """The code of the installed language."""
    return _code


def spoken() -> str:
    """The code of the language of this moment: see `speaking`."""
    return _spoken.get() or _code


def resolve(choice: str) -> str:
    """The language for a stored choice: `system` is that of the computer, if it is one we have."""
    if choice in LANGUAGES:
        return choice
    wanted = system_language() if choice == SYSTEM else ENGLISH
    return wanted if wanted in LANGUAGES else ENGLISH


def install(choice: str) -> str:
    """Speak this language from now on; returns its code.

    `choice` is a code or `system`; what is unknown means English. A missing catalogue is no
    error: the program then speaks English.
    """
    global _installed, _code
    _code = resolve(choice)
    _installed = _load(_code)
    return _code


@contextmanager
def speaking(code: str) -> Iterator[None]:
    """Another language for this thread until the end of the block, for files that have their own.

    Constants that were translated when their module was imported stay as they are.
    """
    token, told = _meanwhile.set(_load(code)), _spoken.set(code)
    try:
        yield
    finally:
        _meanwhile.reset(token)
        _spoken.reset(told)


def system_language() -> str:
    """The two letters of the language that the computer is set to; `en` where it does not say."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name)
        if value:
            return _letters(value)
    if sys.platform == "win32":
        import ctypes

        number = ctypes.windll.kernel32.GetUserDefaultUILanguage()
        return _letters(locale.windows_locale.get(number, ENGLISH))
    try:
        return _letters(locale.getlocale()[0] or ENGLISH)
    except ValueError:
        return ENGLISH


def _letters(name: str) -> str:
    first = name.split(".")[0].split("_")[0].split("-")[0].lower()
    return first if first.isalpha() and first not in {"c", "posix"} else ENGLISH


def _translations() -> gettext.NullTranslations:
    return _meanwhile.get() or _installed


@cache
def _load(code: str) -> gettext.NullTranslations:
    if code != ENGLISH:
        for place in _PLACES:
            try:
                return gettext.translation(DOMAIN, place, [code])
            except OSError:
                continue
    return gettext.NullTranslations()
