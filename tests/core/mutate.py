"""Break one rule of the core at a time and see that the rule machine notices: `python tests/core/mutate.py [NAME...]`.

Each mutation is a replacement of source text in a temporary copy of the package; the machine runs on it in a process
of its own. A text that is no longer found exactly once is an error: the mutation has to follow the code.
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
EXAMPLES, STEPS = 400, 40
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
        "        self._advance_lock(key)\n        self.serve_queue(key)",
        "        self._advance_lock(key)",
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
        "clocks.py",
        "holder is not None and holder.suspect:\n        return Why.SILENCE",
        "False:\n        return Why.SILENCE",
    ),
    Mutation(
        "silent waiter granted", "clocks.py", "session is not None and not session.suspect:", "session is not None:"
    ),
    Mutation("draining skipped", "step.py", "if e.at_rest and not stop_owed:", "if not stop_owed:"),
    Mutation(
        "stop owed ignored", "model.py", "not (self.moving and ours) and not stop_owed", "not (self.moving and ours)"
    ),
    Mutation("motion ignored at rest", "model.py", "not (self.moving and ours) and not stop_owed", "not stop_owed"),
    Mutation(
        "undriven motion waited for", "model.py", "ours = self.lock is None or self.lock.has_driven", "ours = True"
    ),
    Mutation("fault not reached", "step.py", "elif self.now >= drain.deadline:", "elif False:"),
    Mutation("granted at fault", "step.py", "if entry is None or e.fault is not None:", "if entry is None:"),
    Mutation("deciding changes the table", "step.py", "self.table = Table(table)", "self.table = table"),
    Mutation("entry of an ended session kept", "step.py", 'self.leave_queue(key, entry, "session_ended")', "pass"),
    Mutation("queued twice", "rules.py", "    if e.entry(want.session) is not None:\n        return\n", ""),
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
        "        for c in e.accepted:\n            self.finish_command(e, c, outcome",
        "        for c in ():\n            self.finish_command(e, c, outcome",
    ),
    Mutation("busy kernel idles", "clocks.py", "    if holder.busy:\n        return None\n", ""),
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
    Mutation("downgrade passes by waiters", "rules.py", "            raise WaitersPresent(e)\n", "            pass\n"),
)


def run(mutation: Mutation) -> tuple[bool, str]:
    """Return whether the machine noticed, and what it said."""
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
    except Exception as noticed:  # noqa: BLE001 - whatever the machine raises is what it noticed
        said = " ".join(str(noticed).split())[:60] or type(noticed).__name__
        print(f"{LockMachine.examples:5} {LockMachine.steps:6}  {said}")
        return 1
    print(f"{LockMachine.examples:5} {LockMachine.steps:6}  not noticed")
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
    print(f"{'mutation':42} found examples  steps  what the machine said")
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        for mutation, (found, said) in zip(mutations, pool.map(run, mutations), strict=True):
            missed += not found
            print(f"{mutation.name:42} {'yes' if found else 'NO':5} {said}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
