#!/usr/bin/env python3
"""Keeps the catalogues in step with the code: `python packaging/translations.py`.

It collects the marked texts of `app` and `dafusion_core` into resources/locale/dafusion.pot, brings
every LANGUAGE/LC_MESSAGES/dafusion.po up to date (what is no longer in the code goes, what is new
comes without a translation) and compiles the .mo files that the program reads. With `--check` it
changes nothing and says what is missing. Needs Babel, which the extra `test` installs.
"""

from __future__ import annotations

import io
import string
import sys
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
LOCALE = ROOT / "resources" / "locale"
TEMPLATE = LOCALE / "dafusion.pot"
FOLDERS = ("app", "dafusion_core")
# Function → which of its arguments are texts; "c" is the context of the one after it.
KEYWORDS = {"_": None, "N_": None, "ngettext": (1, 2), "count": (2, 3), "pgettext": ((1, "c"), 2)}
WIDTH = 96
DATE = datetime(2026, 1, 1, tzinfo=UTC)  # of every catalogue: Babel wants one

Texts = str | tuple[str, ...] | list[str]


def catalogues() -> list[Path]:
    """The .po file of every language there is."""
    return sorted(LOCALE.glob("*/LC_MESSAGES/dafusion.po"))


def extract() -> Catalog:
    """What is marked in the code, in the order of files and lines."""
    made = Catalog(project="DA-Fusion Studio", version="1", fuzzy=False, charset="utf-8")
    for folder in FOLDERS:
        found = extract_from_dir(
            str(ROOT / folder),
            method_map=[("**.py", "python")],
            keywords=KEYWORDS,
            comment_tags=("Translators:",),
            strip_comment_tags=True,
        )
        for name, line, text, comments, context in sorted(found, key=lambda item: item[:2]):
            made.add(text, None, [(f"{folder}/{name}", line)], (), comments, context=context)
    return made


def read(path: Path, language: str | None = None) -> Catalog:
    """A template or a catalogue."""
    with path.open("rb") as file:
        return read_po(file, locale=language)


def texts(words: Texts) -> tuple[str, ...]:
    """The forms of a text, one where it has no plural."""
    return (words,) if isinstance(words, str) else tuple(words)


def placeholders(text: str) -> list[str]:
    """Names in braces with their formats, sorted: `{n:,} of {total}` has `n:,` and `total`."""
    return sorted(
        f"{name}!{way}:{form}" for _, name, form, way in string.Formatter().parse(text) if name
    )


def problems_of(message: Message) -> list[str]:
    """What keeps a translation from standing in for its text."""
    given, made = texts(message.id), texts(message.string)
    if not all(made) or not made:
        return [f"not translated: {given[-1]!r}"]
    wanted = placeholders(given[-1])
    found = []
    for form in made:
        try:
            if placeholders(form) != wanted:
                found.append(f"other placeholders than {given[-1]!r}: {form!r}")
        except ValueError as error:
            found.append(f"{error} in {form!r}")
    found += [
        f"ends otherwise than {given[-1]!r}: {made[0]!r}"
        for edge in ("\n", " ")
        if any(form.endswith(edge) != given[-1].endswith(edge) for form in made)
    ]
    return found


def keys(catalogue: Catalog) -> set[tuple[str, ...]]:
    """Context and forms of every message."""
    return {(message.context or "", *texts(message.id)) for message in catalogue if message.id}


def compiled(catalogue: Catalog) -> bytes:
    """The .mo file of a catalogue, without the time of its making: same texts, same file."""
    catalogue.creation_date = catalogue.revision_date = DATE
    buffer = io.BytesIO()
    write_mo(buffer, catalogue)
    return buffer.getvalue()


def check() -> list[str]:
    """Everything that is out of step, in words."""
    wanted = extract()
    found = [] if keys(wanted) == keys(read(TEMPLATE)) else ["the template is out of date"]
    for path in catalogues():
        language = path.parents[1].name
        catalogue = read(path, language)
        there, needed = keys(catalogue), keys(wanted)
        found += [f"{language}: missing {key[-1]!r}" for key in sorted(needed - there)]
        found += [f"{language}: no longer used {key[-1]!r}" for key in sorted(there - needed)]
        for message in catalogue:
            if message.id:
                found += [f"{language}: {problem}" for problem in problems_of(message)]
        mo = path.with_suffix(".mo")
        if not mo.exists() or mo.read_bytes() != compiled(catalogue):
            found.append(f"{language}: the .mo file is out of date")
    return found


def update() -> None:
    """Write the template, the catalogues and what the program reads."""
    template = extract()
    write(TEMPLATE, template)
    for path in catalogues():
        catalogue = read(path, path.parents[1].name)
        catalogue.update(template, no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        write(path, catalogue)
        path.with_suffix(".mo").write_bytes(compiled(read(path, path.parents[1].name)))


def write(path: Path, catalogue: Catalog) -> None:
    """A .po or .pot file without dates, so that the same texts give the same file."""
    catalogue.header_comment = "# Texts of DA-Fusion Studio. See docs/translating.md."
    buffer = io.BytesIO()
    write_po(buffer, catalogue, width=WIDTH, include_lineno=False, omit_header=False)
    lines = buffer.getvalue().decode("utf-8").splitlines(keepends=True)
    kept = [line for line in lines if "-Date:" not in line and "Generated-By" not in line]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(kept), encoding="utf-8")


def main() -> int:
    """Bring the files up to date, or say with `--check` what is not; 1 if anything is missing."""
    if "--check" not in sys.argv[1:]:
        update()
    found = check()
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
