-- What depends on one thing, one row a version. `direct` holds the versions that it is a reason for by itself,
-- `affected` these and all their descendants, each with its path from the start (`via`). A version that is direct is
-- not reached through its parent too: its own reason is the nearer one.
(WITH RECURSIVE start (id) AS (
    SELECT {start}::text
), {direct}, affected (id, via) AS (
    SELECT id, via FROM direct
    UNION ALL
    SELECT child.id, a.via || child.id
    FROM affected a
    -- Kept apart, so that children are looked up by their index, not all versions read to find them.
    CROSS JOIN LATERAL (SELECT v.id::text FROM versions v WHERE v.parent_id = a.id OFFSET 0) child
    WHERE child.id NOT IN (SELECT id FROM direct)
)
SELECT {answer})
