-- One row `compared` for Query.compareVersions and ModelVersion.compareTo: the ids of the versions in the requested
-- order, and the compared facts of each. It is refused if a version does not exist or the caller cannot see it.
-- `answer` is the object for the selection, `change` the training facts of the row `v`, `asked` a query for the place,
-- model and number of each version, `field` the argument that a refusal names. The compiler of reads fills in the
-- argument onlyChanged and what the caller sees.
(SELECT {answer} FROM (
    SELECT array_agg(v.id ORDER BY a.place) AS ids,
        json_agg(json_build_object(
            'change', {change},
            'model', v.model_id, 'version', a.number, 'stage', v.stage,
            'metrics', (SELECT coalesce(json_object_agg(m.name, m.value), json_build_object()) FROM metrics m
                WHERE m.version_id = v.id),
            'tags', (SELECT coalesce(json_agg(g.tag ORDER BY g.tag), '[]') FROM tags g WHERE g.version_id = v.id),
            'segments', (SELECT k.performance_by_segment FROM model_cards k WHERE k.version_id = v.id),
            'trainingData', (SELECT json_build_object('name', d.name || ' ' || w.label, 'rowCount', w.row_count)
                FROM dataset_versions w JOIN datasets d ON d.id = w.dataset_id WHERE w.id = v.dataset_version_id)
        ) ORDER BY a.place) AS versions,
        {args[onlyChanged]}::boolean IS NOT FALSE AS only_changed
    FROM ({asked}) a (place, model_id, number)
    LEFT JOIN versions v ON v.model_id = a.model_id AND v.number = string_to_array(a.number, '.')::int[]
        AND {visible[v versions]}
    WHERE coalesce(v.id, not_found('version', a.number || ' of ' || a.model_id, '{field}')) IS NOT NULL
) compared)
