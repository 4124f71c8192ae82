-- At most one row for `lineal audit verify`: the first place where the history of stages or the approvals disagree with
-- the audit log, or a version's stage with its history. Its columns are the chain, seq, the id of the step, approval or
-- version, and the problem. No parameters.
--
-- Each row of stage_transitions has one event whose entry holds it as its "step", and the other way round. Events from
-- before entries held steps are only counted: there must be as many as steps without any other event.
WITH told AS (
    SELECT chain, seq, at, project_id, actor, action, subject_id, entry::jsonb AS entry, entry::jsonb -> 'step' AS step
    FROM audit_events WHERE action IN ('version.created', 'version.transitioned') OR entry::jsonb ? 'step'
), counted AS (
    SELECT *, row_number() OVER (PARTITION BY step ->> 'id' ORDER BY chain, seq) AS copy FROM told
    WHERE step IS NOT NULL
), early AS (
    SELECT subject_id, count(*) AS events FROM told WHERE step IS NULL GROUP BY subject_id
), untold AS (
    SELECT t.*, count(*) OVER (PARTITION BY version_id) AS steps FROM stage_transitions t
    WHERE NOT EXISTS (SELECT FROM counted WHERE step ->> 'id' = t.id)
)
SELECT model_id AS chain, NULL AS seq, id, 'is in the history of stages, but not in the audit log' AS wrong
FROM untold LEFT JOIN early ON subject_id = version_id WHERE steps > coalesce(events, 0)
UNION ALL
SELECT chain, seq, step ->> 'id',
    CASE WHEN t.id IS NULL THEN 'is in the audit log, but not in the history of stages'
         WHEN copy > 1 THEN 'is in the audit log twice'
         ELSE 'is another in the history of stages than in the audit log' END
FROM counted LEFT JOIN stage_transitions t ON t.id = step ->> 'id'
WHERE t.id IS NULL OR copy > 1
    OR action NOT IN ('version.created', 'version.transitioned')
    OR (chain, counted.project_id, counted.actor, subject_id, counted.at)
        IS DISTINCT FROM (model_id, t.project_id, t.actor, version_id, t.at)
    OR step ->> 'versionId' IS DISTINCT FROM version_id
    OR step ->> 'from' IS DISTINCT FROM from_stage
    OR step ->> 'to' IS DISTINCT FROM to_stage
    OR step -> 'automatic' IS DISTINCT FROM to_jsonb(automatic)
    OR step ->> 'approvedBy' IS DISTINCT FROM approved_by
    OR entry ->> 'notes' IS DISTINCT FROM notes
UNION ALL
SELECT v.model_id, NULL, v.id, 'is in another stage than its history ends in'
FROM versions v LEFT JOIN LATERAL (
    SELECT s.position, s.to_stage FROM stage_transitions s WHERE s.version_id = v.id ORDER BY s.position DESC LIMIT 1
) s ON true
WHERE (v.stage_position, v.stage) IS DISTINCT FROM (s.position, s.to_stage)
UNION ALL
SELECT coalesce(e.chain, a.project_id), e.seq, coalesce(a.id, e.approval ->> 'id'),
    CASE WHEN e.chain IS NULL THEN 'is among the approvals, but not in the audit log'
         WHEN a.id IS NULL THEN 'is in the audit log, but not among the approvals'
         ELSE 'is another among the approvals than in the audit log' END
FROM approvals a FULL JOIN (
    SELECT chain, seq, at, subject_id, entry::jsonb ->> 'notes' AS notes, entry::jsonb -> 'approval' AS approval
    FROM audit_events WHERE entry::jsonb ? 'approval'
) e ON e.approval ->> 'id' = a.id
WHERE a.id IS NULL OR e.chain IS NULL
    OR (e.at, e.subject_id, e.notes) IS DISTINCT FROM (a.at, a.version_id, a.notes)
    OR coalesce((e.approval ->> 'alone')::boolean, false) <> a.alone
    OR e.approval - 'alone' IS DISTINCT FROM jsonb_build_object('id', a.id, 'requestId', a.request_id,
        'targetStage', a.target_stage, 'stagePosition', a.stage_position, 'reviewer', a.reviewer,
        'reviewerId', a.reviewer_id, 'attestedBy', a.attested_by, 'decision', a.decision, 'meaning', a.meaning,
        'reviewed', a.reviewed::jsonb)
ORDER BY 1, 2, 3
LIMIT 1
