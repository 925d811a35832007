"""What tests share: a checkout as users have it, its states, servers, commands, and faults."""
