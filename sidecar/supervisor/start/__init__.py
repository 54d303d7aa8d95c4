"""From options to a running gateway: state directory, order of the start, checks, what the operator reads."""
