"""Connections to PostgreSQL: the options of a URL, the initial settings, and how connections are closed."""

import socket
from typing import Any

import asyncpg
from sqlalchemy import URL, make_url

CONNECT_SECONDS = 10.0
# A peer that disappears without closing the connection is noticed after about this many seconds, if the platform
# supports it.
SILENCE_SECONDS = 10
KEEPALIVE = {
    "TCP_KEEPIDLE": SILENCE_SECONDS // 2,
    "TCP_KEEPINTVL": 2,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": SILENCE_SECONDS * 1000,
}


class Connection(asyncpg.Connection):
    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's own
        """Close without the terminate message: that waits for the server, which may not respond and does not need
        it."""
        self.terminate()


def parse(url: str) -> tuple[URL, dict[str, int]]:
    """The URL for SQLAlchemy, and its parameters for statement caches, which are numbers and can disable them (for
    PgBouncer)."""
    parsed = make_url(url).set(drivername="postgresql+asyncpg")
    caches = {name: int(str(value)) for name, value in parsed.query.items() if name.endswith("statement_cache_size")}
    return parsed.difference_update_query(caches), caches


def options_of(url: str, statement_timeout: float, **settings: str) -> dict[str, Any]:
    """The arguments of `connect` for a URL."""
    target, caches = parse(url)
    _, options = target.get_dialect()().create_connect_args(target)
    cache = {name: size for name, size in caches.items() if name == "statement_cache_size"}
    started = session_settings(statement_timeout) | settings
    return {
        "target_session_attrs": "primary",
        "timeout": CONNECT_SECONDS,
        **options,
        **cache,
        "server_settings": started,
    }


def session_settings(statement_timeout: float) -> dict[str, str]:
    return {
        "application_name": "lineal",
        "timezone": "UTC",
        "jit": "off",
        "statement_timeout": str(int(statement_timeout * 1000)),
        "idle_in_transaction_session_timeout": "60000",
    }


async def connect(**options: Any) -> Connection:
    connection: Connection = await asyncpg.connect(**options, connection_class=Connection)
    _keep_alive(connection)
    return connection


def _keep_alive(connection: Any) -> None:
    """Make the kernel detect a peer that has disappeared. A Unix socket does not need this."""
    transport = connection._transport  # noqa: SLF001 - asyncpg has no public way to its socket
    end = transport.get_extra_info("socket")
    if end is None or end.family not in (socket.AF_INET, socket.AF_INET6):
        return
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
