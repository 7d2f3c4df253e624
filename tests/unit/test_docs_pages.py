"""The documentation names what there is, links to what exists, and its examples run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dafusion_core.cli.main import VERBS
from dafusion_core.cli.output import (
    EXIT_ENVIRONMENT,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
)
from dafusion_core.settings import SETTINGS
from tests.unit.cli_driver import make_pictures, quick_methods

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(DOCS.rglob("*.md")),
]


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", read(page)):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("verb", VERBS)
def test_the_map_of_the_command_line_has_every_verb(verb: str) -> None:
    assert f"| `{verb}` |" in read(DOCS / "cli.md")


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_every_setting_is_documented_and_used(setting) -> None:  # type: ignore[no-untyped-def]
    assert f"| `{setting.key}` |" in read(DOCS / "cli.md")
    sources = [
        path
        for folder in ("app", "dafusion_core")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "settings.py"
    ]
    read_by = re.compile(rf'get_(?:bool|int|str)\("{setting.key}"\)')
    uses = [path for path in sources if read_by.search(read(path))]
    assert uses, "nobody reads this setting"


def test_the_exit_codes_are_documented() -> None:
    page = read(DOCS / "cli.md")
    for code in (EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_ENVIRONMENT, EXIT_INTERRUPTED):
        assert f"| {code} |" in page


def test_sections_that_the_code_cites_exist() -> None:
    sections = set(re.findall(r"^##+ (\d+(?:\.\d+)?)", read(DOCS / "methods.md"), re.MULTILINE))
    for folder in ("app", "dafusion_core"):
        for path in (ROOT / folder).rglob("*.py"):
            for cited in re.findall(r"§ ?(\d+(?:\.\d+)?)", read(path)):
                assert cited in sections, f"{path.relative_to(ROOT)} cites §{cited}"


def test_decisions_are_numbered_short_and_say_what_was_rejected() -> None:
    decisions = sorted((DOCS / "adr").glob("*.md"))
    assert len(decisions) >= 6
    for number, path in enumerate(decisions, start=1):
        text = read(path)
        assert path.name.startswith(f"{number:04}-")
        assert text.startswith(f"# {number:04}. ")
        assert 20 <= len(text.splitlines()) <= 45
        for heading in ("## Decision", "## Rejected", "## Consequences"):
            assert heading in text, f"{path.name} has no {heading}"


def test_the_readme_and_ci_run_the_same_commands() -> None:
    readme, ci = read(ROOT / "README.md"), read(ROOT / ".ci" / "run")
    for command in (
        "pip install -c constraints.txt -e . && dafusion demo",
        "pip install -c constraints.txt -e '.[test]' && pytest",
    ):
        assert command in readme
        for half in command.split(" && "):
            assert half.replace("pip install", "pip install -q") in ci or half in ci


def test_the_examples_of_the_api_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_pictures(tmp_path / "photos")
    blocks = re.findall(r"```python\n(.*?)```", read(DOCS / "api.md"), re.DOTALL)
    assert len(blocks) >= 4
    names: dict[str, object] = {}
    with quick_methods():
        for block in blocks:
            exec(compile(block, "docs/api.md", "exec"), names)
    seen = capsys.readouterr().out
    assert "18 {'dock': 6, 'nettle': 6, 'thistle': 6}" in seen
    assert "succeeded 18/18" in seen
