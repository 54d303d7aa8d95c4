"""The door of the Messages API: whole stacks with both fronts, recorded requests of real programs, the programs themselves."""
