-- One JSON object: everything stated about a version, with the API's names, for the exports and the completeness of its
-- model card. `v` is the alias of the version's row.
json_build_object(
    'version', array_to_string({v}.number, '.'),
    'versionId', {v}.id,
    'description', {v}.description,
    'stage', {v}.stage,
    'model', (SELECT json_build_object('id', m.id, 'name', m.name, 'description', m.description)
        FROM models m WHERE m.id = {v}.model_id),
    'project', (SELECT json_build_object('id', p.id, 'name', p.name) FROM projects p WHERE p.id = {v}.project_id),
    'algorithm', {v}.algorithm,
    'parameters', {v}.parameters,
    'features', {v}.features,
    'target', {v}.target,
    'artifact', CASE WHEN {v}.artifact_uri IS NOT NULL THEN json_build_object('uri', shown_uri({v}.artifact_uri),
        'digest', {v}.artifact_digest, 'sizeBytes', {v}.artifact_size_bytes, 'format', {v}.artifact_format) END,
    'metrics', (SELECT coalesce(json_object_agg(n.name, n.value ORDER BY n.name), json_build_object()) FROM metrics n
        WHERE n.version_id = {v}.id),
    'tags', (SELECT coalesce(json_agg(g.tag ORDER BY g.tag), '[]') FROM tags g WHERE g.version_id = {v}.id),
    'data', (SELECT coalesce(json_agg(json_build_object('role', u.role, 'id', w.id, 'dataset', d.name,
            'datasetId', d.id, 'label', w.label, 'rowCount', w.row_count, 'uri', shown_uri(w.uri), 'digest', w.digest,
            'status', w.status, 'statusReason', w.status_reason) ORDER BY u.role, w.id), '[]')
        FROM dataset_uses u JOIN dataset_versions w ON w.id = u.dataset_version_id JOIN datasets d ON d.id = w.dataset_id
        WHERE u.version_id = {v}.id),
    'experiment', (SELECT json_build_object('id', x.id, 'name', x.name, 'status', x.status, 'algorithm', x.algorithm,
            'maxModels', x.max_models, 'trainingDurationSecs', x.training_duration_secs, 'notes', x.notes)
        FROM experiments x WHERE x.id = {v}.experiment_id),
    'parent', (SELECT json_build_object('id', a.id, 'model', a.model_id, 'version', array_to_string(a.number, '.'))
        FROM versions a WHERE a.id = {v}.parent_id),
    'deployments', (SELECT coalesce(json_agg(json_build_object('id', p.id, 'name', p.name, 'environment', p.environment,
            'strategy', p.strategy, 'status', p.status, 'trafficPercentage', p.traffic_percentage,
            'reason', (SELECT e.entry::json ->> 'notes' FROM audit_events e WHERE e.subject_id = p.id
                ORDER BY e.at DESC, e.seq DESC LIMIT 1)) ORDER BY p.created_at, p.id), '[]')
        FROM deployments p WHERE p.version_id = {v}.id),
    'registeredAt', {v}.created_at,
    'registeredBy', {v}.created_by
)
