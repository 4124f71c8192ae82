"""The README's tour is run as it is printed."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from server.demo import fill
from server.settings import Settings

TOUR = re.compile(r"```graphql\n(.*?)```\n```json\n(.*?)```", re.DOTALL)
README = (Path(__file__).parent.parent / "README.md").read_text()


async def test_the_tour_answers_what_it_prints(
    make_database: Callable[[], Any], make_registry: Callable[..., Any]
) -> None:
    database = await make_database()
    await fill(Settings(database_url=database.app_url))
    registry = await make_registry(database)
    steps = TOUR.findall(README)
    assert len(steps) >= 6
    for request, printed in steps:
        assert (await registry.send(request)).json() == json.loads(printed), request
