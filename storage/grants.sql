-- Returns nothing. For `storage/migrate.py`, which runs it as the owner after each migration: the rights of the
-- server's role. It reads everything, adds rows, and changes only columns that may change. The history of stages, the
-- approvals and the audit log are written only through audit_append, and the search words of versions only through
-- keep_words. `app` is the quoted name of the role.
GRANT USAGE ON SCHEMA public TO {app};
GRANT SELECT ON ALL TABLES IN SCHEMA public TO {app};
REVOKE INSERT ON stage_transitions FROM {app};
REVOKE UPDATE (stage, stage_position) ON versions FROM {app};
GRANT INSERT ON projects, models, datasets, dataset_versions, dataset_parents, experiments, versions, metrics, tags,
    dataset_uses, api_keys, principals, members, project_policies, tag_definitions, tag_aliases, transition_requests,
    model_cards, model_card_revisions, idempotent_answers, deployments, health_reports,
    webhooks, webhook_deliveries, policy_changes, checkpoint_reports TO {app};
GRANT UPDATE (description) ON models TO {app}; -- the row lock needs this right too
GRANT UPDATE (description, touched_at) ON versions TO {app};
GRANT UPDATE (status, algorithm, training_duration_secs, notes, completed_at) ON experiments TO {app};
GRANT UPDATE (status, status_reason, status_at) ON dataset_versions TO {app};
GRANT UPDATE (revoked_at, expires_at, last_used_at) ON api_keys TO {app};
GRANT UPDATE (administers) ON principals TO {app};
GRANT UPDATE (role, reviewer_since) ON members TO {app};
GRANT UPDATE (required_approvals, allow_self_approval, require_complete_card, block_invalid_data, semver, tags,
    retention_days, min_metrics, max_regression, approval_valid_days, allow_requester_approval, loosening_hours,
    reviewer_left_at) ON project_policies TO {app};
GRANT UPDATE (status, effective_at, confirmed_by) ON policy_changes TO {app};
GRANT UPDATE (description, deprecated) ON tag_definitions TO {app};
GRANT UPDATE (status) ON transition_requests TO {app};
GRANT UPDATE (revision, description, intended_use, limitations, ethical_considerations, training_data_summary,
    performance_by_segment, updated_at, updated_by) ON model_cards TO {app};
GRANT UPDATE (body_hash, answer, extensions, projects, at), DELETE ON idempotent_answers TO {app};
GRANT UPDATE (status, traffic_percentage, stage, stage_since, due_at, revision) ON deployments TO {app};
GRANT UPDATE (url, description, actions, active, position, secret, previous_secret, previous_until, failing_since,
    disabled_at, disabled_reason) ON webhooks TO {app};
GRANT UPDATE (status, attempts, next_at, attempted_at, response_status, error, lease), DELETE ON webhook_deliveries
    TO {app};
GRANT UPDATE (finished_at) ON daily_runs TO {app};
GRANT UPDATE (problem, since, reported_at), DELETE ON checkpoint_reports TO {app};
GRANT DELETE ON tags, tag_aliases, members TO {app};
GRANT EXECUTE ON FUNCTION audit_append(text, text[]), keep_words(text[]), audit_feed_events(),
    forget_health(double precision, integer), forget_feed(double precision, integer) TO {app}
