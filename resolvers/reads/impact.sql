-- What depends on one thing, one row a version. `direct` holds the versions that it is a reason for by itself,
-- `affected` these and all their descendants, each with its path from the start (`via`). A version that is direct is
-- not reached through its parent too: its own reason is the nearer one.
(WITH RECURSIVE start (id) AS (
    SELECT {start}::text
), {direct}, affected (id, via) AS (
    SELECT id, via FROM direct
    UNION ALL
    SELECT v.id::text, a.via || v.id::text FROM affected a JOIN versions v ON v.parent_id = a.id
    WHERE v.id NOT IN (SELECT id FROM direct)
)
SELECT {answer})
