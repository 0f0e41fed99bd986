"""How the cost of one thing grows with how many there are."""
