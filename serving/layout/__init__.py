"""What lies beside a SavedModel so that a server can be started on it and an on-call engineer knows what it is."""
