"""Every door before every format, feature by feature: what the caller reads and what the provider gets."""
