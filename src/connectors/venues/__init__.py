"""What the clients of all venues share: events in order of arrival, one thread that asks, ids, keys, exact numbers."""
