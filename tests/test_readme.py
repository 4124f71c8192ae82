"""The README's tour is run as it is printed."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from server.ops.bootstrap import ADMIN
from server.ops.demo import fill
from server.settings import Settings
from tests.conftest import make_key

TOUR = re.compile(r"```graphql\n(.*?)```\n```json\n(.*?)```", re.DOTALL)
README = (Path(__file__).parent.parent / "README.md").read_text()


async def test_the_tour_answers_what_it_prints(
    make_database: Callable[[], Any], make_registry: Callable[..., Any]
) -> None:
    database = await make_database()
    await fill(Settings(database_url=database.app_url))
    registry = await make_registry(database)
    # The first key's principal, who made the sample's project.
    registry = registry.with_key(await make_key(database.app_url, ADMIN))
    steps = TOUR.findall(README)
    assert len(steps) >= 6
    for request, printed in steps:
        answer = (await registry.send(request)).json()
        assert answer.pop("extensions")["cost"]
        assert answer == json.loads(printed), request
