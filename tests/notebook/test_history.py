"""What happened to a motor, as a table: all of it, once, with the same columns whatever it was."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pandas  # type: ignore[import-untyped]
import pytest
from real_lab import Authority, Kernel
from typed import Notebook

import jupyter_motorlock
from authority.ports import Batch, EventRow
from authority.store.sqlite import SqliteStore
from jupyter_motorlock import UsageProblem
from jupyter_motorlock.extras.history import COLUMNS, start_time

BEFORE = Path(__file__).parents[1] / "service" / "before_positions.sql"


@pytest.fixture
def lab(authority: Authority) -> Iterator[jupyter_motorlock.Connection]:
    """A connection, as a script has one."""
    with jupyter_motorlock.connect(authority.url, user="Ann") as connection:
        yield connection


def seconds_before(now: datetime, seq: int) -> float:
    """How long ago an event of a long history was: one a minute."""
    return now.timestamp() - 60.0 * seq


@pytest.fixture
def long_history(tmp_path: Path) -> Iterator[Authority]:
    """An authority whose stages have 2,600 events each of the last days, a minute between two, one by one in turn."""
    (tmp_path / "long").mkdir()
    now, number = datetime.now(UTC), 5200
    rows: list[EventRow] = []
    for seq in range(1, number + 1):
        wall = seconds_before(now, number - seq)
        name = ("stage_x", "stage_y")[seq % 2]
        body = {"seq": seq, "event": "lock_claimed", "timestamp": datetime.fromtimestamp(wall, UTC).isoformat()}
        body |= {"equipment_id": name, "session_id": "s", "user": "Ann", "lock_id": "l"}
        rows.append(EventRow(seq, wall, name, "s", msgspec.json.encode(body)))
    store = SqliteStore(tmp_path / "long" / "motorlock.sqlite3")
    store.write(Batch(events=rows, equipment={}, sessions={}, commands=[]))
    store.close()
    running = Authority(tmp_path / "long")
    yield running
    running.end()


def test_what_happened_is_a_table_with_a_row_for_each_event_and_the_documented_columns(
    authority: Authority, lab: jupyter_motorlock.Connection
) -> None:
    """NB-33"""
    with lab.lock("stage_x", note="align") as stage:
        stage.move_to(1.5)
        authority.person("Bob").acquire(wait=True)
        assert stage.history(last=1)["event"].tolist() == ["queued"]
    told = lab.history("stage_x")
    assert told["event"].tolist() == [
        "lock_acquired",
        "command_started",
        "command_finished",
        "queued",
        "lock_released",
        "queue_processed",
        "lock_acquired",
    ]
    assert list(told.columns) == [*COLUMNS, "parameters.position"]
    assert {name: str(told[name].dtype) for name in COLUMNS} == COLUMNS
    assert told.index.name == "seq"
    assert told.index.tolist() == [event["seq"] for event in authority.events()]
    assert told["equipment"].unique().tolist() == ["stage_x"]
    first, _, moved, waits = (told.iloc[at] for at in range(4))
    assert (first["user"], first["fence"], first["note"], first["position"], first["units"]) == (
        "Ann",
        1,
        "align",
        0.0,
        "mm",
    )
    assert (moved["action"], moved["outcome"], moved["position"]) == ("move_to", "done", 1.5)
    assert told["parameters.position"].dropna().tolist() == [1.5]
    assert (waits["place"], waits["text"]) == (1, "Bob is number 1 in the queue for stage_x")
    assert pandas.isna(waits["position"])
    timestamps = pandas.to_datetime([event["timestamp"] for event in authority.events()])
    assert (told["time"].to_numpy() == timestamps.to_numpy()).all()
    assert told["time"].is_monotonic_increasing


def test_a_history_of_nothing_has_the_same_columns_and_types(lab: jupyter_motorlock.Connection) -> None:
    """NB-33"""
    told = lab.history("stage_y")
    assert len(told) == 0
    assert {name: str(kind) for name, kind in told.dtypes.items()} == COLUMNS
    assert told.index.name == "seq"


def test_several_are_in_one_table_in_the_order_in_which_it_happened(
    authority: Authority, lab: jupyter_motorlock.Connection
) -> None:
    """NB-33"""
    bob = authority.person("Bob")
    for name in ("stage_x", "ps_abc123", "stage_x"):
        bob.acquire(equipment_id=name)
        bob.release(equipment_id=name)
    told = lab.history("stage_x", "ps_abc123")
    assert told["equipment"].tolist() == ["stage_x"] * 2 + ["ps_abc123"] * 2 + ["stage_x"] * 2
    assert told.index.is_monotonic_increasing
    assert lab.history().equals(told), "without a name it is of all there is"


def test_a_name_that_is_not_there_is_answered_by_what_is(lab: jupyter_motorlock.Connection) -> None:
    """NB-33"""
    with pytest.raises(UsageProblem, match=r"^stage_q is not here; there is stage_x \(free\), stage_y"):
        lab.history("stage_x", "stage_q")


def test_the_function_uses_the_session_of_the_kernel_and_in_a_script_the_defaults(
    authority: Authority, start_kernel: Callable[..., Kernel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """NB-33 NB-40"""
    kernel = start_kernel("ann", MOTORLOCK_URL="http://127.0.0.1:9")
    kernel.run(f"%load_ext jupyter_motorlock\n%config MotorMagics.authority_url = {authority.url!r}")
    kernel.run("stage = %motor_login stage_x --no-panel\nfrom jupyter_motorlock import motor_history")
    assert kernel.run("motor_history('stage_x').user.tolist()") == "['ann']"
    monkeypatch.setenv("MOTORLOCK_URL", authority.url)
    assert jupyter_motorlock.motor_history("stage_x")["event"].tolist() == ["lock_acquired"]


def test_all_events_come_once_and_in_order_however_many_they_are(long_history: Authority) -> None:
    """NB-80"""
    with jupyter_motorlock.connect(long_history.url) as lab:
        told = lab.history("stage_x", since="30d")
    assert told.index.tolist() == list(range(2, 5201, 2))


@pytest.mark.parametrize("minutes", [1, 999, 2001, 5000, 5198, 90_000])
def test_it_begins_at_the_time_that_was_asked_for(long_history: Authority, minutes: int) -> None:
    """NB-80"""
    since = datetime.now(UTC) - timedelta(minutes=minutes + 0.5)
    with jupyter_motorlock.connect(long_history.url) as lab:
        told = lab.history("stage_y", since=since)
        whole = lab.history("stage_y", since="80d")
    assert told.index.tolist() == whole.index[whole["time"] >= since].tolist()
    assert len(whole) == 2600


def test_the_newest_are_given_where_a_number_is_asked_for(long_history: Authority) -> None:
    """NB-33 NB-80"""
    with jupyter_motorlock.connect(long_history.url) as lab:
        for last in (1, 1000, 1001, 2600):
            assert lab.history("stage_x", last=last).index.tolist() == list(range(5202 - 2 * last, 5201, 2))
        assert len(lab.history("stage_x", since="1h", last=1000)) <= 30
        with pytest.raises(UsageProblem, match="Say how many of the newest events you want: last=100"):
            lab.history("stage_x", last=0)


def test_nothing_is_missing_or_there_twice_while_new_events_come(long_history: Authority) -> None:
    """NB-80"""
    bob, over = long_history.person("Bob"), threading.Event()

    def be_busy() -> None:
        while not over.is_set():
            bob.acquire()
            bob.release()

    busy = threading.Thread(target=be_busy)
    busy.start()
    try:
        with jupyter_motorlock.connect(long_history.url) as lab:
            told = [lab.history("stage_x", since="30d").index.tolist() for _ in range(5)]
            several = lab.history("stage_x", "stage_y", since="30d").index
    finally:
        over.set()
        busy.join()
    with jupyter_motorlock.connect(long_history.url) as lab:
        stored = lab.history("stage_x", since="30d").index.tolist()
    for part in told:
        assert part == stored[: len(part)]
        assert len(part) >= 2600
    assert len(told[0]) < len(told[-1])
    assert several.is_unique


@pytest.mark.parametrize(
    ("since", "ago_s"),
    [("8h", 8 * 3600), ("2d", 48 * 3600), ("1h30min", 5400), (timedelta(minutes=5), 300)],
)
def test_since_when_may_be_said_as_a_span(since: str | timedelta, ago_s: float) -> None:
    """NB-33"""
    before = datetime.now(UTC)
    found = start_time(since, datetime.now(UTC))
    assert found is not None
    assert before - timedelta(seconds=ago_s) <= found <= datetime.now(UTC) - timedelta(seconds=ago_s)


def test_since_when_may_be_said_as_a_time_and_one_without_a_zone_is_local() -> None:
    """NB-33"""
    local = datetime(2026, 11, 21, 18, 30).astimezone()
    for said in ("2026-11-21T18:30", "2026-11-21 18:30", local.replace(tzinfo=None), local, local.isoformat()):
        assert start_time(said, datetime.now(UTC)) == local
    with pytest.raises(
        UsageProblem, match=r"^Say since when as a span such as 8h or 2d, or as a time .* not 'noon'\.$"
    ):
        start_time("noon", datetime.now(UTC))


def test_what_was_stored_before_events_said_where_is_told_without(tmp_path: Path) -> None:
    """NB-33 STORE-10"""
    (tmp_path / "data").mkdir()
    shift = datetime.now(UTC).timestamp() - 1_795_335_100  # the dump's time: what is too old would be forgotten
    with sqlite3.connect(tmp_path / "data" / "motorlock.sqlite3") as before:
        before.executescript(BEFORE.read_text(encoding="utf-8"))
        before.execute("UPDATE events SET wall = wall + ?", (shift,))
    before.close()
    old = Authority(tmp_path / "data")
    try:
        with jupyter_motorlock.connect(old.url) as lab:
            told = lab.history("stage_x", since="2026-11-01")
    finally:
        old.end()
    assert told["event"].tolist()[:3] == ["lock_acquired", "queued", "command_started"]
    assert told["position"].isna().all()
    assert {name: str(told[name].dtype) for name in COLUMNS} == COLUMNS


@pytest.mark.parametrize(
    ("package", "wanting"),
    [("pandas", "lab.history('stage_x')"), ("matplotlib", "import jupyter_motorlock.extras.plots")],
)
def test_without_its_packages_one_sentence_says_what_to_install_and_the_rest_works(
    authority: Authority, package: str, wanting: str
) -> None:
    """NB-81"""
    script = (
        "import sys\n"
        f"sys.modules['{package}'] = None\n"
        "import jupyter_motorlock\n"
        f"with jupyter_motorlock.connect({authority.url!r}) as lab:\n"
        "    assert lab.events('stage_x') == []\n"
        "    try:\n"
        f"        {wanting}\n"
        "    except jupyter_motorlock.UsageProblem as said:\n"
        "        print(said)\n"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said == (f'The package {package} is not installed: pip install "jupyter-motorlock[plots]" brings it.\n')


def test_the_package_loads_neither_pandas_nor_matplotlib(authority: Authority, kernel: Kernel) -> None:
    """NB-81"""
    notebook = Notebook(kernel)
    assert notebook.run("stage = %motor_login stage_x --no-panel").status == "ok"
    loaded = "import sys; sorted({'pandas', 'matplotlib'} & {name.partition('.')[0] for name in sys.modules})"
    assert notebook.value(loaded) == "[]"


def test_the_magic_has_the_history_as_its_value_and_shows_the_pictures_where_asked(
    authority: Authority, kernel: Kernel
) -> None:
    """NB-86 NB-91"""
    notebook = Notebook(kernel)
    notebook.run("stage = %motor_login stage_x --no-panel\nstage.move_to(1)\nmine = 2")
    told = notebook.run("told = %motor_history stage_x")
    assert (told.value, told.shown, told.stdout) == (None, [], "")
    events = "['lock_acquired', 'command_started', 'command_finished']"
    assert notebook.value("told.event.tolist()") == events
    assert notebook.value("all_of_it = %motor_history\nall_of_it.equals(told)") == "True"
    pictured = notebook.run("%motor_history stage_x --since 8h --plot")
    assert [sorted(data) for data in pictured.shown] == [["image/png", "text/plain"]]
    assert pictured.value is None, "a wide table below the pictures"
    kept = notebook.run("kept = %motor_history stage_x --since 8h --plot")
    assert len(kept.shown) == 1
    assert notebook.value("kept.equals(told)") == "True"
    table = notebook.value("told")
    assert "session_id" not in table
    assert notebook.value("told.session_id.nunique(), type(told.head()).__name__") == "(1, 'DataFrame')"
    assert notebook.value("few = %motor_history stage_x --last {mine}\nlen(few)") == "2"
    assert "24h is usual" in notebook.help("%motor_history")
    assert notebook.complete("%motor_history stage_x --") == ["--last", "--plot", "--since"]
    wrong = notebook.run("%motor_history stage_x --since noon")
    assert wrong.error.startswith("UsageProblem: Say since when as a span such as 8h or 2d, or as a time")
    assert notebook.run("%motor_history stage_q").error.startswith("UnknownName: stage_q is not here; there is")
