"""The embedded PostgreSQL: created in the data folder at the first start, supervised by a thread, stopped with the
server.

<data-dir>/lock                 held (flock) while a server uses the folder
<data-dir>/postgres/            the cluster
<data-dir>/postgres.log         PostgreSQL's log; its earlier part is in postgres.log.1
<data-dir>/database-passwords   the roles' passwords
<data-dir>/socket-folder        the folder with the socket of the running (or killed) server
"""

import asyncio
import atexit
import logging
import math
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

import asyncpg

from storage.binaries import Programs, account_for, processes_in, programs_for
from storage.data_folder import (
    APP,
    DATABASE,
    OWNER,
    SUPERUSER,
    EmbeddedUnavailable,
    FolderInUse,
    database_passwords,
    database_url,
    exclusive_use,
    keep_small,
    last_error,
    private,
    rename_durably,
    socket_folder,
    urls_of_running,
)
from storage.sql import load_sql

__all__ = ["EmbeddedPostgres", "EmbeddedUnavailable", "FolderInUse", "urls_of_running"]

logger = logging.getLogger("lineal.postgres")

FIRST_PAUSE, LONGEST_PAUSE, STEADY = 0.2, 5.0, 60.0  # seconds; a server that ran for STEADY restarts after FIRST_PAUSE
BLIND_STARTS = 20  # one a second, if it is not visible whether a killed server's processes still run
STOPS = ((signal.SIGINT, 8.0), (signal.SIGQUIT, 1.0), (signal.SIGKILL, 1.0))  # fast, immediate, by force
HANGS = 2 + sum(patience for _, patience in STOPS)  # if the stop takes longer, the server hangs

# A connection that breaks while asyncpg uses it can raise any of these.
DISCONNECTS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

GRANTS = f"""
    REVOKE ALL ON DATABASE {DATABASE}, postgres, template1 FROM PUBLIC;
    GRANT CONNECT ON DATABASE {DATABASE} TO {APP};
    ALTER SCHEMA public OWNER TO {OWNER};
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
    GRANT USAGE ON SCHEMA public TO {APP};
"""
OUTSIDE = load_sql("outside")


class EmbeddedPostgres:
    """A private PostgreSQL, kept running until stop(). It is accessible only over a private Unix socket."""

    def __init__(
        self, data_dir: Path, *, pg_bin: Path | None = None, start_timeout: float = 300.0, max_connections: int = 100
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.pg_bin, self.start_timeout, self.max_connections = pg_bin, start_timeout, max_connections
        self._cluster, self._log = self.data_dir / "postgres", self.data_dir / "postgres.log"
        self._thread: threading.Thread | None = None
        self._stopping, self._settled = threading.Event(), threading.Event()
        self._failure: EmbeddedUnavailable | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._programs: Programs
        self._passwords: dict[str, str]
        self._sockets: Path

    @property
    def owner_url(self) -> str:
        """The URL for migrations. Its role owns the database and its schema public."""
        return self._url(OWNER, DATABASE)

    @property
    def app_url(self) -> str:
        """The URL for everything else. Its role owns nothing and has only the rights that migrations grant."""
        return self._url(APP, DATABASE)

    @property
    def superuser_url(self) -> str:
        return self._url(SUPERUSER, "postgres")

    def _url(self, role: str, database: str) -> str:
        return database_url(role, self._passwords[role], self._sockets, database)

    def __enter__(self) -> "EmbeddedPostgres":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Return when the database accepts logins and its roles exist. Raises EmbeddedUnavailable with the reason if it
        cannot start."""
        if self._thread and self._thread.is_alive():
            raise RuntimeError("This embedded PostgreSQL has been started already.")
        self._stopping, self._settled, self._failure = threading.Event(), threading.Event(), None
        # The death signal depends on the thread that forked, not on the process, so this thread does all forks.
        self._thread = threading.Thread(target=self._supervise, name="lineal-postgres", daemon=True)
        atexit.register(self.stop)
        try:
            self._thread.start()
            self._settled.wait()
            if self._failure:
                raise self._failure
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server and remove its socket folder. Can be called from any thread, any number of times."""
        self._stopping.set()
        if self._thread:
            self._thread.join(HANGS)
            if self._thread.is_alive():
                self._signal(signal.SIGKILL)  # it may hang during the conversation
                self._thread.join()
        atexit.unregister(self.stop)

    def _supervise(self) -> None:
        try:
            self._live()
        except EmbeddedUnavailable as failure:
            self._failure = failure
        except OSError as error:
            self._failure = EmbeddedUnavailable(f"The embedded PostgreSQL cannot use {self.data_dir}: {error}.")
        except Exception as error:
            logger.exception("The embedded PostgreSQL in %s is given up.", self.data_dir)
            self._failure = EmbeddedUnavailable(f"The embedded PostgreSQL in {self.data_dir} failed: {error}.")
        finally:
            self._settled.set()

    def _live(self) -> None:
        deadline = time.monotonic() + self.start_timeout
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with ExitStack() as life:
            life.enter_context(exclusive_use(self.data_dir))
            self._await_predecessors(deadline)
            account = account_for(self._cluster)
            self._sockets = life.enter_context(socket_folder(self.data_dir / "socket-folder", account))
            self._programs = programs_for(account, self.pg_bin, self._sockets / "programs")
            self._tidy()
            self._find_or_make_cluster()
            life.callback(self._end)
            self._begin(deadline)
            self._tidy()  # again: the initdb of a server that was just killed may have continued to write
            self._settled.set()
            self._keep_running()

    def _find_or_make_cluster(self) -> None:
        passwords, made_by = self.data_dir / "database-passwords", self._cluster / "PG_VERSION"
        if not made_by.exists():
            self._passwords = database_passwords(passwords)
            self._make_cluster()
            return
        if not passwords.exists():
            raise EmbeddedUnavailable(f"{passwords} is missing: bring it back from a backup.")
        self._passwords = database_passwords(passwords)
        if (version := made_by.read_text().strip()) != str(self._programs.version):
            raise EmbeddedUnavailable(
                f"{self._cluster} was made by PostgreSQL {version}, but {self._programs.bin} holds PostgreSQL "
                f"{self._programs.version}: set LINEAL_PG_BIN to the bin folder of a PostgreSQL {version}."
            )

    def _make_cluster(self) -> None:
        """Create the cluster under another name and rename it when it is complete, so that a kill leaves no partial
        cluster."""
        logger.info("Making a new database in %s.", self._cluster)
        unfinished = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self.data_dir))
        password = self._sockets / "password"
        password.touch(mode=0o600)
        password.write_text(self._passwords[SUPERUSER])
        if account := self._programs.account:
            os.chown(unfinished, *account)
            os.chown(password, *account)
        with private(self._log) as log:
            self._process = self._programs.initdb(unfinished, SUPERUSER, password, log)
        try:
            if self._process.wait(self.start_timeout) != 0:
                raise EmbeddedUnavailable(f"PostgreSQL could not make {self._cluster}: {last_error(self._log)}.")
        finally:
            self._process.kill()
            password.unlink()
        rename_durably(unfinished, self._cluster)

    def _tidy(self) -> None:
        for abandoned in self.data_dir.glob("postgres.new-*"):
            shutil.rmtree(abandoned, ignore_errors=True)

    def _begin(self, deadline: float) -> None:
        for _ in range(BLIND_STARTS):
            alone = self._await_predecessors(deadline)
            self._spawn()
            if self._await_answer(deadline):
                return asyncio.run(self._provide())
            if alone or self._stopping.wait(1.0):
                break
        why = "it was stopped in the meantime" if self._stopping.is_set() else last_error(self._log)
        raise EmbeddedUnavailable(f"PostgreSQL in {self._cluster} did not start: {why}.")

    def _keep_running(self) -> None:
        began, pause = time.monotonic(), FIRST_PAUSE
        while not self._stopping.wait(0.2):
            keep_small(self._log)
            if self._alive():
                continue
            pause = FIRST_PAUSE if time.monotonic() - began > STEADY else pause
            logger.error("PostgreSQL ended unexpectedly; restarting in %.1f s. %s", pause, last_error(self._log))
            self._stopping.wait(pause)
            began, pause = time.monotonic(), min(2 * pause, LONGEST_PAUSE)
            self._restart()

    def _restart(self) -> None:
        try:
            self._await_predecessors(math.inf)
            if not self._stopping.is_set():
                self._spawn()
            if self._await_answer(math.inf):
                logger.warning("PostgreSQL is back.")
        except Exception as error:  # noqa: BLE001 - such as no memory just now: never a reason to give up
            logger.warning("PostgreSQL could not be started: %s", error)

    def _spawn(self) -> None:
        with private(self._log) as log:
            self._process = self._programs.postgres(self._cluster, self._sockets, self.max_connections, log)

    def _alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _await_predecessors(self, deadline: float) -> bool:
        """Wait until no process works in the cluster. Returns True if that is certain.

        This server holds the lock, so any process there belongs to a server that was killed. Its postmaster stops
        because its parent died, and its backends because their postmaster did. They are waited for, never killed. Once
        they are gone, their postmaster.pid is obsolete and is removed: by now its number may belong to another process
        of this user (after a restart of a container it usually does), which PostgreSQL would mistake for a running
        postmaster. Against processes that are not visible, PostgreSQL has its own protection, the shared memory named
        after the cluster's inode.
        """
        if not self._cluster.exists():
            return True
        while any(seen := processes_in(self._cluster)):
            if time.monotonic() > deadline:
                raise EmbeddedUnavailable(f"The processes {seen} still use {self._cluster}: stop them first.")
            if self._stopping.wait(0.05):
                return False
        if not seen:
            (self._cluster / "postmaster.pid").unlink(missing_ok=True)
        return not seen

    def _await_answer(self, deadline: float) -> bool:
        """Wait until the server accepts logins, as long as its process lives: recovery can take minutes."""
        heard, pause = False, 0.02
        while self._alive() and not self._stopping.is_set():
            answer = asyncio.run(self._greet())
            if answer is None:
                return True
            if answer and pause > 0.3 and not heard:
                logger.warning("PostgreSQL is not ready (%s); after a crash it recovers, which may take long.", answer)
                heard = True
            if time.monotonic() > deadline:
                late = f"did not answer within {self.start_timeout:g} s"
                raise EmbeddedUnavailable(f"PostgreSQL in {self._cluster} {late}; see {self._log}.")
            self._stopping.wait(pause)
            pause = min(1.5 * pause, 1.0)
        return False

    async def _greet(self) -> str | None:
        """None if the server accepts logins. Otherwise its message, or an empty text if it does not respond yet."""
        try:
            connection = await asyncpg.connect(self.superuser_url, timeout=5)
            await connection.close()
        except asyncpg.TooManyConnectionsError:
            return None
        except asyncpg.CannotConnectNowError as error:
            return str(error.args[0])
        except asyncpg.InvalidPasswordError as error:
            file = self.data_dir / "database-passwords"
            raise EmbeddedUnavailable(f"{file} does not fit the database: bring back the right one.") from error
        except (OSError, *DISCONNECTS):
            return ""
        return None

    async def _provide(self) -> None:
        """Create missing roles and the database. If this is interrupted, the next start completes it."""
        server = await asyncpg.connect(self.superuser_url, server_settings={"log_min_error_statement": "panic"})
        for role in (OWNER, APP):
            if not await server.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
                await server.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{self._passwords[role]}'")
        if not await server.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
            await server.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
        await server.close()
        database = await asyncpg.connect(self._url(SUPERUSER, DATABASE))
        await database.execute(GRANTS)
        await database.execute(OUTSIDE)
        await database.close()

    def _end(self) -> None:
        for number, patience in STOPS:
            if self._process and self._alive():
                self._signal(number)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(patience)

    def _signal(self, number: int) -> None:
        """Send a signal to the server. Also to its other processes if they may be frozen or must be killed."""
        others = processes_in(self._cluster) if self._cluster.exists() else []
        for pid in filter(None, others):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL if number == signal.SIGKILL else signal.SIGCONT)
        if self._process and self._alive():
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
