-- One JSON object: a recorded approval with the current state, for the rules that decide whether it still counts. `a`
-- is the alias of the approval's row. `request_status`, `reviewed_now` and `reviewer_left` are expressions on the rows
-- `r` of the request, `v` of the version and `y` of the policy.
json_build_object(
    'reviewer', {a}.reviewer, 'decision', {a}.decision, 'target', {a}.target_stage, 'position', {a}.stage_position,
    'reviewed', {a}.reviewed, 'request', {a}.request_id,
    'request_status', (SELECT {request_status} FROM transition_requests r WHERE r.id = {a}.request_id),
    'role', (SELECT m.role FROM members m
        WHERE m.project_id = {a}.project_id AND m.principal_id = {a}.reviewer_id),
    'kind', (SELECT p.kind FROM principals p WHERE p.id = {a}.reviewer_id),
    'is_author', (SELECT v.created_by = {a}.reviewer FROM versions v WHERE v.id = {a}.version_id),
    'is_requester', (SELECT r.created_by = {a}.reviewer FROM transition_requests r WHERE r.id = {a}.request_id),
    'has_others', EXISTS (SELECT FROM members o JOIN principals p ON p.id = o.principal_id, versions v, project_policies y
        WHERE o.project_id = {a}.project_id AND o.role IN ('REVIEWER', 'ADMIN') AND p.kind = 'USER'
            AND p.email <> {a}.reviewer AND v.id = {a}.version_id AND y.project_id = {a}.project_id
            AND (p.email <> v.created_by OR y.allow_self_approval))
        OR (SELECT {reviewer_left} FROM project_policies y WHERE y.project_id = {a}.project_id),
    'returned', (SELECT m.reviewer_since > {a}.at FROM members m
        WHERE m.project_id = {a}.project_id AND m.principal_id = {a}.reviewer_id),
    'superseded', EXISTS (SELECT FROM approvals b WHERE b.version_id = {a}.version_id
        AND b.reviewer_id = {a}.reviewer_id AND b.target_stage = {a}.target_stage
        AND b.stage_position = {a}.stage_position AND (b.at, b.id) > ({a}.at, {a}.id)),
    'expired', (SELECT {a}.at < clock_timestamp() - make_interval(days => y.approval_valid_days)
        FROM project_policies y WHERE y.project_id = {a}.project_id),
    'valid_days', (SELECT y.approval_valid_days FROM project_policies y WHERE y.project_id = {a}.project_id),
    'allow_self', (SELECT y.allow_self_approval FROM project_policies y WHERE y.project_id = {a}.project_id),
    'allow_requester', (SELECT y.allow_requester_approval FROM project_policies y WHERE y.project_id = {a}.project_id),
    'now', (SELECT {reviewed_now} FROM versions v WHERE v.id = {a}.version_id),
    'stage', (SELECT v.stage FROM versions v WHERE v.id = {a}.version_id),
    'now_position', (SELECT v.stage_position FROM versions v WHERE v.id = {a}.version_id),
    'counted', (SELECT {a}.reviewer = ANY (string_to_array(s.approved_by, ', ')) FROM stage_transitions s
        WHERE s.version_id = {a}.version_id AND s.after_position = {a}.stage_position AND s.to_stage = {a}.target_stage),
    'after_position', (SELECT s.after_position FROM versions v JOIN stage_transitions s
        ON s.version_id = v.id AND s.position = v.stage_position WHERE v.id = {a}.version_id)
)
