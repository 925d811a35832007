select severity, owner, what, since, look from ops.alerts
where resolved_at is null and severity <> 'log'
order by severity, since
limit %(models)s
