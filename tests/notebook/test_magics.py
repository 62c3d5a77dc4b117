"""What the magics do, typed into real kernels against a real authority."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from real_lab import Authority, Kernel
from typed import Notebook, wait_until

from jupyter_motorlock.client.commands import Command
from jupyter_motorlock.client.interrupt import SWALLOWED_S
from jupyter_motorlock.notebook.command_lines import Line
from jupyter_motorlock.notebook.options import OPTIONS
from jupyter_motorlock.notebook.progress import bar_of

ALL = (
    "motor",
    "motor_answer",
    "motor_ask",
    "motor_clear_fault",
    "motor_events",
    "motor_history",
    "motor_keep",
    "motor_login",
    "motor_logout",
    "motor_panel",
    "motor_resume",
    "motor_status",
    "motor_stop",
    "motor_swap",
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    running = Authority(tmp_path_factory.mktemp("authority"))
    yield running
    running.end()


@pytest.fixture(scope="module")
def anns_notebook(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """One kernel for all tests here: starting one takes longer than most of them."""
    place = {"IPYTHONDIR": str(tmp_path_factory.mktemp("ipython"))}
    kernel = Kernel({**os.environ, **place, "MOTORLOCK_URL": authority.url, "MOTORLOCK_USER": "ann"})
    yield Notebook(kernel)
    kernel.end()


@pytest.fixture
def ann(anns_notebook: Notebook, authority: Authority) -> Iterator[Notebook]:
    """Ann's notebook as just opened: nothing is held, by nobody, and nothing moves."""

    def all_free() -> bool:
        return all(item["state"] == "free" for item in authority.call("GET", "/equipment/list"))

    wait_until(all_free, "what the test before held is free")
    yield anns_notebook
    anns_notebook.run("%reload_ext jupyter_motorlock")
    for session in authority.call("GET", "/locks/sessions")["sessions"]:
        authority.call("DELETE", f"/locks/sessions/{session['session_id']}")


@pytest.fixture
def deaf_address() -> Iterator[tuple[str, list[socket.socket]]]:
    """An address that takes every connection and never answers, and the connections it took."""
    listener, taken = socket.create_server(("127.0.0.1", 0)), []

    def take() -> None:
        while True:
            try:
                taken.append(listener.accept()[0])
            except OSError:
                return

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", taken
    listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    for connection in (listener, *taken):
        connection.close()


# Log in, move, log out


def test_login_shows_one_panel_and_gives_a_handle_that_moves_the_motor(ann: Notebook, authority: Authority) -> None:
    """NB-1 NB-5 NB-8"""
    login = ann.run("stage = %motor_login stage_x --note 'align the beam'")
    assert (login.status, login.panels, login.value, login.stdout) == ("ok", 1, None, "stage_x is yours.\n")
    assert authority.status()["holder"]["note"] == "align the beam"
    assert ann.value("stage.move_to(1.5)") == "1.5 mm"
    assert ann.value("stage.position()") == "1.5 mm"
    assert ann.run("%motor_logout").stdout == "You gave stage_x back.\n"
    assert authority.status()["state"] == "free"


def test_logout_of_nothing_says_so_and_is_no_error(ann: Notebook, authority: Authority) -> None:
    """NB-8"""
    authority.person("Bob").acquire()
    nothing = ann.run("%motor_logout")
    assert nothing.stdout == "This kernel is not logged in to anything, so there is nothing to give back.\n"
    again = ann.run("%motor_logout stage_x")
    assert again.stdout.startswith("This kernel is not logged in to stage_x, so there is nothing to give back;")
    assert (nothing.status, again.status) == ("ok", "ok")
    assert authority.status()["holder"]["user"] == "Bob"


def test_login_without_a_panel_says_one_sentence(ann: Notebook) -> None:
    """NB-1"""
    login = ann.run("stage = %motor_login stage_x --no-panel")
    assert (login.status, login.shown, login.stdout) == ("ok", [], "stage_x is yours.\n")


def test_login_names_the_user_and_refreshes_for_the_holder(ann: Notebook, authority: Authority) -> None:
    """WHO-2"""
    ann.value("stage = %motor_login stage_x --as 'Ann B' --no-panel")
    fence = authority.status()["fence"]
    ann.value("stage = %motor_login stage_x --no-panel")
    assert authority.status()["holder"]["user"] == "Ann B"
    assert authority.status()["fence"] == fence


def test_the_user_is_not_changed_while_something_is_held(ann: Notebook, authority: Authority) -> None:
    ann.value("stage = %motor_login stage_x --no-panel")
    assert ann.run("%motor_login stage_x --as bob").error == (
        "UsageProblem: This kernel holds stage_x as ann; log out before you change the user or the address."
    )
    assert authority.status()["holder"]["user"] == "ann"
    assert ann.value("stage.move_to(0.5)") == "0.5 mm"


def test_login_without_a_name_lists_what_there_is_and_who_has_it(ann: Notebook, authority: Authority) -> None:
    """NB-2"""
    authority.person("Bob").acquire(equipment_id="stage_y")
    listed = ann.run("%motor_login")
    assert listed.status == "error"
    assert listed.error == (
        "UsageProblem: Say which one with %motor_login NAME; there is stage_x (free), stage_y (Bob has it), "
        "ps_abc123 (free), scope_123 (free)."
    )


def test_login_to_equipment_in_use_says_who_has_it_and_stops_run_all(ann: Notebook, authority: Authority) -> None:
    """NB-3"""
    authority.person("Bob").acquire()
    first, second = ann.start("stage = %motor_login stage_x"), ann.start("after = 1")
    refused = ann.finish(first)
    assert (refused.status, refused.ename, len(refused.traceback)) == ("error", "EquipmentInUse", 1)
    assert "Bob" in refused.error
    assert ann.kernel.client.get_shell_msg(timeout=30)["content"]["status"] == "aborted", second


def test_login_that_waits_returns_when_the_holder_lets_go(ann: Notebook, authority: Authority) -> None:
    """NB-4"""
    bob = authority.person("Bob")
    bob.acquire()
    waiting = ann.start("stage = %motor_login stage_x --wait")
    wait_until(lambda: authority.status()["queue_length"] == 1, "Ann is in the queue")
    bob.release()
    got = ann.finish(waiting)
    assert (got.status, got.panels) == ("ok", 1)
    assert authority.status()["holder"]["user"] == "ann"
    assert authority.status()["claimed"] is True


def test_an_interrupt_while_waiting_leaves_the_queue(ann: Notebook, authority: Authority) -> None:
    """NB-4"""
    authority.person("Bob").acquire()
    for _ in range(5):  # as early as can be: in some the answer to the request is still under way
        waiting = ann.start("stage = %motor_login stage_x --wait --no-panel")
        wait_until(lambda: authority.status()["queue_length"] == 1, "Ann is in the queue")
        ann.interrupt()
        assert ann.finish(waiting).error == ("Interrupted: You stopped the login to stage_x; you are not in its queue.")
        assert authority.status()["queue_length"] == 0


SWALLOWED = """
import signal

class Dies:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)  # what is raised here, Python tells and forgets

session = get_ipython().magics_manager.registry['MotorMagics'].session
watch = session.subscribe
session.subscribe = lambda told: Dies() and watch(told)
"""


def test_an_interrupt_that_python_swallows_while_it_tidies_up_leaves_the_queue_too(
    ann: Notebook, authority: Authority
) -> None:
    """NB-4"""
    authority.person("Bob").acquire()
    ann.value("%motor_status")
    ann.value(SWALLOWED)
    assert ann.run("stage = %motor_login stage_x --wait --no-panel").error == (
        "Interrupted: You stopped the login to stage_x; you are not in its queue."
    )
    assert authority.status()["queue_length"] == 0


def test_a_second_interrupt_stops_the_motor_where_python_swallowed_the_first(
    ann: Notebook, authority: Authority
) -> None:
    """NB-10"""
    ann.value("stage = %motor_login stage_x --no-panel")
    ann.value(SWALLOWED)
    ann.value("send = session.send\nsession.send = lambda *given, **more: Dies() and send(*given, **more)")
    moving = ann.start("stage.move_to(100)")
    wait_until(lambda: authority.status()["readback"]["moving"], "it moves")
    time.sleep(SWALLOWED_S)  # the rule is a length of time
    ann.interrupt()
    assert ann.finish(moving).error == "Interrupted: You interrupted move_to of stage_x; stage_x was stopped."


def test_an_observer_reads_and_does_not_move(ann: Notebook, authority: Authority) -> None:
    """NB-4"""
    authority.person("Bob").acquire()
    ann.value("stage = %motor_login stage_x --watch --no-panel")
    assert ann.value("stage.position()") == ann.value("%motor position")
    assert ann.run("%motor stage_x move_to 1").ename == "LockRequired"
    assert ann.run("%motor_logout").status == "ok"
    assert authority.status()["observer_count"] == 0


def test_logout_of_one_who_waits_leaves_the_queue(ann: Notebook, authority: Authority) -> None:
    authority.person("Bob").acquire()
    ann.value("get_ipython().magics_manager.registry['MotorMagics'].session.acquire('stage_x', queue=True)")
    assert ann.run("%motor_logout stage_x").stdout == "You left the queue of stage_x.\n"
    assert authority.status()["queue_length"] == 0


# %motor and %%motor


def test_a_line_takes_values_by_position_or_by_name_and_keeps_the_result(ann: Notebook) -> None:
    """NB-7"""
    ann.value("stage = %motor_login stage_x --no-panel")
    assert ann.value("%motor stage_x move_to 0.5") == "0.5 mm"
    assert ann.value("%motor move_to position=0.25 -o kept") == "0.25 mm"
    assert ann.value("kept") == "0.25 mm"
    assert ann.value("%motor position;") == ""
    assert ann.value("here = %motor position\nhere") == "0.25 mm"


def test_a_cell_runs_its_lines_in_order_and_keeps_all_results(ann: Notebook) -> None:
    """NB-7"""
    ann.value("stage = %motor_login stage_x --no-panel\nstep = 0.25")
    cell = "%%motor -o results\n# out and back\nmove_to {step}\n\nmove_by -0.125  # half way back\nposition"
    assert ann.value(cell) == "0.125 mm"
    assert ann.value("results") == "[0.25 mm, 0.125 mm, 0.125 mm]"


def test_a_cell_stops_at_the_first_line_that_fails(ann: Notebook, authority: Authority) -> None:
    """NB-7"""
    ann.value("stage = %motor_login stage_x --no-panel")
    ann.value("%motor move_to 0.5")
    failed = ann.run("%%motor -o kept\nmove_to 0.25\n\nmove_by 500\nmove_to 0.75\n# back\nhome\nposition")
    assert failed.error == (
        "InvalidRequest: Line 4 (move_by 500): stage_x: 500.25 mm is outside the limits 0 to 100 mm; it has not moved; "
        "line 2 ran, lines 5 to 8 did not."
    )
    assert authority.status()["readback"]["position"] == 0.25
    assert ann.value("kept") == "[0.25 mm]"


def test_no_line_of_a_cell_runs_when_one_of_them_is_wrong(ann: Notebook, authority: Authority) -> None:
    """NB-23"""
    ann.value("stage = %motor_login stage_x --no-panel")
    wrong = ann.run("%%motor\nmove_to 0.5\nmove_to {nowhere}")
    assert wrong.error == (
        "UsageProblem: Line 3 (move_to {nowhere}): {nowhere} has no value here; define it in a cell above, "
        "or correct it; no line ran."
    )
    assert [event["event"] for event in authority.events()][-1] == "lock_acquired"


def test_a_cell_of_one_line_fails_as_the_line_does(ann: Notebook) -> None:
    """NB-52"""
    ann.value("stage = %motor_login stage_x --no-panel")
    assert ann.run("%%motor\nmove_to 500").error == ann.run("%motor move_to 500").error


def test_the_error_of_a_line_in_a_cell_keeps_its_class_its_data_and_its_hint(ann: Notebook) -> None:
    """NB-52"""
    ann.value("stage = %motor_login stage_x --no-panel")
    ann.value(
        "import threading, time\n"
        "def give_back():\n"
        "    while not stage.lock['running']: time.sleep(0.01)\n"
        "    stage.release()\n"
        "threading.Thread(target=give_back).start()"
    )
    refused = ann.run("%%motor\nposition\nmove_to 5\nmove_to 1\nposition")
    assert re.sub(r"\d+ s ago", "5 s ago", refused.error) == (
        "LockLost: Line 4 (move_to 1): Your lock on stage_x ended 5 s ago because it was given back; log in again "
        "to go on (%motor_login stage_x); lines 2 and 3 ran, line 5 did not."
    )
    assert ann.value("import sys; (sys.last_value.code, sys.last_value.data['equipment_id'])") == (
        "('lock_lost', 'stage_x')"
    )


def test_an_interrupt_of_a_cell_says_which_lines_ran(ann: Notebook, authority: Authority) -> None:
    """NB-52 NB-10"""
    ann.value("stage = %motor_login stage_x --no-panel")
    moving = ann.start("%%motor\nmove_to 0.5\nmove_to 100\nhome\nposition")
    wait_until(lambda: (authority.status()["running"] or {}).get("parameters") == {"position": 100.0}, "line 3 runs")
    for _ in range(3):
        ann.interrupt()
    assert ann.finish(moving).error == (
        "Interrupted: Line 3 (move_to 100): You interrupted move_to of stage_x; stage_x was stopped; "
        "line 2 ran, lines 4 and 5 did not."
    )
    assert not authority.status()["readback"]["moving"]


def test_a_stop_by_somebody_says_which_lines_ran(ann: Notebook, authority: Authority) -> None:
    """NB-52"""
    ann.value("stage = %motor_login stage_x --no-panel")
    moving = ann.start("%%motor\nmove_to 100\nhome")
    wait_until(lambda: authority.status()["readback"]["moving"], "the motor moves")
    authority.person("Bob").stop("the laser is on")
    stopped = ann.finish(moving).error
    assert stopped.startswith("CommandStopped: Line 2 (move_to 100): Bob stopped stage_x (stopped at ")
    assert stopped.endswith("); line 3 did not run.")


def test_a_line_that_takes_too_long_is_stopped(ann: Notebook, authority: Authority) -> None:
    """NB-53"""
    ann.value("stage = %motor_login stage_x --no-panel")
    late = ann.run("%%motor --timeout 1s\nposition\nmove_to 100\nhome")
    assert late.error == (
        "CommandTimedOut: Line 3 (move_to 100): move_to of stage_x took longer than 1 s; stage_x was stopped; "
        "line 2 ran, line 4 did not."
    )
    assert not authority.status()["readback"]["moving"]
    stopped = [event for event in authority.events() if event["event"] == "stopped"]
    assert stopped[-1]["reason"] == "move_to took longer than its user allowed"
    assert ann.value("%motor move_to 0.5 --timeout 2min") == "0.5 mm"


def test_what_is_not_waited_for_goes_on_and_can_be_waited_for(ann: Notebook, authority: Authority) -> None:
    """NB-54"""
    ann.value("stage = %motor_login stage_x --no-panel")
    ann.value("%motor move_to 0")
    sent = ann.run("%%motor --no-wait -o kept\nposition\nmove_to 3")
    assert sent.stdout.endswith("\nmove_to 3  →  sent\n")
    assert (
        sent.value
        == "move_to(position=3) of stage_x was sent; .wait() gives its value, .done tells whether it is over."
    )
    assert authority.status()["readback"]["moving"]
    assert ann.value("move = kept[1]; kept[0], move.done") == "(0.0 mm, False)"
    early = ann.run("move.wait(timeout=0.01)")
    assert (
        early.error
        == "StillRuns: move_to(position=3) of stage_x is not over; it goes on, and .wait() waits for it again."
    )
    assert ann.value("move.wait(), move.wait(), move.done") == "(3.0 mm, 3.0 mm, True)"
    assert ann.value("move") == "move_to(position=3) of stage_x is done: 3."
    moves = [x for x in authority.events() if x["event"] == "command_started" and x["parameters"] == {"position": 3.0}]
    assert len(moves) == 1


def test_waiting_for_what_was_stopped_raises_what_became_of_it(ann: Notebook, authority: Authority) -> None:
    """NB-54"""
    ann.value("stage = %motor_login stage_x --no-panel")
    ann.value("move = %motor move_to 100 --no-wait")
    authority.person("Bob").stop("the laser is on")
    stopped = ann.run("move.wait()")
    assert (stopped.ename, "Bob stopped stage_x" in stopped.error) == ("CommandStopped", True)
    assert ann.value("move").startswith("move_to(position=100) of stage_x ended as stopped: Bob stopped stage_x")


# A line before the wait would not do: the interrupt could come while that line still runs.
SAYS_WHEN_IT_WAITS = """
import sys, threading, time, traceback
def say_when_it_waits(cell):
    while "command_call.py" not in str(traceback.extract_stack(sys._current_frames()[cell])):
        time.sleep(0.01)
    print("waits")
threading.Thread(target=say_when_it_waits, args=[threading.get_ident()]).start()
"""


def test_an_interrupt_while_waiting_for_what_was_sent_stops_the_motor(ann: Notebook, authority: Authority) -> None:
    """NB-54 NB-10"""
    ann.value("stage = %motor_login stage_x --no-panel")
    ann.value("move = %motor move_to 100 --no-wait")
    ann.value("%motor position --no-wait")
    waiting = ann.start(SAYS_WHEN_IT_WAITS + "move.wait()")
    ann.wait_for_text(waiting, "waits")
    ann.interrupt()
    assert ann.finish(waiting).error == "Interrupted: You interrupted move_to of stage_x; stage_x was stopped."
    assert not authority.status()["readback"]["moving"]


def test_options_stand_on_the_line_in_any_order_and_exclude_each_other_in_a_sentence(ann: Notebook) -> None:
    """NB-51"""
    ann.value("stage = %motor_login stage_x --no-panel")
    ann.value("longest = 20")
    assert ann.value("%%motor --timeout {longest}s -o kept stage_x\nmove_to 0.5") == "0.5 mm"
    assert ann.value("kept") == "[0.5 mm]"
    assert ann.run("%motor move_to 1 --no-wait --timeout 5").error == (
        "UsageProblem: What --no-wait does not wait for, --timeout cannot end; leave one of the two out."
    )


def test_a_cell_with_a_line_beyond_a_limit_moves_nothing(ann: Notebook, authority: Authority) -> None:
    """NB-56"""
    ann.value("stage = %motor_login stage_x --no-panel")
    refused = ann.run("%%motor\nmove_to 0.5\nmove_by 0.25\nset_velocity 10\nmove_to 500\nposition")
    assert (refused.error, refused.stdout, refused.shown) == (
        "InvalidRequest: Line 5 (move_to 500): stage_x: 500 mm is outside the limits 0 to 100 mm; it has not moved; "
        "no line ran.",
        "",
        [],
    )
    assert [event["event"] for event in authority.events()][-1] == "lock_acquired"


def test_a_cell_whose_lines_build_on_each_other_is_not_refused_beforehand(ann: Notebook) -> None:
    """NB-56"""
    ann.value("stage = %motor_login stage_x --no-panel")
    ann.value("%motor move_to 0.5")
    assert ann.value("%%motor\nmove_to 1\nmove_by -0.75\nmove_by 0.25") == "0.5 mm"


def test_a_cell_that_may_not_move_reads_nothing_either(ann: Notebook, authority: Authority) -> None:
    """NB-56"""
    ann.value("stage = %motor_login stage_x --no-panel")
    authority.person("Bob").stop("the laser is on")
    refused = ann.run("%%motor\nposition\nmove_to 1\nhome")
    assert re.fullmatch(
        r"StoppedBySomebody: Line 3 \(move_to 1\): Bob stopped stage_x \d s ago \(the laser is on\); resume it, "
        r"or log in again \(%motor_resume stage_x\); no line ran\.",
        refused.error,
    )


def test_a_dry_run_says_that_all_lines_would_be_accepted_and_sends_none(ann: Notebook, authority: Authority) -> None:
    """NB-55"""
    ann.value("stage = %motor_login stage_x --no-panel")
    ann.value("%motor move_to 0.5")
    before = authority.events()
    dry = ann.run("%%motor --dry-run -o never\nmove_to 1\nposition")
    assert (dry.error, dry.stdout, dry.value, dry.shown) == (
        "",
        "All 2 lines would be accepted now; nothing was sent.\n",
        None,
        [],
    )
    assert ann.run("%motor move_to 1 --dry-run").stdout == "It would be accepted now; nothing was sent.\n"
    assert ann.run("%%motor --dry-run\nmove_to 1\nmove_by -0.75").stdout == (
        "1 of 2 lines would be accepted now; nothing was sent:\n"
        "  Line 3 (move_by -0.75): stage_x: -0.25 mm is outside the limits 0 to 100 mm; it has not moved; "
        "the lines before it may change that.\n"
    )
    assert ann.run("%%motor --dry-run\n# nothing").stdout == "There is no command in it; nothing was sent.\n"
    assert authority.events() == before
    assert ann.run("never").ename == "NameError"


def test_a_dry_run_says_of_every_line_what_is_wrong(ann: Notebook, authority: Authority) -> None:
    """NB-55"""
    ann.value("stage = %motor_login stage_x --no-panel")
    before = authority.events()
    wrong = ann.run("%%motor --dry-run\nmove_to 1\nmove_to 500\nmvoe_to 3\nmove_to {x}\nposition")
    assert (wrong.status, wrong.error) == (
        "error",
        "DryRunRefused: 2 of 5 lines would be accepted now; nothing was sent:\n"
        "  Line 3 (move_to 500): stage_x: 500 mm is outside the limits 0 to 100 mm; it has not moved.\n"
        "  Line 4 (mvoe_to 3): stage_x has no command mvoe_to; did you mean move_to (it has home, move_by, move_to, "
        "park, position, set_velocity, status)?\n"
        "  Line 5 (move_to {x}): {x} has no value here; define it in a cell above, or correct it.",
    )
    assert authority.events() == before
    assert ann.run("%motor stage_y move_to 1 --dry-run").error == (
        "DryRunRefused: It would be refused now; nothing was sent:\n"
        "  move_to 1: You do not hold stage_y; nobody does: log in to it first (%motor_login stage_y)."
    )


def test_a_running_cell_shows_a_bar_and_leaves_plain_text(ann: Notebook) -> None:
    """NB-57"""
    ann.value("stage = %motor_login stage_x --no-panel")
    ann.value("%motor move_to 0")
    began = time.monotonic()
    ran = ann.run("%%motor\nposition\nmove_to 12.5\nmove_to position=2.5")
    took = time.monotonic() - began
    assert ran.stdout == "position  →  0 mm\nmove_to 12.5  →  12.5 mm\nmove_to position=2.5  →  2.5 mm\n"
    assert (ran.value, ran.shown) == ("2.5 mm", [{"text/plain": ""}])
    bar, last = ran.updates
    assert re.fullmatch(r"move_to 12\.5: \d+\.\d{3} → 12\.5 mm \(\d+%\)", bar["text/plain"])
    assert last == {"text/plain": ""}
    assert 2 <= len(ran.bars) <= took / 0.25
    assert re.search(r'<progress max="1" value="0\.\d{3}" .* aria-label="move_to 12\.5">', ran.bars[0])
    assert re.search(r"move_to 12\.5: \d+\.\d{3} → 12\.5 mm \(\d+%\)", ran.bars[0])
    assert "var(--jp-" in ran.bars[0]


def test_a_failed_line_and_those_that_did_not_run_stay_as_plain_text(ann: Notebook, authority: Authority) -> None:
    """NB-57 NB-96"""
    ann.value("stage = %motor_login stage_x --no-panel")
    moving = ann.start("%%motor\nposition\nmove_to 100\nhome\nposition")
    wait_until(lambda: authority.status()["readback"]["moving"], "the motor moves")
    ann.interrupt()
    stopped = ann.finish(moving)
    position = stopped.stdout.splitlines()[0]
    assert stopped.stdout == f"{position}\nmove_to 100  →  stopped\nnot run: home, position\n"
    stop = [event for event in authority.events() if event["event"] == "stopped"][-1]
    assert stop["reason"] == "the cell that moved it was interrupted"
    assert stopped.updates[-1:] in ([], [{"text/plain": ""}])


def test_text_of_users_is_escaped_in_the_bar() -> None:
    """NB-57 NB-16"""
    line = Line("say <b>", Command({"name": "say", "kind": "control", "parameters": []}), {})
    shown = bar_of(line, {"readback": {"fraction": None, "position": 1.0, "units": "<mm>"}})
    assert shown["text/plain"] == "say <b>: 1.000 <mm>"
    assert "<b>" not in shown["text/html"]
    assert "&lt;mm&gt;" in shown["text/html"]
    assert "value=" not in shown["text/html"]


@pytest.mark.parametrize("cell", ["%%motor stage_x;\nposition", "%%motor\nposition;  # quiet", "%motor position;"])
def test_a_semicolon_at_the_end_silences(ann: Notebook, cell: str) -> None:
    """NB-59"""
    ann.value("stage = %motor_login stage_x --no-panel")
    ann.value("%motor position")
    quiet = ann.run(cell)
    assert (quiet.status, quiet.value, quiet.stdout, quiet.shown) == ("ok", None, "", [])


def test_a_name_is_asked_for_when_two_are_held(ann: Notebook) -> None:
    ann.value("stage = %motor_login stage_x --no-panel")
    ann.value("other = %motor_login stage_y --no-panel")
    which = "UsageProblem: This kernel is logged in to stage_x and stage_y; say which one is meant."
    for cell in ("%%motor\nposition", "%motor position", "%motor_logout", "%motor_resume"):
        assert ann.run(cell).error == which, cell
    assert ann.run("%%motor stage_y\nposition").status == "ok"
    assert ann.run("%motor_stop").stdout == "stage_x was stopped and stage_y was stopped.\n"


def test_a_misspelt_name_and_a_misspelt_command_are_told_apart(ann: Notebook) -> None:
    ann.value("stage = %motor_login stage_x --no-panel")
    assert "stage_x has no command postion" in ann.run("%motor postion").error
    assert "stage_x has no command mvoe_to" in ann.run("%motor stage_x mvoe_to 1").error
    assert ann.run("%motor stage_z move_to 1").error.startswith("UnknownName: stage_z is not here; there is stage_x")


def test_variables_of_a_function_are_filled_into_a_line(ann: Notebook) -> None:
    ann.value("stage = %motor_login stage_x --no-panel")
    ann.value("def go(where):\n    return get_ipython().run_line_magic('motor', 'move_to {where}')")
    assert ann.value("where = 7; go(0.5)") == "0.5 mm"


def test_a_name_without_a_value_logs_in_to_nothing(ann: Notebook, authority: Authority) -> None:
    assert ann.run("%motor_login {undefined}").ename == "UsageProblem"
    assert authority.call("GET", "/locks/sessions")["count"] == 0


def test_switches_and_texts_reach_the_equipment_as_declared(ann: Notebook, authority: Authority) -> None:
    ann.value("ps = %motor_login ps_abc123 --no-panel")
    ann.value("%%motor\nset_voltage 5\nset_output true")
    assert ann.value("ps.get_voltage()") == "5.0 V"
    started = [event for event in authority.events("ps_abc123") if event["event"] == "command_started"]
    assert [event["parameters"] for event in started][-2:] == [
        {"voltage": 5.0, "channel": 1},
        {"enabled": True, "channel": 1},
    ]


# Stop


def test_an_interrupt_of_a_move_stops_the_motor(ann: Notebook, authority: Authority) -> None:
    """NB-10 NB-11"""
    ann.value("stage = %motor_login stage_x --no-panel")
    moving = ann.start("%motor move_to 100")
    wait_until(lambda: authority.status()["readback"]["moving"], "the motor moves")
    ann.interrupt()
    stopped = ann.finish(moving)
    assert stopped.error == "Interrupted: You interrupted move_to of stage_x; stage_x was stopped."
    assert not authority.status()["readback"]["moving"]
    assert authority.status()["holder"]["user"] == "ann"
    assert ann.run("stage.move_by(0.1)").status == "ok"


def test_a_second_click_does_not_break_the_stop(ann: Notebook, authority: Authority) -> None:
    """NB-10"""
    ann.value("stage = %motor_login stage_x --no-panel")
    moving = ann.start("stage.move_to(100)")
    wait_until(lambda: authority.status()["readback"]["moving"], "the motor moves")
    for _ in range(5):
        ann.interrupt()
    assert ann.finish(moving).ename == "Interrupted"
    assert not authority.status()["readback"]["moving"]


def test_an_interrupt_of_the_users_own_code_stops_what_moves_here(ann: Notebook, authority: Authority) -> None:
    """NB-10"""
    ann.value("stage = %motor_login stage_x --no-panel")
    ann.value("import threading, time; mover = threading.Thread(target=lambda: stage.move_to(100))")
    ann.value("threading.excepthook = lambda args: None")
    running = ann.start("mover.start()\nwhile True: time.sleep(0.05)")
    wait_until(lambda: authority.status()["readback"]["moving"], "the motor moves")
    ann.interrupt()
    out = ann.finish(running)
    assert out.ename == "KeyboardInterrupt"
    assert "You interrupted the cell; stage_x was stopped.\n" in out.stdout
    assert not authority.status()["readback"]["moving"]


def test_an_interrupt_of_other_code_leaves_somebody_elses_motor_alone(ann: Notebook, authority: Authority) -> None:
    bob = authority.person("Bob")
    bob.acquire()
    body = {"command_id": "1", "equipment_id": "stage_x", "action": "move_to", "parameters": {"position": 100}}
    mover = threading.Thread(
        target=authority.call, args=("POST", "/equipment/stage_x/command", body | {"session_id": bob.session_id})
    )
    ann.value("stage = %motor_login stage_x --watch --no-panel")
    mover.start()
    wait_until(lambda: authority.status()["readback"]["moving"], "Bob's motor moves")
    running = ann.start("import time\nprint('on')\nwhile True: time.sleep(0.05)")
    ann.wait_for_text(running, "on")
    ann.interrupt()
    assert ann.finish(running).ename == "KeyboardInterrupt"
    assert authority.status()["readback"]["moving"]
    bob.stop()
    mover.join()


def test_stop_needs_no_login_and_resume_lets_the_holder_go_on(ann: Notebook, authority: Authority) -> None:
    """NB-9"""
    bob = authority.person("Bob")
    ann.value("stage = %motor_login stage_x --no-panel")
    bob.stop("the laser is on")
    refused = ann.run("%motor move_to 1")
    assert (refused.ename, "Bob" in refused.error) == ("StoppedBySomebody", True)
    assert refused.error.endswith("log in again (%motor_resume stage_x).")
    assert ann.run("%motor_resume").stdout == "stage_x takes commands again.\n"
    assert ann.run("%motor move_to 0.5").status == "ok"
    assert ann.run("%motor_stop stage_y").stdout == "stage_y was stopped.\n"
    assert ann.run("%motor_stop").stdout == "stage_x was stopped.\n"


# What is shown


def test_status_of_all_is_one_line_each_and_of_one_is_complete(ann: Notebook, authority: Authority) -> None:
    """NB-9"""
    authority.person("Bob").acquire(equipment_id="stage_y")
    everything = ann.run("%motor_status").stdout.splitlines()
    assert [line for line in everything if "stage_y" not in line] == [
        "stage_x is free.",
        "ps_abc123 is free.",
        "scope_123 is free.",
    ]
    assert everything[1].startswith("Bob has stage_y since ")
    one = ann.run("%motor_status stage_x").stdout
    assert one.startswith("stage_x is free.\n  reads: ")


def test_a_status_that_is_kept_is_rows_and_shows_nothing_until_it_is_asked_for(
    ann: Notebook, authority: Authority
) -> None:
    """NB-27"""
    authority.person("Bob").acquire(equipment_id="stage_y")
    kept = ann.run("rows = %motor_status")
    assert (kept.status, kept.stdout, kept.value) == ("ok", "", None)
    assert ann.value("[(row['equipment'], row['state'], row['holder']) for row in rows[:2]]") == (
        "[('stage_x', 'free', None), ('stage_y', 'held', 'Bob')]"
    )
    assert ann.value("rows[1]['since'].utcoffset() is not None") == "True"
    assert ann.value("rows").startswith("stage_x is free.\nBob has stage_y since ")
    assert ann.value("both = %motor_status stage_x scope_123\n[row['equipment'] for row in both]") == (
        "['stage_x', 'scope_123']"
    )


@pytest.mark.parametrize(
    "cell", ["%motor_status stage_x", "%motor_status stage_x\n1;", "if True:\n    %motor_status stage_x"]
)
def test_a_status_that_is_not_kept_is_shown_once_wherever_it_stands(ann: Notebook, cell: str) -> None:
    """NB-27"""
    shown = ann.run(cell)
    assert (shown.stdout.count("stage_x is free."), shown.value) == (1, None)


def test_the_newest_events_are_lines_or_when_they_are_kept_rows(ann: Notebook) -> None:
    """NB-28"""
    ann.value("stage = %motor_login stage_x --no-panel\nstage.move_to(0.5)")
    started, finished = ann.run("%motor_events --last 2").stdout.splitlines()
    assert started.endswith("  ann started move_to(position=0.5) on stage_x")
    assert finished.endswith("  ann's move_to on stage_x is done")
    assert ann.run("events = %motor_events stage_x").stdout == ""
    assert ann.value("len(events) > 2, events[-2]['parameters.position'], events[-1]['outcome']") == (
        "(True, 0.5, 'done')"
    )
    assert ann.value("events[-1]['time'].utcoffset() is not None") == "True"


def test_events_are_asked_for_by_a_number_that_the_authority_gives(ann: Notebook) -> None:
    """NB-28"""
    assert ann.run("%motor_events stage_x --last 1001").ename == "InvalidRequest"
    assert ann.run("%motor_events stage_x --last few").error.startswith("UsageProblem: --last of %motor_events takes")
    assert ann.run("%motor_events stage_z").ename == "UnknownName"


def test_the_panel_can_be_shown_again(ann: Notebook) -> None:
    """NB-9"""
    ann.value("stage = %motor_login stage_x --no-panel")
    assert ann.run("%motor_panel stage_x").panels == 1
    assert ann.run("%motor_panel stage_y").panels == 1


def test_news_are_told_at_the_next_cell_boundary(ann: Notebook, authority: Authority) -> None:
    ann.value("stage = %motor_login stage_x --no-panel")
    authority.person("Bob").release(force=True)
    said = ""

    def told() -> str:
        nonlocal said
        said += ann.run("1 + 1").stdout
        return said

    wait_until(told, "the kernel says that the lock is lost")
    assert said.count("\n") == 1
    assert said.startswith("Your lock on stage_x ended at ")
    assert ann.run("%motor stage_x move_to 1").error.endswith("log in again to go on (%motor_login stage_x).")


def test_news_that_come_while_a_cell_runs_are_told_at_its_end(ann: Notebook, authority: Authority) -> None:
    ann.value("stage = %motor_login stage_x --no-panel")
    ann.value("import time; held = get_ipython().magics_manager.registry['MotorMagics'].session.mirror.held")
    running = ann.start("while held():\n    time.sleep(0.01)")
    authority.person("Bob").release(force=True)
    assert ann.finish(running).stdout.startswith("Your lock on stage_x ended at ")


def test_news_after_an_error_begin_on_a_line_of_their_own(ann: Notebook, authority: Authority) -> None:
    ann.value("stage = %motor_login stage_x --no-panel")
    ann.value("import time; held = get_ipython().magics_manager.registry['MotorMagics'].session.mirror.held")
    running = ann.start("print('waits', flush=True)\nwhile held():\n    time.sleep(0.01)\nraise ValueError")
    ann.wait_for_text(running, "waits")
    authority.person("Bob").release(force=True)
    out = ann.finish(running)
    assert out.ename == "ValueError"
    assert out.stdout.startswith("\nYour lock on stage_x ended at ")


@pytest.mark.parametrize("login_in_the_same_cell", [False, True])
def test_others_see_that_a_cell_runs_here(ann: Notebook, authority: Authority, login_in_the_same_cell: bool) -> None:
    login, loop = "stage = %motor_login stage_x --no-panel", "import time\nwhile True: time.sleep(0.05)"
    if login_in_the_same_cell:
        running = ann.start(f"{login}\n{loop}")
        wait_until(lambda: authority.status()["state"] == "held", "Ann has logged in")
    else:
        ann.value(login)
        running = ann.start(loop)
    wait_until(lambda: authority.status()["holder"]["busy"], "the holder is shown as busy")
    ann.interrupt()
    ann.finish(running)
    wait_until(lambda: not authority.status()["holder"]["busy"], "the holder is shown as idle")


@pytest.mark.parametrize("magic", ALL)
def test_each_magic_explains_itself(ann: Notebook, magic: str) -> None:
    assert f"%{magic}" in ann.help(f"%{magic}")


@pytest.mark.parametrize("magic", sorted(OPTIONS))
def test_the_help_explains_every_option_and_has_an_example(ann: Notebook, magic: str) -> None:
    """NB-51"""
    text = ann.help(f"%{magic}")
    for option in OPTIONS[magic]:
        assert f"[{option.typed}" in text, option.typed
        assert re.search(rf"^ *{option.typed}( [A-Z]+)?  +\w", text, re.MULTILINE), option.typed
        assert option.value is None or re.search(rf"{option.typed} [^A-Z\s]", text), f"no example of {option.typed}"


# Completion


def test_tab_offers_names_options_commands_and_parameters(ann: Notebook) -> None:
    ann.value("stage = %motor_login stage_x --no-panel")
    wait_until(lambda: "stage_y" in ann.complete("%motor_login st"), "the feed has told the names")
    assert ann.complete("%motor_login st") == ["stage_x", "stage_y"]
    assert ann.complete("%motor_login stage_x --w") == ["--wait", "--watch"]
    assert ann.complete("%motor_events st") == ["stage_x", "stage_y"]
    assert ann.complete("%motor_events stage_x --") == ["--ids", "--last"]
    assert ann.complete("%motor mo") == ["move_by", "move_to"]
    assert ann.complete("%motor stage_x pos") == ["position"]
    assert ann.complete("%%motor\nmove_to 1\nho") == ["home"]
    assert ann.complete("%%motor stage_x\nmove_to ") == ["position="]
    assert ann.complete("%motor move_to 1 --") == ["--dry-run", "--no-wait", "--timeout"]
    assert ann.complete("%%motor --no-wait st") == ["stage_x", "stage_y"]
    assert "move_to" not in ann.complete("%%motor mo")
    assert "stage_y" not in ann.complete("%motor move_to 1 --timeout st")
    assert ann.complete("stage = %motor_login stage_x st") == ["stage_y"]
    assert ann.complete("stage.mov") == ["move_by", "move_to"]


def test_tab_on_a_handle_offers_its_commands_first_and_says_what_each_is(ann: Notebook) -> None:
    """NB-94"""
    ann.value("stage = %motor_login stage_x --no-panel\nother = 3")
    offered = dict(zip(ann.complete("print(stage."), ann.labels("print(stage."), strict=True))
    assert list(offered)[:4] == ["home", "move_by", "move_to", "park"]
    kinds = [offered[name] for name in ("move_to", "stop", "reading")]
    assert kinds == ["command", "function", "property"]
    assert list(offered.values()) == sorted(offered.values(), key=lambda kind: kind != "command")
    assert "real" in " ".join(ann.complete("other."))


def test_tab_offers_choices_and_the_users_variables(ann: Notebook) -> None:
    """NB-58"""
    ann.value("ps = %motor_login ps_abc123 --no-panel\nimport math\nfar = 5.0\nfast = 2\ndef fun(): pass")
    assert ann.complete("%%motor ps_abc123\nset_output ") == ["channel=", "enabled=", "false", "true"]
    assert ann.complete("%%motor ps_abc123\nset_output enabled=t") == ["enabled=true"]
    assert ann.complete("%%motor\nset_voltage {f") == ["far", "fast"]
    assert ann.complete("%motor set_voltage voltage={fa") == ["far", "fast"]
    assert "voltage=" not in ann.complete("%%motor\nset_voltage 5 vol")
    assert "math" not in ann.complete("%motor set_voltage {")
    assert "fun" not in ann.complete("%motor set_voltage {")


def test_what_tab_offers_is_labelled(ann: Notebook) -> None:
    """NB-58"""
    ann.value("stage = %motor_login stage_x --no-panel\nfar = 5.0")
    wait_until(lambda: "stage_y" in ann.complete("%motor_login st"), "the feed has told the names")
    labels = {
        "%motor move_t": "command",
        "%motor stage": "equipment",
        "%motor --t": "option",
        "%motor move_to po": "parameter",
        "%motor move_to {fa": "variable",
        "%%motor\nhom": "command",
    }
    for cell, label in labels.items():
        assert set(ann.labels(cell)) == {label}, cell


def test_tab_and_other_cells_never_wait_for_a_hanging_authority(
    start_kernel: Callable[..., Kernel], deaf_address: tuple[str, list[socket.socket]]
) -> None:
    """NB-19"""
    url, connections = deaf_address
    notebook = Notebook(start_kernel(MOTORLOCK_URL=url))
    assert "stage_x" not in notebook.complete("%motor_login st")
    assert notebook.value("1 + 1") == "2"
    assert connections == []
    began = time.monotonic()
    hanging = notebook.run("%motor_login stage_x")
    print(f"told after {time.monotonic() - began:.2f} s")
    assert hanging.error.startswith(f"Unreachable: No motorlock authority answers at {url}")
    asked = len(connections)
    assert notebook.value("1 + 1") == "2"
    assert "move_to" not in notebook.complete("%motor stage_x mo")
    assert len(connections) == asked


# Loading


def test_loading_sends_nothing_and_a_second_time_changes_nothing(ann: Notebook, authority: Authority) -> None:
    ann.value("%load_ext jupyter_motorlock")
    ann.value("import jupyter_motorlock; jupyter_motorlock.load_ipython_extension(get_ipython())")
    assert ann.value("len(get_ipython().Completer.custom_matchers)") == "1"
    assert ann.value("[type(c).__name__ for c in get_ipython().configurables].count('MotorMagics')") == "1"
    assert authority.call("GET", "/locks/sessions")["count"] == 0
