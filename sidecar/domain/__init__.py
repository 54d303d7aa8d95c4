"""Values that all parts share: snapshots of the configuration, calls, secrets, the table of failures. No I/O."""
