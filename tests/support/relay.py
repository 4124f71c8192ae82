"""A way to the database that tests can cut, or have swallow what is sent on it."""

import asyncio
from contextlib import suppress

from sqlalchemy import make_url

from tests.conftest import Cluster


class Relay:
    """While it is `silent` it takes every connection and every byte, and passes none on. What was lost stays lost: a
    connection that met with silence never works again. `until` makes it silent once a client sends these bytes."""

    def __init__(self, cluster: Cluster):
        self.url = make_url(cluster.app_url)
        self.port: int | None = None
        self.writers: set[asyncio.StreamWriter] = set()
        self.lost: set[asyncio.StreamWriter] = set()
        self.silent = False
        self.until: bytes | None = None

    async def mend(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        await asyncio.sleep(0.05)

    def fall_silent(self) -> None:
        self.silent, self.lost = True, self.lost | self.writers

    def speak(self) -> None:
        self.silent, self.until = False, None

    def cluster(self) -> Cluster:
        """The database by this way, whichever role asks."""
        url = self.url.set(host="127.0.0.1", port=self.port).difference_update_query(["host", "port"])
        return Cluster("", "", url.render_as_string(hide_password=False))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.silent:
            self.lost.add(writer)
            self.writers.add(writer)
            while await reader.read(65_536):
                pass
            writer.close()
            return
        folder, port = str(self.url.query.get("host", "")), self.url.port or 5432
        if folder.startswith("/"):
            far_reader, far_writer = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.{port}")
        else:
            far_reader, far_writer = await asyncio.open_connection(self.url.host or folder, port)
        ends = {writer, far_writer}
        self.writers |= ends
        await asyncio.gather(self._pump(reader, far_writer, is_client=True), self._pump(far_reader, writer))
        self.writers -= ends

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_client: bool = False) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if is_client and self.until and self.until in data:
                    self.fall_silent()
                if writer not in self.lost:
                    writer.write(data)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
