"""One worker process: its servicers, its server and its shutdown."""
