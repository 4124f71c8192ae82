-- One row for Query.auditStatus: the last checkpoint that the audit log records, the number of events since then, and
-- the oldest problem that a server reports. The number of events is the sum of the heads' places: chains begin at 1 and
-- have no gaps. No parameters.
SELECT (told.details ->> 'number')::bigint AS number, (told.details ->> 'at')::timestamptz AS at,
    told.details ->> 'key' AS key, greatest(heads.events - coalesce((told.details ->> 'events')::bigint, 0), 0) AS behind,
    reported.problem, reported.since
FROM (SELECT coalesce(sum(seq), 0)::bigint AS events FROM audit_chains WHERE chain <> 'checkpoints') heads
LEFT JOIN LATERAL (
    SELECT entry::json -> 'details' AS details FROM audit_events WHERE chain = 'checkpoints' ORDER BY seq DESC LIMIT 1
) told ON true
LEFT JOIN LATERAL (
    SELECT problem, since FROM checkpoint_reports
    WHERE problem IS NOT NULL AND reported_at > clock_timestamp() - interval '24 hours' ORDER BY since LIMIT 1
) reported ON true
