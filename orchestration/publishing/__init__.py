"""Step publish, its undoing, and what readers are told."""
