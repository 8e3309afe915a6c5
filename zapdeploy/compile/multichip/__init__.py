"""Networks over several chips: stages, pipelines, parts."""
