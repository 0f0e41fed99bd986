"""What an operator asks of the servers: users with least rights, a diagnosis, figures, a report."""
