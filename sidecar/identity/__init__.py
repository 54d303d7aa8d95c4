"""Who may come in: users and their API keys."""
