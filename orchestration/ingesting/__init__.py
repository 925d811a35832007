"""Step ingest: from landed files, through contracts, to `raw` and `quarantine`."""
