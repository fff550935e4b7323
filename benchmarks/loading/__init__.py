"""What `loader` measures: preparing a text, feeding batches, and feeding `fit`."""
