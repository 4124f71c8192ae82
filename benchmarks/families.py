"""A project whose versions come from one another across models, in generations, and whose data come from data."""

import random
from collections import defaultdict
from datetime import timedelta

from benchmarks.data import BEGIN, POLICY, PRINCIPAL, Line, Row, Rows, id_at, recorded

PROJECT = "proj_family"
GENERATIONS, MODELS, DATA = 8, 40, 60


class FamilyLine(Line):
    """A model of the project; all of them fill the same rows."""

    @property
    def tenant(self) -> Row:
        return {"project_id": PROJECT}


def data_id(i: int) -> str:
    return f"dsv_family_{i:02}"


def family_rows(count: int) -> Rows:
    """Versions in generations, each with a parent in the one before; the first and a third of the others know data."""
    chance = random.Random(PROJECT)
    rows: Rows = defaultdict(list)
    _shared(rows, chance)
    lines = [FamilyLine(m, chance, rows) for m in range(MODELS)]
    size = count // GENERATIONS
    for n in range(size * GENERATIONS):
        older = rows["versions"][(n // size - 1) * size : n // size * size] if n >= size else []
        parent = chance.choice(older)["id"] if older else None
        data = data_id(chance.randrange(DATA)) if parent is None or chance.random() < 1 / 3 else None
        _version(lines[n % MODELS], n, parent, data)
    return rows


def _shared(rows: Rows, chance: random.Random) -> None:
    tenant = {"project_id": PROJECT}
    rows["projects"].append({"id": PROJECT, "name": "Family", **recorded(BEGIN)})
    rows["project_policies"].append(tenant | POLICY)
    rows["members"].append({"principal_id": PRINCIPAL, "role": "REVIEWER", **tenant, **recorded(BEGIN)})
    rows["datasets"].append({"id": "ds_family", "name": "Family", **tenant, **recorded(BEGIN)})
    for i in range(DATA):
        known = {"id": data_id(i), "dataset_id": "ds_family", "label": f"{i:02}", "status": "ACTIVE", "features": []}
        rows["dataset_versions"].append(tenant | known | recorded(BEGIN))
        derived = [data_id(j) for j in chance.sample(range(i), min(i, chance.choice((0, 1, 1, 2))))]
        rows["dataset_parents"] += [tenant | {"dataset_version_id": data_id(i), "parent_id": id_} for id_ in derived]
    rows["models"] += [
        {"id": f"model_family_{m:02}", "name": f"Family {m}", **tenant, **recorded(BEGIN)} for m in range(MODELS)
    ]


def _version(line: FamilyLine, n: int, parent: str | None, data: str | None) -> None:
    at = BEGIN + timedelta(minutes=n)
    version = line.tenant | {
        "id": id_at(line.chance, "ver", at),
        "model_id": f"model_family_{line.i:02}",
        "number": [1, n // MODELS, 0],
        "parameters": "{}",
        "features": [],
        "dataset_version_id": data,
        "parent_id": parent,
        **recorded(at),
    }
    line.rows["versions"].append(version)
    if data:
        use = {"version_id": version["id"], "role": "TRAINING", "dataset_version_id": data}
        line.rows["dataset_uses"].append(line.tenant | use)
    line.stages(version, at)
