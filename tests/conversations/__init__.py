"""What the gateway remembers, on the disk."""
