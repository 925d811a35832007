"""What Prometheus is told about the pipeline, computed from the ledger at each scrape."""
