"""Break one rule of the core at a time and see that the rule machine notices: `python tests/core/mutate.py [NAME...]`.

It prints the table of `docs/model.md`. Each mutation is a replacement of source text in a temporary copy of the
package; the machine runs on it in a process of its own. A text that is no longer found exactly once is an error: the
mutation has to follow the code.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
EXAMPLES, STEPS = 800, 40
AT_ONCE = 2


@dataclass(frozen=True)
class Mutation:
    name: str
    file: str
    old: str
    new: str

    def source(self) -> str:
        """Return the text of the file before the mutation."""
        return (ROOT / "authority" / "core" / self.file).read_text()


MUTATIONS = (
    Mutation(
        "expiry one instant late", "step.py", "if due is None or self.now < due:", "if due is None or self.now <= due:"
    ),
    Mutation(
        "what is due ends only on ticks",
        "step.py",
        "        if equipment is not None:\n            self.touch(equipment)\n",
        "",
    ),
    Mutation(
        "queue not served",
        "step.py",
        "        if self.equipment(key).queue:\n            self.serve_queue(key)\n",
        "",
    ),
    Mutation(
        "waiter who speaks not served", "rules.py", "        step.touch(*s.equipment)\n        step.settle()\n", ""
    ),
    Mutation("observers kept at a grant", "step.py", 'if own or e.policy.observers == "apart":', "if own:"),
    Mutation("fence not raised", "step.py", "fence=e.fence + 1", "fence=e.fence"),
    Mutation("claim ignored", "evolve.py", "claim_by=None, used_at=event.at)", "used_at=event.at)"),
    Mutation("unclaimed grant kept", "step.py", "e.lock.claim_by is not None and self.now >= e.lock.claim_by", "False"),
    Mutation(
        "silent holder kept",
        "waiting.py",
        "holder is not None and holder.suspect:\n        return AT_ONCE",
        "False:\n        return AT_ONCE",
    ),
    Mutation(
        "silent waiter granted", "waiting.py", "session is not None and not session.suspect:", "session is not None:"
    ),
    Mutation("draining skipped", "step.py", "if e.at_rest and not stop_owed and", "if not stop_owed and"),
    Mutation("never parked", "model.py", "return self.policy.park and how", "return False and how"),
    Mutation("parked before a stop", "model.py", "self.policy.park and how is How.FINISH and", "self.policy.park and"),
    Mutation(
        "parked after a stop",
        "evolve.py",
        "lock = None if e.lock is None else replace(e.lock, has_arrived=False)",
        "lock = e.lock",
    ),
    Mutation("parked after a failure", "evolve.py", "event.outcome is Outcome.DONE and not parked", "not parked"),
    Mutation(
        "parked again and again",
        "evolve.py",
        "event.outcome is Outcome.DONE and not parked",
        "event.outcome is Outcome.DONE",
    ),
    Mutation("death ends the parking", "step.py", " and not e.drain.parking", ""),
    Mutation(
        "granted instead of parked", "rules.py", "e.at_rest and not (why and e.parks(how_to_rest(e, why)))", "e.at_rest"
    ),
    Mutation(
        "stop owed ignored", "model.py", "not (self.moving and ours) and not stop_owed", "not (self.moving and ours)"
    ),
    Mutation("motion ignored at rest", "model.py", "not (self.moving and ours) and not stop_owed", "not stop_owed"),
    Mutation(
        "undriven motion waited for", "model.py", "ours = self.lock is None or self.lock.has_driven", "ours = True"
    ),
    Mutation("fault not reached", "step.py", "elif self.now >= drain.deadline:", "elif False:"),
    Mutation("granted at fault", "waiting.py", "if e.fault is not None and entry.mode is Mode.EXCLUSIVE:", "if False:"),
    Mutation("deciding changes the table", "step.py", "self.table = Table(table)", "self.table = table"),
    Mutation("entry of an ended session kept", "step.py", 'self.leave_queue(key, entry, "session_ended")', "pass"),
    Mutation(
        "queued twice",
        "rules.py",
        "    if step.equipment(names[0]).entry(want.session) is not None:\n        return\n",
        "",
    ),
    Mutation("newcomer overtakes", "evolve.py", "(*e.queue, entry)", "(entry, *e.queue)"),
    Mutation("fence of a command ignored", "control.py", "fence is not None and fence != e.fence", "False"),
    Mutation("somebody's stop does not block", "evolve.py", "    if event.blocks:", "    if False:"),
    Mutation(
        "stop outlives its lock",
        "evolve.py",
        "return replace(e, drain=drain, stopped_by=None)",
        "return replace(e, drain=drain)",
    ),
    Mutation(
        "accepted commands outlive their lock",
        "step.py",
        "        for c in e.accepted:\n            error",
        "        for c in ():\n            error",
    ),
    Mutation("busy kernel idles", "clocks.py", "return None if holder.busy else max(", "return max("),
    Mutation(
        "command does not stop the idle clock",
        "clocks.py",
        "    if e.running is not None or e.accepted:\n        return None\n",
        "",
    ),
    Mutation("turn starts again", "evolve.py", "spent = e.lock.blocked_s + at - e.lock.blocking_since", "spent = 0.0"),
    Mutation(
        "one lost connection kills",
        "rules.py",
        "lost = step.now if feeds == keepers == 0",
        "lost = step.now if feeds * keepers == 0",
    ),
    Mutation(
        "motion of the dead finishes",
        "step.py",
        "                self.hurry(key)\n        self.emit(",
        "                pass\n        self.emit(",
    ),
    Mutation(
        "clocks go on over a restart",
        "evolve.py",
        "lock = replace(lock, used_at=at, claim_by=claim_by",
        "lock = replace(lock, claim_by=claim_by",
    ),
    Mutation(
        "downgrade passes by waiters",
        "rules.py",
        "                raise no.WaitersPresent(e)\n",
        "                pass\n",
    ),
    Mutation("group granted in part", "step.py", "in enumerate(names):", "in enumerate(names[:1]):"),
    Mutation("group reserves", "waiting.py", "if not entry.group and (at is not None or ", "if (at is not None or "),
    Mutation(
        "obtainable group passed",
        "waiting.py",
        "first = _obtainable_at(table, name, ahead, now, known)",
        "first = None if ahead.group else _obtainable_at(table, name, ahead, now, known)",
    ),
    Mutation(
        "entry kept from passing is not passed",
        "waiting.py",
        "(at is not None or _unblocked_at(table, e.id, entry, now) is None)",
        "True",
    ),
    Mutation(
        "silent session forgotten only when it has nothing",
        "clocks.py",
        "return earliest(dead, s.last_seen + FORGET_SILENT_S)",
        "return earliest(dead, None if s.equipment else s.last_seen + FORGET_SILENT_S)",
    ),
    Mutation(
        "claim of one claims only one", "control.py", "for name in lock.group or (e.id,):", "for name in (e.id,):"
    ),
    Mutation("claim claims another grant too", "control.py", " or granted.group != lock.group", ""),
    Mutation("refresh claims only one", "rules.py", "        claim(step, step.equipment(name))\n", ""),
    Mutation("cycle not seen", "rules.py", "    if cycle:\n", "    if False:\n"),
    Mutation(
        "group passed though that closes a cycle",
        "waiting.py",
        "return None if passes and ",
        "return None if False and ",
    ),
    Mutation(
        "lock yields to a blocked group",
        "waiting.py",
        "            if due is None:\n                return None\n",
        "            if due is None:\n                continue\n",
    ),
    Mutation(
        "lock yields to a refused group", "rules.py", "if why is not None and None not in whys:", "if why is not None:"
    ),
    Mutation("group leaves one queue only", "step.py", "for name in entry.group or (key,):", "for name in (key,):"),
    Mutation("group in another order is another", "rules.py", "set(own.group) != set(names)", "own.group != names"),
    Mutation("own entry counts as blocking", "evolve.py", "x.session != holder and (", "("),
    Mutation(
        "own lock is in the way", "waiting.py", "if e.lock is None or e.holds(entry.session):", "if e.lock is None:"
    ),
    Mutation("grant of the rest lifts a stop", "step.py", " and e.stopped_by is None", ""),
    Mutation("priority ignored", "evolve.py", "(x.queue_id != heir, -x.priority)", "x.queue_id != heir"),
    Mutation(
        "swap without consent",
        "rules.py",
        "if other is None or other.swap_with != mine.queue_id:",
        "if other is None:",
    ),
    Mutation(
        "swap keeps its priority", "evolve.py", "replace(other, priority=one.priority, at=one.at,", "replace(other,"
    ),
    Mutation(
        "cycle of the other one who swaps not seen", "rules.py", "    _refuse_deadlock(step, other.session)\n", ""
    ),
    Mutation(
        "offer outlives its entry", "evolve.py", "swap_with=_unless(x.swap_with, queue_id)", "swap_with=x.swap_with"
    ),
    Mutation("hand-over past a higher priority", "rules.py", " or any(x.priority > heir.priority for x in awake)", ""),
    Mutation("hand-over to the silent", "rules.py", "heir.group or heir not in awake or ", "heir.group or "),
    Mutation("heir forgotten in draining", "step.py", "heir = e.place(drain.heir)", "heir = None"),
    Mutation("heir not at the head", "evolve.py", "key=lambda x: x.queue_id != drain.heir", "key=lambda x: 0"),
    Mutation("heir keeps the lock from who has its place", "evolve.py", "drain.heir in moved:", "False:"),
    Mutation(
        "ask outlives the right to send",
        "evolve.py",
        "unasked = (replace(x, ask=None) for x in e.queue)",
        "unasked = e.queue",
    ),
    Mutation(
        "ask outlives its lock", "evolve.py", "sorted((replace(x, ask=None) for x in e.queue), ", "sorted(e.queue, "
    ),
    Mutation("ask never unanswered", "step.py", "self.now >= entry.ask.due", "False"),
    Mutation("no answered again", "rules.py", ' or entry.ask.answer == "no"', ""),
    Mutation(
        "promise ignored by idling",
        "clocks.py",
        "begins = lock.used_at if lock.kept is None else max(lock.used_at, lock.kept.until)",
        "begins = lock.used_at",
    ),
    Mutation("promise without bound", "rules.py", "r.seconds > e.policy.max_keep_seconds", "False"),
    Mutation(
        "restart looks at clocks not begun anew", "control.py", "for name in _tied_to(step, e):", "for name in (e.id,):"
    ),
)


def run(mutation: Mutation) -> tuple[bool, str]:
    """Return whether the machine noticed, and how many steps it took to."""
    with tempfile.TemporaryDirectory() as temporary:
        package = Path(temporary) / "authority"
        shutil.copytree(ROOT / "authority" / "core", package / "core", ignore=shutil.ignore_patterns("__pycache__"))
        (package / "__init__.py").touch()
        source = package / "core" / mutation.file
        text = mutation.source()
        if text.count(mutation.old) != 1:
            raise ValueError(
                f"{mutation.name}: {mutation.old!r} is {text.count(mutation.old)} times in {mutation.file}"
            )
        source.write_text(text.replace(mutation.old, mutation.new))
        command = [sys.executable, __file__, "--on", temporary]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # it ends by itself
    if done.returncode not in (0, 1) or not done.stdout:
        raise RuntimeError(f"{mutation.name}: the machine did not run:\n{done.stderr[-2000:]}")
    return done.returncode == 1, done.stdout.strip()


def _run_machine(package_parent: str) -> int:
    sys.path[:0] = [package_parent, str(HERE.parent)]
    from hypothesis import HealthCheck, Phase, settings
    from hypothesis.stateful import run_state_machine_as_test

    import authority.core
    from core.test_rule_machine import LockMachine

    assert authority.core.__file__.startswith(package_parent), "the machine must run on the mutated copy"
    chosen = settings(
        max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, derandomize=True, database=None,
        phases=[Phase.generate], report_multiple_bugs=False, print_blob=False, suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    try:
        run_state_machine_as_test(LockMachine, settings=chosen)
    except Exception:  # noqa: BLE001 - whatever the machine raises is what it noticed
        print(LockMachine.steps)
        return 1
    print(f"not noticed in {LockMachine.steps}")
    return 0


def main() -> int:
    """Run the named mutations, or all of them, and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("names", nargs="*")
    options.add_argument("--on", help="run the machine on the package below this directory")
    chosen = options.parse_args()
    if chosen.on:
        return _run_machine(chosen.on)
    mutations = [x for x in MUTATIONS if not chosen.names or x.name in chosen.names]
    missed = 0
    print("| mutation | steps until noticed |\n|---|---|")
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        for mutation, (found, steps) in zip(mutations, pool.map(run, mutations), strict=True):
            missed += not found
            print(f"| {mutation.name} | {steps} |", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
