"""Whose process is at the other end of a connection, as the operating system of this machine says it.

Of a Unix socket it keeps the credentials of who connected. Of loopback TCP, Linux says who owns the socket at the other
end, when it is asked for the one between these two addresses and ports (sock_diag(7)).
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import sys
from functools import cached_property

_CREDENTIALS = struct.Struct("=3i")  # process, user, group
_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_NETLINK_HEAD = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
_QUERY = struct.Struct("=BBBBI")  # family, protocol, extensions, padding, states
_PORTS = struct.Struct("!HH")
_INTERFACE_AND_COOKIE = struct.Struct("=III")
_ANY_STATE = 0xFFFFFFFF
_NO_COOKIE = (0, 0xFFFFFFFF, 0xFFFFFFFF)
_ADDRESS_LENGTH = 16
_STATE_AT = _NETLINK_HEAD.size + 1
_OWNER_AT = _NETLINK_HEAD.size + 4 + _PORTS.size + 2 * _ADDRESS_LENGTH + _INTERFACE_AND_COOKIE.size + 12
_OWNER = struct.Struct("=II")  # user, inode
# Established, or closed by the other side for what it sends, which still has the socket then.
_OWNED_STATES = frozenset({1, 4, 5})
_ANSWER_S = 0.2
# What Linux says of a user who has no number in the namespace of this process.
_NO_USER_HERE = 65534


class Peer:
    """The other end of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        """Keep the connection; the operating system is asked when somebody wants to know."""
        self._connection = connection

    @cached_property
    def user_id(self) -> int | None:
        """The number of the user whose process has connected; None where that cannot be told."""
        if sys.platform != "linux":
            return None
        with contextlib.suppress(OSError, ValueError):
            if self._connection.family == socket.AF_UNIX:
                return _user_here(_user_of_unix_peer(self._connection))
            return _user_here(_user_of_loopback_peer(self._connection))
        return None


def _user_here(user_id: int | None) -> int | None:
    if user_id == _NO_USER_HERE:
        return None
    return user_id


def _user_of_unix_peer(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user_id, _ = _CREDENTIALS.unpack(credentials)
    return int(user_id)


def _user_of_loopback_peer(connection: socket.socket) -> int | None:
    peer_address, peer_port = connection.getpeername()[:2]
    own_address, own_port = connection.getsockname()[:2]
    if not _is_loopback(peer_address):
        return None
    question = _question(connection.family, (peer_address, peer_port), (own_address, own_port))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _SOCK_DIAG) as diagnosis:
        diagnosis.settimeout(_ANSWER_S)
        diagnosis.send(question)
        return _owner_in(diagnosis.recv(4096))


def _is_loopback(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


def _question(family: int, peer: tuple[str, int], own: tuple[str, int]) -> bytes:
    ports = _PORTS.pack(peer[1], own[1])
    addresses = [socket.inet_pton(family, address).ljust(_ADDRESS_LENGTH, b"\0") for address in (peer[0], own[0])]
    query = _QUERY.pack(family, socket.IPPROTO_TCP, 0, 0, _ANY_STATE)
    body = query + ports + b"".join(addresses) + _INTERFACE_AND_COOKIE.pack(*_NO_COOKIE)
    return _NETLINK_HEAD.pack(_NETLINK_HEAD.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0) + body


def _owner_in(answer: bytes) -> int | None:
    """Return who owns the socket that was found; None where there is none, or nobody has it any more.

    A socket that its process has closed counts as root's: it has no inode then, and proves nothing.
    """
    _, kind, *_ = _NETLINK_HEAD.unpack_from(answer)
    if kind != _SOCK_DIAG_BY_FAMILY:
        return None
    user_id, inode = _OWNER.unpack_from(answer, _OWNER_AT)
    if inode == 0 or answer[_STATE_AT] not in _OWNED_STATES:
        return None
    return int(user_id)
