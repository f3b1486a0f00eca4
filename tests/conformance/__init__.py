"""The official conformance suite against the gateway, beside the same suite against the reference alone."""
