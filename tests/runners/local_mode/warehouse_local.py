"""Airflow's DAG `warehouse` in mode local (a dbt per model), beside the one in mode watcher."""

import os
from pathlib import Path

from orchestration import dags

os.environ["COSMOS_MODE"] = "local"
_given = (Path(dags.__path__[0]) / "warehouse.py").read_text()
for _old, _new in (
    ('dag_id="warehouse"', 'dag_id="warehouse_local"'),
    ('schedule=[AssetAlias("raw")]', "schedule=None"),
):
    assert _old in _given
    _given = _given.replace(_old, _new)
exec(compile(_given, "warehouse.py", "exec"))
