"""STOP as a person types it in a hurry: names in any case, with a `;`, by label, with a reason behind them, or all.

What is named exactly is stopped before anything else is asked; only for the rest it is looked up what there is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

from jupyter_motorlock.client import targets
from jupyter_motorlock.client.interrupt import StopReport, interrupts_limited, stop_all
from jupyter_motorlock.client.session import KernelSession
from jupyter_motorlock.errors import InvalidRequest, UnknownName, UsageProblem

_STOP_BEHIND = re.compile(r"[;\s]\s*%motor_stop\b")
_REASON_FOLLOWS = frozenset({"because", "reason", "reason:", "since"})


def read_stop_line(line: str, filled: Callable[[str], str]) -> tuple[list[str], bool]:
    """Return the words of a line behind `%motor_stop`, and whether all there is is meant; nothing typed is refused.

    `filled` puts in the user's values, and may refuse.
    """
    words: list[str] = []
    for typed in line.replace('"', " ").split():
        try:
            words.append(filled(typed))
        except UsageProblem:
            words.append(typed)
    everything = {"--all", "-a", "all"} & {word.lower().rstrip(";") for word in words[:1]} or "--all" in words
    return [word for word in words if not word.startswith("-")], bool(everything)


def split_stop(line: str) -> tuple[str, str | None]:
    """Split a line at a `%motor_stop` that somebody typed behind another magic; None where there is none."""
    before, *behind = _STOP_BEHIND.split(line, maxsplit=1)
    if behind:
        return (before, behind[0])
    return (line, None)


def stop_typed(session: KernelSession, words: Sequence[str], *, how_all: str, reason: str | None = None) -> str:
    """Stop what `words` name and return a clause that says so; `how_all` is what to type to stop all there is.

    Words that follow a name and name nothing are the reason. Raises `UnknownName` where a word names nothing and is
    no reason, when all others were stopped, and `MotorlockError` where a stop was not delivered.
    """
    names, typed_reason = _split(words, session.mirror.statuses)
    report = StopReport(session, reason or typed_reason)
    unknown: list[str] = []
    with interrupts_limited(0):
        for name in names:
            try:
                report.stop(name)
            except InvalidRequest:
                unknown.append(name)
        if unknown:
            _stop_by_list(session, unknown, report, how_all)
    return report.clause()


def stop_everything(session: KernelSession, reason: str | None = None) -> str:
    """Stop all there is and return a clause that says so; raises `MotorlockError` where one was not delivered."""
    with interrupts_limited(0):
        return stop_all(session, session.equipment_ids(), reason)


def _split(words: Sequence[str], known: Collection[str]) -> tuple[list[str], str | None]:
    """Return the words that may be names, spelt as they are known, and the reason that follows them."""
    names: list[str] = []
    for at, word in enumerate(words):
        bare = word.rstrip(";,")
        if word.lower() in _REASON_FOLLOWS:
            return names, " ".join(words[at + 1 :]) or None
        alike = [name for name in known if name.casefold() == bare.casefold()]
        if not alike and any(name in known for name in names) and not targets.near_names(bare, known):
            return names, " ".join(words[at:])
        if bare:
            names.append(alike[0] if len(alike) == 1 and bare not in known else bare)
    return list(dict.fromkeys(names)), None


def _stop_by_list(session: KernelSession, typed: list[str], report: StopReport, how_all: str) -> None:
    """Stop what is typed by label, or in another case; raise `UnknownName` with what is near where it is neither."""
    offered = session.equipment_list()
    whole = targets.find_name(" ".join(typed), offered)  # a label of several words
    left: list[str] = []
    for name in [whole] if whole else typed:
        is_there = targets.find_name(name, offered)
        if is_there:
            report.stop(is_there)
        else:
            left.append(name)
    if not left:
        return
    every_name = [str(item[key]) for item in offered for key in ("id", "label") if item[key]]
    if report.done and not any(targets.near_names(name, every_name) for name in left):
        return  # what followed the name was the reason
    stopped = ""
    if report.done:
        stopped = f"{' and '.join(report.done)}, but "
    raise UnknownName(
        f"{stopped}{' and '.join(left)} {'is' if len(left) == 1 else 'are'} not here"
        f"{targets.did_you_mean(left[0], offered)}; {how_all} stops all there is: "
        f"{targets.equipment_list_text(offered)}."
    )
