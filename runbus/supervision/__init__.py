"""What runs for long runs under a supervisor, and is seen: restarted, counted, ended in order."""
