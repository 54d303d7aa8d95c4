"""The metrics page: metrics of the supervisor, the workers, the front, and spend."""
