"""The report in Korean, in every form it has, and in English without a Korean letter."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

import dafusion_core as df
from dafusion_core.api.results import FONT_IS_MISSING
from dafusion_core.domain.records import ImportProblem
from dafusion_core.domain.specs import (
    Arm,
    ErasureSpec,
    EvaluationSpec,
    GenerationPlan,
    InversionSpec,
    TrainingSpec,
)
from dafusion_core.evaluation import fonts, notes, pdf
from dafusion_core.evaluation.figures import all_figures, to_bytes
from dafusion_core.evaluation.method_text import describe_method
from dafusion_core.evaluation.report import ReportData, SettingsBlock, render_report
from dafusion_core.language import ENGLISH, install, speaking
from tests.korean_words import HANGUL, is_korean, report_texts
from tests.unit.test_evaluation_report import make_data, make_verdict, thumbnail

NAMES = {"oak", "ivy", "weeds", "DA-Fusion", "F1", "✕", "torch", "ECE", "standard"}
NOTES = (
    notes.ABSENT.format(classes="“oak”, “ivy”"),
    notes.SINGLE.format(classes="“oak”"),
    notes.CUT.format(runs=notes.CUT_RUN.format(arm="DA-Fusion", seed=3, epoch=4)),
    notes.LONELY.format(seeds="1, 2", arm="DA-Fusion", baseline="standard augmentation"),
    notes.MANY.format(number=4, baseline="standard augmentation"),
)


@pytest.fixture(autouse=True)
def back_to_english() -> Iterator[None]:
    yield
    install(ENGLISH)


def methods() -> tuple[str, ...]:
    """Every sentence of the method there is."""
    found: dict[str, None] = {}
    for mixing in ("own", "global", "concatenate", "only"):
        is_first = mixing == "own"
        arms = (
            Arm("standard augmentation", batch_mix="cutmix", augmentation="none"),
            Arm("DA-Fusion", "aerial", 0.5, 3, mixing, only_kept=is_first),  # type: ignore[arg-type]
        )
        found |= dict.fromkeys(
            describe_method(
                ErasureSpec(method="uce" if is_first else "esd", concepts=("oak",)),
                InversionSpec(split_id=1),
                GenerationPlan(split_id=1, draw="each" if is_first else "uniform", prompt="a {x}"),
                TrainingSpec(
                    split_id=1,
                    arms=arms,
                    patience=3,
                    protocol={"own": "paper", "global": "finetune"}.get(mixing, "finetune"),  # type: ignore[arg-type]
                ),
                EvaluationSpec(training_job=4, baseline="standard augmentation"),
            )
        )
    return tuple(found)


def data(**changes: object) -> ReportData:
    """A report with something in every section, whose names are plain words."""
    verdict = replace(make_verdict(), labels=("oak", "ivy"), notes=NOTES)
    fields: dict[str, object] = {
        "project": "weeds",
        "created_at": "2025",
        "method": methods(),
        "verdict": verdict,
        "real": tuple(replace(row, label="oak") for row in make_data().real),
        "synthetic": tuple(replace(row, label="oak") for row in make_data().synthetic),
        "examples": tuple(replace(row, label="oak") for row in make_data().examples),
        "settings": (SettingsBlock("oak", (("learning_rate", "0.1"),)),),
        "problems": tuple(ImportProblem(f"{i}.png", "too small", i % 2 == 0) for i in range(300)),
    }
    return make_data(**(fields | changes))


def is_translated(text: str) -> bool:
    bare = re.sub(r"(photo|near|far)\.png|DDIM|PNDM|RandAugment|<script>.*", "", text)
    return text in NAMES or is_korean(bare)


def test_nothing_english_is_left_in_a_korean_page() -> None:
    with speaking("ko"):
        page = render_report(data(), thumbnail)
    assert '<html lang="ko">' in page
    texts = report_texts(page)
    assert [text for tag, text in texts if tag in ("h2", "h3") and not HANGUL.search(text)] == []
    strange = [(tag, text) for tag, text in texts if not is_translated(text)]
    assert strange == []
    assert len(texts) > 100
    for text in ("도움이 되었습니까?", "클래스별 정확도", "합성 이미지", "파일 문제"):
        assert ("h2", text) in texts
    alt = re.findall(r'alt="([^"]+)"', page)
    assert alt
    assert all(HANGUL.search(text) for text in alt)


def test_an_english_page_has_no_korean_letter_whatever_the_window_speaks() -> None:
    before = render_report(data(), thumbnail)
    install("ko")
    with speaking(ENGLISH):
        page = render_report(data(), thumbnail)
    assert not HANGUL.search(page)
    assert '<html lang="en">' in page
    install(ENGLISH)
    assert before == render_report(data(), thumbnail)


def test_english_for_papers_stands_below_and_says_that_it_is_english() -> None:
    with speaking("ko"):
        page = render_report(data(method_for_papers=("One was done.",)), thumbnail)
    assert '<p lang="en">One was done.</p>' in page
    assert "논문에 쓸 수 있는 영어 원문" in page


def test_notes_are_told_in_korean_and_stay_in_english() -> None:
    for note in NOTES:
        assert notes.tell_note(note) == note
        with speaking("ko"):
            told = notes.tell_note(note)
        assert is_translated(told), told
    with speaking("ko"):
        assert "“DA-Fusion” 시드 3 (에포크 4)" in notes.tell_note(NOTES[2])
        assert "표준 증강" in notes.tell_note(NOTES[3])
        assert notes.tell_note("Something older.") == "Something older."


# ---------------------------------------------------------------------------- figures and PDF


def test_labels_of_figures_are_korean() -> None:
    pytest.importorskip("matplotlib")
    curves = {"a": [(0, 1.0), (1, 0.5)]}
    with speaking("ko"):
        found = list(all_figures(make_verdict(), (), curves, curves))
        assert len(found) == 5
        for _name, title, figure in found:
            axes = figure.axes[0]
            for text in (title, axes.get_xlabel()):
                assert HANGUL.search(text), text
    for _name, title, figure in all_figures(make_verdict(), (), curves, curves):
        texts = (title, figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel())
        assert not HANGUL.search(" ".join(texts))


def test_korean_letters_are_drawn_where_a_font_has_them() -> None:
    pytest.importorskip("matplotlib")
    if fonts.hangul_font() is None:
        pytest.skip("this computer has no Korean font")
    with speaking("ko"), warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of every missing letter
        for _name, _title, figure in all_figures(make_verdict()):
            content = to_bytes(figure, "png")
            with Image.open(io.BytesIO(content)) as picture:
                assert picture.width > 300


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was put into PDFs, letter by letter as it is printed."""
    pytest.importorskip("fpdf")
    pytest.importorskip("matplotlib")
    found: list[str] = []
    letters = pdf._Page.letters

    def keep(page: pdf._Page, text: str) -> str:
        found.append(letters(page, text))
        return found[-1]

    monkeypatch.setattr(pdf._Page, "letters", keep)
    return found


def test_a_korean_pdf_is_korean(tmp_path: Path, printed: list[str]) -> None:
    if fonts.hangul_font() is None:
        pytest.skip("this computer has no Korean font")
    with speaking("ko"):
        path = pdf.write_pdf(data(settings=(), hashes=()), tmp_path / "r.pdf", thumbnail)
    assert "도움이 되었습니까?" in printed
    assert [text for text in printed if not is_translated(text)] == []
    assert "□" not in "".join(printed)
    assert path.read_bytes().count(b"/FontFile2") + path.read_bytes().count(b"/FontFile3") >= 3


def test_without_a_font_letters_become_a_mark_and_it_is_said(
    tmp_path: Path, printed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf, "hangul_font", lambda: None)
    assert pdf.write_pdf(data(project="잡초 weeds"), tmp_path / "r.pdf", thumbnail).is_file()
    assert "□□ weeds" in printed
    assert printed[-1] == "□ stands for a letter that no font of this computer has."
    printed.clear()
    pdf.write_pdf(data(), tmp_path / "r.pdf", thumbnail)
    assert not any("□" in text for text in printed)


def test_without_a_font_the_pdf_is_english_and_says_so(
    tmp_path: Path, printed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fonts, "hangul_font", lambda: None)
    monkeypatch.setattr(pdf, "hangul_font", lambda: None)
    install("ko")
    with df.create(tmp_path / "empty") as project:
        assert df.write_report(project, tmp_path / "r.pdf").is_file()
        assert FONT_IS_MISSING in printed
        assert not HANGUL.search("".join(printed))
        assert HANGUL.search(
            df.write_report(project, tmp_path / "r.html").read_text(encoding="utf-8")
        )


def test_files_without_korean_letters_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fpdf")
    matplotlib = pytest.importorskip("matplotlib")
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    latin = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    found = [fonts.FontFile(broken), fonts.FontFile(tmp_path / "gone"), fonts.FontFile(latin)]
    monkeypatch.setattr(fonts, "_candidates", lambda: found)
    fonts.hangul_font.cache_clear()
    try:
        assert fonts.hangul_font() is None
        assert fonts.can_print(ENGLISH)
        assert not fonts.can_print("ko")
    finally:
        fonts.hangul_font.cache_clear()


# ------------------------------------------------------------------------- the command line


@pytest.mark.parametrize(
    ("arguments", "variable", "korean"),
    [
        ((), "", False),
        (("--language", "ko"), "", True),
        ((), "ko", True),
        (("--language", "en"), "ko", False),
    ],
)
def test_the_command_writes_english_unless_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    variable: str,
    korean: bool,
) -> None:
    from dafusion_core.cli.results import report

    monkeypatch.setenv("DAFUSION_LANGUAGE", variable)
    with df.create(tmp_path / "weeds") as project:
        path = project.path
    written = tmp_path / "r.html"
    call = ["--project", str(path), "-o", str(written), *arguments]
    done = CliRunner().invoke(report, call, standalone_mode=False)
    assert written.is_file(), done.output + repr(done.exception)
    assert ('<html lang="ko">' in written.read_text(encoding="utf-8")) is korean
