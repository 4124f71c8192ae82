-- What was recorded so far gets its place by time.
INSERT INTO audit_feed (project_id, position, chain, seq)
SELECT project_id, row_number() OVER (PARTITION BY project_id ORDER BY at, chain, seq), chain, seq
FROM audit_events WHERE project_id IS NOT NULL;

-- Appends events to a chain, all at one moment, which it answers. The only way into the audit log, the history of
-- stages and the approvals: it runs as the owner, while the app's role may not insert. Each entry is canonical JSON;
-- chain, seq, time and previous hash are the database's own.
CREATE OR REPLACE FUNCTION audit_append(p_chain text, p_entries text[]) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    head audit_chains;
    before bytea;
    moment timestamptz;
    entry text;
    event jsonb;
BEGIN
    SELECT * INTO head FROM audit_chains WHERE chain = p_chain FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO audit_chains (chain, seq, hash, at)
        VALUES (p_chain, 0, sha256(convert_to(p_chain, 'UTF8')), '-infinity') ON CONFLICT DO NOTHING;
        SELECT * INTO STRICT head FROM audit_chains WHERE chain = p_chain FOR UPDATE;
    END IF;
    moment := greatest(clock_timestamp(), head.at); -- after the lock, so that time and order agree
    FOREACH entry IN ARRAY p_entries LOOP
        event := entry::jsonb;
        before := head.hash;
        head.seq := head.seq + 1;
        head.hash := sha256(convert_to(concat_ws(E'\n',
            p_chain,
            head.seq,
            to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            encode(before, 'hex'),
            entry), 'UTF8'));
        INSERT INTO audit_events (chain, seq, id, project_id, at, actor, action, subject_id, entry, previous_hash, hash)
        VALUES (p_chain, head.seq, event ->> 'id', event ->> 'projectId', moment, event ->> 'actor',
            event ->> 'action', event ->> 'subjectId', entry, before, head.hash);
        IF event ->> 'projectId' IS NOT NULL THEN
            INSERT INTO audit_unfed (chain, seq) VALUES (p_chain, head.seq);
            PERFORM pg_notify('lineal_events', '');
        END IF;
        IF event ? 'step' THEN
            PERFORM keep_step(p_chain, event, moment);
        END IF;
        IF event ? 'approval' THEN
            PERFORM keep_approval(p_chain, event, moment);
        END IF;
    END LOOP;
    UPDATE audit_chains SET seq = head.seq, hash = head.hash, at = moment WHERE chain = p_chain;
    RETURN moment;
END
$$;

-- Gives every event that has been committed its place in its project's feed: whoever has read up to a place has missed
-- nothing before it. Writers do not wait for each other for that: only who calls this does. Answers the projects that
-- have something new.
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
