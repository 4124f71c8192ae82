-- The ids of the INVALID data set versions that a version depends on, in their order: those that it used in any role,
-- those that it or an ancestor was trained on, and all that such data were derived from. `v` is the alias of the
-- version's row. The gates, the clock of rollouts and deployments ask this one question.
ARRAY(
    WITH RECURSIVE line (id, parent_id, dataset_version_id) AS (
        SELECT {v}.id, {v}.parent_id, {v}.dataset_version_id
        UNION
        SELECT w.id, w.parent_id, w.dataset_version_id FROM line JOIN versions w ON w.id = line.parent_id
    ), data (id) AS (
        SELECT line.dataset_version_id FROM line
        UNION
        SELECT u.dataset_version_id FROM line JOIN dataset_uses u ON u.version_id = line.id
        WHERE u.role = 'TRAINING' OR u.version_id = {v}.id
    ), derived (id) AS (
        SELECT id FROM data
        UNION
        SELECT p.parent_id FROM derived JOIN dataset_parents p ON p.dataset_version_id = derived.id
    )
    SELECT d.id FROM derived JOIN dataset_versions d ON d.id = derived.id WHERE d.status = 'INVALID' ORDER BY d.id
)
