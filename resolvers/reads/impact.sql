-- What depends on one thing, one row a version: the thing that it was reached from, and how many things its path has.
-- `origin` holds what lies between the start and versions, `direct` the versions that the start is a reason for by
-- itself, `affected` these and all their descendants. A version that is direct is not reached through its parent too:
-- its own reason is the nearer one.
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
