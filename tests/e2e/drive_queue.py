"""`python -m tests.e2e.drive_queue PROJECT`: what the command line does to resume a project."""

from __future__ import annotations

import signal
import sys

import dafusion_core as df
from dafusion_core.jobs.supervisor import JobSupervisor
from tests.fake_methods import TARGET


def main() -> int:
    """Resume and run; SIGTERM stops at the next step."""
    with df.open(sys.argv[1]) as project:
        if project.is_read_only:
            raise SystemExit(project.lock_owner)
        for job in project.interrupted_jobs():
            project.resume(job.id)
        supervisor = JobSupervisor(project.file, lambda event: None, ("cpu",), TARGET)
        signal.signal(signal.SIGTERM, lambda *_: supervisor.stop())
        supervisor.run()
        supervisor.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
