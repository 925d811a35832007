"""The page about everything: `make report` writes it to `var/reports/index.html`.

`collect` asks the ledger, `punctuality` compares it with what the contracts promise, `charts`
draws, `page` writes. Its queries stand beside them as `.sql` files.
"""
