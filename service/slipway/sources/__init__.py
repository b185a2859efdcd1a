"""Where model directories come from.

`folder`: a folder of models, and its models.toml.
`pins`: which versions its models.toml pins, and changing that.
`changes`: whether its files have changed, and whether an address has new ones.
`address`: addresses of models: s3:, gs:, az:, https:, oci:, models:.
`fetching`: fetched from one: resumed, verified, put in place.
`cache`: where they are kept.
`remote`: what a source offers.
`opening`: the source of an address.
`https`: archives and folders by HTTP.
`object_store`: s3:, gs:, az:.
`oci`: images and artifacts of a registry.
`mlflow_registry`: models:/ of MLflow.
`unpacking`: archives and layers, unpacked with care.
`push`: models into a registry.

Others use `folder.find_models` and `fetching.fetch`.
"""
