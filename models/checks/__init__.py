"""What watches over a model's `fit`, `evaluate` and `predict`, so that what goes wrong is told and breaks nothing.

- `host_columns` makes NumPy columns of what a user passes; `sample_weights` checks and makes weights of rows.
- `BatchCheck` compares the batches of a loader with the schema; `check_tf_batches` does it in a `tf.data` pipeline, and
  `check_shards` tells whether rows can be dealt to the devices of `keras.distribution`.
- `DealtRows` cuts and pads what several devices or processes share, and sees that processes take the same steps;
  `check_dealing` looks at how a loader deals.
- `LossWatch` stops a training whose loss is no number; `weights_survive` keeps the weights when a run raises on JAX;
  `refuse_cloning` says what to do in place of `keras.models.clone_model`.
"""
