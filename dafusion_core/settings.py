"""Preferences, each declared once here: the dialog, the command line and the docs derive from it.

Only values that differ from the default are stored, in one small JSON file. The environment wins
over the file: `DAFUSION_DEVICE=cpu dafusion run …`. What belongs to a project (seeds, plans,
decisions) is in the project file and never here; where windows were is the window's own business.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from platformdirs import user_config_dir

from dafusion_core.domain.errors import Bug, UserError, translate_os_error
from dafusion_core.language import LANGUAGES, N_, SYSTEM

Value = bool | int | float | str
T = TypeVar("T", bool, int, str)

ENVIRONMENT_PREFIX = "DAFUSION_"


@dataclass(frozen=True, slots=True)
class Setting:
    """One preference. `minimum` and `maximum` bound numbers, `choices` bound words.

    `names` are what a dialog shows for `choices`. Group, label, note and names are English here:
    settings are read before there is a language; what shows them translates them.
    """

    key: str
    type: type[Value]
    default: Value
    group: str
    label: str
    note: str
    choices: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    @property
    def environment_name(self) -> str:
        """The variable that overrides this setting."""
        return ENVIRONMENT_PREFIX + self.key.upper()

    def parse(self, value: object) -> Value:
        """`value` (from JSON, a form or the environment) as this setting's type.

        Raises UserError with the allowed values when it does not fit.
        """
        result: Value
        if self.type is bool:
            result = self._parse_bool(value)
        elif isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise self._refusal(value)
        else:
            try:
                result = self.type(value)
            except ValueError:
                raise self._refusal(value) from None
        if self.choices and result not in self.choices:
            raise self._refusal(value)
        if isinstance(result, (int, float)) and not isinstance(result, bool):
            too_small = self.minimum is not None and result < self.minimum
            too_large = self.maximum is not None and result > self.maximum
            if too_small or too_large:
                raise self._refusal(value)
        return result

    def _parse_bool(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        word = str(value).strip().lower()
        if word in {"1", "true", "yes", "on"}:
            return True
        if word in {"0", "false", "no", "off"}:
            return False
        raise self._refusal(value)

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        if self.type is bool:
            return "yes or no"
        if self.choices:
            return ", ".join(self.choices)
        if self.minimum is not None and self.maximum is not None:
            return f"a number from {self.minimum:g} to {self.maximum:g}"
        if self.minimum is not None:
            return f"a number from {self.minimum:g}"
        return "text" if self.type is str else "a number"

    def _refusal(self, value: object) -> UserError:
        return UserError(
            f"“{value}” does not fit the setting “{self.key}”.", f"It takes {self.allowed}."
        )


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "language",
        str,
        SYSTEM,
        N_("Window"),
        N_("Language"),
        N_("Of the window. It changes when the program is started again."),
        choices=(SYSTEM, *LANGUAGES),
        names=(N_("As the system"), *LANGUAGES.values()),
    ),
    Setting(
        "device",
        str,
        "auto",
        N_("Computing"),
        N_("Device"),
        N_(
            "Where jobs run: auto takes the first CUDA device, or the CPU where there is none. "
            "Otherwise devices by name, separated by commas: cpu, cuda:0, cuda:0,cuda:1, mps."
        ),
    ),
    Setting(
        "thumbnail_cache_mb",
        int,
        64,
        N_("Window"),
        N_("Memory for thumbnails (MB)"),
        N_("Pictures of the grid that are kept ready for painting."),
        minimum=16,
        maximum=16384,
    ),
    Setting(
        "auto_advance",
        bool,
        True,
        N_("Window"),
        N_("Go on after a decision"),
        N_("After keeping or rejecting a picture, move to the next one."),
    ),
    Setting(
        "notify",
        bool,
        True,
        N_("Window"),
        N_("Say when long work has ended"),
        N_("A notice of the system, if another window is in front."),
    ),
)

_BY_KEY = {setting.key: setting for setting in SETTINGS}


def find_setting(key: str) -> Setting:
    """The declaration of `key`. Raises UserError with the known keys when there is none."""
    try:
        return _BY_KEY[key]
    except KeyError:
        raise UserError(
            f"There is no setting named “{key}”.", f"Known settings: {', '.join(sorted(_BY_KEY))}."
        ) from None


class Settings:
    """The preferences of one person, read from `path` each time they are asked for.

    Reading each time keeps a window, a command line and their workers in step without messages;
    the file has a few lines.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or Path(user_config_dir("dafusion-studio", appauthor=False)) / (
            "settings.json"
        )

    def get(self, key: str) -> Value:
        """The value in force: environment, then file, then default.

        A stored value that no longer fits counts as not stored. An environment variable that
        does not fit raises UserError, because somebody set it on purpose.
        """
        setting = find_setting(key)
        from_environment = os.environ.get(setting.environment_name)
        if from_environment is not None:
            return setting.parse(from_environment)
        return self.overrides().get(key, setting.default)

    def overrides(self) -> dict[str, Value]:
        """The stored values that differ from their defaults and fit."""
        good: dict[str, Value] = {}
        for key, value in self._read().items():
            if key in _BY_KEY:
                try:
                    good[key] = _BY_KEY[key].parse(value)
                except UserError:
                    continue
        return good

    def set(self, key: str, value: object) -> None:
        """Store `value`; the default is stored as nothing. Raises UserError if it does not fit."""
        setting = find_setting(key)
        parsed = setting.parse(value)
        stored = self._read()
        if parsed == setting.default:
            stored.pop(key, None)
        else:
            stored[key] = parsed
        self._write(stored)

    def reset(self, key: str) -> None:
        """Go back to the default."""
        self.set(key, find_setting(key).default)

    def _read(self) -> dict[str, Any]:
        # Unknown keys are kept when writing: a newer version may have stored them.
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return stored if isinstance(stored, dict) else {}

    def _write(self, stored: Mapping[str, Any]) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps(stored, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
            descriptor, name = tempfile.mkstemp(dir=self.path.parent, suffix=".tmp")
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(text)
                os.replace(name, self.path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise translate_os_error(error, "storing your settings") from error


def get_bool(key: str) -> bool:
    """A yes-or-no setting of the current user."""
    return _expect(key, bool)


def get_int(key: str) -> int:
    """A whole-number setting of the current user."""
    return _expect(key, int)


def get_str(key: str) -> str:
    """A text setting of the current user."""
    return _expect(key, str)


def _expect(key: str, kind: type[T]) -> T:
    value = Settings().get(key)
    if not isinstance(value, kind):
        raise Bug(f"The setting “{key}” is not of type {kind.__name__}.")
    return value
