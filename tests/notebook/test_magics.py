"""What the magics do, typed into a real kernel against a real authority: log in, stop, look."""

from __future__ import annotations

import re
import threading
import time

import pytest
from real_lab import Authority
from typed import Notebook, wait_until

from jupyter_motorlock.client.interrupt import SWALLOWED_S
from jupyter_motorlock.notebook.options import OPTIONS

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
def authority(one_authority: Authority) -> Authority:
    return one_authority


@pytest.fixture
def ann(fresh_notebook: Notebook) -> Notebook:
    return fresh_notebook


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


# Loading


def test_loading_sends_nothing_and_a_second_time_changes_nothing(ann: Notebook, authority: Authority) -> None:
    ann.value("%load_ext jupyter_motorlock")
    ann.value("import jupyter_motorlock; jupyter_motorlock.load_ipython_extension(get_ipython())")
    assert ann.value("len(get_ipython().Completer.custom_matchers)") == "1"
    assert ann.value("[type(c).__name__ for c in get_ipython().configurables].count('MotorMagics')") == "1"
    assert authority.call("GET", "/locks/sessions")["count"] == 0
