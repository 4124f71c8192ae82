"""The `lineal` command refuses in sentences: a wrong folder, an unknown id, a setting that cannot be."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from server.app import application
from server.logs import configure_logs
from server.ops.cli import main
from server.ops.environment import SettingsInvalid, read_settings, unknown_variables
from tests.conftest import Cluster, connect, run_sql
from tests.support.live import LINEAL


def run(*arguments: str | Path, **environment: str) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)), env=environment)


# ---------------------------------------------------------------- a folder without a database

ON_WHAT_IS_THERE = {
    "keys list": ["keys", "list"],
    "keys rotate": ["keys", "rotate", "key_a"],
    "keys revoke": ["keys", "revoke", "key_a"],
    "secrets rotate-key": ["secrets", "rotate-key"],
    "secrets reencrypt": ["secrets", "reencrypt"],
    "audit export": ["audit", "export"],
    "audit rotate-key": ["audit", "rotate-key"],
}


@pytest.mark.parametrize("command", ON_WHAT_IS_THERE.values(), ids=ON_WHAT_IS_THERE.keys())
def test_a_command_in_a_wrong_folder_creates_no_database(command: Sequence[str], tmp_path: Path) -> None:
    folder = tmp_path / "data"
    done = run(*command, "--data-dir", folder)
    assert done.exit_code == 1
    sentence = f"There is no database in {folder}. Name its folder with --data-dir, or its address with --database-url."
    assert sentence in done.output
    assert not folder.exists()


@pytest_asyncio.fixture
async def unmigrated(cluster: Cluster) -> AsyncIterator[Cluster]:
    name = f"lineal_empty_{secrets.token_hex(4)}"
    await run_sql(cluster.superuser_url, f"CREATE DATABASE {name} TEMPLATE template0")
    yield cluster.database(name)
    await run_sql(cluster.superuser_url, f"DROP DATABASE {name} WITH (FORCE)")


async def _tables(url: str) -> int:
    connection = await connect(url)
    try:
        found: int = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    finally:
        await connection.close()
    return found


async def test_a_command_that_only_reads_migrates_nothing(unmigrated: Cluster, tmp_path: Path) -> None:
    code, said = await shell("keys", "list", "--database-url", unmigrated.app_url, "--data-dir", tmp_path)
    assert (code, "holds no registry. Name another one, or run lineal migrate." in said) == (1, True), said
    assert await _tables(unmigrated.owner_url) == 0
    assert not list(tmp_path.iterdir())


async def test_keys_are_listed_without_a_file_in_the_data_folder(database: Cluster, tmp_path: Path) -> None:
    code, said = await shell("keys", "list", "--database-url", database.app_url, "--data-dir", tmp_path)
    assert code == 0, said
    assert not list(tmp_path.iterdir())


async def test_an_export_of_no_events_writes_nothing_and_fails(database: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    wanted: list[str | Path] = ["audit", "export", "--database-url", database.app_url, "--output", file]
    for named in (["--project", "nothing"], ["--chain", "model_none"]):
        code, said = await shell(*wanted, *named)
        sentence = f"The audit log has no events of {' '.join(named)}. Nothing was written."
        assert (code, sentence in said) == (1, True), said
        assert not list(tmp_path.iterdir())
    file.write_text("an earlier export")
    assert (await shell(*wanted, "--project", "nothing"))[0] == 1
    assert file.read_text() == "an earlier export"


async def shell(*arguments: str | Path) -> tuple[int, str]:
    """The exit code and the output of a command with an event loop of its own."""
    pipe, both = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    process = await asyncio.create_subprocess_exec(LINEAL, *arguments, stdout=pipe, stderr=both)
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("LINEAL_PROT", "Did you mean LINEAL_PORT?"),
        ("LINEAL_DATABSE_URL", "Did you mean LINEAL_DATABASE_URL?"),
        ("lineal_worker", "Did you mean LINEAL_WORKERS?"),
        ("LINEAL_XYZZY", "Remove it; lineal serve --help lists all settings."),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_known_one(name: str, advice: str) -> None:
    done = run("serve", **{name: "1"})
    assert done.exit_code == 2
    assert f"The environment variable {name} is not a setting of Lineal. {advice}" in done.output


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("LINEAL_PORT", "80a", 'LINEAL_PORT is "80a"; it must be a whole number.'),
        ("LINEAL_PORT", "99999", 'LINEAL_PORT is "99999"; it must be at most 65535.'),
        ("LINEAL_WORKERS", "0", 'LINEAL_WORKERS is "0"; it must be at least 1.'),
        ("LINEAL_REQUEST_TIMEOUT", "inf", 'LINEAL_REQUEST_TIMEOUT is "inf"; it must be a finite number.'),
        ("LINEAL_KEEP_FEED_DAYS", "nan", 'LINEAL_KEEP_FEED_DAYS is "nan"; it must be a finite number.'),
        ("LINEAL_OPEN", "perhaps", 'LINEAL_OPEN is "perhaps"; it must be true or false.'),
        ("LINEAL_LOG_LEVEL", "loud", 'LINEAL_LOG_LEVEL is "loud"; it must be debug, info, warning or error.'),
        (
            "LINEAL_ALLOWED_ORIGINS",
            "ml.example.com",
            'LINEAL_ALLOWED_ORIGINS is "ml.example.com"; it must be origins such as https://ml.example.com, without a'
            " path.",
        ),
        (
            "LINEAL_ALLOWED_HOSTS",
            "https://ml.example.com",
            'LINEAL_ALLOWED_HOSTS is "https://ml.example.com"; it must be host names such as registry.example.com,'
            " without a scheme or a path.",
        ),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(name: str, value: str, sentence: str) -> None:
    done = run("serve", **{name: value})
    assert done.exit_code == 2
    assert sentence in done.output


def test_an_option_is_refused_by_its_own_name() -> None:
    done = run("serve", "--log-format", "xml", LINEAL_LOG_FORMAT="json")
    assert '--log-format is "xml"; it must be text or json.' in done.output


def test_a_value_that_may_hold_a_password_is_not_shown() -> None:
    done = run("serve", LINEAL_DATABASE_URL="mysql://lineal:hunter2@localhost/registry")
    assert "LINEAL_DATABASE_URL cannot be used; it must be a URL such as postgresql://" in done.output
    assert "hunter2" not in done.output


def test_everything_that_is_wrong_is_said_at_once() -> None:
    done = run("serve", "--workers", "100", LINEAL_PROT="1", LINEAL_PORT="x")
    assert done.exit_code == 2
    for name in ("LINEAL_PROT ", "LINEAL_PORT is", "--workers is 100"):
        assert name in done.output


def test_the_known_variables_pass() -> None:
    assert unknown_variables(["LINEAL_PORT", "lineal_port", "LINEAL_PG_USER", "LINEAL_PARENT_PID", "PATH"]) == []
    assert read_settings({"port": 1}, {}).port == 1
    with pytest.raises(SettingsInvalid):
        read_settings({}, {"LINEAL_X": ""})


def test_a_server_process_refuses_as_the_command_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEAL_PROT", "1")
    with pytest.raises(SystemExit) as refused:
        application()
    assert str(refused.value).endswith("Did you mean LINEAL_PORT?")


def test_what_the_http_client_logs_of_addresses_is_not_kept() -> None:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    try:
        configure_logs("debug", "json")
        for name in ("httpx", "httpcore", "httpcore.http11"):
            assert not logging.getLogger(name).isEnabledFor(logging.INFO)
    finally:
        root.handlers, root.level = handlers, level
