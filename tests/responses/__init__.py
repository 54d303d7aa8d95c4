"""The Responses door, from outside."""
