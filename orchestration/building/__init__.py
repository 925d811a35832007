"""Step build, and what dbt keeps and tells of it."""
