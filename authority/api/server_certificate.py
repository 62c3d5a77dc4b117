"""The certificate of an authority that speaks https itself, taken anew when its files have changed."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

log = logging.getLogger("motorlock")

HANDSHAKE_TIMEOUT_S = 5.0


class ServerCertificate:
    """A certificate and its key; what is open goes on with what it began with."""

    def __init__(self, certfile: Path, keyfile: Path) -> None:
        """Read both files; raises `OSError` (an `ssl.SSLError` is one) where they cannot be used."""
        self._files = (certfile, keyfile)
        self._versions = self._present_versions()
        self._context = self._read()

    def context(self) -> ssl.SSLContext:
        """Return what a new connection is encrypted with: of files that cannot be used, what was before."""
        versions = self._present_versions()
        if versions != self._versions:
            self._versions = versions  # what is wrong with them is said once
            try:
                self._context = self._read()
            except OSError as error:
                log.error("the certificate %s cannot be used, and the one before goes on: %s", self._files[0], error)
            else:
                log.info("the certificate %s was read anew", self._files[0])
        return self._context

    def _present_versions(self) -> tuple[int, ...] | None:
        try:
            return tuple(path.stat().st_mtime_ns for path in self._files)
        except OSError:  # the files are being replaced, or gone
            return None

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._files)
        return context
