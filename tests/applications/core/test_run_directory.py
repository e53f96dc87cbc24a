"""Run directories are made whole, written whole, and used by one process at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import pytest

from applications.core.errors import UserError
from applications.core.run_directory import RunDirectory, write_atomically


def test_names_that_are_taken_get_a_suffix(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda form: "2026-11-20_141233")
    names = [RunDirectory.create(tmp_path, "task", "a: 1\n").path.name for _ in range(3)]
    assert names == ["2026-11-20_141233", "2026-11-20_141233-2", "2026-11-20_141233-3"]
    assert sorted(p.name for p in (tmp_path / "task").iterdir()) == sorted(names)
    assert (tmp_path / "task" / names[1] / "config.yaml").read_text() == "a: 1\n"


def test_a_name_of_the_users_own_is_never_used_twice(tmp_path):
    RunDirectory.create(tmp_path, "task", "", name="mine")
    with pytest.raises(UserError, match=r"exists already.*kerazoo resume.*--name"):
        RunDirectory.create(tmp_path, "task", "", name="mine")


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "task").write_text("")
    with pytest.raises(UserError, match="task' cannot be made"):
        RunDirectory.create(tmp_path, "task", "")


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir()])
def test_only_run_directories_are_opened(tmp_path, make):
    make(tmp_path / "x")
    with pytest.raises(UserError, match=r"x' (does not exist|is not a run directory)"):
        RunDirectory.open(tmp_path / "x")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    write_atomically(path, "old")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]


def _hold(path, ready):
    with RunDirectory(path).lock():
        ready.set()
        time.sleep(60)


def test_a_lock_keeps_others_out_until_its_process_is_gone(tmp_path):
    run = RunDirectory.create(tmp_path, "task", "")
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_hold, args=(run.path, ready))
    process.start()
    try:
        assert ready.wait(30)
        with pytest.raises(UserError, match=f"number {process.pid}"), run.lock():
            pass
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    with run.lock():
        assert (run / ".lock").read_text() == str(os.getpid())
