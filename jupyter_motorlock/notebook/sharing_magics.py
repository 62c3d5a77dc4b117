"""How people share: giving back and handing over, promising, asking and answering, swapping places."""

from __future__ import annotations

from datetime import timedelta

from IPython.core.magic import magics_class

from jupyter_motorlock.client import targets
from jupyter_motorlock.errors import UsageProblem
from jupyter_motorlock.notebook.kernel_magics import KernelMagics, from_words, print_sentence
from jupyter_motorlock.text import status as status_text
from jupyter_motorlock.text.units import read_span

DAY_S = 86_400
LONGEST_S = 3 * DAY_S  # of a promise; a longer one is asked for twice


@magics_class
class SharingMagics(KernelMagics):
    """`%motor_logout`, `%motor_keep`, `%motor_ask`, `%motor_answer` and `%motor_swap`."""

    @from_words
    def motor_logout(self, names: list[str], to: str | None, force: str | None) -> None:
        """Give a motor back, or leave its queue.

        ::

          %motor_logout [NAME ...] [--to USER] [--force REASON]

        --to USER       hand it over to somebody who waits for it: %motor_logout stage_x --to bob
        --force REASON  take it from whoever has it; it is stopped, and they are told who did it and why:
                        %motor_logout stage_x --force "the sample is melting"
        """
        if not names and not targets.logged_in(self.session):
            print_sentence("This kernel is not logged in to anything, so there is nothing to give back.")
            return
        for name in targets.resolve_names(self.session, names) or [targets.resolve_one(self.session, [])]:
            print_sentence(self._logout(name, to, force))

    def _logout(self, name: str, to: str | None, force: str | None) -> str:
        session = self.session
        if to is not None:
            self._refuse_nobody(name, to)
            draining = session.hand_over(name, to)["state"] == "draining"
            return f"{name} is handed over to {to}{' as soon as it is at rest' if draining else ''}."
        if force is None and session.leave(name):
            return f"You left the queue of {name}."
        reply = session.release(name, force=force is not None, reason=force)
        if reply.get("status") == "not_locked":
            nobody = f"Nobody has {name}" if force else f"This kernel is not logged in to {name}"
            return f"{nobody}, so there is nothing to give back; %motor_status {name} shows who has it."
        if force is not None:
            return f"{name} was taken from its holder, who is told that you did it and why."
        if reply.get("draining"):
            return f"{name} passes on when it is at rest."
        return f"You gave {name} back."

    def _refuse_nobody(self, name: str, user: str) -> None:
        """Raise `UsageProblem` where this kernel holds it and nobody of that name waits."""
        status = self.session.status(name)
        waiting = [entry["user"] for entry in status["queue"]]
        known = {part for entry in status["queue"] for part in (entry["session_id"], entry["queue_id"])}
        known |= {name for entry in status["queue"] for name in status_text.names_of_user(entry["user"])}
        if status_text.holds_lock(status, self.session.session_id) and user not in known:
            others = ""
            if waiting:
                others = f" (there {'waits' if len(waiting) == 1 else 'wait'} {' and '.join(waiting)})"
            raise UsageProblem(
                f"{user} does not wait for {name}{others}, and it is handed over to one who waits: "
                f"{user} types %motor_login {name} --wait, and then you this again."
            )

    @from_words
    def motor_keep(self, words: list[str], long: bool) -> None:
        """Promise until when you need a motor, so that idling does not end it: `%motor_keep 3h "overnight scan"`.

        ::

          %motor_keep [NAME] TIME [NOTE] [--long]

        TIME is such as `45min`, `3h` or `1h30min`; `0s` takes the promise back. Others see the time and the note.

        --long  more than three days are meant: %motor_keep 120h "long exposure" --long
        """
        named, rest = targets.split_target(self.session, words)
        name = named or targets.resolve_one(self.session, [])
        seconds = None
        if rest:
            seconds = read_span(rest[0])
        if seconds is None or len(rest) > 2:
            raise UsageProblem('Say for how long, such as 45min, 3h or 1h30min: %motor_keep 3h "overnight scan"')
        if seconds > LONGEST_S and not long:
            now = status_text.local_now()
            until = status_text.clock_text((now + timedelta(seconds=seconds)).isoformat(), now)
            told = f"That would keep {name} from others for {seconds / DAY_S:.0f} days, until {until}"
            raise UsageProblem(f"{told}; if you mean it, add --long.")
        kept = self.session.keep(name, seconds, *rest[1:])["kept"]
        print_sentence(
            f"{name} is kept{status_text.until_text(kept, status_text.local_now())}."
            if kept
            else f"{name} is no longer kept; idling runs again."
        )

    @from_words
    def motor_ask(self, words: list[str], within: float) -> None:
        """Wait for a motor without blocking, and ask its holder to yield: `%motor_ask stage_x "five minutes"`.

        ::

          %motor_ask NAME [REASON] [--within TIME]

        You are told the answer, and your turn, when a later cell ends.

        --within TIME  how long the holder has to answer, 2min if nothing is said: --within 90s
        """
        name, *reason = words or [""]
        if not name or len(reason) > 1:
            raise UsageProblem('Say for what you ask, and why: %motor_ask NAME "REASON" --within 2min')
        session = self.session
        targets.commands_of(session, name)
        if session.acquire(name, queue=True)["status"] != "queued":
            print_sentence(f"{name} is yours.")
            return
        status = session.ask(name, *reason, seconds=within)
        print_sentence(
            session.headline(status),
            f"{status['holder']['user']} is asked to yield.",
        )

    @from_words
    def motor_answer(self, words: list[str], to: str | None) -> None:
        """Answer somebody who asks for a motor of yours: `%motor_answer yes`, `no`, or a time such as `10min`.

        ::

          %motor_answer [NAME] yes | no | TIME [NOTE] [--to USER]

        `yes` hands it over now. A TIME is when you mean to be done; nothing ends your lock then.

        --to USER  whom you answer, where several ask: %motor_answer no --to bob
        """
        named, rest = targets.split_target(self.session, words)
        answer = "".join(rest[:1])
        seconds = read_span(answer)
        if (answer not in ("yes", "no") and seconds is None) or len(rest) > 2:
            raise UsageProblem('Answer yes, no or a time: %motor_answer 10min "two more scans"')
        name, entry = targets.find_ask(self.session, named, to)
        what = {"yes": "yield", "no": "no"}.get(answer, "later")
        note = None
        if len(rest) > 1:
            note = rest[1]
        self.session.answer(name, entry["queue_id"], what, seconds=seconds, note=note)
        print_sentence(f"{name} is handed over to {entry['user']}." if what == "yield" else f"{entry['user']} is told.")

    @from_words
    def motor_swap(self, words: list[str]) -> None:
        """Offer to swap places with somebody who waits too, or agree to their offer: `%motor_swap NAME USER`."""
        if len(words) != 2:
            raise UsageProblem("Say for what and with whom: %motor_swap NAME USER")
        session = self.session
        (name, user) = words
        places = [x["queue_id"] for x in session.status(name)["queue"] if x["user"] == user]
        if len(places) != 1:
            raise UsageProblem(f"{'Nobody' if not places else 'More than one'} of that name waits for {name}: {user}.")
        status = session.swap(name, places[0])
        if status_text.own_place(status, session.session_id)["swap_with"]:
            print_sentence(f"{user} has to agree: %motor_swap {name} {session.user}")
        else:
            print_sentence(f"You have swapped. {status_text.place_sentence(status, session.session_id)}")
