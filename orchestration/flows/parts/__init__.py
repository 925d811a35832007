"""What the flows are wired from."""
