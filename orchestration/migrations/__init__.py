"""The ledger's tables, migration by migration."""
