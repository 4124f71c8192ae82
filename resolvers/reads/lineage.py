"""Recursion: the chain of a version's ancestors, and the graph of its upstream and downstream lineage."""

from dataclasses import dataclass
from pathlib import Path

from graphql import get_named_type

from resolvers.reads.compilation import Compilation, Selected, bounded
from resolvers.reads.types import BoundType
from storage.sql import fill_sql, load_sql
from storage.vocabulary import LineageDirection

GRAPH = load_sql("lineage", Path(__file__).parent)
DEFAULT_CHAIN, MAX_CHAIN = 100, 1000
DEFAULT_DEPTH, MAX_DEPTH = 10, 100
MAX_NODES = 500

# The inputs of a drawing of the graph, from the tables in lineage.sql.
_LABEL = """coalesce(
    (SELECT m.name || ' ' || array_to_string(v.number, '.') FROM versions v JOIN models m ON m.id = v.model_id
        WHERE v.id = found.id),
    (SELECT x.name FROM experiments x WHERE x.id = found.id),
    (SELECT d.name || ' ' || w.label FROM dataset_versions w JOIN datasets d ON d.id = w.dataset_id
        WHERE w.id = found.id),
    (SELECT p.name FROM deployments p WHERE p.id = found.id))"""
_STAGE = "(SELECT v.stage FROM versions v WHERE v.id = found.id)"
MERMAID_INPUTS = {
    "nodes": f"(SELECT json_agg(json_build_object('id', found.id, 'label', {_LABEL}, 'stage', {_STAGE})"
    " ORDER BY found.distance, found.id) FROM found)",
    "edges": "(SELECT coalesce(json_agg(edge ORDER BY edge.from_id, edge.kind, edge.to_id), '[]'::json) FROM edge)",
}


@dataclass(frozen=True)
class Chain:
    """The row, its parent, its parent's parent and so on, at most `first` rows."""

    parent: str

    def sql(self, compilation: Compilation, of: BoundType, selected: Selected, alias: str) -> str:
        row, step = compilation.alias(of.table or ""), compilation.alias("chain")
        limit = bounded(selected.arguments.values, "first", DEFAULT_CHAIN, MAX_CHAIN)
        answer = compilation.object(of, selected, row)
        return (
            f"(WITH RECURSIVE {step} (id, parent, place) AS (SELECT {alias}.id, {alias}.{self.parent}, 1 UNION ALL"
            f" SELECT r.id, r.{self.parent}, {step}.place + 1 FROM {step} JOIN {of.table} r ON r.id = {step}.parent"
            f" WHERE {step}.place < {limit} AND {compilation.visible('r', of.table or '')})"
            f" SELECT json_agg({answer} ORDER BY {step}.place)"
            f" FROM {step} JOIN {of.table} {row} ON {row}.id = {step}.id)"
        )


@dataclass(frozen=True)
class Lineage:
    """The graph around the row: nodes by distance, the edges between them, and whether it was cut off."""

    def sql(self, compilation: Compilation, of: BoundType, selected: Selected, alias: str) -> str:
        depth = bounded(selected.arguments.values, "depth", DEFAULT_DEPTH, MAX_DEPTH)
        direction = selected.arguments.values.get("direction") or LineageDirection.UPSTREAM
        graph = compilation.types[compilation.types.of(selected.definition).name]
        return fill_sql(
            GRAPH,
            start=f"{alias}.id",
            depth=str(depth),
            nodes=str(MAX_NODES),
            upstream=str(direction is not LineageDirection.DOWNSTREAM),
            downstream=str(direction is not LineageDirection.UPSTREAM),
            visible=compilation.visible("e", "lineage_edges"),
            answer=compilation.object(graph, selected, "reached"),
        )


@dataclass(frozen=True)
class GraphNodes:
    """The nodes of the current graph, each of its own type."""

    def sql(self, compilation: Compilation, of: BoundType, selected: Selected, alias: str) -> str:
        union = get_named_type(selected.definition.type)
        answer = by_prefix(compilation, selected, list(compilation.types.possible(union)), "found.id")
        return f"(SELECT json_agg({answer} ORDER BY found.distance, found.id) FROM found)"


def by_prefix(compilation: Compilation, selected: Selected, possible: list[BoundType], id_: str) -> str:
    """The object with an ID, whose prefix determines its type."""
    branches = []
    for each in possible:
        assert each.table is not None, f"{each.name} has no table"
        row = compilation.alias(each.table)
        visible = compilation.visible(row, each.table)
        answer = compilation.object(each, selected, row)
        row_of_type = f"(SELECT {answer} FROM {each.table} {row} WHERE {row}.id = {id_} AND {visible})"
        branches.append(f"WHEN '{each.prefix}' THEN {row_of_type}")
    return f"CASE split_part({id_}, '_', 1) {' '.join(branches)} END"


@dataclass(frozen=True)
class NodeById:
    """An object of any type by its ID."""

    def sql(self, compilation: Compilation, of: BoundType, selected: Selected, alias: str) -> str:
        possible = compilation.types.possible(get_named_type(selected.definition.type))
        id_ = compilation.parameter(selected.arguments.reader(lambda now: now["id"]))
        return by_prefix(compilation, selected, list(possible), f"{id_}::text")


@dataclass(frozen=True)
class NodesById:
    """Objects of any type by their IDs, in the order of the IDs. Null for each that does not exist."""

    def sql(self, compilation: Compilation, of: BoundType, selected: Selected, alias: str) -> str:
        possible = compilation.types.possible(get_named_type(selected.definition.type))
        ids = compilation.parameter(selected.arguments.reader(lambda now: now["ids"]))
        asked = compilation.alias("asked")
        answer = by_prefix(compilation, selected, list(possible), f"{asked}.id")
        source = f"unnest({ids}::text[]) WITH ORDINALITY {asked} (id, place)"
        return f"(SELECT coalesce(json_agg({answer} ORDER BY {asked}.place), '[]'::json) FROM {source})"
