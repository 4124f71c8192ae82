"""The files in the data folder next to the cluster: the lock, the passwords, the socket's place, the log."""

import fcntl
import json
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

SUPERUSER, OWNER, APP, DATABASE = "postgres", "lineal_owner", "lineal_app", "lineal"
LONGEST_SOCKET_PATH = 100  # bytes; the kernel takes 107, macOS 103
LARGEST_LOG = 10_000_000  # bytes
# The files that Lineal stores in its data folder.
OURS = (
    "lock",
    "postgres",
    "postgres.*",
    "database-passwords*",
    "socket-folder*",
    "admin-key*",
    "audit-*",
    "secrets-key*",
)


class EmbeddedUnavailable(Exception):
    """The embedded PostgreSQL cannot run. The message is a sentence for people."""


class FolderInUse(EmbeddedUnavailable):
    """Another server uses the data folder."""


@contextmanager
def exclusive_use(data_dir: Path) -> Iterator[None]:
    with private(data_dir / "lock") as lock:  # close-on-exec, as all files of Python: PostgreSQL does not inherit it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(
                f"Another Lineal already uses {data_dir}: stop it, or choose another folder with --data-dir."
            ) from None
        yield


def database_passwords(file: Path) -> dict[str, str]:
    """The roles' passwords, generated once and written atomically."""
    if not file.exists():
        with tempfile.NamedTemporaryFile("w", prefix=f"{file.name}.", dir=file.parent, delete=False) as new:
            json.dump({role: secrets.token_hex(24) for role in (SUPERUSER, OWNER, APP)}, new)
            new.flush()
            os.fsync(new.fileno())
        rename_durably(Path(new.name), file)
    passwords: dict[str, str] = json.loads(file.read_text())
    return passwords


@contextmanager
def socket_folder(memo: Path, account: tuple[int, int] | None) -> Iterator[Path]:
    """A new private folder with a short path for the socket. The folder of a killed server is removed."""
    if memo.exists() and (stale := Path(memo.read_text())).name.startswith("lineal-"):
        shutil.rmtree(stale, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="lineal-", dir=short_base(account)))
    write_private(memo, str(folder))
    if account:
        os.chown(folder, *account)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # systemd-tmpfiles does not delete a locked folder in /tmp
        yield folder
    finally:
        os.close(descriptor)
        shutil.rmtree(folder, ignore_errors=True)
        memo.unlink(missing_ok=True)


def short_base(account: tuple[int, int] | None) -> str:
    # XDG_RUNTIME_DIR is accessible to its owner only, so PostgreSQL under another account cannot use it.
    mine = None if account else os.environ.get("XDG_RUNTIME_DIR")
    for base in filter(None, (mine, "/tmp", tempfile.gettempdir())):  # noqa: S108 - a private folder is made in it
        socket = f"{base}/lineal-12345678/.s.PGSQL.5432.lock"
        if len(os.fsencode(socket)) < LONGEST_SOCKET_PATH and os.access(base, os.W_OK | os.X_OK):
            return base
    raise EmbeddedUnavailable("There is no writable folder with a short path for the database socket: set TMPDIR.")


def database_url(role: str, password: str, sockets: Path | str, database: str = DATABASE) -> str:
    return f"postgresql://{role}:{password}@/{database}?host={quote(str(sockets))}"


def urls_of_running(data_dir: Path) -> tuple[str, str]:
    """The owner's and the app's URLs of the database of the server that runs in this folder."""
    passwords = json.loads((data_dir / "database-passwords").read_text())
    sockets = (data_dir / "socket-folder").read_text()
    return database_url(OWNER, passwords[OWNER], sockets), database_url(APP, passwords[APP], sockets)


def rename_durably(source: Path, target: Path) -> None:
    source.rename(target)
    keep_names(target.parent)


def make_durably(file: Path, content: bytes, mode: int = 0o600) -> None:
    """Create a file atomically. If another process was faster, its file stays."""
    descriptor, name = tempfile.mkstemp(prefix=f"{file.name}.", dir=file.parent)
    new = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            os.fchmod(descriptor, mode)
            opened.write(content)
            opened.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            file.hardlink_to(new)  # unlike a rename, it never replaces
    finally:
        new.unlink()
    keep_names(file.parent)


def keep_names(folder: Path) -> None:
    """Make sure that new or moved names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private(file: Path, mode: str = "ab") -> BinaryIO:
    """Open a file for appending. It is created readable by its owner only, whatever the umask."""
    return open(file, mode, opener=lambda path, flags: os.open(path, flags, 0o600))  # type: ignore[return-value]


def write_private(file: Path, text: str) -> None:
    with private(file, "wb") as opened:
        opened.write(text.encode())


def make_private(data_dir: Path) -> None:
    """Remove other users' rights from all files of Lineal in its folder: earlier versions left some of them readable.

    Other files are left alone, and so are the rights on a folder that contains any of them."""
    if not data_dir.is_dir():
        return
    ours = {file for pattern in OURS for file in data_dir.glob(pattern)}
    for file in ours:
        for each in [file, *file.rglob("*")] if file.is_dir() and not file.is_symlink() else [file]:
            _take_rights_of_others(each)
    if ours.issuperset(data_dir.iterdir()):
        _take_rights_of_others(data_dir)


def _take_rights_of_others(file: Path) -> None:
    # A running database removes files in the meantime. Some files may belong to another user.
    with suppress(FileNotFoundError, PermissionError):
        mode = file.lstat().st_mode
        if mode & 0o077 and not stat.S_ISLNK(mode):
            file.chmod(stat.S_IMODE(mode) & 0o700)


def keep_small(log: Path) -> None:
    """Copy and truncate the log: PostgreSQL appends to the open file and never reopens it."""
    with suppress(OSError):
        if log.stat().st_size > LARGEST_LOG:
            with suppress(OSError):
                copy_private(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)


def copy_private(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)  # an earlier one may be readable by others
    with source.open("rb") as read, private(target, "wb") as written:
        shutil.copyfileobj(read, written)


def last_error(log: Path) -> str:
    """PostgreSQL's last error message in this run, without errors that it sent to clients."""
    text = log.read_bytes()[-100_000:].decode(errors="replace") if log.exists() else ""
    lines = text.rpartition("LOG:  starting PostgreSQL")[2].splitlines()
    fatal = [line for line in lines if any(sign in line for sign in ("] FATAL:", "PANIC:", "initdb: error:"))]
    return f"{(fatal or lines or ['it says nothing'])[-1].strip()} (see {log})"
