-- Existing events get their places by time.
INSERT INTO audit_feed (project_id, position, chain, seq)
SELECT project_id, row_number() OVER (PARTITION BY project_id ORDER BY at, chain, seq), chain, seq
FROM audit_events WHERE project_id IS NOT NULL;

-- An event of a project waits for its place, and listeners are notified.
CREATE FUNCTION await_place() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_unfed (chain, seq) VALUES (NEW.chain, NEW.seq);
    PERFORM pg_notify('lineal_events', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER await_place AFTER INSERT ON audit_events FOR EACH ROW WHEN (NEW.project_id IS NOT NULL)
    EXECUTE FUNCTION await_place();

-- Assigns every committed event its place in its project's feed. A reader that has read up to a place has missed
-- nothing before it. Writers do not wait for each other for this, only callers of this function do. Returns the
-- projects that have new events.
CREATE FUNCTION audit_feed_events() RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('lineal audit feed')); -- what follows sees what was committed by now
    RETURN QUERY
    WITH taken AS (
        DELETE FROM audit_unfed RETURNING chain, seq
    ), placed AS (
        INSERT INTO audit_feed (project_id, position, chain, seq)
        SELECT e.project_id, coalesce((SELECT max(f.position) FROM audit_feed f WHERE f.project_id = e.project_id), 0)
            + row_number() OVER (PARTITION BY e.project_id ORDER BY e.at, e.chain, e.seq), e.chain, e.seq
        FROM taken t JOIN audit_events e USING (chain, seq)
        RETURNING project_id
    )
    SELECT DISTINCT project_id::text FROM placed;
    IF FOUND THEN
        PERFORM pg_notify('lineal_feed', '');
    END IF;
END
$$;
REVOKE ALL ON FUNCTION audit_feed_events() FROM PUBLIC;
