"""The supervisor starts, configures, replaces and stops every other process of the gateway."""
