"""The steps of deployments, from the audit log, and their shares of the traffic."""

CANARY = "{t}.strategy = 'CANARY'"
EVENTS = """(
    SELECT e.seq, e.at, split_part(e.action, '.', 2) AS kind, e.actor, e.entry::json ->> 'notes' AS reason,
        (e.entry::json -> 'details' -> 'after' ->> 'trafficPercentage')::int AS traffic_percentage
    FROM audit_events e WHERE e.subject_id = {t}.id AND e.chain = {t}.model_id) {c}"""
REPORTS = "(SELECT h.* FROM health_reports h WHERE h.deployment_id = {t}.id) {c}"
NEXT_ADVANCE = (
    "CASE WHEN {t}.status = 'IN_PROGRESS' AND {t}.auto_advance THEN {t}.stage_since"
    " + ({t}.stages -> {t}.stage ->> 'durationMinutes')::float8 * interval '1 minute' END"
)
# Traffic that no deployment serves is served by a system that the registry does not know.
SERVING = """(
    WITH served AS (
        SELECT d.id, d.traffic_percentage AS share FROM deployments d
        WHERE d.model_id = {t}.id AND d.environment = coalesce({args[environment]}::text, 'production')
            AND d.traffic_percentage > 0
    )
    SELECT id, share FROM served
    UNION ALL
    SELECT NULL, 100 - sum(share) FROM served HAVING sum(share) < 100) {c}"""
