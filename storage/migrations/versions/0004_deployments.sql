-- The edges of lineage, each from the later object to the one that it came from.
CREATE OR REPLACE VIEW lineage_edges AS
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
    SELECT project_id, dataset_version_id, parent_id, 'DERIVED_FROM' FROM dataset_parents
    UNION ALL
    SELECT project_id, id, version_id, 'DEPLOYED_AS' FROM deployments;

-- The version and the plan of a deployment never change, only its state. A deployment that was rolled back stays so,
-- and a retired one can only return to serve alone.
CREATE FUNCTION keep_deployment() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    may_change CONSTANT text[] := ARRAY['status', 'traffic_percentage', 'stage', 'stage_since', 'due_at', 'revision'];
BEGIN
    IF to_jsonb(NEW) - may_change IS DISTINCT FROM to_jsonb(OLD) - may_change
        OR NEW.revision <> OLD.revision + 1
        OR OLD.status = 'ROLLED_BACK'
        OR OLD.status = 'RETIRED' AND NEW.status <> 'ACTIVE'
    THEN
        RAISE EXCEPTION 'This change of the deployment % is refused.', OLD.id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER keep_deployment BEFORE UPDATE ON deployments FOR EACH ROW EXECUTE FUNCTION keep_deployment();
ALTER TABLE deployments ENABLE ALWAYS TRIGGER keep_deployment;

-- At every commit: if a version of a model is active in an environment, the shares add up to 100.
CREATE FUNCTION check_shares() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT sum(d.traffic_percentage) <> 100 FROM deployments d
        WHERE d.model_id = NEW.model_id AND d.environment = NEW.environment AND d.strategy <> 'SHADOW'
        HAVING bool_or(d.status = 'ACTIVE')) THEN
        RAISE EXCEPTION 'The shares of % in % do not add up to 100.', NEW.model_id, NEW.environment
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER shares AFTER INSERT OR UPDATE ON deployments DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION check_shares();
ALTER TABLE deployments ENABLE ALWAYS TRIGGER shares;

CREATE TRIGGER never_deleted BEFORE DELETE OR TRUNCATE ON deployments
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE deployments ENABLE ALWAYS TRIGGER never_deleted;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON health_reports
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE health_reports ENABLE ALWAYS TRIGGER append_only;
