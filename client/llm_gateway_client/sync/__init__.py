"""The sync client, generated from ../aio."""
