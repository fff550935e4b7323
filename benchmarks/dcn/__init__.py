"""DCNv2 of one size in every library: the contenders of `training_throughput` and `embedding_scaling`."""
