-- CTEs for `impact.sql`, for the impact of a data set version: the versions trained on it or on data derived from it.
-- Of several paths the shortest is returned, and of these the one with the lowest id. They read the CTE `start`. No
-- parameters.
data (id, distance, parent_id) AS (
    SELECT id, 0, NULL::text FROM start
    UNION
    SELECT p.dataset_version_id::text, d.distance + 1, d.id FROM data d JOIN dataset_parents p ON p.parent_id = d.id
), origin AS (
    SELECT DISTINCT ON (id) id, distance, parent_id FROM data ORDER BY id, distance, parent_id
), direct (id, from_id, length) AS (
    SELECT DISTINCT ON (u.version_id) u.version_id::text, o.id, o.distance + 2
    FROM origin o JOIN dataset_uses u ON u.dataset_version_id = o.id AND u.role = 'TRAINING'
    ORDER BY u.version_id, o.distance, o.id
)
