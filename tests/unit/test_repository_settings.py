from __future__ import annotations

import json
from pathlib import Path

import pytest

from dafusion_core import settings as module
from dafusion_core.domain.errors import EnvironmentProblem, UserError
from dafusion_core.settings import SETTINGS, Settings, find_setting


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "deep" / "settings.json")


def test_defaults_hold_while_nothing_is_stored(settings: Settings) -> None:
    for setting in SETTINGS:
        assert settings.get(setting.key) == setting.default
    assert not settings.path.exists()


def test_only_what_differs_is_stored(settings: Settings) -> None:
    settings.set("thumbnail_cache_mb", 20)
    settings.set("auto_advance", True)
    assert json.loads(settings.path.read_text()) == {"thumbnail_cache_mb": 20}
    settings.reset("thumbnail_cache_mb")
    assert json.loads(settings.path.read_text()) == {}


def test_the_environment_wins(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.set("device", "cuda:0")
    monkeypatch.setenv("DAFUSION_DEVICE", "cpu")
    monkeypatch.setenv("DAFUSION_AUTO_ADVANCE", "no")
    assert settings.get("device") == "cpu"
    assert settings.get("auto_advance") is False


def test_a_wrong_environment_variable_is_refused_with_the_allowed_values(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAFUSION_THUMBNAIL_CACHE_MB", "many")
    with pytest.raises(UserError, match="a number from 16 to 16384"):
        settings.get("thumbnail_cache_mb")


@pytest.mark.parametrize(
    "text", ["", "not json", "[1, 2]", '{"thumbnail_cache_mb": "many"}', "\x00\x01"]
)
def test_a_damaged_file_means_defaults(settings: Settings, text: str) -> None:
    settings.path.parent.mkdir()
    settings.path.write_text(text)
    assert settings.get("thumbnail_cache_mb") == 64


def test_keys_of_a_newer_version_are_kept(settings: Settings) -> None:
    settings.path.parent.mkdir()
    settings.path.write_text('{"from_the_future": 1}')
    settings.set("thumbnail_cache_mb", 30)
    assert json.loads(settings.path.read_text()) == {"from_the_future": 1, "thumbnail_cache_mb": 30}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("thumbnail_cache_mb", -1),
        ("thumbnail_cache_mb", True),
        ("auto_advance", "perhaps"),
        ("thumbnail_cache_mb", 1e9),
    ],
)
def test_values_that_do_not_fit_are_refused(settings: Settings, key: str, value: object) -> None:
    with pytest.raises(UserError, match=key):
        settings.set(key, value)
    assert not settings.path.exists()


def test_an_unknown_key_names_the_known_ones(settings: Settings) -> None:
    with pytest.raises(UserError, match="thumbnail_cache_mb"):
        settings.get("thumbnails")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(EnvironmentProblem, match="storing your settings"):
        Settings(blocker / "settings.json").set("thumbnail_cache_mb", 20)


def test_the_shortcuts_read_the_users_own_file(isolated_home: Path) -> None:
    Settings().set("thumbnail_cache_mb", 50)
    assert module.get_int("thumbnail_cache_mb") == 50
    assert module.get_bool("auto_advance") is True
    assert module.get_str("device") == "auto"
    assert isolated_home in Settings().path.parents


def test_every_setting_explains_itself() -> None:
    for setting in SETTINGS:
        assert setting.label
        assert setting.note.endswith(".")
        assert setting.parse(setting.default) == setting.default
        assert find_setting(setting.key) is setting
