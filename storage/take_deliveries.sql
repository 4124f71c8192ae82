-- One row for each delivery that this process must send now, for the sender of webhooks: leases deliveries that are
-- due, at most `most`, for `seconds`. A webhook has one attempt in flight. A project has at most `per_project` over all
-- processes, of which receivers that failed last time get `per_failing`. The free places are shared among projects:
-- first the next delivery of each, then the second of each. `busy` are the webhooks to leave alone, `keys` the ids of
-- the keys that this process can decrypt secrets with.
WITH in_flight AS (
    SELECT d.webhook_id, w.project_id, w.failing_since IS NOT NULL AS failing
    FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id
    WHERE d.lease IS NOT NULL AND d.next_at > clock_timestamp()
), used AS (
    SELECT project_id, count(*) AS places, count(*) FILTER (WHERE failing) AS failing_places FROM in_flight
    GROUP BY project_id
), waiting AS (
    SELECT w.id AS webhook_id, w.project_id, w.failing_since IS NOT NULL AS failing, d.id, d.next_at
    FROM webhooks w CROSS JOIN LATERAL (
        SELECT q.id, q.next_at FROM webhook_deliveries q
        WHERE q.webhook_id = w.id AND q.next_at <= clock_timestamp() ORDER BY q.next_at LIMIT 1
    ) d
    WHERE w.active AND split_part(w.secret, '.', 2) = ANY (CAST(:keys AS text[]))
        AND (coalesce(w.previous_until <= clock_timestamp(), true)
            OR split_part(w.previous_secret, '.', 2) = ANY (CAST(:keys AS text[])))
        AND w.id <> ALL (CAST(:busy AS text[])) AND NOT EXISTS (SELECT FROM in_flight f WHERE f.webhook_id = w.id)
), of_kind AS (
    SELECT n.*, coalesce(u.places, 0) AS used, coalesce(u.failing_places, 0)
        + row_number() OVER (PARTITION BY project_id, failing ORDER BY next_at, id) AS failing_place
    FROM waiting n LEFT JOIN used u USING (project_id)
), placed AS (
    SELECT id, next_at, used + row_number() OVER (PARTITION BY project_id ORDER BY failing, next_at, id) AS place
    FROM of_kind WHERE NOT failing OR failing_place <= :per_failing
), taken AS (
    SELECT q.id FROM webhook_deliveries q JOIN (
        SELECT id, place, next_at FROM placed WHERE place <= :per_project ORDER BY place, next_at LIMIT :most
    ) p ON p.id = q.id
    WHERE q.next_at <= clock_timestamp() ORDER BY p.place, p.next_at FOR UPDATE OF q SKIP LOCKED
)
UPDATE webhook_deliveries d SET attempts = d.attempts + 1, attempted_at = clock_timestamp(), lease = gen_random_uuid(),
    next_at = clock_timestamp() + make_interval(secs => :seconds)
FROM taken t, webhooks w, audit_events e
WHERE d.id = t.id AND w.id = d.webhook_id AND e.id = d.event_id
RETURNING d.id, d.lease, d.attempts, w.id AS webhook_id, w.url, w.secret,
    CASE WHEN w.previous_until > clock_timestamp() THEN w.previous_secret END AS previous_secret,
    e.id AS event_id, e.action, e.at, e.chain, e.seq,
    shown_entry(e.entry) AS entry
