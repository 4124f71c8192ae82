-- One JSON object for the fields `lineage`: the graph around one object. `step` walks edge by edge. `found` holds each
-- object once, at its shortest distance. `edge` holds the edges between two found objects. `reached` tells whether
-- there is more beyond the depth. `start` is an expression for the id of the object, `upstream` and `downstream` are
-- the directions to walk, `depth` and `nodes` are the most steps and objects, `visible` is the condition on an edge `e`
-- that the caller sees it, `answer` the object for the selection.
(WITH RECURSIVE step (id, distance, upstream) AS (
    SELECT {start}::varchar, 0, true WHERE {upstream}
    UNION
    SELECT {start}::varchar, 0, false WHERE {downstream}
    UNION
    SELECT next.id, step.distance + 1, step.upstream
    FROM step
    CROSS JOIN LATERAL (
        SELECT e.to_id FROM lineage_edges e WHERE step.upstream AND e.from_id = step.id AND {visible}
        UNION ALL
        SELECT e.from_id FROM lineage_edges e WHERE NOT step.upstream AND e.to_id = step.id AND {visible}
    ) next (id)
    WHERE step.distance < {depth} + 1
), nearest AS (
    SELECT id, min(distance) AS distance FROM step GROUP BY id
), found AS (
    SELECT * FROM nearest WHERE distance <= {depth} ORDER BY distance, id LIMIT {nodes}
), reached AS (
    SELECT coalesce(bool_or(distance > {depth}), false) AS beyond,
        count(*) FILTER (WHERE distance <= {depth}) AS nodes FROM nearest
), edge AS (
    SELECT e.from_id, e.to_id, e.kind FROM lineage_edges e
    WHERE e.from_id IN (SELECT id FROM found) AND e.to_id IN (SELECT id FROM found) AND {visible}
)
SELECT {answer})
