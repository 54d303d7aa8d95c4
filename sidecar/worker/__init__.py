"""One worker process: its servicers, its server, its drain."""
