"""Lock files: found and locked by every user, tidied up, and no way to make an authority touch another file."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import authority.exclusive_files
from authority.exclusive_files import AlreadyInUse, lock_device, lock_file, shared_directory

NOBODY = 65534


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that stands for `/run/lock`."""
    directory = tmp_path / "lock"
    directory.mkdir()
    directory.chmod(0o1777)
    monkeypatch.setattr(authority.exclusive_files, "_SHARED", directory)
    return directory


def test_the_lock_file_of_a_device_lies_where_all_users_may_make_one(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STORE-5, RUN-36"""
    assert shared_directory() == shared
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    shared.chmod(0o755)
    assert shared_directory() == tmp_path
    shared.rmdir()
    assert shared_directory() == tmp_path


def test_a_lock_file_is_readable_by_all_users_whatever_the_mask(shared: Path) -> None:
    """RUN-36"""
    mask = os.umask(0o077)
    try:
        with lock_device("/dev/ttyUSB0", "stage_x"):
            (made,) = shared.iterdir()
            assert stat.S_IMODE(made.stat().st_mode) == 0o666
    finally:
        os.umask(mask)


def test_a_device_is_held_once_and_its_file_goes_with_the_lock(shared: Path) -> None:
    """STORE-5, RUN-36"""
    for _ in range(2):
        with lock_device("/dev/ttyUSB0", "stage_x"), lock_device("/dev/ttyUSB1", "stage_y"):
            with pytest.raises(
                AlreadyInUse, match=r"The device /dev/ttyUSB0 \(stage_z\) is in use by another authority"
            ):
                lock_device("/dev/ttyUSB0", "stage_z")
            assert len(list(shared.iterdir())) == 2
        assert list(shared.iterdir()) == []


def test_the_lock_file_of_a_process_that_was_killed_is_taken_up(shared: Path) -> None:
    """RUN-36"""
    with lock_device("a", "x"):
        (name,) = [path.name for path in shared.iterdir()]
    (shared / name).touch(mode=0o444)
    with lock_device("a", "x"):
        assert [path.name for path in shared.iterdir()] == [name]
    assert list(shared.iterdir()) == []


def test_a_lock_on_a_file_that_was_removed_meanwhile_is_not_taken_for_one(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STORE-5, RUN-36"""
    path = shared / "a.lock"
    path.touch()
    flock = fcntl.flock
    removed: list[bool] = []

    def lock_what_is_removed_first(descriptor: int, how: int) -> None:
        if not removed:
            removed.append(True)
            path.unlink()  # as its holder does, between our opening it and our locking it
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", lock_what_is_removed_first)
    with lock_file(path, "It"):
        assert path.exists()
        with pytest.raises(AlreadyInUse):
            lock_file(path, "It")


@pytest.mark.parametrize("what", ["link", "link to nothing", "directory", "pipe"])
def test_what_is_no_plain_file_is_left_alone_and_named(shared: Path, tmp_path: Path, what: str) -> None:
    """RUN-36"""
    path = shared / "a.lock"
    victim = tmp_path / "victim"
    victim.write_text("mine")
    if what == "link":
        path.symlink_to(victim)
    elif what == "link to nothing":
        path.symlink_to(tmp_path / "nothing")
    elif what == "directory":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(AlreadyInUse, match="is not a plain file; see who made it, and remove it"):
        lock_file(path, "The device a (x)")
    assert victim.read_text() == "mine"
    assert not (tmp_path / "nothing").exists()


def test_a_lock_file_that_its_maker_lets_nobody_read_is_named() -> None:
    """RUN-36"""
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        os.chmod(place, 0o755)
        path = Path(place) / "a.lock"
        path.touch(mode=0o000)
        with (
            as_nobody_in_particular(),
            pytest.raises(AlreadyInUse, match=r"a\.lock belongs to another user, who lets nobody read it"),
        ):
            lock_file(path, "The device a (x)")


@contextmanager
def as_nobody_in_particular() -> Iterator[None]:
    """Be a user who may not read every file: the administrator may."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_of_many_who_take_and_leave_a_lock_at_once_only_one_has_it(shared: Path) -> None:
    """STORE-5, RUN-36"""
    holders: list[int] = []
    most: list[int] = []

    def take_and_leave() -> None:
        for _ in range(200):
            try:
                with lock_file(shared / "a.lock", "It", removes=True):
                    holders.append(1)
                    most.append(len(holders))
                    holders.pop()
            except AlreadyInUse:
                continue

    threads = [threading.Thread(target=take_and_leave) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(most) == {1}
    assert list(shared.iterdir()) == []
