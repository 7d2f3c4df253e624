"""The durable queue, the worker supervisor, and the events between them."""
