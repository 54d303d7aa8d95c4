"""The async client, from which tools/sync_client.py generates the sync one in ../sync."""
