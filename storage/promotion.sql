-- One JSON object: everything the promotion gates check, for transitionStage and for ModelVersion.promotion. `v` is the
-- alias of the version's row, `target` an expression for the target stage. `review`, `reviewed`, `reviewer_left`,
-- `parent` and `child` are expressions: one approval `a` with the current state, what a review of the version shows,
-- whether a reviewer left the project of the policy `y` recently, and the training facts of the parent and of the
-- version.
json_build_object(
    'stage', {v}.stage, 'position', {v}.stage_position, 'author', {v}.created_by, 'number', {v}.number,
    'policy', (SELECT to_json(y) FROM project_policies y WHERE y.project_id = {v}.project_id),
    'card', (SELECT to_json(k) FROM version_cards k WHERE k.version_id = {v}.id),
    'reviewed', {reviewed},
    'people', (SELECT coalesce(json_agg(json_build_object('id', p.id, 'email', p.email, 'kind', p.kind, 'role', m.role)
            ORDER BY m.role DESC, p.email), '[]')
        FROM members m JOIN principals p ON p.id = m.principal_id WHERE m.project_id = {v}.project_id),
    'requester', (SELECT q.created_by FROM transition_requests q WHERE q.version_id = {v}.id
        AND q.target_stage = {target} AND q.status = 'OPEN' AND q.expires_at > clock_timestamp()),
    'reviewer_left', (SELECT {reviewer_left} FROM project_policies y WHERE y.project_id = {v}.project_id),
    'loosened_alone', (SELECT coalesce(json_agg(c.field), '[]') FROM policy_changes c
        WHERE c.project_id = {v}.project_id AND c.status = 'APPLIED' AND c.alone),
    'request', (SELECT q.id FROM transition_requests q WHERE q.version_id = {v}.id AND q.target_stage = {target}
        AND q.stage_position = {v}.stage_position ORDER BY q.created_at DESC, q.id DESC LIMIT 1),
    'reviews', (SELECT coalesce(json_agg({review} ORDER BY a.at, a.id), '[]') FROM approvals a
        WHERE a.version_id = {v}.id AND a.target_stage = {target} AND a.stage_position = {v}.stage_position),
    'experiment', (SELECT x.status FROM experiments x WHERE x.id = {v}.experiment_id),
    'metrics', (SELECT coalesce(json_object_agg(n.name, n.value), json_build_object()) FROM metrics n WHERE n.version_id = {v}.id),
    'incumbent', (SELECT json_build_object('number', w.number, 'metrics',
            (SELECT coalesce(json_object_agg(n.name, n.value), json_build_object()) FROM metrics n WHERE n.version_id = w.id))
        FROM versions w WHERE w.model_id = {v}.model_id AND w.stage = 'PRODUCTION' AND w.id <> {v}.id),
    'parent', {parent},
    'child', {child}
)
