"""The embedded warehouse, or the one that `WAREHOUSE_URL` names: up and current."""
