"""What lies in the data folder is for its owner alone, whatever the umask and whoever made it."""

import os
import stat
from pathlib import Path

import pytest

from server.audit.signing import public_key_file, signing_key
from server.ops.bootstrap import key_file, write_secret
from storage import data_folder
from storage.data_folder import database_passwords, keep_small, make_private, private, socket_folder
from tests.support.live import Live, eventually, lineal

OPEN_TO_ALL = ("sh", "-c", 'umask 0; exec "$@"', "sh")


def modes(folder: Path) -> dict[str, int]:
    """What others may with each file and folder, where they may anything; and what is not 0600 or 0700."""
    found = {}
    for file in [folder, *folder.rglob("*")]:
        try:
            status = file.lstat()
        except FileNotFoundError:
            continue  # PostgreSQL removes its own
        expected = 0o700 if stat.S_ISDIR(status.st_mode) else 0o600
        if stat.S_IMODE(status.st_mode) != expected and not stat.S_ISLNK(status.st_mode):
            found[str(file.relative_to(folder))] = stat.S_IMODE(status.st_mode)
    return found


async def rotated(live: Live) -> None:
    log = live.data_dir / "postgres.log"
    os.truncate(log, data_folder.LARGEST_LOG + 1)
    await eventually(lambda: log.stat().st_size < data_folder.LARGEST_LOG)


async def test_every_file_of_a_servers_data_folder_is_private() -> None:
    async with lineal(started=False) as live:
        live.wrapper = OPEN_TO_ALL
        await live.start("--checkpoint-seconds", "0.2")
        checkpoints = live.data_dir / "audit-checkpoints.jsonl"
        await eventually(lambda: checkpoints.exists() and checkpoints.stat().st_size)
        await rotated(live)
        assert (live.data_dir / "postgres.log.1").exists()
        assert modes(live.data_dir) == {}
        await live.stop()
        made = [file for file in live.data_dir.rglob("*") if not file.is_symlink()]
        for file in [live.data_dir, *made]:
            # As far as PostgreSQL itself still starts.
            file.chmod(file.stat().st_mode | (0o044 if "postgres/" not in f"{file}/" else 0))
        await live.start()
        assert modes(live.data_dir) == {}


def test_each_file_is_made_private_without_the_help_of_the_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(0)
    try:
        signing_key(tmp_path)
        assert public_key_file(tmp_path).exists()
        write_secret(key_file(tmp_path), "secret")
        database_passwords(tmp_path / "database-passwords")
        private(tmp_path / "lock").close()
        monkeypatch.setattr(data_folder, "LARGEST_LOG", 1)
        (tmp_path / "postgres.log.1").touch(0o644)
        with private(tmp_path / "postgres.log") as log:
            log.write(b"said")
        keep_small(tmp_path / "postgres.log")
        assert (tmp_path / "postgres.log.1").read_bytes() == b"said"
        with socket_folder(tmp_path / "socket-folder", None) as sockets:
            assert modes(sockets) == {}
            assert modes(tmp_path) == {}
    finally:
        os.umask(before)


def test_what_is_not_lineals_keeps_its_rights(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for name, mode in (("admin-key", 0o644), ("run.sh", 0o755)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    (tmp_path / "audit-linked").symlink_to(tmp_path / "run.sh")
    make_private(tmp_path)
    assert modes(tmp_path) == {".": 0o755, "run.sh": 0o755}
    (tmp_path / "run.sh").unlink()
    make_private(tmp_path)
    assert modes(tmp_path) == {}
