"""Step plan: what one run builds, and why."""
