"""Who hears of trouble: what is wrong (`trouble`), said once (`alerts`), to whom (`routes`), until
it has arrived (`outbox`)."""
