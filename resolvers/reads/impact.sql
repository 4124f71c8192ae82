-- One row for each version that depends on one thing, for the fields `impact`: the thing that it was reached from, and
-- the number of things on its path. `start` is an expression for the id of the thing. `direct` are CTEs that end in
-- `origin`, which holds what lies between the start and versions, and in `direct`, the versions that the start is a
-- reason for by itself. `affected` are these and all their descendants. A version that is direct is not reached through
-- its parent too: its own reason is the nearer one. `answer` is the object that answers the selection.
(WITH RECURSIVE start (id) AS (
    SELECT {start}::text
), {direct}, affected (id, from_id, length) AS (
    SELECT id, from_id, length FROM direct
    UNION ALL
    SELECT child.id, a.id, a.length + 1
    FROM affected a
    -- Kept apart, so that children are looked up by their index, not all versions read to find them.
    CROSS JOIN LATERAL (SELECT v.id::text FROM versions v WHERE v.parent_id = a.id OFFSET 0) child
    -- As a hashed anti-join, however many are direct: NOT IN is not hashed once the planner expects many.
    WHERE NOT EXISTS (SELECT FROM direct d WHERE d.id = child.id)
)
SELECT {answer})
