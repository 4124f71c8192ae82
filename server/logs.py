"""Logs: one event a line, as text for people or JSON for machines."""

import logging
import sys

import structlog
from structlog.typing import Processor


def configure_logs(level: str, form: str) -> None:
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if form == "json":
        last: list[Processor] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        last = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[remove, *last], foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers, root.level = [handler], logging.getLevelName(level.upper())
    # Migrations have their own log lines. The HTTP client logs whole URLs, and those of webhooks may contain secrets.
    for name in ("alembic", "httpx", "httpcore"):
        logging.getLogger(name).setLevel("WARNING")
