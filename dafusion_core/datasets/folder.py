"""Find the pictures of a folder that holds one folder per class.

    flowers/
        daisy/       1.jpg  2.jpg  more/3.png
        dandelion/   1.jpg  2.jpg

The result depends on names alone, never on the order in which a file system lists them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dafusion_core.datasets.naming import (
    is_hidden_name,
    is_text_name,
    natural_key,
    normal_name,
    path_key,
    show_name,
)
from dafusion_core.datasets.sniffing import (
    BadPicture,
    describe_foreign,
    is_picture_name,
    read_head,
    sniff_format,
)
from dafusion_core.domain.errors import EnvironmentProblem, UserError
from dafusion_core.domain.records import ImportProblem
from dafusion_core.language import _

__all__ = ["FolderScan", "scan_folder"]

LAYOUT_HINT = _(
    "Choose a folder that holds one folder per class, for example flowers/daisy/1.jpg and "
    "flowers/dandelion/2.jpg; the names of the class folders become the names of the classes."
)
_PART_NAMES = frozenset(["train", "training", "val", "valid", "validation", "test", "testing"])


@dataclass(frozen=True, slots=True)
class FolderScan:
    """What a folder holds.

    `classes`: class name (NFC) → picture files, both in natural order; absolute paths, contents
    not yet checked. `problems`: visible files that are no pictures, links that were not followed
    and folders that could not be read. `warnings`: sentences about the layout as a whole.
    """

    root: Path
    classes: dict[str, tuple[Path, ...]]
    problems: tuple[ImportProblem, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Number of picture files."""
        return sum(len(files) for files in self.classes.values())

    def files(self) -> Iterator[tuple[Path, str]]:
        """(file, class name) of every picture, in order."""
        for label, paths in self.classes.items():
            for path in paths:
                yield path, label


def scan_folder(folder: Path | str) -> FolderScan:
    """List the pictures below `folder`, one class per folder directly in it.

    Folders inside a class folder belong to that class. Hidden files are passed over silently.
    A link to a folder outside is followed, but no folder is ever read twice. Raises UserError
    when the layout cannot be understood, EnvironmentProblem when `folder` may not be read.
    """
    root = Path(os.path.abspath(Path(folder).expanduser()))
    _check_root(root)
    walk = _Walk(root)
    classes: dict[str, list[Path]] = {}
    spellings: dict[str, list[str]] = {}
    folders, files = walk.entries(root)
    for file in files:
        walk.note(file, _stray_reason(file))
    for directory in folders:
        name = normal_name(directory.name)
        if not name:
            walk.note(
                directory, _("the folder's name is only white space, so the class has no name")
            )
            continue
        found = walk.pictures(directory)
        if found:
            classes.setdefault(name, []).extend(found)
            spellings.setdefault(name, []).append(directory.name)
        elif str(directory) not in walk.noted:
            walk.note(directory, _("this class folder holds no pictures"))
    if not classes:
        raise _nothing_found(root, folders, files)
    ordered = {
        name: tuple(sorted(classes[name], key=lambda path: path_key(path.relative_to(root))))
        for name in sorted(classes, key=natural_key)
    }
    problems = tuple(sorted(walk.problems, key=lambda problem: path_key(Path(problem.path))))
    return FolderScan(root, ordered, problems, tuple(_layout_warnings(ordered, spellings, walk)))


def _check_root(root: Path) -> None:
    name = show_name(root)
    if not is_text_name(str(root)):
        raise UserError(
            _("The folder's path “{name}” is not valid text.").format(name=name),
            _("Rename the folder and try again."),
        )
    try:
        status = root.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            _("There is no folder “{name}”.").format(name=name),
            _("Check the spelling, or whether a drive is missing."),
        ) from None
    except OSError as error:
        raise _unreadable_root(root, error) from error
    if not stat.S_ISDIR(status.st_mode):
        raise UserError(_("“{name}” is a file, not a folder.").format(name=name), LAYOUT_HINT)
    try:
        os.scandir(root).close()
    except OSError as error:
        raise _unreadable_root(root, error) from error


def _unreadable_root(root: Path, error: OSError) -> EnvironmentProblem:
    return EnvironmentProblem(
        _("The folder “{name}” cannot be read: {strerror}.").format(
            name=show_name(root), strerror=error.strerror or error
        ),
        _("Change its permissions or copy it to another place. Nothing was changed."),
    )


def _stray_reason(file: Path) -> str:
    if not file.exists():
        return _("it is a link that leads nowhere")
    if is_picture_name(file.name):
        return _("it lies outside the class folders, so its class is unknown; move it into one")
    return _("it lies outside the class folders")


def _nothing_found(root: Path, folders: list[Path], files: list[Path]) -> UserError:
    name = show_name(root)
    loose = sum(is_picture_name(file.name) for file in files)
    if not folders and not files:
        return UserError(_("The folder “{name}” is empty.").format(name=name), LAYOUT_HINT)
    if not folders and loose:
        return UserError(
            _("“{name}” holds {count} but no class folders.").format(
                name=name, count=_count(loose, "picture")
            ),
            _("Put the pictures of each class into a folder of its own. ") + LAYOUT_HINT,
        )
    if not folders:
        return UserError(
            _("“{name}” holds no class folders and no pictures.").format(name=name), LAYOUT_HINT
        )
    return UserError(
        _("No picture was found in the {count} of “{name}”.").format(
            count=_count(len(folders), "folder"), name=name
        ),
        LAYOUT_HINT,
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _layout_warnings(
    classes: dict[str, tuple[Path, ...]], spellings: dict[str, list[str]], walk: _Walk
) -> Iterator[str]:
    if len(classes) == 1:
        (name,) = classes
        text = _("There is only one class, “{name}”. A classifier needs at least two.").format(
            name=name
        )
        if len(walk.direct_folders.get(spellings[name][0], ())) > 1:
            text += _(
                " If the folders inside “{name}” are the classes, choose “{name}” instead."
            ).format(name=name)
        yield text
    elif all(name.lower() in _PART_NAMES for name in classes):
        yield (
            _(
                "The classes are called {classes}: these look like parts of a split. If the "
                "classes are inside them, choose one of these folders instead."
            ).format(classes=", ".join(classes))
        )
    folded: dict[str, list[str]] = {}
    for name in classes:
        folded.setdefault(name.casefold(), []).append(name)
    for names in folded.values():
        if len(names) > 1:
            yield _("The classes {names} differ only in case.").format(
                names=_(" and ").join(f"“{n}”" for n in names)
            )
    for name, raw in spellings.items():
        if len(raw) > 1:
            yield (
                _(
                    "{number} folders are called “{name}”, written with different characters that "
                    "look the same; they became one class."
                ).format(number=len(raw), name=name)
            )


@dataclass
class _Walk:
    """Reads folders one by one, each real folder at most once."""

    root: Path
    problems: list[ImportProblem] = field(default_factory=list)
    noted: set[str] = field(default_factory=set)
    #: Folder names directly in each class folder, for advice about the layout.
    direct_folders: dict[str, list[str]] = field(default_factory=dict)
    _real_root: str = ""
    _seen: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._real_root = os.path.realpath(self.root)

    def note(self, path: Path, reason: str) -> None:
        """Remember why something was left out."""
        self.noted.add(str(path))
        self.problems.append(ImportProblem(show_name(path), reason))

    def entries(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """(folders, files) directly in `folder`, visible ones only, in natural order."""
        folders: list[Path] = []
        files: list[Path] = []
        try:
            with os.scandir(folder) as scan:
                for entry in scan:
                    if is_hidden_name(entry.name) or _has_hidden_flag(entry):
                        continue
                    path = Path(entry.path)
                    if not is_text_name(entry.name):
                        self.note(path, _("its name is not valid text; rename it"))
                    elif _is_folder(entry):
                        folders.append(path)
                    else:
                        files.append(path)
        except OSError as error:
            self.note(
                folder,
                _("the folder cannot be read ({strerror})").format(
                    strerror=error.strerror or error
                ),
            )
        folders.sort(key=lambda path: natural_key(path.name))
        files.sort(key=lambda path: natural_key(path.name))
        return folders, files

    def pictures(self, top: Path) -> list[Path]:
        """Picture files anywhere below the class folder `top`."""
        found: list[Path] = []
        waiting = [top]
        # A list instead of recursion: folders may be nested deeper than Python's stack.
        while waiting:
            folder = waiting.pop()
            if not self._enter(folder):
                continue
            folders, files = self.entries(folder)
            if folder == top:
                self.direct_folders[top.name] = [inner.name for inner in folders]
            waiting += reversed(folders)
            found += [file for file in files if self._is_picture(file)]
        return found

    def _enter(self, folder: Path) -> bool:
        """Whether to read this folder; says why not."""
        real = os.path.realpath(folder)
        plain = os.path.join(os.path.realpath(folder.parent), folder.name)
        if os.path.normcase(real) != os.path.normcase(plain):
            if _is_within(real, self._real_root):
                where = os.path.relpath(real, self._real_root)
                target = _("the chosen folder itself") if where == "." else f"“{show_name(where)}”"
                self.note(
                    folder,
                    _("it is a link to {target}, which is read in its own place").format(
                        target=target
                    ),
                )
                return False
            if _is_within(self._real_root, real):
                self.note(folder, _("it is a link to a folder that holds the chosen one: a loop"))
                return False
        key = os.path.normcase(real)
        if key in self._seen:
            self.note(
                folder,
                _("it is the same folder as “{seen}”, already read").format(seen=self._seen[key]),
            )
            return False
        self._seen[key] = show_name(folder.relative_to(self.root))
        return True

    def _is_picture(self, file: Path) -> bool:
        """True for names or contents of pictures; anything else is noted."""
        if is_picture_name(file.name) and file.is_file():
            return True
        if file.is_symlink() and not file.exists():
            self.note(file, _("it is a link that leads nowhere"))
            return False
        try:
            head = read_head(file)
        except BadPicture as error:
            self.note(file, error.reason)
            return False
        if sniff_format(file, head) is None:
            self.note(file, describe_foreign(file, head))
            return False
        return True


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle: treated as a file, which then leads nowhere
        return False


def _has_hidden_flag(entry: os.DirEntry[str]) -> bool:
    """Windows marks hidden files by an attribute instead of a dot."""
    if os.name != "nt":
        return False
    try:
        attributes = getattr(entry.stat(follow_symlinks=False), "st_file_attributes", 0)
    except OSError:
        return False
    return bool(attributes & getattr(stat, "FILE_ATTRIBUTE_HIDDEN", 0))


def _is_within(path: str, folder: str) -> bool:
    """True when `path` is `folder` or lies inside it; both real paths."""
    inner, outer = os.path.normcase(path), os.path.normcase(folder)
    return inner == outer or inner.startswith(outer.rstrip(os.sep) + os.sep)
