"""Translates the database's errors into refusals."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from resolvers.errors import AlreadyExists, AnswerTooLarge, BadUserInput, NotFound, Refusal, Unavailable

# Unique constraints that two callers can race for, and the refusal of the slower one.
TAKEN = {
    "models_name": ("input.name", "The project already has a model with this name; choose another name."),
    "datasets_name": ("input.name", "The project already has a data set with this name; choose another name."),
    "dataset_versions_label": (
        "input.label",
        "The data set already has a version with this label; choose another label.",
    ),
    "versions_number": ("input.version", "The model already has a version with this number; numbers are never reused."),
}
CUT_OFF = (
    "The connection to the database was lost while the change was being saved. Check whether it was saved before you"
    " try again."
)
# Raised by a read that names an object that does not exist (the database's function not_found).
NOT_FOUND = "LN404"
# Raised by a read whose values exceed the largest response (the database's function counted).
TOO_LARGE = "LN413"
UNAVAILABLE = "The database cannot be reached or is busy. Nothing was saved; try again."


DRIVER_ERRORS = (
    DBAPIError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    PoolTimeout,
)


class driver_errors_as_refusals:  # noqa: N801 - read as a statement; a class, because every read uses it
    """Turns a driver's error into the matching refusal. Other errors are raised unchanged."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if isinstance(error, DRIVER_ERRORS) and (refusal := meaning(error)) is not None:
            raise refusal from error


@contextmanager
def perhaps_kept() -> Iterator[None]:
    """Around a commit: after an outage, its result is unknown."""
    try:
        yield
    except DRIVER_ERRORS as error:
        if isinstance(meaning(error), Unavailable):
            raise Unavailable(CUT_OFF, retry_after=None) from error
        raise


def meaning(error: BaseException) -> Refusal | None:
    cause = _driver_error(error)
    constraint = getattr(cause, "constraint_name", None)
    if isinstance(cause, asyncpg.UniqueViolationError) and constraint in TAKEN:
        field, sentence = TAKEN[constraint]
        return AlreadyExists(sentence, field=field)
    if (own := _of_our_own(cause)) is not None:
        return own
    if isinstance(cause, asyncpg.QueryCanceledError):
        return Unavailable("The operation took longer than its time limit. Request less, or try again.", retry_after=5)
    if isinstance(cause, asyncpg.UntranslatableCharacterError | asyncpg.CharacterNotInRepertoireError):
        return BadUserInput("input", "contains a character that cannot be stored, such as NUL; remove it.")
    if _is_outage(error, cause):
        return Unavailable(UNAVAILABLE)
    return None


def _of_our_own(cause: Any) -> Refusal | None:
    """The refusal raised by one of the registry's own functions in the database."""
    sqlstate = getattr(cause, "sqlstate", None)
    if sqlstate == NOT_FOUND:
        name, _, model_id = cause.detail.partition(" of ")
        within = {"where": f"of {model_id}", "modelId": model_id} if model_id else {}
        return NotFound(cause.args[0], name, cause.hint, **within)
    return AnswerTooLarge(int(cause.args[0])) if sqlstate == TOO_LARGE else None


def _driver_error(error: BaseException) -> Any:
    """asyncpg's own exception, under SQLAlchemy's and its dialect's."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error


OUTAGES = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.InternalClientError,
    asyncpg.PostgresSystemError,
    ConnectionError,
    FileNotFoundError,
    TimeoutError,
    PoolTimeout,
)


def _is_outage(error: BaseException, cause: Any) -> bool:
    if isinstance(cause, asyncpg.InterfaceError):
        # A connection that was lost; other interface errors are defects.
        return "closed" in str(cause) or "connection" in str(cause)
    return isinstance(cause, OUTAGES) or bool(getattr(error, "connection_invalidated", False))
