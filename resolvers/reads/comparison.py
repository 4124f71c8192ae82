"""The query that compares versions, and its arguments."""

from functools import reduce
from pathlib import Path

from resolvers.errors import BadUserInput
from resolvers.reads.arguments import Values
from resolvers.rules.cleaning import check_count_between
from resolvers.rules.comparison import MOST
from storage.versions import VERSION_FACTS

HERE = Path(__file__).parent
COMPARED = (HERE / "compared.sql").read_text()
ANCESTOR = (HERE / "ancestor.sql").read_text().format(ids="{t}.ids")
VERSIONS = {"versions": "{t}.versions"}
PARAMETERS = VERSIONS | {"only_changed": "{t}.only_changed"}


def comparison(asked: str, field: str) -> str:
    """The query that compares the versions that `asked` lists by place, model and number. `field` is their argument."""
    filled = {"{change}": VERSION_FACTS.format(v="v"), "{asked}": asked, "{field}": field}
    return reduce(lambda text, name: text.replace(name, filled[name]), filled, COMPARED)


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
