"""The signatures of a SavedModel, as TensorFlow graphs."""
