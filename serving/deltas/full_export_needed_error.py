"""The error of a model that no delta leads to."""


class FullExportNeededError(ValueError):
    """Raised where no delta leads from a version to a model.

    The graph of the model differs from the version's, or the version does not say where its variables come from.

    Example:

    ```python
    try:
        gr.serving.export_delta(model, "saved_models/ads/1", "saved_models/ads/deltas/2", transforms=transforms)
    except gr.serving.FullExportNeededError as needed:
        print(needed)  # in what the graphs differ
        gr.serving.export(model, "saved_models/ads/2", transforms=transforms)
    ```
    """
