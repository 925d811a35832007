"""What was promised and when: the calendar, what is late by it, and who is told."""
