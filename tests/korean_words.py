"""Whether a text is Korean, and what a report says outside of its figures and keys."""

from __future__ import annotations

import re
from html.parser import HTMLParser

HANGUL = re.compile(r"[가-힣]")

# What is the same in every language: names of programs, methods and forms of files, keys, units,
# paths, hashes; and what the user or the project called something.
NAMES = re.compile(
    r"DA-Fusion( Studio)?|Stable Diffusion|PASCAL VOC|TorchScript|ONNX|DDIM|Euler|English"
    r"|resnet\d+|ResNet-\d+|SHA-256|F1|UCE|ESD|CPU|cpu|UTC|GB|MB|kB|px|t0"
    r"|Page (Up|Down)|Ctrl|Shift|Alt|Esc|Enter|Return|Space|Del|Ins|F\d+"
    r"|(dandelion|ragwort|spurge)(-\d+\.png)?|weeds|daisy, ivy, plant"
    r"|<[^>]*>|[0-9a-f]{6,}|/\S+"
)
# Three plain words in a row, outside of quotation marks and brackets, are English.
ENGLISH = re.compile(r"\b[a-z]{3,} [a-z]{2,} [a-z]{2,}")
ASIDES = re.compile(r"“[^”]*”|\([^()]*\)|https?\S+")


def is_korean(text: str) -> bool:
    """Whether nothing English is left in this text besides names."""
    bare = NAMES.sub("", text)
    if HANGUL.search(text):
        return not ENGLISH.search(ASIDES.sub("", bare))
    return not re.search(r"[A-Za-z]{2}", bare)


class ReportTexts(HTMLParser):
    """The texts of a report by tag, its drawings' included.

    Left out: what is English on purpose (`lang="en"`), and the cells of tables of settings, which
    are keys, values and reasons as they were stored.
    """

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[tuple[str, str]] = []
        self._stack: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("meta", "img", "line", "rect"):
            return
        is_left_out = tag in ("style", "code") or (values.get("lang") == "en" and tag != "html")
        is_left_out |= tag == "td" and any(name == "settings" for name, _out in self._stack)
        kind = "settings" if tag == "table" and values.get("class") == "settings" else tag
        self._stack.append((kind, is_left_out))
        if values.get("aria-label"):
            self.texts.append(("aria-label", str(values["aria-label"])))

    def handle_endtag(self, tag: str) -> None:
        while self._stack:
            kind, _out = self._stack.pop()
            if kind == tag or (kind == "settings" and tag == "table"):
                return

    def handle_data(self, data: str) -> None:
        text = data.replace("\xa0", " ").strip()
        if text and self._stack and not any(is_out for _tag, is_out in self._stack):
            self.texts.append((self._stack[-1][0], text))


def report_texts(page: str) -> list[tuple[str, str]]:
    """(tag, text) of everything a reader of the report reads as a sentence, a name or a number."""
    reader = ReportTexts()
    reader.feed(page)
    reader.close()
    return reader.texts
