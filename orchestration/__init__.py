"""Airworthy's steps, a folder each, in the order of the data's way.

ingesting -> planning -> building -> auditing -> publishing; `run.py` calls them one after the other
and `backfills/` chunk by chunk. `steps.py` is what one task of Airflow (`dags/`) or Prefect
(`flows/`) calls, `verbs/` what one make target calls. `watching/`, `alerting/`, `metrics/`,
`lineage/` and `overview/` read the ledger and tell people. What all of them use stands here.
"""
