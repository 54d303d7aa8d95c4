"""The home page: markup, charts, what it shows to whom. A browser opens it in tests/operations/test_home.py."""
