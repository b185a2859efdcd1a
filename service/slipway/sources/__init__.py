"""Where model directories come from.

`folder`: a folder of models, and its models.toml.

Others use `folder.find_models`.
"""
