"""A stage whose power or cable is pulled in the middle of a move, with a holder and somebody who waits."""

from __future__ import annotations

import json
import random
import threading

import pytest
from record import Wrong, check
from stage_bench import VISA, Bench, X
from test_kill_authority import PATIENCE_S, Order, wait_for

pytestmark = pytest.mark.parametrize("lab", [VISA], ids=["visa"])


def outcome_of(bench: Bench, order: Order) -> str:
    client = bench.process.client()
    status, body = order.send(client)
    client.close()
    assert status == 200, body
    order.reply = body
    return str(json.loads(body)["outcome"])


def begun(bench: Bench, order: Order) -> threading.Thread:
    """Send an order and return once the stage moves."""
    sender = threading.Thread(target=outcome_of, args=(bench, order))
    sender.start()
    wait_for(lambda: bench.stage.ask("MOV?") == ["1"])
    return sender


def refused(bench: Bench, order: Order) -> str:
    client = bench.process.client()
    status, body = order.send(client)
    client.close()
    bench.sent.remove(order)
    return f"{status} {json.loads(body)['code']}"


@pytest.mark.slow
def test_a_stage_that_loses_power_in_a_move_costs_nobody_the_lock(bench: Bench) -> None:
    """DRV-6, DRV-7, LOSS-18, SAFE-1, SAFE-2"""
    dice = random.Random(1)
    bench.other_waits()
    first = bench.order(dice)
    sender = begun(bench, first)
    bench.stage.kill()
    sender.join(PATIENCE_S)
    assert first.reply is not None
    assert json.loads(first.reply)["outcome"] == "failed"
    wait_for(lambda: not bench.status()["readback"]["connected"])
    assert bench.status()["session_id"] == bench.holder
    lost = Order(bench.holder, X, 50.0)
    bench.sent.append(lost)
    assert refused(bench, lost) == "503 driver_unavailable"
    client = bench.process.client()
    assert client.call("POST", f"/equipment/{X}/stop", {"session_id": bench.holder})[1]["delivered"] is False
    client.close()
    bench.stage.start()
    wait_for(lambda: bench.status()["readback"]["connected"])
    shown = bench.status()
    assert (shown["readback"]["position"], shown["readback"]["moving"]) == (0.0, False), "the stage's own truth"
    assert (shown["session_id"], shown["state"]) == (bench.holder, "held")
    assert outcome_of(bench, bench.order(dice)) == "done"
    bench.pass_on()
    assert outcome_of(bench, bench.order(dice)) == "done"
    bench.check()


@pytest.mark.slow
def test_a_stage_that_moves_on_without_its_cable_is_given_to_nobody_before_it_stands(bench: Bench) -> None:
    """LOSS-2, LOSS-18, DRV-6, SAFE-2"""
    dice = random.Random(2)
    bench.other_waits()
    first = Order(bench.holder, X, 99.0)
    bench.sent.append(first)
    sender = begun(bench, first)
    bench.stage.tell("SIM:REFUSE 1")
    sender.join(PATIENCE_S)
    client = bench.process.client()
    assert client.release(bench.holder, X)[1]["status"] == "released"
    client.close()
    bench.people.reverse()
    wait_for(lambda: bench.status()["session_id"] == bench.holder)
    assert outcome_of(bench, bench.order(dice)) == "done"
    bench.check()
    facts = bench.stage.facts
    second = next(n for n, fact in enumerate(facts) if fact["fact"] == "begin" and fact["fence"] == 2)
    end = next(n for n, fact in enumerate(facts) if fact["fact"] == "end")
    early = [*facts[:end], facts[second], *facts[end:second], *facts[second + 1 :]]
    with pytest.raises(Wrong, match="overlaps"):  # had it been given sooner, the checker would have said so
        check(early)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["SIM:HANG", "SIM:LATE 1.5", "SIM:TWICE", "SIM:GARBLE"])
def test_a_stage_that_answers_wrongly_in_a_move_is_stopped_all_the_same_and_told_the_truth_about(
    bench: Bench, fault: str
) -> None:
    """SAFE-1, SAFE-2, SAFE-6, STOP-3, DRV-6"""
    bench.other_waits()
    first = Order(bench.holder, X, 99.0)
    bench.sent.append(first)
    sender = begun(bench, first)
    bench.stage.tell(fault)
    client = bench.process.client()
    client.call("POST", f"/equipment/{X}/stop", {"user": "Cem"})
    wait_for(lambda: any(fact["fact"] == "end" for fact in bench.stage.facts))
    bench.stage.tell("SIM:OK")
    sender.join(PATIENCE_S)
    if first.reply is None:
        outcome_of(bench, first)
    assert first.reply is not None
    outcome = json.loads(first.reply)["outcome"]
    print(f"{fault}: {outcome}")
    assert outcome in {"stopped", "failed", "done"}
    assert outcome != "done" or bench.arrived(first)
    wait_for(lambda: bench.status()["readback"]["connected"])
    assert bench.status()["session_id"] == bench.holder
    bench.pass_on()
    assert outcome_of(bench, bench.order(random.Random(3))) == "done"
    bench.check()
    client.close()
