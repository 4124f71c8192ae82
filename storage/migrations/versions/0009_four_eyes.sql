-- As before, and also stores whether the reviewer was the only one who could review it.
CREATE OR REPLACE FUNCTION keep_approval(p_chain text, p_event jsonb, p_at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    INSERT INTO approvals (id, project_id, version_id, request_id, target_stage, stage_position, reviewer, reviewer_id,
        attested_by, decision, meaning, notes, at, reviewed, alone)
    SELECT a.id, v.project_id, v.id, a."requestId", a."targetStage", a."stagePosition", a.reviewer, a."reviewerId",
        a."attestedBy", a.decision, a.meaning, p_event ->> 'notes', p_at, a.reviewed, coalesce(a.alone, false)
    FROM jsonb_to_record(p_event -> 'approval') AS a (id text, "requestId" text, "targetStage" text,
        "stagePosition" bigint, reviewer text, "reviewerId" text, "attestedBy" text, decision text, meaning text,
        reviewed json, alone boolean)
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

CREATE TRIGGER never_deleted BEFORE DELETE OR TRUNCATE ON policy_changes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE policy_changes ENABLE ALWAYS TRIGGER never_deleted;
