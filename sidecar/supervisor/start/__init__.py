"""From options to a running gateway: state directory, start order, checks, what the operator reads."""
