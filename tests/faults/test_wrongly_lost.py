"""Who lives and does nothing wrong keeps the lock, in a hundred seeded trials of each misfortune.

And the other way round: where somebody waits whom the rules prefer, the lock passes on in the instant that the rule
says. A failing trial is named by its misfortune and its seed.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from fakes import Disk, VirtualClock, X, Y, lab, until
from timeline import Sprint
from trial import ANN, BOB, HOUR_S, LEASE_S, Passed, Trial

from authority.core import messages
from authority.core.model import Policy, Role
from authority.core.refusals import LockLost

SEEDS, PORTION = 100, 20
FIRST_PORTION, *OTHER_PORTIONS = range(0, SEEDS, PORTION)
PORTIONS = [FIRST_PORTION, *(pytest.param(first, marks=pytest.mark.slow) for first in OTHER_PORTIONS)]
IDLE_S, RECONNECT_S, TURN_S, MINUTE_S = 300.0, 5.0, 240.0, 60.0

Play = Callable[[Trial], Awaitable[None]]


# -- misfortunes of the living


async def a_minute_without_any_packet(t: Trial) -> None:
    """Nothing is heard for a minute, and nothing is closed; nobody wants it then."""
    busy = t.dice.random() < 0.5
    await t.passes(t.dice.uniform(0.0, 30.0), busy=busy)
    t.wanted = False
    await t.passes(MINUTE_S, busy=None)
    t.beats(busy=busy)
    t.wanted = True
    await t.passes(t.dice.uniform(0.0, 60.0), busy=busy)


async def a_cut_shorter_than_the_lease(t: Trial) -> None:
    """Nothing is heard for less than the lease, while somebody waits and others ask."""
    t.waits()
    for _ in range(t.dice.randint(1, 3)):
        busy = t.dice.random() < 0.5
        await t.passes(t.dice.uniform(0.0, 20.0), busy=busy)
        await t.passes(t.dice.uniform(0.1, LEASE_S - 0.001), busy=None)
        t.beats(busy=busy)


async def streams_that_break_and_come_back(t: Trial) -> None:
    """One of the two breaks for any time, or both for less than five seconds; somebody waits."""
    t.waits()
    for _ in range(t.dice.randint(1, 4)):
        busy = t.dice.random() < 0.5
        first, other = t.dice.sample(list(Role), 2)
        t.breaks(first)
        await t.passes(t.dice.uniform(0.0, 100.0), busy=busy, crowd=2)
        if t.dice.random() < 0.5:
            t.breaks(other)
            await t.passes(t.dice.uniform(0.0, RECONNECT_S - 0.001), busy=t.dice.choice((busy, None)), crowd=2)
            back = t.dice.choice(list(Role))
            t.opens(back)
        await t.passes(t.dice.uniform(0.0, 20.0), busy=busy, crowd=2)
        for role in Role:
            if t.lost[role]:
                t.opens(role)
        await t.moves()


async def a_suspended_kernel(t: Trial) -> None:
    """The kernel stands still, busy or idle; its keeper beats on. Its feed may be closed because it does not read."""
    busy = t.dice.random() < 0.5
    t.beats(busy=busy)
    if t.dice.random() < 0.5:
        t.breaks(Role.FEED)
    if busy:
        t.waits()
        await t.passes(t.dice.uniform(1.0, HOUR_S), busy=True)
    elif t.dice.random() < 0.5:
        t.waits()
        await t.passes(t.dice.uniform(1.0, IDLE_S - 5.0), busy=False)
    else:
        t.wanted = False
        await t.passes(t.dice.uniform(1.0, HOUR_S), busy=False)
    if t.lost[Role.FEED]:
        t.opens(Role.FEED)


async def a_held_interpreter(t: Trial) -> None:
    """No line of Python runs in the kernel for up to an hour; its keeper beats on, and says busy."""
    t.waits()
    await t.passes(t.dice.uniform(1.0, HOUR_S), busy=True)


async def lunch(t: Trial) -> None:
    """The kernel idles for an hour, its lock is on offer, and nobody comes; or it is the lab's policy to keep it."""
    if t.here.at().policy.on_idle == "keep":
        t.waits()
    else:
        await t.passes(IDLE_S - 5.0, busy=False)
        t.wanted = False
    await t.passes(HOUR_S, busy=False)


async def a_closed_lid(t: Trial) -> None:
    """Kernel and keeper both sleep for hours, and nobody wants it; as they wake their streams may break."""
    await t.passes(t.dice.uniform(0.0, 20.0), busy=t.dice.random() < 0.5)
    t.wanted = False
    await t.passes(t.dice.uniform(1.0, 10.0) * HOUR_S, busy=None)
    for role in t.dice.sample(list(Role), t.dice.randint(0, 2)):
        t.breaks(role)
        t.time.by(t.dice.uniform(0.0, 2.4))
    for role in t.dice.sample(list(Role), 2):
        if t.lost[role]:
            t.opens(role)
    if t.dice.random() < 0.5:
        t.beats(busy=False)


async def an_overnight_scan(t: Trial) -> None:
    """A cell runs all night and sleeps ten minutes between its commands; somebody waits for the end."""
    t.beats(busy=True)
    t.waits()
    for _ in range(t.dice.randint(2, 4)):
        await t.moves()
        await t.passes(10 * MINUTE_S, busy=True, crowd=1)
    await t.passes(t.dice.uniform(0.5, 2.0) * HOUR_S, busy=True)


LIVES = (
    a_minute_without_any_packet, a_cut_shorter_than_the_lease, streams_that_break_and_come_back, a_suspended_kernel,
    a_held_interpreter, lunch, a_closed_lid, an_overnight_scan,
)  # fmt: skip


def named(trial: Callable[..., object]) -> str:
    return trial.__name__.replace("_", " ")


@pytest.fixture(scope="module")
def empty_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with nothing in it, to be copied: to make one takes longer than a trial."""
    path = tmp_path_factory.mktemp("empty") / "data"
    Disk(path).close()
    return path


async def played(disk: Path, name: str, seed: int, policy: Callable[[random.Random], Policy], play: Play) -> None:
    """Play one trial on a service of its own; whatever is wrong with it names the seed."""
    dice, clock = random.Random(f"{name} {seed}"), VirtualClock()
    chosen = policy(dice)
    try:
        async with lab(disk, {X: Sprint(), Y: Sprint()}, clock=clock, policies={X: chosen}) as here:
            await play(Trial(here, clock, dice))
    except BaseException as wrong:
        wrong.add_note(f"{name}, seed {seed}")
        raise


def all_played(
    place: Path, empty_disk: Path, name: str, first: int, policy: Callable[[random.Random], Policy], play: Play
) -> None:
    """Play a portion of the trials, side by side: each has its own time."""

    async def run() -> None:
        for seed in range(first, first + PORTION):
            shutil.copy(empty_disk, place / str(seed))
        async with asyncio.TaskGroup() as group:
            for seed in range(first, first + PORTION):
                group.create_task(played(place / str(seed), name, seed, policy, play))

    asyncio.run(run())


def any_policy(dice: random.Random) -> Policy:
    return Policy(
        observers=dice.choice(("apart", "alongside")), on_idle=dice.choice((None, "offer", "keep")),
        claim_seconds=dice.choice((5.0, 120.0)),
    )  # fmt: skip


@pytest.mark.parametrize("first", PORTIONS)
@pytest.mark.parametrize("misfortune", LIVES, ids=named)
def test_the_living_keep_their_lock(tmp_path: Path, empty_disk: Path, misfortune: Play, first: int) -> None:
    """LIVE-3 LIVE-4 LIVE-6 LIVE-7 LIVE-14 IDLE-2 IDLE-3 IDLE-5 IDLE-7 LOCK-7"""

    async def play(t: Trial) -> None:
        await misfortune(t)
        await t.still_hers()

    all_played(tmp_path, empty_disk, misfortune.__name__, first, any_policy, play)


# -- the other way round


async def a_cut_while_somebody_waits(t: Trial) -> Passed:
    """At the end of the lease, also where the timer is late and the silent one speaks first."""
    await t.passes(t.dice.uniform(0.0, 60.0), busy=t.dice.random() < 0.5)
    silent = t.time.now
    t.waits()
    if t.dice.random() < 0.5:
        await t.passes(LEASE_S - 0.01, busy=None)
        assert t.here.at().holds(ANN)
        t.time.by(t.dice.uniform(0.01, 60.0))
        return Passed("silence", silent + LEASE_S)
    t.clock.advance(LEASE_S + t.dice.uniform(0.0, 60.0))
    with pytest.raises(LockLost):
        await t.moves()
    t.time.note()
    return Passed("silence", t.time.now)


async def a_cut_and_then_somebody_asks(t: Trial) -> Passed:
    """In the step of the asking, by a plain login or one that would wait."""
    t.wanted = False
    await t.passes(LEASE_S + t.dice.uniform(0.0, HOUR_S), busy=None)
    t.here.login(BOB, wait=t.dice.random() < 0.5)
    t.time.note()
    return Passed("silence", t.time.now)


async def a_cut_in_the_middle_of_a_motion(t: Trial) -> Passed:
    """When the motion has ended, in the very step that records rest."""
    driver = t.here.workers[X].driver
    assert isinstance(driver, Sprint)
    t.here.order(ANN, 99.0)
    await until(lambda: t.here.at().moving)
    t.waits()
    await t.passes(LEASE_S - 0.01, busy=None)
    assert t.here.at().holds(ANN)
    t.time.by(t.dice.uniform(0.01, 59.0))
    assert t.here.at().state == "draining"
    driver.arrive()
    await until(lambda: t.here.at().holds(BOB))
    t.time.note()
    return Passed("silence", t.time.now)


async def both_streams_lost(t: Trial) -> Passed:
    """Five seconds after the second has closed, however the keeper's beats go on."""
    t.waits()
    for role in t.dice.sample(list(Role), 2):
        await t.passes(t.dice.uniform(0.0, 40.0), busy=True, crowd=2)
        t.breaks(role)
    closed = t.time.now
    t.time.to(closed + RECONNECT_S - 0.01)
    assert t.here.at().holds(ANN)
    t.time.to(closed + t.dice.uniform(5.0, 30.0))
    return Passed("connections_lost", closed + RECONNECT_S)


async def a_suspended_kernel_that_idles(t: Trial) -> Passed:
    """When its idle time has run out, although its keeper beats."""
    t.beats(busy=True)
    await t.passes(t.dice.uniform(0.0, HOUR_S), busy=True)
    t.beats(busy=False)
    idle = t.time.now
    t.waits()
    return await _runs_out(t, idle)


async def a_held_interpreter_whose_turn_is_over(t: Trial) -> Passed:
    """When the turn of the lab file has run out since somebody waits, busy or not."""
    await t.passes(t.dice.uniform(0.0, HOUR_S), busy=True)
    t.waits()
    since = t.time.now
    await t.passes(TURN_S - 0.01, busy=True)
    t.time.by(t.dice.uniform(0.01, 10.0))
    return Passed("turn", since + TURN_S)


async def lunch_and_somebody_comes(t: Trial) -> Passed:
    """In the step in which somebody asks after the idle time."""
    t.beats(busy=False)
    await t.passes(IDLE_S - 0.01, busy=False)
    t.wanted = False
    await t.passes(t.dice.uniform(0.01, HOUR_S), busy=False)
    t.here.login(BOB, wait=t.dice.random() < 0.5)
    t.time.note()
    return Passed("offered", t.time.now)


async def a_closed_lid_while_somebody_waits(t: Trial) -> Passed:
    """At the end of the lease, hours before the lid is opened."""
    await t.passes(t.dice.uniform(0.0, 60.0), busy=t.dice.random() < 0.5)
    shut = t.time.now
    t.time.by(t.dice.uniform(0.0, LEASE_S - 0.01))
    t.waits()
    t.time.to(shut + LEASE_S)
    t.time.note()
    t.here.service.apply(messages.Claim(session=BOB, equipment=X))
    t.here.service.apply(messages.Keep(session=BOB, equipment=X, seconds=24 * HOUR_S))
    t.time.by(t.dice.uniform(1.0, 10.0) * HOUR_S)
    return Passed("silence", shut + LEASE_S)


async def an_overnight_scan_that_has_ended(t: Trial) -> Passed:
    """When the idle time after its end has run out."""
    t.beats(busy=True)
    t.waits()
    for _ in range(t.dice.randint(2, 5)):
        await t.moves()
        await t.passes(10 * MINUTE_S, busy=True, crowd=1)
    t.beats(busy=False)
    return await _runs_out(t, t.time.now)


async def _runs_out(t: Trial, idle: float) -> Passed:
    await t.passes(IDLE_S - 0.01, busy=False)
    assert t.here.at().holds(ANN)
    t.time.by(t.dice.uniform(0.01, 10.0))
    return Passed("offered", idle + IDLE_S)


WANTED = (
    a_cut_while_somebody_waits, a_cut_and_then_somebody_asks, a_cut_in_the_middle_of_a_motion, both_streams_lost,
    a_suspended_kernel_that_idles, a_held_interpreter_whose_turn_is_over, lunch_and_somebody_comes,
    a_closed_lid_while_somebody_waits, an_overnight_scan_that_has_ended,
)  # fmt: skip


def a_policy_that_yields(dice: random.Random) -> Policy:
    return Policy(on_idle=dice.choice((None, "offer")))


def a_policy_with_turns(dice: random.Random) -> Policy:
    return Policy(max_hold_seconds=TURN_S)


@pytest.mark.parametrize("first", PORTIONS)
@pytest.mark.parametrize("chance", WANTED, ids=named)
def test_the_lock_passes_on_in_the_instant_that_the_rule_says_and_its_loser_is_told(
    tmp_path: Path, empty_disk: Path, chance: Callable[[Trial], Awaitable[Passed]], first: int
) -> None:
    """LIVE-3 LIVE-8 LIVE-10 LIVE-11 LIVE-18 IDLE-5 TURN-2 LOSS-9 LOCK-11"""

    async def play(t: Trial) -> None:
        passed = await chance(t)
        await t.passed_to(passed)

    policy = a_policy_with_turns if chance is a_held_interpreter_whose_turn_is_over else a_policy_that_yields
    all_played(tmp_path, empty_disk, chance.__name__, first, policy, play)
