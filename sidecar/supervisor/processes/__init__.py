"""Processes that the supervisor runs: started, watched, replaced, stopped."""
