"""What a servicer needs of a gRPC call: who calls, how to fail, how to write."""
