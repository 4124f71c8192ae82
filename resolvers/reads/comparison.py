"""The query that compares versions, and its arguments."""

from pathlib import Path

from resolvers.errors import BadUserInput
from resolvers.reads.arguments import Values
from resolvers.rules.cleaning import check_count_between
from resolvers.rules.comparison import MOST
from storage.sql import fill_sql, load_sql
from storage.versions import VERSION_FACTS

HERE = Path(__file__).parent
ANCESTOR = load_sql("ancestor", HERE, ids="{t}.ids")
VERSIONS = {"versions": "{t}.versions"}
PARAMETERS = VERSIONS | {"only_changed": "{t}.only_changed"}


def comparison(asked: str, field: str) -> str:
    """The query that compares the versions that `asked` lists by place, model and number. `field` is their argument."""
    return load_sql("compared", HERE, change=fill_sql(VERSION_FACTS, v="v"), asked=asked, field=field)


OF_MODEL = comparison(
    "SELECT n.place, {args[modelId]}::text, n.number"
    " FROM unnest({read[numbers]}::text[]) WITH ORDINALITY n (number, place)",
    "versions",
)
WITH_ANOTHER = comparison(
    "VALUES (1, coalesce({args[modelId]}::text, {t}.model_id), array_to_string({args[version]}::int[], '.')),"
    " (2, {t}.model_id, array_to_string({t}.number, '.'))",
    "version",
)


def numbers_asked(now: Values) -> list[str]:
    numbers = [str(number) for number in now["versions"]]
    check_count_between("versions", numbers, 2, MOST, "versions")
    twice = [number for number in numbers if numbers.count(number) > 1]
    if twice:
        raise BadUserInput("versions", f"contains {twice[0]} twice; list each version once.")
    return numbers
