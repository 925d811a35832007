"""What the DAGs are wired from. Nothing in here is looked at for DAGs (see `.airflowignore`)."""
