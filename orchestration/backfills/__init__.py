"""A range of dates rebuilt and published chunk by chunk: planned, done, stopped, resumed."""
