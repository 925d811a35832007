"""Prefect's own processes on this machine: start them, stop them, ask them.

Nothing here imports Prefect: it is configured through its environment and spoken to over HTTP.
"""
