"""What calls cost, who spent it, and how budgets limit it: docs/concepts/limits.md."""
