"""What talks to TensorFlow Serving."""
