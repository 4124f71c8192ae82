-- One JSON object: everything that a review of a version shows, kept with each approval and compared with later states.
-- `v` is the alias of the version's row.
json_build_object(
    'description', {v}.description,
    'experiment', (SELECT json_build_object('id', x.id, 'status', x.status, 'notes', x.notes,
            'trainingDurationSecs', x.training_duration_secs) FROM experiments x WHERE x.id = {v}.experiment_id),
    'tags', (SELECT coalesce(json_agg(g.tag ORDER BY g.tag), '[]') FROM tags g WHERE g.version_id = {v}.id),
    'artifactMovedAt', to_char({v}.artifact_moved_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'cardRevision', coalesce((SELECT k.revision FROM model_cards k WHERE k.version_id = {v}.id), 0),
    'data', (SELECT coalesce(json_object_agg(d.id, d.status ORDER BY d.id), json_build_object()) FROM dataset_versions d
        WHERE d.id = ANY (ARRAY(SELECT u.dataset_version_id FROM dataset_uses u WHERE u.version_id = {v}.id)
            || {v}.dataset_version_id)),
    'dataSince', (SELECT coalesce(json_object_agg(d.id,
            to_char(d.status_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') ORDER BY d.id), json_build_object())
        FROM dataset_versions d
        WHERE d.id = ANY (ARRAY(SELECT u.dataset_version_id FROM dataset_uses u WHERE u.version_id = {v}.id)
            || {v}.dataset_version_id))
)
