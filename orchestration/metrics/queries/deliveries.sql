select source, outcome, count(*) as airworthy_deliveries_total
from ops.deliveries
group by source, outcome
