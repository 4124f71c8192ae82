"""`lineal audit`: verify and export the log, replace the key that signs its checkpoints."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from server.audit.checkpointing import AuditContradiction
from server.audit.checkpoints import CheckpointsBroken
from server.audit.exports import Exported, checkpoints_beside, export, keep_beside, last_line
from server.audit.signing import checkpoint_file
from server.audit.verify import Named, Report, report_on_database, report_on_export, rotate, witnesses
from server.ops.bootstrap import existing_database
from server.ops.options import DATABASE, UNREADABLE, options, settings_from
from server.ops.processes import ended_by_signals
from server.settings import Settings


@click.group()
def audit() -> None:
    """Verify and export the audit log, and replace the key that signs its checkpoints."""


class NoVerdict(click.ClickException):
    exit_code = 3

    def __init__(self, error: BaseException):
        cause: object = error if isinstance(error, (*UNREADABLE, click.ClickException)) else repr(error)
        if isinstance(error, OSError) and error.filename:
            cause = f"{error.filename} cannot be read ({error.strerror})."
        super().__init__(f"The audit log could not be verified: {getattr(error, 'orig', None) or cause}")


class GivesVerdict(click.Command):
    """A command whose exit codes 1 and 2 are verdicts. All other failures exit with 3."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        with _no_verdict():
            return super().parse_args(context, arguments)

    def invoke(self, context: click.Context) -> Any:
        with _no_verdict():
            return super().invoke(context)


@contextmanager
def _no_verdict() -> Iterator[None]:
    try:
        yield
    except click.exceptions.Exit:
        raise
    except (Exception, KeyboardInterrupt) as error:
        raise NoVerdict(error) from error


FILE = click.Path(dir_okay=False, path_type=Path)


@audit.command("verify", cls=GivesVerdict)
@options(*DATABASE)
@click.option(
    "--checkpoints",
    type=FILE,
    multiple=True,
    help="A file of signed checkpoints. Can be repeated for the parts of a file, or for several servers. Default: the"
    " file next to the export, else audit-checkpoints.jsonl of the data folder.",
)
@click.option(
    "--public-key",
    "keys",
    type=FILE,
    multiple=True,
    help="A trusted public key. Can be repeated. Keys that a trusted key endorsed are trusted too. Default: the keys"
    " next to the export, else audit-public-key*.pem of the data folder.",
)
@click.option("--export", type=FILE, help="Verify this file of `lineal audit export`, without a database.")
@click.option("--without-checkpoints", "without", is_flag=True, help="Check the chains only, which proves less.")
@click.option(
    "--accept-missing",
    "accept_missing",
    is_flag=True,
    help="Accept that lines of the checkpoint file are lost; the verdict names them.",
)
@click.pass_context
def verify_audit(
    context: click.Context,
    /,
    checkpoints: Sequence[Path],
    keys: Sequence[Path],
    export: Path | None,
    without: bool,
    accept_missing: bool,
    **options: Any,
) -> None:
    """Prove that the audit log is as it was written.

    \b
    Prints one sentence and exits with
      0  sound
      1  tampered with: the log is not as it was written
      2  behind: events are missing at its end, or an older state was restored
      3  no verdict: checkpoints are missing or broken, a key is not trusted,
         or the database or a file cannot be read

    With 0 it warns if events without a checkpoint are older than three times
    LINEAL_CHECKPOINT_SECONDS, or more than 10,000. Changes nothing.
    """
    if without and (checkpoints or keys):
        raise click.UsageError("--without-checkpoints cannot be combined with --checkpoints or --public-key.")
    report = _verdict(settings_from(options), Named(checkpoints, keys, export, without, accept_missing))
    click.echo(report.sentence)
    context.exit(report.code)


def _verdict(settings: Settings, named: Named) -> Report:
    if named.export:
        return report_on_export(named.export, witnesses(settings.data_dir, named, settings.checkpoint_seconds))
    with ended_by_signals(), existing_database(settings) as ready:
        held = witnesses(settings.data_dir, named, settings.checkpoint_seconds)
        return asyncio.run(report_on_database(ready.database_url, held))


@audit.command("rotate-key")
@options(*DATABASE)
@click.option("--lost", is_flag=True, help="Replace a key that is lost or unusable. The new key has no endorsement.")
def rotate_audit_key(lost: bool, **options: Any) -> None:
    """Replace the key that signs checkpoints.

    The old key endorses the new one in the checkpoint file, and the audit log records the change. Servers use the new
    key from their next checkpoint on. Older lines verify under the old public key, which is kept in the data folder.
    """
    try:
        with ended_by_signals(), existing_database(settings_from(options)) as settings:
            old, new = asyncio.run(rotate(settings.database_url, settings.data_dir, lost=lost))
    except (*UNREADABLE, AuditContradiction, CheckpointsBroken, TimeoutError) as error:
        raise click.ClickException(
            f"The rotation stopped: {getattr(error, 'orig', None) or error} If the checkpoint file already names the"
            " new key, the next checkpoint completes it."
        ) from error
    how = "without an endorsement, because the old key is lost" if lost else "endorsed by the old key"
    click.echo(f"The key {new} replaces the key {old}, {how}.")
    click.echo(f"Give {settings.data_dir / 'audit-public-key.pem'} to everyone who verifies the log.")


@audit.command("export")
@options(*DATABASE)
@click.option(
    "--output", type=click.File("wb", lazy=True), default="-", help="The file to write. Default: standard output."
)
@click.option("--project", help="Export the chains of this project only.")
@click.option("--chain", help="Export this chain only: the id of a model or a project.")
def export_audit(output: Any, project: str | None, chain: str | None, **options: Any) -> None:
    """Write the audit log as JSON Lines: a header, then one event a line, then the last hash of each chain a line.

    With --output, the checkpoints that the export covers and the public keys are written next to it, to
    <output>.checkpoints.jsonl and <output>.keys.pem.
    """

    def write(line: bytes) -> None:
        output.write(line)  # its first use creates the file

    try:
        with ended_by_signals(), existing_database(settings_from(options)) as settings:
            before = last_line(checkpoint_file(settings.data_dir))
            made = asyncio.run(export(settings.database_url, write, project, chain))
            if not made.events:
                raise click.ClickException(_nothing(project, chain))
            _keep_beside(output.name, settings.data_dir, before, made)
    except UNREADABLE as error:
        raise click.ClickException(
            f"The audit log could not be exported: {getattr(error, 'orig', None) or error}"
        ) from error
    click.echo(f"Events: {made.events:,}. Chains: {made.chains:,}.", err=True)


def _nothing(project: str | None, chain: str | None) -> str:
    named = [f"--{name} {value}" for name, value in (("project", project), ("chain", chain)) if value]
    of = f" of {' and '.join(named)}" if named else ""
    return f"The audit log has no events{of}. Nothing was written. Check the id and the database."


def _keep_beside(output: str, data_dir: Path, before: int, made: Exported) -> None:
    if output == "-":
        click.echo("Checkpoints are written with --output only.", err=True)
    elif kept := keep_beside(Path(output), data_dir, before, made.records):
        click.echo(f"Also written: {', '.join(map(str, kept))}.", err=True)
    else:
        checkpoints_beside(Path(output)).unlink(missing_ok=True)  # of an earlier export
        click.echo(
            f"There are no checkpoints or public keys in {data_dir}, so none were written next to the export.", err=True
        )
