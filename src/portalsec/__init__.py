"""portalsec: the security of a portal, proven by tests."""
