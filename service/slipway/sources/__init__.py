"""Where model directories come from.

`folder`: a folder of models, and its models.toml.
`pins`: which versions its models.toml pins, and changing that.
`changes`: whether its files have changed.

Others use `folder.find_models`.
"""
