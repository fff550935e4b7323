"""Files beside a SavedModel: they start a server on it and tell an engineer where it comes from."""
