"""A small application whose models have encrypted fields."""
