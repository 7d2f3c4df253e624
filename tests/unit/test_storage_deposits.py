from __future__ import annotations

import errno
import hashlib
import os
import threading
from pathlib import Path

import pytest

import dafusion_core as df
from dafusion_core.domain.errors import DiskFull
from dafusion_core.storage import deposits as module
from dafusion_core.storage import objects as objects_module
from dafusion_core.storage.deposits import Deposits
from dafusion_core.storage.objects import ObjectStore
from tests.unit.pictures import make_class_folder


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "p.files")


def item(text: str) -> tuple[bytes, str]:
    data = text.encode() * 1000
    return data, hashlib.sha256(data).hexdigest()


def stored(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.glob("objects/*/*")}


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of what was synced, in order."""
    seen: list[str] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        seen.append(os.readlink(f"/proc/self/fd/{handle}"))
        real(handle)

    if not os.path.exists("/proc/self/fd"):
        pytest.skip("open files cannot be asked for their names here")
    monkeypatch.setattr(os, "fsync", fsync)
    return seen


def test_what_is_settled_is_on_the_disk_with_its_name(
    store: ObjectStore, synced: list[str]
) -> None:
    deposits = Deposits(store)
    things = [item(str(i)) for i in range(30)]
    paths = [deposits.put(data, digest, ".jpg") for data, digest in things]
    assert deposits.settle(paths) == {}
    for path, (data, _) in zip(paths, things, strict=True):
        real = store.path(path)
        assert real.read_bytes() == data
        # First the bytes, then the name; both before `settle` came back.
        assert synced.index(str(real)) < len(synced) - synced[::-1].index(str(real.parent)) - 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("deposit")]


def test_a_rest_of_a_crash_is_replaced(store: ObjectStore, synced: list[str]) -> None:
    deposits = Deposits(store)
    (data, digest), (other, its) = item("a"), item("b")
    for what, name in ((data[:7], digest), (other, its)):
        store.path(store.place(name, ".jpg")).parent.mkdir(parents=True, exist_ok=True)
        store.path(store.place(name, ".jpg")).write_bytes(what)
    paths = [deposits.put(data, digest, ".jpg"), deposits.put(other, its, ".jpg")]
    assert deposits.settle(paths) == {}
    assert [store.path(path).read_bytes() for path in paths] == [data, other]
    # Whole or not, nobody knows whether it ever reached the disk.
    assert str(store.path(paths[1])) in synced


def test_what_fails_is_named_and_what_is_abandoned_leaves_nothing(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (old, its), (bad, bads) = item("old"), item("bad")
    kept = store.put(old, its, ".jpg")
    real = objects_module._write_through

    def write(file: object, data: bytes) -> None:
        if data == bad:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file, data)  # type: ignore[arg-type]

    monkeypatch.setattr(objects_module, "_write_through", write)
    deposits = Deposits(store)
    first = deposits.put(*item("first"), ".jpg")
    failing = deposits.put(bad, bads, ".jpg")
    deposits.put(*item("after"), ".jpg")
    assert deposits.put(old, its, ".jpg") == kept
    assert list(deposits.settle([first, failing])) == [failing]
    deposits.abandon([failing])
    assert stored(store.root) == {first, kept}


def test_little_waits_in_memory(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_BYTES", 5000)
    waiting, most = 0, 0
    guard = threading.Lock()
    real = ObjectStore.put

    def put(self: ObjectStore, data: bytes, digest: str, suffix: str) -> str:
        nonlocal waiting, most
        with guard:
            waiting += len(data)
            most = max(most, waiting)
        try:
            return real(self, data, digest, suffix)
        finally:
            with guard:
                waiting -= len(data)

    monkeypatch.setattr(ObjectStore, "put", put)
    deposits = Deposits(store)
    things = [item(str(i % 10) * (i // 10 + 1)) for i in range(25)]
    paths = [deposits.put(data, digest, "") for data, digest in things]
    assert deposits.settle(paths) == {}
    assert most <= 5000


def test_an_import_records_what_came_before_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_class_folder(tmp_path / "data", {"ash": 70, "oak": 130})
    real = objects_module._write_through
    bad = (root / "oak" / "oak_40.png").read_bytes()

    def write(file: object, data: bytes) -> None:
        if data == bad:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file, data)  # type: ignore[arg-type]

    monkeypatch.setattr(objects_module, "_write_through", write)
    with df.create(tmp_path / "p") as project:
        with pytest.raises(DiskFull, match="copying the pictures into the project"):
            project.import_folder(root)
        got = project.images()
        assert [Path(image.original_path).name for image in got[-2:]] == [
            "oak_38.png",
            "oak_39.png",
        ]
        assert len(got) == 110
        assert stored(project.files) == {image.path for image in got}
        monkeypatch.setattr(objects_module, "_write_through", real)
        assert project.import_folder(root).imported == 90
        assert stored(project.files) == {image.path for image in project.images()}
        names = [Path(image.original_path).name for image in project.images()]
        assert names == [f"ash_{i}.png" for i in range(70)] + [f"oak_{i}.png" for i in range(130)]
