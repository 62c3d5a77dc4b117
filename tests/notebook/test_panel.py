"""The panel in a real kernel, seen as a front end sees it: by the kernel's messages."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest
from front import Front
from real_lab import Authority, Kernel

from jupyter_motorlock.client.session import KernelSession
from jupyter_motorlock.notebook.panel import Panel

# A session that does nothing but tell: what the panel sends can then be counted.
TELLING = """
import threading, time
from types import SimpleNamespace
from IPython.display import display
from jupyter_motorlock.notebook import panel as panel_module
from jupyter_motorlock.notebook.panel import Panel

class Clock:
    ahead = 0.0

    def monotonic(self):
        return time.monotonic() + self.ahead

panel_module.time = clock = Clock()

def timers():
    return [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]

class Telling:
    session_id, done, error, delivered, seq = "s-ann", [], None, True, 100
    link = SimpleNamespace(feed_alive=True, busy=False)
    mirror = SimpleNamespace(rights={})
    now = {"equipment_id": "stage_x", "state": "held", "claimed": True, "queue": [], "queue_length": 0,
           "holder": {"session_id": "s-ann", "user": "Ann"},
           "ending": {"text": "released unless used", "at": "2026-11-21T14:32:00+00:00", "in_seconds": 250.0},
           "readback": {"position": 1.0, "units": "mm", "moving": True}}

    def subscribe(self, callback):
        self.tell = callback
        return lambda: self.done.append("unwatched")

    def status(self, equipment_id):
        return self.now

    def newest_events(self, equipment_id, last):
        asked = {"timestamp": "2026-11-21T14:02:00+00:00", "event": "asked", "equipment_id": equipment_id}
        return [{**asked, "seq": number, "text": f"Bob {number} asks Ann for stage_x (<b>)"} for number in range(1, 8)]

    def says(self, **changes):
        self.now = {**self.now, **changes}
        self.tell("stage_x", self.now, None)

    def happens(self, event, **fields):
        self.seq += 1
        known = {"seq": self.seq, "timestamp": "2026-11-21T14:03:00+00:00", "equipment_id": "stage_x", "user": "Ann"}
        self.tell("stage_x", self.now, {**known, "event": event, **fields})

    def reads(self, position):
        self.says(readback={"position": position, "units": "mm", "moving": True})

    def _do(self, action):
        if self.error:
            raise self.error
        self.done.append(action)

    def acquire(self, equipment_id, *, queue=False, note=None, mode="exclusive"):
        self._do(f"acquire {mode} {queue} {note}")
        return {"status": "queued"}

    def claim(self, equipment_id): self._do("claim")
    def leave(self, equipment_id): self._do("leave")
    def resume(self, equipment_id): self._do("resume")
    def keep(self, equipment_id, seconds, note): self._do(f"keep {seconds} {note}")
    def hand_over(self, equipment_id, to): self._do(f"hand over {to}")
    def ask(self, equipment_id, reason): self._do(f"ask {reason}")
    def swap(self, equipment_id, to): self._do(f"swap {to}")
    def clear_fault(self, equipment_id, reason): self._do(f"clear {reason}")

    def release(self, equipment_id, *, force=False, reason=None):
        self._do(f"force {reason}" if force else "release")

    def answer(self, equipment_id, to, answer, *, seconds=None, note=None):
        self._do(f"answer {to} {answer} {seconds} {note}")

    def stop(self, equipment_id):
        self._do("stop")
        return {"delivered": self.delivered}

session = Telling()
panel = Panel(session, "stage_x")
display(panel.widget)
"""
MOVING = """
import time
for step in range(100):
    session.reads(2.0 + step)
    time.sleep(0.02)
"""
UNTIL_STOPPED = """
import time
give_up = time.monotonic() + 30
while "stop" not in session.done:
    assert time.monotonic() < give_up, "no click came while the cell ran"
    time.sleep(0.01)
"""
SCANNING = """
import time
for step in range(50):
    session.says(running={"action": "step", "parameters": {"number": step}}, ending=None)
    time.sleep(0.01)
    if step < 49:
        session.says(running=None, ending={"text": "released unless used", "in_seconds": 300.0, "at": str(step)})
        time.sleep(0.01)
"""
RUNNING_OUT = """
soon = {"text": "offered unless used", "at": "2026-11-21T14:32:00+00:00", "in_seconds": 0.1}
later = {**soon, "at": "2026-11-21T15:32:00+00:00", "in_seconds": 3600.0}
panel.close()
for timer in timers():
    timer.join()
session.asked = 0

def status(equipment_id):
    session.asked += 1
    return session.now

session.status = status
session.now = {**session.now, "ending": soon}
panel = Panel(session, "stage_x", status=session.now)
display(panel.widget)
session.now = {**session.now, "ending": {**soon, "in_seconds": 0.0}}
"""
SETTLED = "clock.ahead += 100.0"  # as if the buttons had changed long ago


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    place = str(tmp_path_factory.mktemp("kernel"))
    running = Kernel({**os.environ, "IPYTHONDIR": place, "JUPYTER_RUNTIME_DIR": place})
    yield Front(running)
    running.end()


@pytest.fixture
def front(shared: Front) -> Iterator[Front]:
    """A front end that shows one panel of a telling session, in a kernel that all tests share."""
    shared.run(TELLING)
    yield shared
    shared.run("panel.close()")
    shared.reset()


def test_an_unchanged_panel_sends_nothing(front: Front) -> None:
    """NB-14"""
    front.forget()
    front.run(
        "for left in range(200):\n"
        "    clock.ahead += 100.0  # the limit on how often is another rule\n"
        "    session.says(ending={**session.now['ending'], 'in_seconds': 250.0 - left})"
    )
    front.settle()
    assert front.updates == []


def test_a_change_is_one_message_with_one_html(front: Front) -> None:
    front.forget()
    front.run("session.says(queue_length=2)")
    front.settle()
    assert [list(update) for update in front.updates] == [["value"]]
    assert "2 wait" in front.panel


def test_a_moving_position_is_sent_a_few_times_a_second_and_the_last_one_is_shown(front: Front) -> None:
    front.forget()
    began = time.monotonic()
    front.run(MOVING)
    front.until(lambda: "101.000 mm" in front.panel, "the last position")
    assert 2 <= len(front.updates) <= 2 + (time.monotonic() - began) / 0.25


def test_a_scan_of_quick_commands_is_sent_a_few_times_a_second(front: Front) -> None:
    front.forget()
    began = time.monotonic()
    front.run(SCANNING)
    front.until(lambda: "step(number=49)" in front.panel, "the last command")
    assert len(front.updates) <= 2 + (time.monotonic() - began) / 0.25


def test_what_is_no_motion_is_sent_at_once_while_positions_stream(front: Front) -> None:
    front.forget()
    front.run("session.reads(2.0); session.reads(3.0); session.says(queue_length=1)")
    front.settle()
    assert "one waits" in front.panel
    assert "3.000 mm" in front.panel


def test_the_loss_and_the_return_of_the_feed_are_one_message_each(front: Front) -> None:
    """NB-15"""
    front.forget()
    front.run("session.link.feed_alive = False\nfor _ in range(5): session.tell(None, None, None)")
    front.settle()
    assert len(front.updates) == 1
    assert "No word from the authority" in front.panel
    front.run("session.link.feed_alive = True\nfor _ in range(5): session.tell(None, None, None)")
    front.settle()
    assert len(front.updates) == 2
    assert "No word from the authority" not in front.panel


def test_a_countdown_that_has_run_out_is_asked_about_once_and_is_not_called_stale(front: Front) -> None:
    front.run(RUNNING_OUT)
    front.until(lambda: "offered unless used (since" in front.rows()[-1], "the answer")
    assert "stale" not in front.rows()[-1]
    front.forget()
    front.run("for timer in timers():\n    timer.join()\nassert session.asked == 1")


def test_a_countdown_that_ends_while_its_panel_is_made_is_asked_about(front: Front) -> None:
    """NB-13 IDLE-10"""
    slowly = "newest = session.newest_events\n"
    slowly += "def newest_slowly(*asked):\n    clock.ahead += 1.0\n    return newest(*asked)\n"
    front.run(f"{slowly}session.newest_events = newest_slowly\n{RUNNING_OUT}")
    front.until(lambda: "offered unless used (since" in front.rows()[-1], "the answer")


def test_a_countdown_that_was_put_off_is_not_asked_about_before_its_end(front: Front) -> None:
    front.run(RUNNING_OUT.replace("0.1", "1800.0"))
    front.run("[first] = timers()\nsession.says(ending=later)\nfirst.cancel()\nfirst.join()\nfirst.function()")
    front.run("assert (session.asked, sum(timer.interval > 3000 for timer in timers())) == (0, 1)")


def test_news_of_another_equipment_are_not_shown(front: Front) -> None:
    front.forget()
    front.run("session.tell('stage_y', {**session.now, 'queue_length': 7}, None)")
    front.settle()
    assert front.updates == []


def test_a_move_shows_its_target_and_a_bar_and_a_motion_from_outside_is_told(front: Front) -> None:
    """NB-13"""
    front.run(
        "way = {'position': 20.0, 'units': 'mm', 'moving': True, 'target': 80.0, 'fraction': 0.25}\n"
        "session.says(readback=way, queue_length=1)"
    )
    front.until(lambda: "20.000 → 80 mm" in front.panel, "the target")
    assert '<i style="width:25.0%"></i>' in front.panel
    front.run("session.happens('moved_outside', text='stage_x was moved from outside to 7.25 mm')")
    front.until(lambda: "stage_x was moved from outside to 7.25 mm." in front.panel, "the motion")


def test_stop_is_obeyed_while_a_cell_runs(front: Front) -> None:
    """NB-12"""
    subshell = front.subshell()
    cell = front.start(UNTIL_STOPPED)
    front.click("STOP", subshell=subshell)
    front.finish(cell)
    front.until(lambda: "stop delivered" in front.panel, "the answer to the click")
    assert "running cell" not in front.panel


def test_stop_is_obeyed_in_the_subshell_also_after_the_feed_has_written_to_the_panel(front: Front) -> None:
    subshell = front.subshell()
    cell = front.start(
        "import threading, time\n"
        "news = threading.Thread(target=session.says, kwargs={'queue_length': 3}); news.start(); news.join()\n"
        f"{UNTIL_STOPPED}"
    )
    front.until(lambda: "3 wait" in front.panel, "the news")
    front.click("STOP", subshell=subshell)
    front.finish(cell)


def test_a_stop_that_had_to_wait_for_the_cell_says_how_to_stop_sooner(front: Front) -> None:
    """NB-12"""
    front.click("STOP")
    front.until(lambda: "stop delivered" in front.panel, "the answer to the click")
    assert "use Interrupt or the authority&#x27;s page" in front.panel


@pytest.mark.parametrize("trouble", ["session.delivered = False", "session.error = OSError('no route')"])
def test_a_stop_that_was_not_delivered_sends_to_the_hardware_stop(front: Front, trouble: str) -> None:
    front.run(trouble)
    front.click("STOP")
    front.until(lambda: "use the hardware stop" in front.panel, "the answer to the click")


def test_what_is_wrong_with_a_click_is_shown_in_the_panel_until_it_no_longer_holds(front: Front) -> None:
    """NB-13"""
    front.run("session.error = ValueError('Bob has <it>.')")
    front.click("Release")
    front.until(lambda: "Bob has &lt;it&gt;." in front.panel, "the error")
    front.run("session.says(queue_length=1)")
    front.settle()
    assert "Bob has" not in front.panel
    assert front.printed == ""


ASKED = "queue=[{'queue_id': 'q1', 'user': 'Bob', 'position': 1, 'ask': {'answer': None, 'reason': 'beam'}}]"
BOBS = "holder={'user': 'Bob'}"
MINE = "queue=[{'session_id': 's-ann', 'position': 1, 'queue_id': 'q2'}, {'queue_id': 'q1', 'swap_with': 'q2'}]"


@pytest.mark.parametrize(
    ("says", "typed", "label", "done"),
    [
        ("state='free', holder=None", "", "Request", ["acquire exclusive True None"]),
        ("state='free', holder=None", "align", "Request", ["acquire exclusive True align"]),
        ("claimed=False", "", "Claim", ["claim"]),
        ("", "", "Release", ["release"]),
        (f"{BOBS}, {MINE}", "", "Leave queue", ["leave"]),
        ("stopped_by={'user': 'Bob', 'at': 'now'}", "", "Resume", ["resume"]),
        ("state='fault', holder=None", "looked at it", "Clear fault", ["clear looked at it"]),
        ("", "3h overnight scan", "Keep", ["keep 10800.0 overnight scan"]),
        ("", "0s", "Keep", ["keep 0.0 None"]),
        ("", "", "Watch only", ["acquire observer False None"]),
        (ASKED, "", "Yes, hand over", ["answer q1 yield None None"]),
        (ASKED, "sorry", "No", ["answer q1 no None sorry"]),
        (ASKED, '10min "two more"', "Later", ["answer q1 later 600.0 two more"]),
        (ASKED, "", "Hand over", ["hand over q1"]),
        (BOBS, "five minutes", "Ask", ["acquire exclusive True None", "ask five minutes"]),
        (BOBS, "", "Watch", ["acquire observer False None"]),
        (f"{BOBS}, observers=[{{'session_id': 's-ann'}}]", "", "Stop watching", ["release"]),
        (f"{BOBS}, {MINE}", "", "Swap places", ["swap q1"]),
        (BOBS, "beam time", "Take by force", ["force beam time"]),
    ],
)
def test_a_button_does_what_it_says(front: Front, says: str, typed: str, label: str, done: list[str]) -> None:
    """NB-13 NB-41 NB-42"""
    front.run(f"session.says({says})\n{SETTLED}")
    front.type(typed)
    front.click(label)
    front.run(f"assert session.done == {done!r}, session.done")
    assert front.typed == "", "what was typed for one action must not be sent with the next"


@pytest.mark.parametrize(
    ("says", "typed", "label", "told"),
    [
        ("", "for a while", "Keep", "such as 3h overnight scan, and press Keep again."),
        (ASKED, "", "Later", "such as 10min two more scans, and press Later again."),
        (BOBS, "", "Take by force", "why you take stage_x by force, which Bob is shown"),
        ("state='fault', holder=None", "", "Clear fault", "what you found and did"),
    ],
)
def test_what_a_deed_lacks_is_said_and_what_was_typed_stays(
    front: Front, says: str, typed: str, label: str, told: str
) -> None:
    """NB-42"""
    front.run(f"session.says({says})\n{SETTLED}")
    front.type(typed)
    front.click(label)
    front.until(lambda: told in front.panel, "the sentence")
    front.run("assert session.done == []")
    assert front.typed == typed


def test_a_refused_deed_leaves_what_was_typed(front: Front) -> None:
    """NB-42"""
    front.run(f"session.says({BOBS})\n{SETTLED}\nsession.error = ValueError('Bob is the admin.')")
    front.type("beam time")
    front.click("Take by force")
    front.until(lambda: "Bob is the admin." in front.panel, "the refusal")
    assert front.typed == "beam time"


def test_a_button_that_has_just_changed_its_meaning_is_not_obeyed(front: Front) -> None:
    front.run("session.says(state='free', holder=None)\npanel.click(None)\nassert session.done == []")
    front.settle()
    assert "click again if you mean it" in front.panel


def test_a_second_click_on_a_button_that_no_longer_fits_is_not_obeyed(front: Front) -> None:
    """NB-41"""
    front.run(f"session.says({ASKED})\n{SETTLED}\nsession.says(queue=[])\npanel.click('Yes, hand over')")
    front.run("assert session.done == []")
    assert "click again if you mean it" in front.panel


def test_a_button_that_now_means_somebody_else_is_not_obeyed(front: Front) -> None:
    front.run(f"session.says({ASKED})\n{SETTLED}\nsession.says({ASKED.replace('Bob', 'Carl').replace('q1', 'q7')})")
    front.run("panel.click('Yes, hand over')\nassert session.done == []")
    assert "click again if you mean it" in front.panel
    assert front.words("Yes, hand over") == "Yes, hand over stage_x to Carl now"


def test_only_the_buttons_that_can_be_used_are_seen(front: Front) -> None:
    """NB-41"""
    front.settle()
    assert front.labels() == ["Release", "STOP", "Keep", "Watch only"]
    front.run("session.says(claimed=False)")
    front.settle()
    assert front.labels() == ["Claim", "STOP", "Release"]


def test_more_shows_the_queue_the_newest_events_and_who_watches(front: Front) -> None:
    """NB-43 NB-16"""
    front.run("session.says(observers=[{'user': '<Dora>'}])")
    assert front.more.count("<li") == 1 + 5
    assert "Bob 2" not in front.more
    assert "Bob 3 asks Ann for stage_x (&lt;b&gt;)" in front.more
    assert "Watching: &lt;Dora&gt;" in front.more
    front.run("session.happens('stopped', text='stage_x was stopped by Carl (too close)')")
    assert "Bob 3" not in front.more
    assert "stage_x was stopped by Carl (too close)" in front.more


def test_a_scan_changes_nothing_behind_more(front: Front) -> None:
    """NB-43 NB-14"""
    front.forget()
    front.run(
        "for step in range(20):\n"
        "    session.happens('command_started', action='move_to')\n"
        "    session.happens('command_finished', action='move_to', outcome='done')"
    )
    assert front.updates == []
    front.run("session.happens('command_finished', outcome='failed', text='move_to failed (limit switch)')")
    assert "move_to failed (limit switch)" in front.more


def test_an_ask_is_seen_without_opening_more(front: Front) -> None:
    """NB-42 NB-25"""
    front.settle()
    assert "ml-asked" not in front.panel
    front.run(f"session.says({ASKED})")
    assert "Bob asks you for stage_x (beam)" in front.panel
    assert "ml-asked" in front.panel


def test_a_panel_shown_again_starts_its_countdown_from_now(front: Front) -> None:
    front.forget()
    front.run("clock.ahead += 100\ndisplay(panel.widget)")
    front.settle()
    assert "animation-delay:-359850" in front.panel


def test_a_closed_panel_listens_no_more_and_leaves_no_widget(front: Front) -> None:
    front.forget()
    front.run("panel.close()\nassert session.done == ['unwatched']\nsession.says(queue_length=5)")
    front.settle()
    assert front.closed == set(front.models)
    assert front.updates == []


def test_a_front_end_without_widgets_gets_the_panel_as_text(front: Front) -> None:
    assert front.texts[0].startswith("stage_x is yours")


def test_without_a_front_end_the_panel_is_its_text(authority: Authority) -> None:
    session = KernelSession(authority.url, user="ann")
    panel = Panel(session, "stage_x")
    assert repr(panel.widget).startswith("stage_x is free.")
    panel.close()
    assert not session.link.feed_alive


def test_no_token_is_in_any_widget(authority: Authority, start_kernel: Callable[..., Kernel]) -> None:
    kernel = start_kernel("ann", MOTORLOCK_TOKEN="a-lab-secret")
    front = Front(kernel)
    front.run("%load_ext jupyter_motorlock\nstage = %motor_login stage_x --note 'a note'")
    front.until(lambda: "is yours" in front.panel, "the panel")
    secret = "get_ipython().magics_manager.registry['MotorMagics'].current.client.session_token"
    front.run(f"print({secret})")
    token = front.printed.strip()
    assert len(token) > 10
    everything = str(front.models) + str(front.updates)
    assert "a note" in everything
    assert token not in everything
    assert "a-lab-secret" not in everything
