"""Where model directories come from.

`folder`: a folder of models, and its models.toml.
`changes`: whether its files have changed.

Others use `folder.find_models`.
"""
