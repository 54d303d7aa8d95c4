"""Values that every part shares: snapshots of the configuration, calls, secrets, the table of failures. No I/O."""
