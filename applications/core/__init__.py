"""What all tasks share: configuration, pipelines, training with exact resume, run directories, reports."""
