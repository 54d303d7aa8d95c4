"""What calls cost, who spent it, and where it ends: docs/concepts/limits.md."""
