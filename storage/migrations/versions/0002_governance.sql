-- Keys get owners. Until now a key without a project could access everything, and one with a project all of that
-- project.
INSERT INTO principals (id, email, kind, administers, created_by)
SELECT 'prin_' || replace(gen_random_uuid()::text, '-', ''), lower(email),
    CASE WHEN lower(email) = 'admin@localhost' THEN 'USER' ELSE min(kind) END, bool_or(project_id IS NULL), 'lineal'
FROM api_keys GROUP BY lower(email);
UPDATE api_keys k SET principal_id = p.id FROM principals p WHERE p.email = lower(k.email);
INSERT INTO members (project_id, principal_id, role, created_by)
SELECT DISTINCT project_id, principal_id, 'ADMIN', 'lineal' FROM api_keys WHERE project_id IS NOT NULL;

INSERT INTO project_policies (project_id, required_approvals, allow_self_approval, require_complete_card,
    block_invalid_data, semver, tags, retention_days, min_metrics, max_regression, approval_valid_days)
SELECT id, 1, false, false, true, 'WARN', 'WARN', 90, '[]', 0.1, 30 FROM projects;

INSERT INTO daily_runs (task, finished_at) VALUES ('retention', NULL);

UPDATE audit_chains c SET at = coalesce(
    (SELECT e.at FROM audit_events e WHERE e.chain = c.chain AND e.seq = c.seq), clock_timestamp());

CREATE OR REPLACE FUNCTION keep_training_facts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    may_change CONSTANT text[] := ARRAY['stage', 'stage_position', 'description', 'touched_at', 'parameters'];
BEGIN
    IF (to_jsonb(NEW) - may_change, NEW.parameters::text) IS DISTINCT FROM
       (to_jsonb(OLD) - may_change, OLD.parameters::text)
    THEN
        RAISE EXCEPTION 'The training facts of version % never change.', OLD.id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;

-- No one has agreed to retention so far, so its days count from now.
UPDATE versions SET touched_at = clock_timestamp();

-- A version's metrics and data are stated when it is registered, and never added to. Its first step has the time of
-- that: the row of the version itself is newer if the version has been touched.
CREATE FUNCTION keep_registered_facts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM stage_transitions s JOIN (SELECT DISTINCT version_id FROM added) a ON a.version_id = s.version_id
        WHERE s.from_stage IS NULL AND s.xmin <> pg_current_xact_id()::xid
    ) THEN
        RAISE EXCEPTION 'What is known of a registered version is not added to.'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER only_when_registered AFTER INSERT ON metrics REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION keep_registered_facts();
CREATE TRIGGER only_when_registered AFTER INSERT ON dataset_uses REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION keep_registered_facts();

-- Every version's card, written or not.
CREATE VIEW version_cards AS
    SELECT v.id AS version_id, v.project_id, coalesce(k.revision, 0) AS revision, k.description, k.intended_use,
        k.limitations, k.ethical_considerations, k.training_data_summary, k.performance_by_segment,
        coalesce(k.updated_at, v.created_at) AS updated_at, coalesce(k.updated_by, v.created_by) AS updated_by
    FROM versions v LEFT JOIN model_cards k ON k.version_id = v.id;

-- Makes the step that an event records: the next entry of its version's history, and the version's stage.
CREATE FUNCTION keep_step(p_chain text, p_event jsonb, p_at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    step jsonb := p_event -> 'step';
    version versions;
    place bigint;
BEGIN
    SELECT * INTO STRICT version FROM versions WHERE id = step ->> 'versionId';
    IF version.model_id <> p_chain OR version.id <> p_event ->> 'subjectId' THEN
        RAISE EXCEPTION 'The step of % stands in the chain %.', version.id, p_chain
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    SELECT coalesce(max(position), 0) + 1 INTO place FROM stage_transitions WHERE model_id = version.model_id;
    INSERT INTO stage_transitions (id, project_id, model_id, version_id, position, previous_position, after_position,
        from_stage, to_stage, at, actor, approved_by, notes, automatic)
    VALUES (step ->> 'id', version.project_id, version.model_id, version.id, place, nullif(place - 1, 0),
        CASE WHEN step ->> 'from' IS NOT NULL THEN version.stage_position END,
        step ->> 'from', step ->> 'to', p_at, p_event ->> 'actor', step ->> 'approvedBy', p_event ->> 'notes',
        (step ->> 'automatic')::boolean);
    IF step ->> 'to' = 'PRODUCTION' AND NOT EXISTS (
        SELECT FROM stage_transitions s WHERE s.version_id = version.id AND s.to_stage = 'PRODUCTION'
            AND s.position < place
    ) AND (
        SELECT count(DISTINCT a.reviewer_id) FROM approvals a WHERE a.version_id = version.id
            AND a.stage_position = version.stage_position AND a.target_stage = 'PRODUCTION' AND a.decision = 'APPROVE'
    ) < (SELECT y.required_approvals FROM project_policies y WHERE y.project_id = version.project_id) THEN
        RAISE EXCEPTION '% was never in production, and too few have approved that it goes there.', version.id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF step ->> 'from' IS NULL THEN -- only its place: nothing that an index knows changes
        UPDATE versions SET stage_position = place WHERE id = version.id;
    ELSE
        UPDATE versions SET stage = step ->> 'to', stage_position = place, touched_at = p_at WHERE id = version.id;
    END IF;
END
$$;

-- Stores the decision that an event records, about the next step of the version, by a person who may review.
CREATE FUNCTION keep_approval(p_chain text, p_event jsonb, p_at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    INSERT INTO approvals (id, project_id, version_id, request_id, target_stage, stage_position, reviewer, reviewer_id,
        attested_by, decision, meaning, notes, at, reviewed)
    SELECT a.id, v.project_id, v.id, a."requestId", a."targetStage", a."stagePosition", a.reviewer, a."reviewerId",
        a."attestedBy", a.decision, a.meaning, p_event ->> 'notes', p_at, a.reviewed
    FROM jsonb_to_record(p_event -> 'approval') AS a (id text, "requestId" text, "targetStage" text,
        "stagePosition" bigint, reviewer text, "reviewerId" text, "attestedBy" text, decision text, meaning text,
        reviewed json)
    JOIN versions v ON v.id = p_event ->> 'subjectId' AND v.model_id = p_chain
        AND v.project_id = p_event ->> 'projectId' AND v.stage_position = a."stagePosition"
    JOIN principals p ON p.id = a."reviewerId" AND p.email = a.reviewer AND p.kind = 'USER'
    JOIN members m ON m.project_id = v.project_id AND m.principal_id = p.id AND m.role IN ('REVIEWER', 'ADMIN')
    WHERE p_event ->> 'actor' = coalesce(a."attestedBy", a.reviewer);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'The approval of % is not one of the next step of a version of % by a reviewer.',
            p_event ->> 'subjectId', p_chain USING ERRCODE = 'integrity_constraint_violation';
    END IF;
END
$$;

DROP FUNCTION audit_append(text, text);

-- Appends events to a chain, all with the same time, which it returns. The only way into the audit log, the history of
-- stages and the approvals: it runs as the owner, while the app's role may not insert. Each entry is canonical JSON;
-- chain, seq, time and previous hash are the database's own.
CREATE FUNCTION audit_append(p_chain text, p_entries text[]) RETURNS timestamptz
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

REVOKE ALL ON FUNCTION audit_append(text, text[]), keep_step(text, jsonb, timestamptz),
    keep_approval(text, jsonb, timestamptz) FROM PUBLIC;

DO $$
DECLARE
    kept text;
BEGIN
    FOREACH kept IN ARRAY ARRAY['approvals', 'model_card_revisions'] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', kept);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER append_only', kept);
    END LOOP;
    FOREACH kept IN ARRAY ARRAY['principals', 'project_policies', 'tag_definitions', 'transition_requests',
        'model_cards'] LOOP
        EXECUTE format('CREATE TRIGGER never_deleted BEFORE DELETE OR TRUNCATE ON %I
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', kept);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER never_deleted', kept);
    END LOOP;
END
$$;
