"""The rule machine notices each rule that is broken on purpose; `python tests/core/mutate.py` shows how soon."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from .mutate import AT_ONCE, MUTATIONS, run
from .test_model_page import PAGE

# Those that are noticed within a few examples; the script tries them all.
SOON = {
    "expiry one instant late", "what is due ends only on ticks", "queue not served", "fence not raised",
    "unclaimed grant kept", "silent holder kept", "draining skipped", "motion ignored at rest",
    "deciding changes the table", "downgrade passes by waiters", "group granted in part",
    "lock yields to a blocked group",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_rule_machine_notices_each_rule_that_is_broken_on_purpose(capsys):
    chosen = [mutation for mutation in MUTATIONS if mutation.name in SOON]
    assert len(chosen) == len(SOON)
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        results = dict(zip(chosen, pool.map(run, chosen), strict=True))
    with capsys.disabled():
        for mutation, (_, said) in results.items():
            print(f"\n{mutation.name:42} {said}", end=" ")
    assert [mutation.name for mutation, (noticed, _) in results.items() if not noticed] == []


def test_the_page_of_the_model_tells_of_each_mutation():
    rows = re.findall(r"^\| ([^|]+) \| (?:not noticed in )?\d+ \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [mutation.name for mutation in MUTATIONS]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_each_mutation_still_fits_the_code(mutation):
    assert mutation.source().count(mutation.old) == 1
