"""HTTP to providers, and the credentials that go with it."""
