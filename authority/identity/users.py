"""Who is let in and what they may do, as a lab decided it: wires the sources, the rights and the tokens."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from .access import Access, Grant
from .identification import Identification
from .jupyterhub import JupyterHub
from .principal import Source
from .refused_log import RefusedLog
from .tokens import Tokens


class Users:
    """The users of one authority; without any source of identity, everybody in a network that is trusted."""

    def __init__(
        self,
        sources: Sequence[Source] = (),
        *,
        shared_token: str | None = None,
        grants: Iterable[Grant] | None = None,
        kept_tokens: str = "[]",
        hub: JupyterHub | None = None,
    ) -> None:
        """Ask `sources`, `hub` among them, and give rights by `grants`.

        `kept_tokens` is what `Tokens.text` returned last.
        """
        self.tokens = Tokens(kept_tokens, wall=time.time)
        self.identification = Identification(sources, shared_token=shared_token, tokens=self.tokens, hub=hub)
        self.refused = RefusedLog()
        self.access = Access(grants, is_trusted=not sources, token_grant=self.tokens.grant)
