"""Airworthy's steps: land, ingest, plan, build, gate, publish. One module per step."""
