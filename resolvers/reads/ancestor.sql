-- The id of the nearest common ancestor of some versions, themselves included, for comparisons: walks up the parents of
-- each. `ids` is an expression for the array of their ids.
(WITH RECURSIVE line (place, id, parent_id, distance) AS (
    SELECT a.place, v.id, v.parent_id, 0
    FROM unnest({ids}) WITH ORDINALITY a (id, place) JOIN versions v ON v.id = a.id
    UNION ALL
    SELECT l.place, p.id, p.parent_id, l.distance + 1 FROM line l JOIN versions p ON p.id = l.parent_id
)
SELECT id FROM line GROUP BY id HAVING count(*) = cardinality({ids}) ORDER BY sum(distance), id LIMIT 1)
