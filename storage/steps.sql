-- The first place where the history of stages and the audit log disagree: chain, seq, id of the step, what is wrong.
-- Each row of stage_transitions has one event whose entry holds it as its "step", and the other way round.
WITH told AS (
    SELECT chain, seq, project_id, actor, action, subject_id, entry::jsonb -> 'step' AS step
    FROM audit_events WHERE entry::jsonb ? 'step'
), counted AS (
    SELECT *, row_number() OVER (PARTITION BY step ->> 'id' ORDER BY chain, seq) AS copy FROM told
)
SELECT coalesce(chain, model_id) AS chain, seq, coalesce(id, step ->> 'id') AS id,
    CASE WHEN chain IS NULL THEN 'is in the history of stages, but not in the audit log'
         WHEN id IS NULL THEN 'is in the audit log, but not in the history of stages'
         WHEN copy > 1 THEN 'is in the audit log twice'
         ELSE 'is another in the history of stages than in the audit log' END AS wrong
FROM counted FULL JOIN stage_transitions ON id = step ->> 'id'
WHERE chain IS NULL OR id IS NULL OR copy > 1
    OR action NOT IN ('version.created', 'version.transitioned')
    OR (chain, counted.project_id, counted.actor, subject_id)
        IS DISTINCT FROM (model_id, stage_transitions.project_id, stage_transitions.actor, version_id)
    OR step ->> 'versionId' IS DISTINCT FROM version_id
    OR step ->> 'from' IS DISTINCT FROM from_stage
    OR step ->> 'to' IS DISTINCT FROM to_stage
    OR step -> 'automatic' IS DISTINCT FROM to_jsonb(automatic)
    OR step ->> 'approvedBy' IS DISTINCT FROM approved_by
ORDER BY 1, 2, 3
LIMIT 1
