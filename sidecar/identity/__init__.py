"""Who may log in: users and their API keys."""
