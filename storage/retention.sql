-- The development versions of a project that nobody touched for longer than its policy says, the newest first, each
-- with the reason why it is kept, null where nothing keeps it. A version that is kept is living, and so keeps its
-- parents: `living` walks from each up the line of the old ones.
WITH RECURSIVE old AS MATERIALIZED (
    SELECT v.id, v.model_id, v.parent_id, v.created_at, v.number
    FROM versions v JOIN project_policies y ON y.project_id = v.project_id
    WHERE v.project_id = :project AND v.stage = 'DEVELOPMENT'
        AND v.touched_at < clock_timestamp() - make_interval(days => y.retention_days)
        AND (CAST(:only AS text[]) IS NULL OR v.id = ANY (CAST(:only AS text[])))
), reasons AS MATERIALIZED (
    SELECT o.id, o.parent_id, CASE
        WHEN EXISTS (SELECT FROM tags g WHERE g.version_id = o.id AND g.tag = 'keep') THEN 'It is tagged keep.'
        WHEN EXISTS (SELECT FROM transition_requests q
            WHERE q.version_id = o.id AND q.status = 'OPEN' AND q.expires_at > clock_timestamp())
            THEN 'It is under review.'
        WHEN EXISTS (SELECT FROM versions c WHERE c.parent_id = o.id AND c.stage <> 'ARCHIVED'
            AND NOT EXISTS (SELECT FROM old p WHERE p.id = c.id)) THEN 'A living version was derived from it.'
        END AS reason
    FROM old o
), living (id, parent_id, reason) AS (
    SELECT * FROM reasons WHERE reason IS NOT NULL
    UNION
    SELECT r.id, r.parent_id, coalesce(r.reason, 'A living version was derived from it.')
    FROM living l JOIN reasons r ON r.id = l.parent_id
)
SELECT o.id, o.model_id, o.number, l.reason
FROM old o LEFT JOIN living l ON l.id = o.id
WHERE CAST(:kept AS boolean) IS NULL OR (l.reason IS NOT NULL) = :kept
ORDER BY o.created_at DESC, o.id DESC
LIMIT :limit
