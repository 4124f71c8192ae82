-- Errors that were stored so far can reveal what a name resolves to.
UPDATE webhook_deliveries SET error = 'No connection to the receiver.'
WHERE error IS NOT NULL AND error !~ '^(Answered [0-9]+(; redirects are not followed)?\.|No answer within .* seconds\.)$';

-- Reports that a rollout may still depend on are never deleted: the newest ones of a deployment that is being rolled
-- out.
CREATE FUNCTION decides_rollout(p_report health_reports) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM deployments d
            WHERE d.id = p_report.deployment_id AND d.status IN ('IN_PROGRESS', 'PAUSED'))
        AND (SELECT count(*) FROM (SELECT FROM health_reports h WHERE h.deployment_id = p_report.deployment_id
            AND (h.at, h.id) > (p_report.at, p_report.id) LIMIT 101) newer) < 101
$$;
CREATE FUNCTION keep_decisive_reports() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF decides_rollout(OLD) THEN
        RAISE EXCEPTION 'DELETE of % is refused: a rollout may decide on it.', OLD.id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END
$$;
DROP TRIGGER append_only ON health_reports;
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON health_reports
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE health_reports ENABLE ALWAYS TRIGGER append_only;
CREATE TRIGGER keep_decisive BEFORE DELETE ON health_reports FOR EACH ROW EXECUTE FUNCTION keep_decisive_reports();
ALTER TABLE health_reports ENABLE ALWAYS TRIGGER keep_decisive;

-- Deletes health reports older than so many days, at most p_most; returns how many. Days below 1 count as 1.
CREATE FUNCTION forget_health(p_days double precision, p_most integer) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    forgotten integer;
BEGIN
    DELETE FROM health_reports r USING (
        SELECT old.id FROM deployments d CROSS JOIN LATERAL (
            SELECT h.id FROM health_reports h
            WHERE h.deployment_id = d.id AND h.at < clock_timestamp() - greatest(p_days, 1) * interval '1 day'
                AND NOT decides_rollout(h)
            ORDER BY h.at LIMIT p_most) old
        LIMIT p_most) o
    WHERE r.id = o.id;
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END
$$;

-- Deletes places in the feeds of events older than so many days, at most p_most of each project; returns how many. Only
-- places that every webhook of the project has passed, and never the newest, because the next place follows from it.
CREATE FUNCTION forget_feed(p_days double precision, p_most integer) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    forgotten integer;
BEGIN
    DELETE FROM audit_feed f USING (
        SELECT old.project_id, old.position FROM projects p CROSS JOIN LATERAL (
            SELECT n.project_id, n.position, bool_and(e.at < clock_timestamp() - greatest(p_days, 1) * interval '1 day')
                OVER (ORDER BY n.position) AS all_old_so_far FROM (
                SELECT q.project_id, q.position, q.chain, q.seq FROM audit_feed q
                WHERE q.project_id = p.id AND q.position < (SELECT max(m.position) FROM audit_feed m
                    WHERE m.project_id = p.id)
                    AND q.position <= coalesce((SELECT min(w.position) FROM webhooks w WHERE w.project_id = p.id),
                        q.position)
                ORDER BY q.position LIMIT p_most) n
            JOIN audit_events e USING (chain, seq)
        ) old WHERE old.all_old_so_far
    ) o
    WHERE f.project_id = o.project_id AND f.position = o.position;
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END
$$;
REVOKE ALL ON FUNCTION forget_health(double precision, integer), forget_feed(double precision, integer) FROM PUBLIC;
