"""Two people, two real kernels, the motors between them: groups, asking, handing over, promising, taking."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from real_lab import Authority, Kernel
from typed import Notebook, wait_until

import jupyter_motorlock
from jupyter_motorlock import EquipmentInUse

LOGIN = "stage = %motor_login stage_x --no-panel"


@pytest.fixture(scope="module")
def authority(one_authority: Authority) -> Authority:
    return one_authority


@pytest.fixture(scope="module")
def kernels(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Notebook]]:
    place = {"IPYTHONDIR": str(tmp_path_factory.mktemp("ipython")), "MOTORLOCK_URL": authority.url}
    started = {name: Kernel({**os.environ, **place, "MOTORLOCK_USER": name}) for name in ("Ann", "Bob")}
    yield {name: Notebook(kernel) for name, kernel in started.items()}
    for kernel in started.values():
        kernel.end()


@pytest.fixture(autouse=True)
def all_free(authority: Authority) -> Iterator[None]:
    """After each test all sessions end, so that no test meets what another one left."""
    yield
    for session in authority.call("GET", "/locks/sessions")["sessions"]:
        authority.call("DELETE", f"/locks/sessions/{session['session_id']}")
    wait_until(lambda: all(x["state"] == "free" for x in authority.call("GET", "/equipment/list")), "all is free again")


@pytest.fixture
def fresh(kernels: dict[str, Notebook], all_free: None) -> Iterator[Callable[[str], Notebook]]:
    """The notebooks as just opened."""
    yield kernels.__getitem__
    for notebook in kernels.values():
        notebook.run("%reload_ext jupyter_motorlock")


@pytest.fixture
def ann(fresh: Callable[[str], Notebook]) -> Notebook:
    return fresh("Ann")


@pytest.fixture
def bob(fresh: Callable[[str], Notebook]) -> Notebook:
    return fresh("Bob")


def until_said(notebook: Notebook, text: str) -> str:
    """Run empty cells until one of them says `text` at its end."""
    heard: list[str] = []

    def said() -> bool:
        out = notebook.run("pass")
        heard.append(out.stdout + out.stderr)
        return text in heard[-1]

    wait_until(said, f"a cell that says {text!r}")
    return heard[-1]


def test_two_motors_are_taken_together_and_given_back_together(ann: Notebook, authority: Authority) -> None:
    """NB-26"""
    login = ann.run("x, y = %motor_login stage_x stage_y --note map")
    assert (login.stdout, login.panels) == ("stage_x and stage_y are yours.\n", 1)
    assert ann.value("x.move_to(1), y.move_to(2)") == "(1.0 mm, 2.0 mm)"
    assert ann.run("%motor_logout stage_x stage_y").stdout == "You gave stage_x back.\nYou gave stage_y back.\n"
    assert [authority.call("GET", f"/locks/status/{name}")["state"] for name in ("stage_x", "stage_y")] == ["free"] * 2


def test_of_two_motors_one_in_use_none_is_taken_and_the_holder_is_named(ann: Notebook, authority: Authority) -> None:
    """NB-26"""
    authority.person("Cem").acquire(equipment_id="stage_y")
    refused = ann.run("x, y = %motor_login stage_x stage_y --no-panel")
    assert refused.ename == "EquipmentInUse"
    assert "Cem has had stage_y for" in refused.error
    assert authority.status()["state"] == "free"


def test_one_who_waits_for_two_gets_both_at_once(ann: Notebook, authority: Authority) -> None:
    """NB-26"""
    cem = authority.person("Cem")
    cem.acquire(equipment_id="stage_y")
    waiting = ann.start("x, y = %motor_login stage_x stage_y --wait --no-panel")
    wait_until(lambda: authority.status()["queue_length"] == 1, "Ann waits")
    cem.release(equipment_id="stage_y")
    assert ann.finish(waiting).stdout == "stage_x and stage_y are yours.\n"
    assert authority.status()["claimed"]
    assert ann.value("y.move_by(1)") == "1.0 mm" or ann.value("y.position()")


def test_a_text_without_quotes_is_answered_by_the_line_with_quotes(ann: Notebook, authority: Authority) -> None:
    """NB-93"""
    wrong = ann.run("stage = %motor_login stage_x --note align the beam --no-panel")
    assert wrong.error == 'UsageProblem: Put the text in quotes: --note "align the beam"'
    assert authority.status()["state"] == "free"
    assert ann.run("%motor_login --note align stage_x --no-panel").stdout == "stage_x is yours.\n"
    assert 'Put the text in quotes: --force "it melts"' in ann.run("%motor_logout stage_x --force it melts").error
    missing = ann.run("%motor_logout stage_x --force").error
    assert "--force of %motor_logout takes a reason, which its holder is shown, and none follows it." in missing
    assert authority.status()["state"] == "held"


def test_a_hand_over_to_one_who_does_not_wait_says_that_they_have_to_wait_first(
    ann: Notebook, authority: Authority
) -> None:
    """NB-93 NB-30"""
    ann.run(LOGIN)
    authority.person("Cem").acquire(wait=True)
    assert ann.run("%motor_logout stage_x --to Bob").error == (
        "UsageProblem: Bob does not wait for stage_x (there waits Cem), and it is handed over to one who waits: "
        "Bob types %motor_login stage_x --wait, and then you this again."
    )
    assert authority.status()["holder"]["user"] == "Ann"


def test_a_script_takes_two_or_none_and_gives_both_back(authority: Authority) -> None:
    """NB-26"""
    lab = jupyter_motorlock.connect(authority.url, user="script")
    with lab:
        with lab.lock_all("stage_x", "stage_y") as (x, y):
            assert (x.equipment_id, y.equipment_id) == ("stage_x", "stage_y")
            assert authority.status()["holder"]["user"] == "script"
        assert authority.status()["state"] == "free"
        authority.person("Cem").acquire(equipment_id="stage_y")
        with pytest.raises(EquipmentInUse, match="Cem has had stage_y"):
            lab.lock_all("stage_x", "stage_y")
        assert authority.status()["state"] == "free"


def test_a_promise_is_made_shown_and_taken_back(ann: Notebook, bob: Notebook, authority: Authority) -> None:
    """NB-29"""
    ann.run(LOGIN)
    assert ann.run('%motor_keep 1h30min "overnight scan"').stdout.endswith("(overnight scan).\n")
    kept = authority.status()["kept"]
    assert kept["note"] == "overnight scan"
    assert ", kept until " in bob.run("%motor_status stage_x").stdout
    assert ann.run("%motor_keep stage_x 0s").stdout == "stage_x is no longer kept; idling runs again.\n"
    assert authority.status()["kept"] is None
    assert "for 12 days, until " in ann.run("%motor_keep 300h").error
    assert "if you mean it, add --long." in ann.run("%motor_keep 300h").error
    assert authority.status()["kept"] is None
    assert ann.run("%motor_keep 300h --long").status == "ok"
    wrong = ann.run("%motor_keep tomorrow")
    assert "Say for how long, such as 45min, 3h or 1h30min" in wrong.error


def test_a_motor_is_asked_for_answered_and_handed_over(ann: Notebook, bob: Notebook, authority: Authority) -> None:
    """NB-25 NB-31"""
    ann.run(LOGIN)
    asked = bob.run('%motor_ask stage_x "five minutes of beam"').stdout
    assert asked.endswith(" You are next in the queue.\nAnn is asked to yield.\n")
    said = until_said(ann, "Bob asks you for stage_x (five minutes of beam)")
    assert "answer with %motor_answer yes, or no, or a time such as 10min." in said
    assert "asks you" not in (ann.run("pass").stdout + ann.run("pass").stderr), "told twice"
    assert ann.run('%motor_answer 10min "two more scans"').stdout == "Bob is told.\n"
    until_said(bob, "(two more scans)")
    assert ann.run("%motor_answer no").stdout == "Bob is told.\n"
    until_said(bob, "Ann cannot give stage_x up now; you keep your place.")
    assert "Nobody asks for what this kernel holds." in ann.run("%motor_answer yes").error
    bob.run("%motor_ask stage_x")
    until_said(ann, "Bob asks you for stage_x: ")
    yes = ann.run("%motor_answer yes")
    assert yes.stdout == "stage_x is handed over to Bob.\n", yes.error
    until_said(bob, "It is your turn on stage_x")
    assert authority.status()["holder"]["user"] == "Bob"
    assert bob.run("%motor_ask stage_x").stdout == "stage_x is yours.\n"


def test_an_answer_to_nobody_and_a_wrong_answer_say_what_to_write(ann: Notebook, bob: Notebook) -> None:
    """NB-31"""
    ann.run(LOGIN)
    assert "Nobody asks for nothing" not in ann.run("%motor_answer yes").error
    assert "Nobody asks for what this kernel holds." in ann.run("%motor_answer yes").error
    bob.run("%motor_ask stage_x")
    assert 'Answer yes, no or a time: %motor_answer 10min "two more scans"' in ann.run("%motor_answer perhaps").error


def test_a_holder_hands_over_to_one_who_waits_and_is_refused_for_one_who_does_not(
    ann: Notebook, bob: Notebook, authority: Authority
) -> None:
    """NB-30"""
    ann.run(LOGIN)
    nobody = ann.run("%motor_logout stage_x --to Bob")
    assert "Bob does not wait for stage_x, and it is handed over to one who waits" in nobody.error
    bob.run("%motor_ask stage_x")
    assert ann.run("%motor_logout --to Bob").stdout.endswith("stage_x is handed over to Bob.\n")
    assert authority.status()["holder"]["user"] == "Bob"
    assert "it was handed over to Bob" in ann.run("stage.move_to(1)").error


def test_a_lock_is_taken_by_force_and_its_holder_reads_who_why_and_when(ann: Notebook, bob: Notebook) -> None:
    """NB-30 FORCE-3"""
    ann.run(LOGIN)
    taken = bob.run('%motor_logout stage_x --force "a cable is about to tear"')
    assert taken.stdout == "stage_x was taken from its holder, who is told that you did it and why.\n"
    said = until_said(ann, "Your lock on stage_x ended")
    assert "because Bob took it by force (a cable is about to tear)" in said
    assert "because Bob took it by force (a cable is about to tear)" in ann.run("stage.move_to(1)").error
    assert bob.run('%motor_logout stage_x --force "again"').stdout.startswith("Nobody has stage_x,")


def test_two_who_wait_swap_when_both_agree(ann: Notebook, bob: Notebook, authority: Authority) -> None:
    """NB-31 NB-25"""
    authority.person("Cem").acquire()
    ann.run("%motor_ask stage_x")
    bob.run("%motor_ask stage_x")
    assert ann.run("%motor_swap stage_x Bob").stdout == "Bob has to agree: %motor_swap stage_x Ann\n"
    until_said(bob, "Ann offers to swap places for stage_x with you: %motor_swap stage_x Ann agrees.")
    assert bob.run("%motor_swap stage_x Ann").stdout == "You have swapped. You are next in the queue.\n"
    assert [x["user"] for x in authority.status()["queue"]] == ["Bob", "Ann"]
    assert "Nobody of that name waits for stage_x: Dan." in ann.run("%motor_swap stage_x Dan").error


def test_a_holder_who_watches_gives_the_lock_up_and_takes_it_again(ann: Notebook, authority: Authority) -> None:
    """NB-32 OBS-7 OBS-9"""
    ann.run(LOGIN)
    assert ann.run("stage = %motor_login stage_x --watch --no-panel").stdout == "You are watching stage_x.\n"
    assert (authority.status()["locked"], authority.status()["observer_count"]) == (False, 1)
    assert "LockRequired" in ann.run("stage.move_to(1)").ename or ann.run("stage.move_to(1)").ename == "LockLost"
    assert ann.value("stage.position()")
    assert ann.run(LOGIN).stdout == "stage_x is yours.\n"
    assert (authority.status()["locked"], authority.status()["observer_count"]) == (True, 0)


def test_a_higher_priority_is_first_in_the_queue_and_shown(ann: Notebook, bob: Notebook, authority: Authority) -> None:
    """QUEUE-10"""
    cem = authority.person("Cem")
    cem.acquire()
    ann.run("%motor_ask stage_x")
    waiting = bob.start("stage = %motor_login stage_x --wait --priority 5 --no-panel")
    wait_until(lambda: authority.status()["queue_length"] == 2, "both wait")
    assert "queue 1: Bob, priority 5" in ann.run("%motor_status stage_x").stdout
    cem.release()
    assert bob.finish(waiting).status == "ok"
