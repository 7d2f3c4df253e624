"""The command line, verb by verb, with quick methods in real worker processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dafusion_core import api as df
from dafusion_core.cli.main import VERBS
from dafusion_core.domain.records import JobState
from tests.unit.cli_driver import CommandLine, make_pictures


@pytest.fixture
def dafusion(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    return CommandLine(capsys)


@pytest.fixture
def with_pictures(dafusion: CommandLine, tmp_path: Path) -> CommandLine:
    dafusion.ok("new", "weeds.dafusion")
    dafusion.ok("import", make_pictures(tmp_path / "photos"))
    dafusion.ok("split")
    return dafusion


@pytest.fixture
def with_images(with_pictures: CommandLine) -> CommandLine:
    with_pictures.ok("invert", "--no-erasure")
    with_pictures.ok("generate", "--t0", "0.25,0.75", "--variants", 1)
    return with_pictures


# ------------------------------------------------------------------------- help and mistakes


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(dafusion: CommandLine, verb: str) -> None:
    answer = dafusion(verb, "--help")
    assert answer.code == 0
    assert "--json" in answer.out
    assert len(answer.out.split("Options:")[0].split()) > 15, "the help of a verb teaches"


def test_help_shows_every_verb_and_the_exit_codes(dafusion: CommandLine) -> None:
    answer = dafusion("--help")
    for verb in VERBS:
        assert f"\n  {verb} " in answer.out
    assert "130  stopped by you" in answer.out


@pytest.mark.parametrize(
    "words",
    [
        ("frobnicate",),
        ("split", "--seed", "many"),
        ("new",),
        ("generate", "--t0", "0.5,x"),
        ("curate", "keep", "7-3"),
        ("curate", "keep"),
        ("erase", "--model", "./nothing/there"),
        ("settings", "frobs"),
        ("settings", "thumbnail_cache_mb", "many"),
        ("jobs",),  # no project here
        ("report", "--project", "none.dafusion"),
        ("run", "no-such-folder"),
    ],
)
def test_wrong_use_gives_2_and_says_so_in_both_languages(
    dafusion: CommandLine, words: tuple[str, ...]
) -> None:
    answer = dafusion(*words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("Error: ")
    assert len(answer.err.splitlines()) <= 3
    assert "Traceback" not in answer.err
    assert dafusion(*words, "--json").json["error"]["exit_code"] == 2


def test_debug_shows_where_it_happened(dafusion: CommandLine) -> None:
    assert "Traceback" in dafusion("run", "no-such-folder", "--debug").err


def test_a_mistake_of_ours_gives_1_and_asks_for_a_report(
    dafusion: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(df, "create", fail)
    answer = dafusion("new", "weeds.dafusion")
    assert answer.code == 1
    assert "ZeroDivisionError" in answer.err
    assert "--debug" in answer.err


def test_a_place_without_permission_gives_3(
    dafusion: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied", "/etc/weeds.dafusion")

    monkeypatch.setattr(df, "create", refuse)
    answer = dafusion("new", "weeds.dafusion", "--json")
    assert answer.code == 3
    assert answer.json["error"]["kind"] == "environment"


def test_several_projects_in_the_folder_must_be_told_apart(dafusion: CommandLine) -> None:
    for name in ("a", "b"):
        dafusion.ok("new", f"{name}.dafusion")
    answer = dafusion("jobs")
    assert answer.code == 2
    assert "a.dafusion, b.dafusion" in answer.err
    assert dafusion.ok("jobs", "--project", "b.dafusion")["jobs"] == []


def test_the_project_may_come_from_the_environment_or_stand_before_the_subcommand(
    with_images: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_images.ok("new", "other.dafusion")
    assert len(with_images.ok("curate", "--project", "weeds.dafusion", "list")["images"]) == 18
    monkeypatch.setenv("DAFUSION_PROJECT", "other.dafusion")
    assert with_images.ok("jobs")["jobs"] == []


# ------------------------------------------------------------------------- pictures


def test_import_counts_and_lists_what_it_left_out(dafusion: CommandLine, tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "photos")
    (folder / "dock" / "broken.jpg").write_bytes(b"not a picture")
    dafusion.ok("new", "weeds")
    report = dafusion.ok("import", folder)
    assert report["imported"] == 18
    assert report["per_class"] == {"dock": 6, "nettle": 6, "thistle": 6}
    refused = [p for p in report["problems"] if p["is_refused"]]
    assert [Path(p["path"]).name for p in refused] == ["broken.jpg"]
    again = dafusion("import", folder)
    assert "18 were there already" in again.out
    assert "broken.jpg" in again.err


def test_groups_from_a_pattern_stay_whole(dafusion: CommandLine, tmp_path: Path) -> None:
    dafusion.ok("new", "weeds")
    folder = make_pictures(tmp_path / "photos")
    assert dafusion.ok("import", folder, "--group-by", r"(\w+/[01])\.png")["groups"] == 6
    dafusion.ok("split")
    with df.open("weeds.dafusion", read_only=True) as project:
        parts: dict[int, set[object]] = {}
        for image in project.images():
            if image.group_id is not None:
                parts.setdefault(image.group_id, set()).add(image.part)
        assert [len(seen) for seen in parts.values()] == [1] * 6


def test_a_pattern_that_matches_nothing_is_refused(dafusion: CommandLine, tmp_path: Path) -> None:
    dafusion.ok("new", "weeds")
    answer = dafusion("import", make_pictures(tmp_path / "photos"), "--group-by", "plant(\\d+)")
    assert answer.code == 2
    assert "matches the path of no picture" in answer.err


def test_split_shows_its_counts(with_pictures: CommandLine) -> None:
    made = with_pictures.ok("split", "--shots", 2, "--seed", 3)
    assert made["split"]["seed"] == 3
    assert made["per_class"][0] == {"class": "dock", "train": 2, "unused": 1, "test": 3}


# ------------------------------------------------------------------------- work and queue


def test_each_step_builds_on_the_newest_job_before_it(with_pictures: CommandLine) -> None:
    erased = with_pictures.ok("erase")["job"]
    learned = with_pictures.ok("invert")["job"]
    made = with_pictures.ok("generate", "--variants", 1, "--t0", 0.5)["job"]
    trained = with_pictures.ok("train", "--seeds", "0-1", "--alpha", 0.4)["job"]
    assert [job["state"] for job in (erased, learned, made, trained)] == ["succeeded"] * 4
    assert learned["needs"] == [erased["id"]]
    assert made["needs"] == [erased["id"], learned["id"]]
    shown = with_pictures.ok("jobs", "show", trained["id"])
    assert shown["spec"]["arms"][1]["alpha"] == 0.4
    assert shown["spec"]["seeds"] == [0, 1]


def test_a_queued_job_waits_for_a_worker(with_pictures: CommandLine) -> None:
    job = with_pictures.ok("invert", "--queue")["job"]
    assert job["state"] == "queued"
    done = with_pictures.ok("worker")["jobs"]
    assert [(j["id"], j["state"]) for j in done] == [(job["id"], "succeeded")]
    assert with_pictures("worker").out == "Nothing is waiting.\n"


def test_generate_needs_words_or_names(with_pictures: CommandLine) -> None:
    answer = with_pictures("generate")
    assert answer.code == 2
    assert "dafusion invert" in answer.err
    job = with_pictures.ok("generate", "--real-guidance", "--queue")["job"]
    assert job["needs"] == []


def test_jobs_can_be_paused_cancelled_resumed_and_ordered(with_pictures: CommandLine) -> None:
    with_pictures.ok("invert", "--queue")
    with_pictures.ok("generate", "--queue")
    assert with_pictures.ok("jobs", "pause", 1)["jobs"][0]["is_held"] is True
    assert "paused" in with_pictures("jobs").out
    assert with_pictures.ok("jobs", "cancel", 1, 2)["jobs"][1]["state"] == "cancelled"
    assert with_pictures.ok("jobs", "resume", 1)["jobs"][0]["state"] == "queued"
    assert with_pictures.ok("jobs", "priority", 1, 5)["jobs"][0]["priority"] == 5
    answer = with_pictures("jobs", "cancel", 1, 99)
    assert answer.code == 2
    assert with_pictures.ok("jobs")["jobs"][0]["state"] == "queued", "nothing was changed"


def test_a_failing_job_gives_1_and_says_how_to_go_on(
    with_pictures: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_pictures.ok("invert", "--no-erasure")
    monkeypatch.setenv("DAFUSION_TEST_TROUBLE", "disk-full@3")
    answer = with_pictures("generate", "--json", "--t0", "0.5")
    assert answer.code == 1
    job = answer.json["job"]
    assert (job["state"], job["error"]["kind"]) == ("failed", "disk_full")
    assert f"dafusion jobs retry {job['id']}" in answer.err
    monkeypatch.delenv("DAFUSION_TEST_TROUBLE")
    with_pictures.ok("jobs", "retry", job["id"])
    assert with_pictures.ok("worker")["jobs"][0]["state"] == "succeeded"


def test_jobs_that_wait_in_vain_are_named(with_pictures: CommandLine) -> None:
    with_pictures.ok("invert", "--queue")
    with_pictures.ok("generate", "--queue")
    with_pictures.ok("jobs", "cancel", 1)
    answer = with_pictures("worker")
    assert answer.code == 1
    assert "wait for job 1" in answer.err


# ------------------------------------------------------------------------- curation


def test_decisions_by_id_and_by_filter_can_be_undone(with_images: CommandLine) -> None:
    images = with_images.ok("curate", "list")["images"]
    ids = [image["id"] for image in images]
    assert len(ids) == 18
    assert Path(images[0]["file"]).is_file()
    with_images.ok("curate", "reject", f"{ids[0]},{ids[2]} {ids[7]}-{ids[7]}")
    kept = with_images.ok("curate", "keep", "--class", "dock", "--t0", 0.25)
    assert len(kept["synthetic_ids"]) == 3
    assert with_images.ok("curate", "undo")["text"].startswith("Undo")
    rejected = with_images.ok("curate", "list", "--state", "rejected")["images"]
    assert {image["id"] for image in rejected} == {ids[0], ids[2], ids[7]}
    assert with_images.ok("curate", "redo")["synthetic_ids"] == kept["synthetic_ids"]
    counts = with_images.ok("curate")["counts"]
    assert sum(row["kept"] for row in counts) == 3
    answer = with_images("curate", "keep", "1,999")
    assert answer.code == 2
    assert "999" in answer.err


def test_undo_with_nothing_to_undo_says_so(with_pictures: CommandLine) -> None:
    assert "Divide the images" in with_pictures("curate", "undo").out
    assert with_pictures("curate", "undo").out == "There is nothing to undo.\n"


def test_jobs_are_steered_while_another_program_has_the_project(
    with_images: CommandLine, tmp_path: Path
) -> None:
    with_images.ok("invert", "--queue")
    job_id = with_images.ok("jobs")["jobs"][-1]["id"]
    with df.open(tmp_path / "weeds.dafusion") as elsewhere:
        assert with_images.ok("jobs", "pause", job_id)["jobs"][0]["is_held"]
        assert with_images.ok("jobs", "cancel", job_id)["jobs"][0]["state"] == "cancelled"
        assert elsewhere.job(job_id).state is JobState.CANCELLED
        refused = with_images("split", "--seed", 3)
        assert refused.code == 3
        assert "in use by" in refused.err


# ------------------------------------------------------------------------- results


@pytest.mark.skipif(not hasattr(df, "export_folder"), reason="the API has no export yet")
def test_export_writes_what_was_kept_beside_the_real_training_pictures(
    with_images: CommandLine, tmp_path: Path
) -> None:
    with_images.ok("curate", "keep", "--class", "dock", "--t0", 0.25)
    made = with_images.ok("export", tmp_path / "out")
    assert (made["real"], made["synthetic"]) == (9, 3)
    assert len(list((tmp_path / "out").rglob("*.png"))) == 12
    assert with_images("export", tmp_path / "out").code == 2, "a folder in use is refused"
    everything = with_images.ok("export", tmp_path / "all", "--all", "--no-real")
    assert (everything["real"], everything["synthetic"]) == (0, 18)


@pytest.mark.skipif(not hasattr(df, "write_report"), reason="the API has no report yet")
def test_report_writes_one_page(with_images: CommandLine, tmp_path: Path) -> None:
    with_images.ok("train", "--seeds", "0-1")
    with_images.ok("compare")
    with_images.ok("report", "-o", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<html" in page
    assert "DA-Fusion" in page


# ------------------------------------------------------------------------- settings


def test_settings_are_shown_changed_and_reset(dafusion: CommandLine) -> None:
    assert dafusion.ok("settings", "auto_advance", "no")["settings"] == {"auto_advance": False}
    assert "auto_advance = no (default yes)" in dafusion("settings").out
    assert dafusion.ok("settings", "auto_advance", "--reset")["settings"] == {"auto_advance": True}


def test_every_json_answer_is_one_object(with_images: CommandLine) -> None:
    for words in (("jobs",), ("curate",), ("settings",), ("jobs", "show", "1")):
        answer = with_images(*words, "--json")
        assert isinstance(json.loads(answer.out), dict)
        assert answer.err == ""
