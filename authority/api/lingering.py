"""A connection that is closed so that its client can read the answer, although it still sends.

A plain close throws what was not read back at the client, as a reset, and its answer is lost with that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

LINGER_S = 1.0
LINGER_BYTES = 1024 * 1024


class LingeringTransport:
    """A transport of asyncio: `close` ends the sending at once, and hears a client that still sends out for a while."""

    def __init__(self, transport: asyncio.Transport, has_more_to_come: Callable[[], bool]) -> None:
        """Wrap `transport`; `has_more_to_come` tells whether its client is in the middle of something."""
        self._transport = transport
        self._has_more_to_come = has_more_to_come
        self._closes = False
        self._discarded_bytes = 0
        self.write = transport.write  # asked for often: not by way of __getattr__

    def __getattr__(self, name: str) -> Any:
        """Be the transport in all else."""
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Return whether nothing can be written any more."""
        return self._closes or self._transport.is_closing()

    def close(self) -> None:
        """Send what is written, and then the end; let go of a client that still sends a little later."""
        if self.is_closing():
            return
        if not self._has_more_to_come() or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._closes = True
        self._transport.write_eof()
        self._transport.resume_reading()
        asyncio.get_running_loop().call_later(LINGER_S, self._transport.abort)

    def discard(self, size: int) -> None:
        """Count what still came; it is nothing to anybody."""
        self._discarded_bytes += size
        if self._discarded_bytes > LINGER_BYTES:
            self._transport.abort()
