"""Model to rows: hooks that copy, views, labels, replay."""
