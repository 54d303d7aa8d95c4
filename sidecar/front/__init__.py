"""The front proxy: what Nginx needs to stand before the core (configuration, users, certificates, REST locations)."""
