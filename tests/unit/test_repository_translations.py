"""The catalogues are complete, and the program speaks the language it was told to."""

from __future__ import annotations

import ast
import importlib.util
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from dafusion_core import language
from dafusion_core.language import ENGLISH, SYSTEM, _, count, install, ngettext, speaking
from dafusion_core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def translations() -> ModuleType:
    pytest.importorskip("babel")
    path = ROOT / "packaging" / "translations.py"
    spec = importlib.util.spec_from_file_location("translations", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def back_to_english() -> Iterator[None]:
    yield
    install(ENGLISH)


# ----------------------------------------------------------------------------- the catalogues


def test_every_text_of_the_code_is_translated_and_nothing_else(translations: ModuleType) -> None:
    found = translations.check()
    assert found == [], "run: python packaging/translations.py\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ("Open {name}", "열기"),
        ("Open {name}", "{nam} 열기"),
        ("{n:,} images", "이미지 {n}장"),
        ("Open", ""),
        ("Two\n", "둘"),
        (" steps", "단계 "),
        ("{done} of {total}", "{total} 중 {done"),
    ],
)
def test_what_is_wrong_with_a_translation_is_found(
    translations: ModuleType, text: str, translated: str
) -> None:
    from babel.messages.catalog import Message

    assert translations.problems_of(Message(text, translated))


def test_a_good_translation_has_no_problems(translations: ModuleType) -> None:
    from babel.messages.catalog import Message

    message = Message(("{n:,} image of {name}", "{n:,} images of {name}"), ("{name} {n:,}장",))
    assert translations.problems_of(message) == []


def test_korean_texts_are_korean(translations: ModuleType) -> None:
    """A text with English sentences in it was forgotten while translating."""
    words = re.compile(r"[A-Za-z]{3,} [a-z]{3,} [a-z]{2,}")
    catalogue = translations.read(translations.LOCALE / "ko/LC_MESSAGES/dafusion.po", "ko")
    strange = []
    for message in catalogue:
        for text in translations.texts(message.string) if message.id else ():
            bare = re.sub(r"“[^”]*”|`[^`]*`|https?://\S+", "", text)
            has_letters = re.search(r"[a-z]{2}", re.sub(r"\{[^}]*\}|Page (Up|Down)", "", bare))
            if words.search(bare) or (has_letters and not re.search(r"[가-힣]", text)):
                strange.append(text)
    assert strange == []


# Functions whose texts people read: what is given to them goes through the catalogue.
SHOWING = {
    "QCheckBox", "QRadioButton", "QPushButton", "QLabel", "addButton", "button", "heading",
    "label", "setAccessibleDescription", "setAccessibleName", "setInformativeText",
    "setPlaceholderText", "setSpecialValueText", "setStatusTip", "setText", "setToolTip",
    "setWindowTitle", "showMessage", "addMenu", "addAction",
}  # fmt: skip
# Names, keys, and words for the model, which reads English.
NAMES = {"DA-Fusion Studio", "\nAlt+", "daisy, ivy, plant"}


def unmarked(source: str) -> list[tuple[int, str]]:
    """Literals that are shown but not marked: (line, text)."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if name not in SHOWING or not node.args:
            continue
        for text in ast.walk(node.args[0]):
            if isinstance(text, ast.Call):
                break
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                is_text = re.search(r"[A-Za-z]{2}", text.value)
                is_key = re.fullmatch(r"[a-z_]+", text.value)
                if is_text and not is_key and text.value not in NAMES:
                    found.append((text.lineno, text.value))
    return found


def test_what_the_window_shows_is_marked() -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for path in sorted((ROOT / "app").rglob("*.py"))
        if (lines := unmarked(path.read_text(encoding="utf-8")))
    }
    assert found == {}


def hidden(source: str) -> list[tuple[int, str]]:
    """Texts that are marked inside an f-string, where the collector does not see them."""
    return [
        (call.lineno, call.func.id)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.JoinedStr)
        for call in ast.walk(node)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in {"_", "N_", "count", "ngettext", "pgettext"}
    ]


def test_no_text_is_marked_inside_an_f_string() -> None:
    assert hidden("text = f\"{_('Keep')} 3\"") == [(1, "_")]
    found = {
        str(path.relative_to(ROOT)): lines
        for folder in ("app", "dafusion_core")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if (lines := hidden(path.read_text(encoding="utf-8")))
    }
    assert found == {}


def test_a_text_that_is_not_marked_is_found() -> None:
    assert unmarked('made = button("Choose a folder…", self.choose)') == [(1, "Choose a folder…")]
    assert unmarked('self.line.setText(f"Job {number}")') == [(1, "Job ")]
    assert unmarked('self.line.setText(_("Job {n}").format(n=number))') == []


# ------------------------------------------------------------------------------ the language


def test_english_needs_no_catalogue() -> None:
    assert install(ENGLISH) == ENGLISH
    assert _("Cancel") == "Cancel"
    assert count(1, "{n:,} image", "{n:,} images") == "1 image"
    assert count(1204, "{n:,} image", "{n:,} images") == "1,204 images"


def test_korean_is_spoken_after_it_was_installed() -> None:
    assert install("ko") == "ko"
    assert language.current() == "ko"
    assert _("Cancel") == "취소"
    assert count(2, "{n:,} image", "{n:,} images") == "이미지 2장"
    assert ngettext("{n:,} image", "{n:,} images", 1) == "이미지 {n:,}장"


def test_the_empty_text_stays_empty() -> None:
    install("ko")
    assert _("") == ""  # gettext would answer with the head of the catalogue


def test_a_text_without_a_translation_is_shown_as_it_is() -> None:
    install("ko")
    assert _("qwertz") == "qwertz"


def test_another_language_for_a_while_and_for_this_thread_only() -> None:
    install("ko")
    heard = []
    with speaking(ENGLISH):
        other = threading.Thread(target=lambda: heard.append(_("Cancel")))
        other.start()
        other.join()
        assert _("Cancel") == "Cancel"
    assert heard == ["취소"]
    assert _("Cancel") == "취소"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "en_GB.UTF-8", "LC_ALL": "ko_KR.eucKR"}, "ko"),
        ({"LANG": "ko_KR.UTF-8", "LC_MESSAGES": "de_DE.UTF-8"}, ENGLISH),
        ({"LANG": "C.UTF-8"}, ENGLISH),
        ({"LANG": "POSIX"}, ENGLISH),
        ({"LANG": "fr"}, ENGLISH),
    ],
)
def test_the_system_decides_when_nobody_chose(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert install(SYSTEM) == expected


def test_the_choice_wins_over_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "ko_KR.UTF-8")
    assert install(ENGLISH) == ENGLISH
    assert install("tlh") == ENGLISH


def test_a_missing_catalogue_means_english(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "_PLACES", (tmp_path,))
    language._load.cache_clear()
    try:
        install("ko")
        assert _("Cancel") == "Cancel"
    finally:
        language._load.cache_clear()


def test_the_setting_offers_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from dafusion_core.settings import find_setting

    setting = find_setting("language")
    assert setting.choices == (SYSTEM, *language.available())
    assert len(setting.names) == len(setting.choices)
    monkeypatch.setenv("DAFUSION_LANGUAGE", "ko")
    assert Settings().get("language") == "ko"
