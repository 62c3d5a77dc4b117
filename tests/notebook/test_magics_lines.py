"""Commands as lines: `%motor` and `%%motor` in a real kernel, and what Tab offers to complete them."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from real_lab import Authority, Kernel
from typed import Notebook, wait_until

from jupyter_motorlock.client.commands import Command
from jupyter_motorlock.notebook.command_lines import Line
from jupyter_motorlock.notebook.progress import bar_of


@pytest.fixture(scope="module")
def authority(one_authority: Authority) -> Authority:
    return one_authority


@pytest.fixture
def ann(fresh_notebook: Notebook) -> Notebook:
    return fresh_notebook


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
    before = len(authority.events())
    sent = ann.run("%%motor --no-wait -o kept\nposition\nmove_to 0.5")
    assert sent.stdout.endswith("\nmove_to 0.5  →  sent\n")
    assert (
        sent.value
        == "move_to(position=0.5) of stage_x was sent; .wait() gives its value, .done tells whether it is over."
    )
    assert ann.value("here, move = kept; here, move.wait(), move.wait(), move.done") == "(0.0 mm, 0.5 mm, 0.5 mm, True)"
    assert ann.value("move") == "move_to(position=0.5) of stage_x is done: 0.5."
    assert [x["event"] for x in authority.events()[before:]].count("command_started") == 1


def test_a_wait_that_ends_too_early_leaves_the_command_running(ann: Notebook, authority: Authority) -> None:
    """NB-54"""
    ann.value("stage = %motor_login stage_x --no-panel")
    ann.value("move = %motor move_to 100 --no-wait")
    wait_until(lambda: authority.status()["readback"]["moving"], "it moves")
    early = ann.run("move.wait(timeout=0.01)")
    assert (
        early.error
        == "StillRuns: move_to(position=100) of stage_x is not over; it goes on, and .wait() waits for it again."
    )
    assert ann.value("move.done") == "False"


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
