-- One row for each development version of a project that was not touched for longer than its policy allows, the newest
-- first, for the daily run and for applyRetention: with the reason why it is kept, null if there is none. A version
-- that is kept is living, and therefore keeps its parents: `living` walks from each up the old ancestors. Whether a
-- version is old is computed for each row, not looked up in `old`, so that the time grows only with the number of
-- versions. `project` is the project's id, `kept` selects the kept (true) or the others (false; null: all), `limit` is
-- the most rows. `is_old_v` and `is_old_c` are conditions on the rows `v` and `c`.
WITH RECURSIVE policy AS MATERIALIZED (
    SELECT statement_timestamp() - make_interval(days => retention_days) AS oldest
    FROM project_policies WHERE project_id = :project
), old AS MATERIALIZED (
    SELECT v.id, v.model_id, v.parent_id, v.created_at, v.number FROM versions v
    WHERE v.project_id = :project AND {is_old_v}
), reasons AS MATERIALIZED (
    SELECT o.id, o.parent_id, CASE
        WHEN EXISTS (SELECT FROM tags g WHERE g.version_id = o.id AND g.tag = 'keep') THEN 'It is tagged keep.'
        WHEN EXISTS (SELECT FROM transition_requests q
            WHERE q.version_id = o.id AND q.status = 'OPEN' AND q.expires_at > statement_timestamp())
            THEN 'It is under review.'
        WHEN EXISTS (SELECT FROM deployments p
            WHERE p.version_id = o.id AND p.status NOT IN ('ROLLED_BACK', 'RETIRED')) THEN 'It is deployed.'
        WHEN EXISTS (SELECT FROM model_aliases a WHERE a.version_id = o.id) THEN 'An alias points to it.'
        WHEN EXISTS (SELECT FROM versions c WHERE c.parent_id = o.id AND c.stage <> 'ARCHIVED' AND NOT ({is_old_c}))
            THEN 'A living version was derived from it.'
        END AS reason
    FROM old o
), living (id, parent_id) AS (
    SELECT id, parent_id FROM reasons WHERE reason IS NOT NULL
    UNION
    SELECT parent.id, parent.parent_id
    FROM living l CROSS JOIN LATERAL (
        SELECT v.id, v.parent_id FROM versions v WHERE v.id = l.parent_id AND {is_old_v}
        LIMIT 1 -- makes the planner use the key, however many rows it expects
    ) parent
), answered AS (
    SELECT o.id, o.model_id, o.number, o.created_at,
        coalesce(r.reason, CASE WHEN l.id IS NOT NULL THEN 'A living version was derived from it.' END) AS reason
    FROM old o JOIN reasons r ON r.id = o.id LEFT JOIN living l ON l.id = o.id
)
SELECT id, model_id, number, reason FROM answered
WHERE CAST(:kept AS boolean) IS NULL OR (reason IS NOT NULL) = :kept
ORDER BY created_at DESC, id DESC
LIMIT :limit
