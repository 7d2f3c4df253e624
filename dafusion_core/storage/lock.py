"""One writer per project: an operating-system lock, and a note that says who holds it."""

from __future__ import annotations

import getpass
import json
import os
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from dafusion_core.language import _
from dafusion_core.storage.database import utc_now


@dataclass(frozen=True, slots=True)
class LockOwner:
    """Who holds a project. `started` is the process's creation time, so that a reused process
    number is not mistaken for the owner."""

    pid: int
    started: float
    host: str
    user: str
    program: str
    since: str

    @classmethod
    def current(cls) -> LockOwner:
        """This process."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # no such user in a container
            user = "unknown"
        return cls(
            pid=os.getpid(),
            started=psutil.Process().create_time(),
            host=socket.gethostname(),
            user=user,
            program=Path(sys.argv[0] or "python").name,
            since=utc_now(),
        )

    def describe(self) -> str:
        """“ann on lab-3 (dafusion, process 4711) since …”."""
        return _("{user} on {host} ({program}, process {pid}) since {since}").format(
            user=self.user, host=self.host, program=self.program, pid=self.pid, since=self.since
        )


def process_is_alive(pid: int, started: float) -> bool:
    """Whether exactly this process still runs (a zombie does not)."""
    try:
        process = psutil.Process(pid)
        is_same = abs(process.create_time() - started) < 1.0
        return bool(is_same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


class ProjectLock:
    """The lock file and owner note inside the files folder.

    The lock is the operating system's, so it is free again the moment its owner dies, however
    it dies. The note is only for people, and to see that the last owner did not close properly.
    """

    is_owner = True

    def __init__(self, folder: Path) -> None:
        self._lock = FileLock(folder / "project.lock", timeout=0)
        self._note = folder / "owner.json"

    def acquire(self) -> bool:
        """Take the lock; False if another program has it."""
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        return True

    def write_note(self) -> None:
        """Say who holds the lock."""
        self._note.write_text(json.dumps(asdict(LockOwner.current())), encoding="utf-8")

    def has_note(self) -> bool:
        """Whether somebody holds the project, or left it uncleanly; the note may be damaged."""
        return self._note.exists()

    def read_note(self) -> LockOwner | None:
        """Who holds the lock, or held it when it was last left uncleanly."""
        try:
            return LockOwner(**json.loads(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def release(self, *, is_clean: bool = True) -> None:
        """Give the lock back; the note stays where the project was not left clean."""
        if is_clean:
            self._note.unlink(missing_ok=True)
        self._lock.release()
