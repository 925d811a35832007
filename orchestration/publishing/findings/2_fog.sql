-- Watch the fog
with shares as (
    select
        avg(is_cancelled::int) filter (where departure_visibility_miles < 2) as foggy,
        avg(is_cancelled::int) filter (where departure_visibility_miles >= 10) as clear
    from published.fct_flights
)
select format(
    'With less than 2 miles of visibility %s %% of flights are cancelled, %s times as many as'
    || ' in clear air (%s %%).',
    round(100 * foggy, 1), round(foggy / clear, 1), round(100 * clear, 1)
)
from shares
where foggy is not null and clear > 0
