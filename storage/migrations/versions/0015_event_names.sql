-- As before. An event may name the columns as they are, as events of earlier versions do, or in camelCase.
CREATE OR REPLACE FUNCTION tie_policy() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    may_change CONSTANT text[] := ARRAY['project_id', 'reviewer_left_at'];
    was jsonb := CASE TG_OP WHEN 'UPDATE' THEN to_jsonb(OLD) ELSE '{}' END;
    told jsonb := '{}';
BEGIN
    SELECT told || coalesce(jsonb_object_agg(lower(replace(f.key, '_', '')), f.value ORDER BY e.nth DESC), '{}')
    INTO told
    FROM told_now(NEW.project_id) WITH ORDINALITY AS e (event, nth)
    CROSS JOIN LATERAL jsonb_each(CASE e.event ->> 'action' WHEN 'policy.updated' THEN e.event #> '{details,after}'
        WHEN 'project.created' THEN e.event #> '{details,after,policy}' ELSE '{}' END) f
    WHERE e.event ->> 'subjectId' = NEW.project_id AND e.event ->> 'projectId' = NEW.project_id;
    IF EXISTS (
        SELECT FROM project_policies y CROSS JOIN LATERAL jsonb_each(to_jsonb(y) - may_change) c
        WHERE y.project_id = NEW.project_id AND to_jsonb(NEW) -> c.key IS DISTINCT FROM was -> c.key
            AND c.value IS DISTINCT FROM told -> replace(c.key, '_', '')
    ) THEN
        PERFORM refuse_untold(TG_OP, TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END
$$;
