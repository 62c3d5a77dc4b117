"""The extension's loader: wires the notebook side to one IPython shell, and takes it off again."""

from __future__ import annotations

import threading
from asyncio import CancelledError
from contextlib import suppress
from typing import Any

from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

from jupyter_motorlock.client.interrupt import stop_after_cell
from jupyter_motorlock.client.session import KernelSession
from jupyter_motorlock.client.this_kernel import KEPT_AS
from jupyter_motorlock.errors import Interrupted
from jupyter_motorlock.notebook.completion import matcher
from jupyter_motorlock.notebook.kernel_magics import print_sentence
from jupyter_motorlock.notebook.magics import MotorMagics


class Extension:
    """What one shell has of motorlock: the magics, the cell hooks and the completion; loading it sends nothing."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._magics = MotorMagics(shell)
        self._matcher = matcher(lambda: self._magics.current, shell)
        shell.register_magics(self._magics)
        shell.events.register("pre_run_cell", self._before_cell)
        shell.events.register("post_run_cell", self._after_cell)
        shell.Completer.custom_matchers.append(self._matcher)

    @property
    def session(self) -> KernelSession:
        """The kernel's session, which the first use makes."""
        return self._magics.session

    def unload(self) -> None:
        """Take everything off again and end the session, which gives back what it holds."""
        self._shell.events.unregister("pre_run_cell", self._before_cell)
        self._shell.events.unregister("post_run_cell", self._after_cell)
        with suppress(ValueError):  # somebody else took it off
            self._shell.Completer.custom_matchers.remove(self._matcher)
        manager = self._shell.magics_manager
        for kind, names in MotorMagics.magics.items():
            for name in names:
                manager.magics[kind].pop(name, None)
        manager.registry.pop("MotorMagics", None)
        configurables: list[Any] = self._shell.configurables
        configurables.remove(self._magics)
        self._magics.close()

    def _before_cell(self, info: ExecutionInfo) -> None:
        session = self._magics.current
        if session is not None and _in_main_thread():
            session.link.set_busy(True)
            if "%motor_status" not in (info.raw_cell or ""):  # which says it itself, else it is told below
                print_sentence(*session.mirror.take_notices())

    def _after_cell(self, result: ExecutionResult) -> None:
        """Say that the kernel is idle; what moves here is stopped when the user's own code was interrupted."""
        session = self._magics.current
        if session is None or not _in_main_thread():
            return
        session.link.set_busy(False)
        sentences = []
        if _is_interrupt(result.error_in_exec) and (stopped := stop_after_cell(session)):
            sentences = [f"You interrupted the cell; {stopped}."]
        sentences += session.mirror.take_notices()
        if sentences and not result.success:
            sentences.insert(0, "")  # an error need not end its line
        print_sentence(*sentences)


def load(shell: InteractiveShell) -> None:
    """Load the extension into `shell`; a second time changes nothing."""
    if getattr(shell, KEPT_AS, None) is None:
        setattr(shell, KEPT_AS, Extension(shell))


def unload(shell: InteractiveShell) -> None:
    """Take the extension off `shell`, with its session."""
    extension = getattr(shell, KEPT_AS, None)
    if extension is not None:
        setattr(shell, KEPT_AS, None)
        extension.unload()


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether the cell ended by an interrupt that is not told yet; ipykernel cancels a cell that awaits."""
    return isinstance(error, KeyboardInterrupt | CancelledError) and not isinstance(error, Interrupted)


def _in_main_thread() -> bool:
    # Some ipykernels fire the hooks for widget messages too, in other threads.
    return threading.current_thread() is threading.main_thread()
