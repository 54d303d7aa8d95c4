"""The async client, and the source of the sync one: tools/sync_client.py writes ../sync from these modules."""
