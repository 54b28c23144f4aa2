"""Ways to hand a mail over: `smtp`, `file`. Each loads with its own import."""
