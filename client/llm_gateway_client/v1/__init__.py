"""Generated from proto/: the messages of the typed services."""
