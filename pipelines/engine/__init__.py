"""The engine: plan, tasks, attempts, markers, manifest and summary, over two back ends that give the same bytes."""
