-- One JSON object: the training facts of a version, for the rules that compare it with its parent. `v` is the alias of
-- the version's row.
json_build_object(
    'algorithm', {v}.algorithm,
    'target', {v}.target,
    'dataset', (SELECT d.dataset_id FROM dataset_versions d WHERE d.id = {v}.dataset_version_id),
    'dataset_version', {v}.dataset_version_id,
    'features', {v}.features,
    'parameters', {v}.parameters,
    'artifact_uri', {v}.artifact_uri,
    'artifact_digest', {v}.artifact_digest
)
