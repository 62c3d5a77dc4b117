"""What people read when they are refused, one case for each sentence that names something; the rest is the table's."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from requests import Response
from rest_lab import Authority, Person

MOTORS = 40
Refusal = Callable[[Authority, Person, Person, str], Response]
REFUSALS: dict[str, tuple[Refusal, str]] = {}


def reads(sentence: str) -> Callable[[Refusal], Refusal]:
    """Add a refusal and the sentence that it reads, in which every duration is 0 s."""

    def add(refusal: Refusal) -> Refusal:
        REFUSALS[refusal.__name__] = refusal, sentence
        return refusal

    return add


@reads("There is no equipment named 'nope' here.")
def unknown_equipment(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    return ann.acquire("nope")


@reads('ann ("night scan") has had {motor} for 0 s; wait in the queue to get it, or ask ann.')
def in_use(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    ann.has(motor, note="night scan")
    return bob.acquire(motor)


@reads("ann has had {motor} for 0 s and 1 waits for it; wait in the queue to get it, or ask ann.")
def in_use_with_a_queue(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    ann.has(motor)
    bob.acquire(motor, queue_if_busy=True)
    return bob.acquire(motor, lock_mode="observer")


@reads("{motor} is being brought to rest after ann had it; wait in the queue to be next.")
def being_brought_to_rest(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    ann.has(motor)
    ann.begins("move_to", motor, position=100)
    ann.release(motor)
    return bob.acquire(motor)


@reads("A control command needs session_id: log in to {motor} first.")
def session_required(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    return lab.post(f"/equipment/{motor}/command", {"command_id": "c", "equipment_id": motor, "action": "home"})


@reads("You do not hold {motor}; nobody does: log in to it first.")
def free_but_not_held(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    return ann.command("home", motor)


@reads("You do not hold {motor}: ann has had {motor} for 0 s; wait in the queue to get it.")
def held_by_another(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    ann.has(motor)
    return bob.command("home", motor)


@reads("You have no lock on {motor}; log in to it, or watch it as an observer, first.")
def not_observing(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    return ann.command("position", motor)


@reads("Your lock on {motor} ended 0 s ago because bob took it by force (no reason given); log in again to go on.")
def lock_forced(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    ann.has(motor)
    bob.release(motor, force=True)
    return ann.command("home", motor)


@reads("Your lock on {motor} ended 0 s ago because it was handed over to bob; log in again to go on.")
def lock_handed_over(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    ann.has(motor)
    bob.acquire(motor, queue_if_busy=True)
    ann.post(f"/locks/handover/{motor}", {"to": "bob"})
    return ann.command("home", motor)


@reads("bob stopped {motor} 0 s ago (a cable); resume it, or log in again.")
def stopped_by_another(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    ann.has(motor)
    bob.stop(motor, reason="a cable")
    return ann.command("home", motor)


@reads("{motor} is held by ann, not by you; nothing has changed.")
def not_the_holder(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    ann.has(motor)
    return bob.release(motor)


@reads("You have no lock on {motor}; nothing has changed.")
def no_lock(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    return bob.post(f"/locks/activity/{motor}")


@reads("Others wait for {motor}; release it instead of changing to observing.")
def others_wait(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    ann.has(motor)
    bob.acquire(motor, queue_if_busy=True)
    return ann.acquire(motor, lock_mode="observer")


@reads("{motor} still moves; wait until it is at rest, or stop it.")
def not_at_rest(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    ann.has(motor)
    ann.begins("move_to", motor, position=100)
    return ann.acquire(motor, lock_mode="observer")


@reads("There is no such place in the queue for {motor}; nothing has changed.")
def no_such_place(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    return lab.delete(f"/locks/queue/{motor}/nothing?session_id={ann.session_id}")


@reads(
    "That would be a deadlock: you would wait for {motor} behind ann, and ann waits for stage_y behind you; "
    "give one of them back, or leave its queue, first."
)
def deadlock(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    ann.has(motor)
    bob.has("stage_y")
    ann.acquire("stage_y", queue_if_busy=True)
    return bob.acquire(motor, queue_if_busy=True)


@reads("{motor} has no fault to clear.")
def no_fault(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    return lab.post(f"/equipment/{motor}/clear-fault", {"reason": "looked"})


@reads("{motor} has no command 'fly'; it has: move_to, move_by, home, park, set_velocity, position, status.")
def unknown_command(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    ann.has(motor)
    return ann.command("fly", motor)


@reads("{motor}.move_to needs position, a number in mm; you gave none.")
def missing_parameter(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    ann.has(motor)
    return ann.command("move_to", motor)


@reads("{motor}.move_to needs position, a number in mm; you gave '12' (a number is written without quotes).")
def parameter_of_another_type(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    ann.has(motor)
    return ann.command("move_to", motor, position="12")


@reads("{motor}: 150 mm is outside the limits 0 to 100 mm; it has not moved.")
def target_outside_limits(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    ann.has(motor)
    return ann.command("move_to", motor, position=150)


@reads("{motor}: 0 mm/s is no velocity: it must be more than 0; it has not moved.")
def velocity_outside_limits(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    ann.has(motor)
    return ann.command("set_velocity", motor, velocity=0)


@reads("No command of this session on {motor} bore that key, or it is older than a day.")
def unknown_key(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    headers = {"Idempotency-Key": "k"}
    return lab.get(f"/equipment/{motor}/command?session_id={ann.session_id}", headers=headers)


@reads("The request is not valid: equipment_id: it is not the equipment of the path.")
def other_equipment_than_the_path(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    ann.has(motor)
    return ann.order({"action": "home", "equipment_id": "stage_x"}, motor)


@reads("The request is not valid: Idempotency-Key: it has 1 to 128 characters.")
def key_too_long(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    ann.has(motor)
    return ann.command("home", motor, "k" * 129)


@reads("The request is not valid: lock_mode: it is 'exclusive' or 'observer', not 'shared'.")
def unknown_lock_mode(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    return ann.acquire(motor, lock_mode="shared")


@reads("The request is not valid: after: it is the `next` of an earlier part of this list.")
def no_cursor(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    return lab.get("/locks/sessions?after=x")


@reads("The body is larger than 1 MiB.")
def large_body(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    return lab.raw("/locks/acquire", b" " * (2**20 + 1))


@reads("PUT is not possible at /api/locks/acquire.")
def wrong_method(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    return lab.send("PUT", "/api/locks/acquire")


@reads("There is nothing at /api/nowhere; /docs lists what there is.")
def unknown_path(lab: Authority, ann: Person, bob: Person, motor: str) -> Response:
    return lab.get("/nowhere")


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_says_what_is_so_and_what_to_do(
    lab: Authority, ann: Person, bob: Person, motor: str, name: str
) -> None:
    """REST-3"""
    refusal, sentence = REFUSALS[name]
    answer = refusal(lab, ann, bob, motor)
    assert re.sub(r"\b\d+ s\b", "0 s", answer.json()["detail"]) == sentence.format(motor=motor)
    lab.post(f"/equipment/{motor}/stop", {})
