-- The edges of lineage, each from the later object to the one that it came from.
CREATE VIEW lineage_edges AS
    SELECT project_id, id AS from_id, parent_id AS to_id, 'DERIVED_FROM' AS kind
    FROM versions WHERE parent_id IS NOT NULL
    UNION ALL
    SELECT project_id, id, experiment_id, 'PRODUCED_BY' FROM versions WHERE experiment_id IS NOT NULL
    UNION ALL
    SELECT project_id, version_id, dataset_version_id,
        CASE role WHEN 'TRAINING' THEN 'TRAINED_ON' WHEN 'VALIDATION' THEN 'VALIDATED_ON' ELSE 'TESTED_ON' END
    FROM dataset_uses
    UNION ALL
    SELECT project_id, id, dataset_version_id, 'TRAINED_ON' FROM experiments WHERE dataset_version_id IS NOT NULL
    UNION ALL
    SELECT project_id, dataset_version_id, parent_id, 'DERIVED_FROM' FROM dataset_parents;

-- Appends one event to a chain and returns its hash. The only way into the audit log: it runs as the owner, while the
-- app's role may not insert. `entry` is canonical JSON; chain, seq, time and previous hash are the database's own.
CREATE FUNCTION audit_append(p_chain text, p_entry text) RETURNS bytea
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    event jsonb := p_entry::jsonb;
    head audit_chains;
    moment timestamptz;
    new_hash bytea;
BEGIN
    SELECT * INTO head FROM audit_chains WHERE chain = p_chain FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO audit_chains VALUES (p_chain, 0, sha256(convert_to(p_chain, 'UTF8'))) ON CONFLICT DO NOTHING;
        SELECT * INTO STRICT head FROM audit_chains WHERE chain = p_chain FOR UPDATE;
    END IF;
    moment := clock_timestamp(); -- after the lock, so that time and order agree
    new_hash := sha256(convert_to(concat_ws(E'\n',
        p_chain,
        head.seq + 1,
        to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        encode(head.hash, 'hex'),
        p_entry), 'UTF8'));
    INSERT INTO audit_events (chain, seq, id, project_id, at, actor, action, subject_id, entry, previous_hash, hash)
    VALUES (p_chain, head.seq + 1, event ->> 'id', event ->> 'projectId', moment, event ->> 'actor',
        event ->> 'action', event ->> 'subjectId', p_entry, head.hash, new_hash);
    UPDATE audit_chains SET seq = head.seq + 1, hash = new_hash WHERE chain = p_chain;
    RETURN new_hash;
END
$$;

REVOKE ALL ON FUNCTION audit_append(text, text) FROM PUBLIC;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: what the registry knows is kept.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;

-- A version's training facts never change; its stage and its description may.
CREATE FUNCTION keep_training_facts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (to_jsonb(NEW) - ARRAY['stage', 'stage_position', 'description', 'parameters'], NEW.parameters::text)
        IS DISTINCT FROM
       (to_jsonb(OLD) - ARRAY['stage', 'stage_position', 'description', 'parameters'], OLD.parameters::text)
    THEN
        RAISE EXCEPTION 'The training facts of version % never change.', OLD.id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER keep_training_facts BEFORE UPDATE ON versions FOR EACH ROW EXECUTE FUNCTION keep_training_facts();

ALTER TABLE versions ENABLE ALWAYS TRIGGER keep_training_facts;

DO $$
DECLARE
    kept text;
BEGIN
    -- ENABLE ALWAYS: a session that plays the replica does not get past these.
    FOREACH kept IN ARRAY ARRAY['stage_transitions', 'audit_events', 'metrics', 'dataset_uses', 'dataset_parents'] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', kept);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER append_only', kept);
    END LOOP;
    FOREACH kept IN ARRAY ARRAY['projects', 'models', 'versions', 'datasets', 'dataset_versions', 'experiments',
        'api_keys', 'audit_chains'] LOOP
        EXECUTE format('CREATE TRIGGER never_deleted BEFORE DELETE OR TRUNCATE ON %I
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', kept);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER never_deleted', kept);
    END LOOP;
END
$$;
