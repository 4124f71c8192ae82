-- Returns what depends on one object, one row for each version: the object that it was reached from, and the length of its
-- path. `origin` holds the objects between the start and the versions, `direct` the versions that depend on the start
-- directly, `affected` these and all their descendants. A direct version is not reached through its parent as well,
-- because its direct path is shorter.
(WITH RECURSIVE start (id) AS (
    SELECT {start}::text
), {direct}, affected (id, from_id, length) AS (
    SELECT id, from_id, length FROM direct
    UNION ALL
    SELECT child.id, a.id, a.length + 1
    FROM affected a
    -- Kept apart, so that children are looked up by their index, not all versions read to find them.
    CROSS JOIN LATERAL (SELECT v.id::text FROM versions v WHERE v.parent_id = a.id OFFSET 0) child
    WHERE child.id NOT IN (SELECT id FROM direct)
)
SELECT {answer})
