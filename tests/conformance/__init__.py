"""The two fronts beside each other: the same request to both, the same answer from both, or a line in differences.py."""
