"""The metrics page: the supervisor's own, the workers', the front's, and what was spent."""
