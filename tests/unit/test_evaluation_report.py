from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from dafusion_core.domain.errors import BadImage, DiskFull, UserError
from dafusion_core.domain.records import Curation, ImportProblem
from dafusion_core.domain.specs import (
    Arm,
    ErasureSpec,
    EvaluationSpec,
    GenerationPlan,
    InversionSpec,
    TrainingSpec,
)
from dafusion_core.evaluation import report as module
from dafusion_core.evaluation.method_text import describe_method, list_settings
from dafusion_core.evaluation.report import (
    ClassCounts,
    Example,
    ExampleImage,
    ReportData,
    SettingsBlock,
    SyntheticCounts,
    render_report,
    write_report,
)
from dafusion_core.evaluation.verdict import (
    ArmScores,
    ArmVerdict,
    Finding,
    PaperFigure,
    Verdict,
    percent,
    points,
)
from tests.unit.pictures import noise

NASTY = "<script>alert(1)</script>\"' & ünï"


def make_verdict(name: str = "DA-Fusion", finding: Finding = "helps") -> Verdict:
    def scores(arm: str, level: float) -> ArmScores:
        return ArmScores(
            arm, (0, 1), (level - 0.01, level + 0.01), level, (level, None), ((5, 2), (0, 0)), 0.1,
            PaperFigure(0.9, 0.85, 0.95),
        )  # fmt: skip

    arm = ArmVerdict(
        name, finding, f"{name} {finding} by 12.3 points.", 0.123, 0.021, 0.224, (0, 1),
        (0.1, 0.146), (0.123, None),
    )  # fmt: skip
    return Verdict(
        ("oak", NASTY), (7, 0), "standard", (scores("standard", 0.6), scores(name, 0.723)), (arm,),
        0.95, 2000, 0, ("A note about ash.",),
    )  # fmt: skip


def make_data(**changes: object) -> ReportData:
    fields: dict[str, object] = {
        "project": NASTY,
        "created_at": "3 May 2025",
        "method": (f"Method with {NASTY}.",),
        "verdict": make_verdict(NASTY),
        "real": (ClassCounts("oak", {"train": 1234, "test": 5}), ClassCounts(NASTY, {"train": 2})),
        "synthetic": (
            SyntheticCounts("oak", 0.5, 3, 2, 1),
            SyntheticCounts("oak", 0.25, 10, 0, 0),
            SyntheticCounts(NASTY, 0.5, 4, 4, 4),
        ),
        "examples": (
            Example(
                NASTY,
                Path("photo.png"),
                (
                    ExampleImage(Path("near.png"), 0.25, Curation.KEPT),
                    ExampleImage(Path("far.png"), 0.5, Curation.REJECTED),
                    ExampleImage(Path(f"{NASTY}.png"), 0.5),
                ),
            ),
        ),
        "settings": (SettingsBlock(NASTY, ((NASTY, NASTY),)),),
        "hashes": (("spec", "ab" * 32),),
        "versions": (("torch", "2.13.0"),),
        "problems": (ImportProblem(NASTY, NASTY), ImportProblem("b.png", "tiny", False)),
    }
    return ReportData(**(fields | changes))  # type: ignore[arg-type]


def thumbnail(path: Path, size: int) -> Image.Image:
    if path.name not in ("photo.png", "near.png", "far.png"):
        raise BadImage(f"“{path.name}” cannot be used.")
    return noise(len(path.name), size, size // 2)


class Checker(HTMLParser):
    """Tags must close in order; collects text, tags and whatever points outside."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            if name in ("src", "href", "data", "action"):
                self.links.append(value or "")
        if tag not in ("meta", "img"):
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] != "style":
            self.text.append(data)


def check(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.stack == []
    assert "script" not in checker.tags
    assert all(link.startswith("data:image/jpeg;base64,") for link in checker.links)
    assert "url(" not in page
    assert "@import" not in page
    return checker


def test_the_page_stands_alone_and_escapes_everything() -> None:
    page = render_report(make_data(), thumbnail)
    found = check(page)
    text = " ".join(found.text)
    assert text.count(NASTY) > 10
    assert "prefers-color-scheme: dark" in page
    assert "default-src 'none'" in page
    assert found.tags.count("img") == 3


def test_it_says_what_it_must() -> None:
    text = " ".join(check(render_report(make_data(), thumbnail)).text).replace("\xa0", " ")
    for words in (
        "Report of 3 May 2025",
        "helps by 12.3 points.",
        "A note about ash.",
        "+12.3",
        "+2.1 to +22.4",
        "61.0 %",
        "90.0 % (85.0–95.0)",
        "1,234",
        "3 / 2 / 1",
        "7 / 6 / 5",
        "17 / 6 / 5",
        "t0 = 0.25",
        "cannot be read",
        "ab" * 32,
        "2.13.0",
        "1 left out, 1 imported with a warning",
        "left out",
        "tiny",
    ):
        assert words in text, words


@pytest.mark.parametrize(
    ("finding", "tone"), [("helps", "good"), ("hurts", "bad"), ("too few to tell", "open")]
)
def test_findings_differ_by_more_than_words(finding: Finding, tone: str) -> None:
    page = render_report(make_data(verdict=make_verdict("X", finding)), thumbnail)
    assert f'class="finding {tone}"' in page
    assert f'class="mark {tone}"' in page


def test_without_results_there_is_still_a_page() -> None:
    page = render_report(ReportData("Empty", ""), thumbnail)
    text = " ".join(check(page).text)
    assert "No comparison has been made yet." in text
    for words in ("Synthetic", "Problems", "Fingerprints", "Examples", "Accuracy", "What was done"):
        assert words not in text


def test_intervals_beyond_the_scale_stay_in_the_frame() -> None:
    verdict = make_verdict()
    arm = ArmVerdict(**(verdict.arms[0].to_dict() | {"low": -3.0, "high": 4.0}))
    wide = Verdict(**{**{n: getattr(verdict, n) for n in verdict.__slots__}, "arms": (arm,)})
    page = render_report(make_data(verdict=wide), thumbnail)
    drawing = re.search(r'viewBox="0 0 (\d+) ', page)
    assert drawing is not None
    places = [float(x) for x in re.findall(r' (?:x|x1|x2|cx)="([-.\d]+)"', page)]
    assert min(places) >= 0
    assert max(places) <= int(drawing[1])


def test_long_lists_of_problems_are_cut() -> None:
    problems = tuple(ImportProblem(f"{i}.png", "bad") for i in range(1000))
    text = " ".join(check(render_report(make_data(problems=problems), thumbnail)).text)
    assert "… and 800 more." in text
    assert "1,000 left out" in text


def test_writing_replaces_only_by_whole_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "report.html"
    assert write_report(make_data(), path, thumbnail) == path
    first = path.read_text(encoding="utf-8")
    assert first == render_report(make_data(), thumbnail)
    with pytest.raises(UserError, match="is a folder"):
        write_report(make_data(), tmp_path, thumbnail)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "replace", full)
    with pytest.raises(DiskFull, match="writing the report"):
        write_report(make_data(project="other"), path, thumbnail)
    assert path.read_text(encoding="utf-8") == first
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_names_that_are_no_text_can_be_written(tmp_path: Path) -> None:
    data = make_data(problems=(ImportProblem("caf\udce9.png", "bad"),))
    assert write_report(data, tmp_path / "r.html", thumbnail).is_file()


# ------------------------------------------------------------------------------- words


def test_points_and_percent() -> None:
    assert points(0.042) == "+4.2"
    assert points(-0.0704) == "−7.0"
    assert points(-0.0001) == points(0.0001) == points(0) == "+0.0"
    assert points(None) == percent(None) == "–"
    assert percent(0.61) == "61.0 %"


def test_the_method_is_told_from_the_specs() -> None:
    training = TrainingSpec(
        split_id=1,
        arms=(Arm("standard"), Arm("DA-Fusion", alpha=0.5, generation_job=3)),
        seeds=(0, 1, 2),
    )
    sentences = describe_method(
        ErasureSpec(concepts=("oak", "ash")),
        InversionSpec(split_id=1, vectors=4, steps=2000),
        GenerationPlan(split_id=1, inversion_job=2, t0_set=(0.25, 0.5), variants=3),
        training,
        EvaluationSpec(training_job=4, baseline="standard"),
    )
    text = " ".join(sentences)
    for words in (
        "“oak”, “ash”",
        "UCE",
        "4 vectors",
        "2,000 steps",
        "3 synthetic images per training image and t0 ∈ {0.25, 0.5}",
        "PNDM, 50 steps",
        "seeds 0, 1, 2",
        "with probability 0.5",
        "“standard” saw real images only",
        "95 % interval",
    ):
        assert words in text, words
    assert describe_method() == ()
    esd = describe_method(ErasureSpec(method="esd", concepts=("oak",)))[0]
    assert "ESD" in esd
    assert "UCE" not in esd
    named = describe_method(generation=GenerationPlan(split_id=1, draw="uniform", variants=1))
    assert "1 synthetic image per training image, each with t0 drawn from" in named[0]
    assert "Real Guidance" in named[1]
    plain = describe_method(generation=GenerationPlan(split_id=1, prompt="a photo"))
    assert plain[1] == "The prompt names no class."


def test_settings_are_listed_flat() -> None:
    spec = TrainingSpec(split_id=1, arms=(Arm("a"), Arm("b", alpha=0.5, generation_job=3)))
    rows = dict(list_settings(spec.to_dict()))
    assert rows["arms[1].name"] == "a"
    assert rows["arms[2].alpha"] == "0.5"
    assert rows["arms[1].generation_job"] == "–"
    assert rows["seeds"] == "0, 1, 2, 3, 4, 5, 6, 7"
    assert rows["weights"] == "–"
    rows = dict(list_settings(InversionSpec(split_id=1).to_dict()))
    assert rows["model.kind"] == "bundled"
