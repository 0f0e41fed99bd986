"""What runbus stores, one kind of record a file."""
