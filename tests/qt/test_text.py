"""Words and numbers as people read them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.text import duration, job_state_words, t0_words
from dafusion_core.domain.records import JobState
from dafusion_core.language import count
from tests.qt.test_steps import job


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59, "59 s"),
        (61, "1 min"),
        (3540, "59 min"),
        (3600, "1 h"),
        (9000, "2 h 30 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds).replace("\u00a0", " ") == text


def test_counts() -> None:
    assert [count(n, "{n:,} class", "{n:,} classes") for n in (0, 1, 1204)] == [
        "0 classes",
        "1 class",
        "1,204 classes",
    ]


def test_every_t0_of_the_paper_has_its_own_words() -> None:
    assert len({t0_words(t0) for t0 in (0.25, 0.5, 0.75, 1.0)}) == 4


def test_states_of_jobs_in_words() -> None:
    done = job(
        1, "train",
        started_at="2026-01-01T00:00:00.000+00:00", finished_at="2026-01-01T00:02:00.000+00:00",
    )  # fmt: skip
    assert job_state_words(done) == "Done in 2\u00a0min"
    assert job_state_words(replace(done, attempt=2)) == "Done"
    waiting = job(2, "train", JobState.QUEUED, done=0)
    assert job_state_words(waiting) == "Waiting"
    assert job_state_words(waiting, is_blocked=True) == "Waits for a job that did not finish"
    assert job_state_words(replace(waiting, is_held=True, done=3)) == "Paused, 3 of 4 kept"
    running = job(3, "train", JobState.RUNNING)
    assert job_state_words(running, is_stopping=True) == "Stopping…"
    assert job_state_words(job(4, "train", JobState.INTERRUPTED)) == "Interrupted, 4 of 4 kept"
