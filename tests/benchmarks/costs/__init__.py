"""Time and memory: paired training runs, single steps, single snapshots."""
