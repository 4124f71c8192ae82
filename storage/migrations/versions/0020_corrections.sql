-- The versions of old databases are counted in the order of their registration: that of their first steps, which the
-- lock of the model has put in order. Tables with pending checks of deferred constraints are not altered: those that
-- earlier revisions have left in this transaction are made first, and its own at once.
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE versions DISABLE TRIGGER keep_training_facts;
UPDATE versions v SET ordinal = counted.nth
FROM (
    SELECT version_id, row_number() OVER (PARTITION BY model_id ORDER BY position) AS nth
    FROM stage_transitions WHERE from_stage IS NULL
) counted
WHERE counted.version_id = v.id;
ALTER TABLE versions ENABLE ALWAYS TRIGGER keep_training_facts;
SET CONSTRAINTS ALL DEFERRED;

UPDATE models m SET updated_at = coalesce(
    (SELECT c.at FROM audit_chains c WHERE c.chain = m.id AND c.at > '-infinity'), m.created_at);

-- As before; an artifact may be moved, as the trigger keep_artifact allows.
CREATE OR REPLACE FUNCTION keep_training_facts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    may_change CONSTANT text[] := ARRAY['stage', 'stage_position', 'description', 'touched_at', 'parameters',
        'artifact_uri', 'artifact_moved_at'];
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

-- An artifact is moved only where its digest says what it is, and the time is the database's own.
CREATE FUNCTION keep_artifact() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.artifact_digest IS NULL OR NEW.artifact_uri IS NULL THEN
        RAISE EXCEPTION 'The artifact of version % has no digest, so it stays where it is.', OLD.id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    NEW.artifact_moved_at := clock_timestamp();
    RETURN NEW;
END
$$;

CREATE TRIGGER keep_artifact BEFORE UPDATE OF artifact_uri ON versions FOR EACH ROW
    WHEN (NEW.artifact_uri IS DISTINCT FROM OLD.artifact_uri) EXECUTE FUNCTION keep_artifact();
ALTER TABLE versions ENABLE ALWAYS TRIGGER keep_artifact;

CREATE FUNCTION tie_artifact() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    now_is versions;
    told jsonb := told_of(NEW.model_id, NEW.id, 'version.artifactMoved') #> '{details,after,artifact}';
BEGIN
    SELECT * INTO STRICT now_is FROM versions WHERE id = NEW.id;
    IF (told ->> 'uri', told ->> 'digest') IS DISTINCT FROM (now_is.artifact_uri, now_is.artifact_digest) THEN
        PERFORM refuse_untold(TG_OP, TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER tied_to_event AFTER UPDATE OF artifact_uri ON versions DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NOT owner_is_here()) EXECUTE FUNCTION tie_artifact();
ALTER TABLE versions ENABLE ALWAYS TRIGGER tied_to_event;

-- Whoever registers a version holds the lock of its model. Versions are never deleted, so that no ordinal is missing or
-- given twice.
CREATE FUNCTION give_ordinal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.ordinal := 1 + coalesce((SELECT max(v.ordinal) FROM versions v WHERE v.model_id = NEW.model_id), 0);
    RETURN NEW;
END
$$;

CREATE TRIGGER give_ordinal BEFORE INSERT ON versions FOR EACH ROW EXECUTE FUNCTION give_ordinal();
ALTER TABLE versions ENABLE ALWAYS TRIGGER give_ordinal;

CREATE FUNCTION tie_alias() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    changed model_aliases := coalesce(NEW, OLD);
    now_is model_aliases;
    told jsonb;
BEGIN
    SELECT * INTO now_is FROM model_aliases a WHERE (a.model_id, a.name) = (changed.model_id, changed.name);
    SELECT e.event INTO told FROM told_now(changed.model_id) WITH ORDINALITY AS e (event, nth)
    WHERE e.event ->> 'action' IN ('alias.set', 'alias.removed') AND e.event ->> 'subjectId' = changed.model_id
        AND coalesce(e.event #>> '{details,after,alias}', e.event #>> '{details,before,alias}') = changed.name
    ORDER BY e.nth LIMIT 1;
    IF told IS NULL OR told ->> 'projectId' IS DISTINCT FROM changed.project_id
        OR told #>> '{details,after,versionId}' IS DISTINCT FROM now_is.version_id
        OR (told ->> 'action' = 'alias.set') <> (now_is.version_id IS NOT NULL)
        OR told ->> 'actor' <> now_is.set_by
    THEN
        PERFORM refuse_untold(TG_OP, TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER tied_to_event AFTER INSERT OR UPDATE OR DELETE ON model_aliases
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NOT owner_is_here()) EXECUTE FUNCTION tie_alias();
ALTER TABLE model_aliases ENABLE ALWAYS TRIGGER tied_to_event;

CREATE FUNCTION tie_webhook() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF told_of(OLD.project_id, OLD.id, 'webhook.deleted') IS NULL THEN
        PERFORM refuse_untold(TG_OP, TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER tied_to_event AFTER DELETE ON webhooks DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NOT owner_is_here()) EXECUTE FUNCTION tie_webhook();
ALTER TABLE webhooks ENABLE ALWAYS TRIGGER tied_to_event;

-- When anything of a model last changed: whatever does has an event in its chain, and holds its lock.
CREATE FUNCTION keep_model_time() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    UPDATE models SET updated_at = NEW.at WHERE id = NEW.chain;
    RETURN NULL;
END
$$;

CREATE TRIGGER keep_model_time AFTER UPDATE ON audit_chains FOR EACH ROW
    WHEN (NEW.chain LIKE 'model\_%') EXECUTE FUNCTION keep_model_time();
ALTER TABLE audit_chains ENABLE ALWAYS TRIGGER keep_model_time;

REVOKE ALL ON FUNCTION tie_artifact(), tie_alias(), tie_webhook(), keep_model_time() FROM PUBLIC;
