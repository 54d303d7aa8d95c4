"""Azure's paths, behind both fronts."""
