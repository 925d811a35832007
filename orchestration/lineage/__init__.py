"""Lineage: OpenLineage events told from the ledger, and the way back from a mart to deliveries."""
