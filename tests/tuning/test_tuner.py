"""Trials as processes: killed, failing, several at once, here and under a chief."""

from __future__ import annotations

import contextlib
import csv
import json
import multiprocessing
import os
import random
import signal
import socket
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from applications.core.errors import UserError
from applications.core.search_space import Choice, Integer, Space
from tuning.job import Search, rows_of
from tuning.machines import serve, set_environment, wait_for
from tuning.oracles import TrialStatus, make_oracle
from tuning.tuner import Failed, Order, Tuner, shares

GRID = {"a": Choice("x", "y", "z"), "b": Integer(1, 4)}
FORK = multiprocessing.get_context("fork")


def oracle_in(folder: Path, space: Mapping[str, Space] = GRID):
    oracle = make_oracle("grid", space, ("score", "min"), trials=99, epochs=1, seed=0)
    oracle.live_in(folder)
    return oracle


def work(order: Order) -> dict:
    with (order.folder / "begun").open("a") as file:
        file.write("x")
    time.sleep(0.15)
    return {"metrics": {"score": float(order.values["b"])}, "best_epoch": 1}


def search(folder: Path, evaluate=work, workers: int = 1, **options) -> None:
    Tuner(oracle_in(folder), evaluate, folder, workers=workers, **options).search()


def results(folder: Path) -> list[dict]:
    return [json.loads(file.read_text()) for file in sorted(folder.glob("trial_*/result.json"))]


@pytest.mark.parametrize("victim", ["search", "trial"])
def test_killed_at_any_moment_nothing_is_lost_or_done_twice(tmp_path, victim) -> None:
    folder = tmp_path / "s"
    for moment in (0.3, 0.85, 0.5, None):
        process = FORK.Process(target=search, args=(folder,))
        process.start()
        if moment is None or victim == "trial":
            for pause in () if moment is None else (moment,):
                time.sleep(pause)
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                for child in children:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(child), signal.SIGKILL)
            process.join(60)
            assert process.exitcode == 0
        else:
            time.sleep(moment)
            finished = {r["number"] for r in results(folder) if (folder / f"trial_{r['number']}/trial.json").exists()}
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            assert finished <= {r["number"] for r in results(folder)}
    oracle = oracle_in(folder)
    assert [trial.status for trial in oracle.trials.values()] == [TrialStatus.COMPLETED] * 12
    rows = rows_of(oracle, folder)
    assert len({row["number"] for row in rows}) == len(rows) == 12
    assert len({str(row["values"]) for row in rows}) == 12
    begun = sum(len((folder / f"trial_{row['number']}" / "begun").read_text()) for row in rows)
    assert begun <= 12 + 4  # only what was in flight was done again


def test_children_die_with_a_killed_search(tmp_path) -> None:
    def endless(order: Order) -> dict:
        time.sleep(60)
        return {}

    process = FORK.Process(target=search, args=(tmp_path / "s", endless))
    process.start()
    children: list[str] = []
    while not children:
        time.sleep(0.05)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    for _ in range(100):
        if not Path(f"/proc/{children[0]}").exists() or " Z " in Path(f"/proc/{children[0]}/stat").read_text():
            return
        time.sleep(0.1)
    pytest.fail("the trial outlived its search")


def test_failures_are_recorded_and_the_search_goes_on(tmp_path) -> None:
    def moody(order: Order) -> dict:
        a, b = order.values["a"], order.values["b"]
        if (a, b) == ("x", 1):
            raise Failed("val_loss was never a finite number")
        if (a, b) == ("x", 2):
            raise MemoryError
        if (a, b) == ("x", 3):
            raise UserError("The loss became NaN.")
        if (a, b) == ("x", 4):
            os.kill(os.getpid(), signal.SIGKILL)
        if (a, b) == ("y", 1):
            raise ZeroDivisionError("division by zero")
        return {"metrics": {"score": 1.0}}

    seen: list[dict] = []
    search(tmp_path / "s", moody, on_end=seen.append)
    reasons = {result["number"]: result.get("reason", "") for result in results(tmp_path / "s")}
    assert reasons["0000"].startswith("val_loss was never")
    assert reasons["0001"] == "out of memory"
    assert reasons["0002"] == "The loss became NaN."
    assert "signal 9 (out of memory?)" in reasons["0003"]
    assert reasons["0004"] == "ZeroDivisionError: division by zero"
    assert [result["number"] for result in seen].count("0003") == 2  # tried once more
    states = [trial.status for trial in oracle_in(tmp_path / "s").trials.values()]
    assert states.count(TrialStatus.FAILED) == 5
    assert states.count(TrialStatus.COMPLETED) == 7


def test_several_workers_share_cores_and_work(tmp_path) -> None:
    seen: list[dict] = []

    def where(order: Order) -> dict:
        return {**work(order), "cores": sorted(os.sched_getaffinity(0))}

    search(tmp_path / "s", where, workers=2, on_end=seen.append)
    assert {result["worker"] for result in seen} == {"worker-1", "worker-2"}
    assert len(seen) == 12
    own = {result["worker"]: tuple(result["cores"]) for result in seen}
    assert [own["worker-1"], own["worker-2"]] == shares(2)


def test_a_deadline_ends_the_search(tmp_path) -> None:
    search(tmp_path / "s", deadline=time.monotonic() + 0.4)
    assert 0 < len(results(tmp_path / "s")) < 12
    search(tmp_path / "s")
    assert len(results(tmp_path / "s")) == 12


def test_memory_of_the_search_does_not_grow(tmp_path) -> None:
    """Trials give theirs back with their process; the search keeps a few numbers of each."""

    def hungry(order: Order) -> dict:
        return {"metrics": {"score": float(len(b"x" * 30_000_000))}}

    sizes: list[int] = []

    def measure(result: dict) -> None:
        sizes.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))

    oracle = make_oracle("random", {"a": Integer(0, 10**6)}, ("score", "min"), trials=50, epochs=1, seed=0)
    oracle.live_in(tmp_path / "s")
    Tuner(oracle, hungry, tmp_path / "s", on_end=measure).search()
    assert sizes[49] - sizes[4] < 20e6


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def worker_process(folder: Path, address: str, name: str, space: Mapping[str, Space] = GRID) -> None:
    wait_for(*set_environment(address, name), 20, lambda line: None)
    oracle = make_oracle("grid", space, ("score", "min"), trials=99, epochs=1, seed=0)
    seen: list[dict] = []
    Tuner(oracle, work, folder, name=name, on_end=seen.append).search()
    (folder / f"{name}.txt").write_text(str(len(seen)))


def chief_process(folder: Path, address: str, space: Mapping[str, Space] = GRID) -> None:
    serve(oracle_in(folder, space), folder, address, wait=60, limit=None, show=lambda line: None)


def test_chief_and_workers_over_loopback(tmp_path, monkeypatch) -> None:
    """Two workers do a grid; one is killed in the middle and its trial is done by the other."""
    monkeypatch.setattr("tuning.machines.BEAT", 0.2)
    monkeypatch.setattr("tuning.machines.LOST_AFTER", 2.0)
    folder, address = tmp_path / "s", f"127.0.0.1:{free_port()}"
    folder.mkdir()
    spawn = multiprocessing.get_context("fork")
    chief = spawn.Process(target=chief_process, args=(folder, address))
    workers = [spawn.Process(target=worker_process, args=(folder, address, f"w{k}")) for k in (1, 2)]
    for process in (chief, *workers):
        process.start()
    while len(results(folder)) < 4:
        time.sleep(0.05)
    os.kill(workers[0].pid, signal.SIGKILL)
    chief.join(60)
    assert chief.exitcode == 0
    workers[1].join(30)
    oracle = oracle_in(folder)
    assert [trial.status for trial in oracle.trials.values()] == [TrialStatus.COMPLETED] * 12
    assert int((folder / "w2.txt").read_text()) >= 7


def test_chief_and_worker_killed_three_times_each(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tuning.machines.BEAT", 0.2)
    monkeypatch.setattr("tuning.machines.LOST_AFTER", 2.0)
    space = {"a": Choice("x", "y", "z"), "b": Integer(1, 10)}
    folder, address = tmp_path / "s", f"127.0.0.1:{free_port()}"
    folder.mkdir()
    how = {"chief": (chief_process, (folder, address, space))}
    how |= {name: (worker_process, (folder, address, name, space)) for name in ("w1", "w2")}
    running = {name: FORK.Process(target=target, args=words) for name, (target, words) in how.items()}
    for process in running.values():
        process.start()
    finished: set[str] = set()
    moment = random.Random(0)
    for count, victim in zip((3, 6, 9, 12, 15, 18), ("chief", "w1") * 3, strict=True):
        while len(results(folder)) < count:
            time.sleep(0.02)
        time.sleep(moment.uniform(0.0, 0.2))
        os.kill(running[victim].pid, signal.SIGKILL)
        running[victim].join()
        done = {row["number"] for row in rows_of(oracle_in(folder, space), folder) if row["status"] == "COMPLETED"}
        assert finished <= done
        finished = done
        running[victim] = FORK.Process(target=how[victim][0], args=how[victim][1])
        running[victim].start()
    running["chief"].join(60)
    assert running["chief"].exitcode == 0
    rows = rows_of(oracle_in(folder, space), folder)
    assert [row["status"] for row in rows] == ["COMPLETED"] * 30
    assert len({row["number"] for row in rows}) == len({str(row["values"]) for row in rows}) == 30
    for name in ("w1", "w2"):
        running[name].join(30)
        assert running[name].exitcode == 0


def test_a_chief_that_is_not_there_is_said(tmp_path) -> None:
    lines: list[str] = []
    with pytest.raises(UserError, match="No chief answers at"):
        wait_for("127.0.0.1", free_port(), 0.6, lines.append)
    assert "waiting for the chief" in lines[0]


@pytest.mark.parametrize("address", ["nowhere", "host:", "host:0", "host:99999", ":80x"])
def test_addresses_that_are_none(address) -> None:
    with pytest.raises(UserError, match="expected HOST:PORT"):
        set_environment(address, "chief")


def test_the_table_has_a_row_per_trial(tmp_path) -> None:
    from tuning.report import write_table

    search(tmp_path / "s")
    found = Search(tmp_path / "s", ("score", "min"), rows=rows_of(oracle_in(tmp_path / "s"), tmp_path / "s"))
    with write_table(found).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["number"] for row in rows] == [f"{k:04d}" for k in range(12)]
    assert {row["status"] for row in rows} == {"COMPLETED"}
    assert found.best["score"] == 1.0
