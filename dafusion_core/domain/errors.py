"""Every error the core raises on purpose.

DaFusionError
├── UserError            the request cannot be done as asked; the text says what to change
│   ├── BadImage         a picture that cannot be used, with the reason
│   └── LeakError        training data would contain something made from held-out data
├── EnvironmentProblem   the machine is in the way: disk, permissions, lock, network, driver
│   ├── DiskFull
│   ├── ProjectLocked    another program has the project open
│   ├── ProjectDamaged   not a project, newer than this program, or corrupt
│   ├── OutOfMemory      the device ran out of memory; the worker leaves after reporting it
│   ├── DeviceFault      the device is in an unknown state; the worker leaves at once
│   └── WorkerLost       the worker process ended without saying goodbye
├── Interruption         not an error: work stopped on request, at a point where it can go on
│   ├── Cancelled        the user does not want the job any more
│   └── Stopped          the program is closing or the job was paused
└── Bug                  our mistake; everything else that surfaces is treated as one
"""

from __future__ import annotations

import errno

from dafusion_core.language import _

__all__ = [
    "BadImage",
    "Bug",
    "Cancelled",
    "DaFusionError",
    "DeviceFault",
    "DiskFull",
    "EnvironmentProblem",
    "Interruption",
    "LeakError",
    "OutOfMemory",
    "ProjectDamaged",
    "ProjectLocked",
    "Stopped",
    "UserError",
    "WorkerLost",
    "describe_error",
    "translate_os_error",
]


class DaFusionError(Exception):
    """An error with a sentence for people (`text`) and, where there is one, a way out (`hint`)."""

    kind = "error"
    exit_code = 1

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.text} {self.hint}".strip()

    def __reduce__(self) -> tuple[type[DaFusionError], tuple[str, str]]:
        return type(self), (self.text, self.hint)


class UserError(DaFusionError):
    """The request cannot be done as asked."""

    kind = "user"
    exit_code = 2


class BadImage(UserError):
    """A picture that cannot be used."""

    kind = "bad_image"


class LeakError(UserError):
    """Training data would contain something made from validation or test data."""

    kind = "leak"


class EnvironmentProblem(DaFusionError):
    """The machine is in the way."""

    kind = "environment"
    exit_code = 3


class DiskFull(EnvironmentProblem):
    """No space is left where the project lives."""

    kind = "disk_full"


class ProjectLocked(EnvironmentProblem):
    """Another program has the project open for writing."""

    kind = "locked"


class ProjectDamaged(EnvironmentProblem):
    """The file is not a project that this program can open."""

    kind = "damaged"


class OutOfMemory(EnvironmentProblem):
    """The device ran out of memory."""

    kind = "out_of_memory"


class DeviceFault(EnvironmentProblem):
    """The device reported an error after which its state is unknown."""

    kind = "device_fault"


class WorkerLost(EnvironmentProblem):
    """The worker process ended without saying goodbye."""

    kind = "worker_lost"


class Interruption(DaFusionError):
    """Work stopped on request."""

    kind = "interruption"
    exit_code = 130


class Cancelled(Interruption):
    """The user does not want the job any more."""

    kind = "cancelled"


class Stopped(Interruption):
    """The program is closing or the job was paused; the job can go on later."""

    kind = "stopped"


class Bug(DaFusionError):
    """Our mistake."""

    kind = "bug"
    exit_code = 1


def translate_os_error(error: OSError, doing: str) -> DaFusionError:
    """Turn an operating-system error met while `doing` something into one with a sentence.

    `doing` continues "while …", for example "writing the pictures of job 3".
    """
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            _("The disk is full: there was no space left while {doing}{where}.").format(
                doing=doing, where=where
            ),
            _("Nothing that was finished is lost. Free some space, then resume."),
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return EnvironmentProblem(
            _(
                "This place cannot be written to: permission was refused while {doing}{where}."
            ).format(doing=doing, where=where),
            _("Choose another place or change its permissions."),
        )
    return EnvironmentProblem(
        _("The system reported “{strerror}” while {doing}{where}.").format(
            strerror=error.strerror or error, doing=doing, where=where
        ),
        _("Nothing that was finished is lost. Try again; if it comes back, check the disk."),
    )


def describe_error(error: BaseException) -> tuple[str, str, str]:
    """(kind, text, hint) of any exception, as stored with a failed job."""
    if isinstance(error, DaFusionError):
        return error.kind, error.text, error.hint
    if isinstance(error, OSError) and error.errno is not None:
        known = translate_os_error(error, _("working on the job"))
        return known.kind, known.text, known.hint
    if isinstance(error, MemoryError):
        return (
            OutOfMemory.kind,
            _("The computer ran out of memory."),
            _("Close other programs or use a smaller batch size, then retry."),
        )
    return (
        Bug.kind,
        _("An unexpected error stopped this: {name__}: {error}").format(
            name__=type(error).__name__, error=error
        ),
        _("What was finished is kept. The log has the details."),
    )
