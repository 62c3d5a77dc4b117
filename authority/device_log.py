"""What the log says of one device: that it is lost and back, and that it refused a stop; each once, not at each try."""

from __future__ import annotations

import logging

log = logging.getLogger("motorlock")


class DeviceLog:
    """Hears how each read and each stop of one piece of equipment ended, and logs what has changed."""

    def __init__(self, equipment: str) -> None:
        """Begin with a device that was not heard of yet."""
        self._equipment = equipment
        self._is_lost = False
        self._refusal: str | None = None

    def note_read(self, *, connected: bool, error: str | None) -> None:
        """Log that the device is lost, or back."""
        if connected and self._is_lost:
            log.info("the device of %s is back", self._equipment)
        elif not connected and not self._is_lost:
            log.warning("the device of %s cannot be reached, and is tried again: %s", self._equipment, error)
        self._is_lost = not connected

    def note_stop(self, *, delivered: bool, error: str | None) -> None:
        """Log that a stop was refused; one that is refused as the one before is only for who looks for a bug."""
        if delivered:
            self._refusal = None
            return
        level = logging.ERROR
        if error == self._refusal:
            level = logging.DEBUG
        self._refusal = error
        log.log(level, "a stop of %s was NOT DELIVERED, it may still move: %s", self._equipment, error)
