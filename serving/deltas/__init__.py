"""What changed between two versions of a model, as files that make the newer version of the older one."""
