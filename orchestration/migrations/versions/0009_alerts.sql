-- What is wrong, once: while it lasts there is one open alert of its key.
create table ops.alerts (
    alert_id bigint generated always as identity primary key,
    key text not null,
    origin text not null, -- who finds it again, and resolves it when it does not
    severity text not null check (severity in ('page', 'ticket', 'log')),
    owner text not null,
    what text not null,
    since timestamptz not null,
    impact text not null,
    runbook text not null,
    look text not null, -- the command to look closer
    opened_at timestamptz not null default clock_timestamp(),
    last_seen_at timestamptz not null default clock_timestamp(),
    resolved_at timestamptz
);
create unique index alerts_are_open_once on ops.alerts (key) where resolved_at is null;

-- What still has to be told, and what was: written with the alert, in one transaction.
create table ops.alert_messages (
    message_id bigint generated always as identity primary key,
    alert_id bigint not null references ops.alerts,
    news text not null check (news in ('opened', 'worse', 'resolved')),
    severity text not null, -- as it was at that time
    what text not null,
    written_at timestamptz not null default clock_timestamp(),
    state text not null default 'waiting' check (state in ('waiting', 'sent', 'silenced')),
    told text[] not null default '{}', -- channels that have it
    attempts integer not null default 0,
    next_try_at timestamptz not null default clock_timestamp(),
    sent_at timestamptz,
    error text
);
create index alert_messages_waiting on ops.alert_messages (next_try_at) where state = 'waiting';
create index alert_messages_of_alert on ops.alert_messages (alert_id);

-- Who wants to hear nothing of an alert, until when, and why. The newest of a key counts.
create table ops.silences (
    silence_id bigint generated always as identity primary key,
    key text not null,
    until timestamptz not null,
    reason text not null check (reason <> ''),
    set_by text not null,
    set_at timestamptz not null default clock_timestamp()
);

create view ops.open_alerts as
select alerts.*, silenced.until as silenced_until
from ops.alerts
left join lateral (
    select case when silences.until > clock_timestamp() then silences.until end as until
    from ops.silences where silences.key = alerts.key
    order by silence_id desc limit 1
) as silenced on true
where alerts.resolved_at is null;

-- Messages whose turn it is: of each alert in their order, none of what is silenced.
create view ops.due_messages as
select messages.message_id
from ops.alert_messages as messages
inner join ops.alerts using (alert_id)
left join lateral (
    select silences.until from ops.silences where silences.key = alerts.key
    order by silence_id desc limit 1
) as silenced on true
where
    messages.state = 'waiting'
    and messages.next_try_at <= clock_timestamp()
    and coalesce(silenced.until <= clock_timestamp(), true)
    and not exists (
        select from ops.alert_messages as earlier
        where
            earlier.alert_id = messages.alert_id and earlier.state = 'waiting'
            and earlier.message_id < messages.message_id
    );

create function ops.severity_rank(severity text) returns integer
language sql immutable
as $$ select array_position(array['log', 'ticket', 'page'], $1) $$;

-- Open what `alerts_found` holds, note what goes on, and resolve what the same origin found before and
-- finds no more; with a message for each news.
create function ops.settle_alerts(origin text, alerts_found jsonb, resolves boolean default true)
returns void
language plpgsql security definer set search_path = pg_catalog
as $$
declare
    one record;
    alert ops.alerts;
begin
    perform pg_advisory_xact_lock(hashtext('airworthy alerts'));
    for one in
        select * from jsonb_to_recordset($2) as f (
            key text, severity text, owner text, what text, since timestamptz, impact text,
            runbook text, look text
        )
    loop
        select * into alert from ops.alerts where alerts.key = one.key and resolved_at is null;
        if not found then
            insert into ops.alerts (key, origin, severity, owner, what, since, impact, runbook, look)
            values (
                one.key, $1, one.severity, one.owner, one.what, one.since, one.impact, one.runbook,
                one.look
            )
            returning * into alert;
            insert into ops.alert_messages (alert_id, news, severity, what)
            values (alert.alert_id, 'opened', one.severity, one.what);
            continue;
        end if;
        update ops.alerts
        set severity = one.severity, owner = one.owner, what = one.what, impact = one.impact,
            runbook = one.runbook, look = one.look, last_seen_at = clock_timestamp()
        where alert_id = alert.alert_id;
        if ops.severity_rank(one.severity) > ops.severity_rank(alert.severity) then
            insert into ops.alert_messages (alert_id, news, severity, what)
            values (alert.alert_id, 'worse', one.severity, one.what);
        end if;
    end loop;
    for alert in
        select * from ops.alerts
        where
            resolves and alerts.origin = $1 and resolved_at is null
            and not exists (
                select from jsonb_array_elements($2) as f where f ->> 'key' = alerts.key
            )
    loop
        perform ops.resolve_alert(alert.alert_id);
    end loop;
end
$$;

create function ops.resolve_alert(alert_id bigint) returns void
language plpgsql security definer set search_path = pg_catalog
as $$
begin
    update ops.alerts set resolved_at = clock_timestamp(), last_seen_at = clock_timestamp()
    where alerts.alert_id = $1 and resolved_at is null;
    if not found then
        return;
    end if;
    -- Nobody heard of it, and nobody wanted to.
    update ops.alert_messages as messages set state = 'silenced'
    where
        messages.alert_id = $1 and state = 'waiting'
        and (
            select until > clock_timestamp() from ops.silences inner join ops.alerts using (key)
            where alerts.alert_id = $1 order by silence_id desc limit 1
        );
    if exists (
        select from ops.alert_messages where alert_messages.alert_id = $1 and state <> 'silenced'
    ) then
        insert into ops.alert_messages (alert_id, news, severity, what)
        select alerts.alert_id, 'resolved', severity, what from ops.alerts
        where alerts.alert_id = $1;
    end if;
end
$$;

-- Rejected deliveries that nothing has taken the place of: no other look at the file, no loaded
-- delivery of the slice.
create view ops.rejections as
select refused.*
from ops.deliveries as refused
where
    refused.outcome = 'rejected'
    and not exists (
        select from ops.deliveries as later
        where
            later.delivery_id > refused.delivery_id
            and (
                later.uri = refused.uri
                or (
                    later.outcome = 'loaded' and later.source = refused.source
                    and later.slice_date = refused.slice_date
                    and later.slice_hour = refused.slice_hour
                )
            )
    );
create index deliveries_rejected on ops.deliveries (delivery_id) where outcome = 'rejected';
create index deliveries_by_uri on ops.deliveries (uri);

revoke execute on function
ops.settle_alerts(text, jsonb, boolean), ops.resolve_alert(bigint)
from public;
grant execute on function ops.settle_alerts(text, jsonb, boolean)
to airworthy_loader, airworthy_transformer, airworthy_auditor, airworthy_publisher;
grant select on ops.alerts, ops.alert_messages, ops.silences, ops.open_alerts, ops.due_messages,
ops.rejections
to airworthy_loader, airworthy_transformer, airworthy_auditor, airworthy_publisher;
-- Whatever step ends next tells what waits.
grant update (state, told, attempts, next_try_at, sent_at, error) on ops.alert_messages
to airworthy_loader, airworthy_transformer, airworthy_auditor, airworthy_publisher;
grant insert on ops.silences to airworthy_publisher;
