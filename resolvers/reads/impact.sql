-- One row for each version that depends on an object, for the fields `impact`: the object that it was reached from, and
-- the number of objects on its path. `start` is an expression for the id of the object. `direct` are CTEs that end in
-- `origin`, which holds the objects between the start and versions, and in `direct`, the versions that depend on the
-- start directly. `affected` are these and all their descendants. A direct version is not reached through its parent
-- too, because its own path is shorter. `answer` is the object for the selection.
(WITH RECURSIVE start (id) AS (
    SELECT {start}::text
), {direct}, affected (id, from_id, length) AS (
    SELECT id, from_id, length FROM direct
    UNION ALL
    SELECT child.id, a.id, a.length + 1
    FROM affected a
    -- Separate, so that children are found by their index and not by reading all versions.
    CROSS JOIN LATERAL (SELECT v.id::text FROM versions v WHERE v.parent_id = a.id OFFSET 0) child
    -- As a hashed anti-join, however many are direct: NOT IN is not hashed once the planner expects many.
    WHERE NOT EXISTS (SELECT FROM direct d WHERE d.id = child.id)
)
SELECT {answer})
