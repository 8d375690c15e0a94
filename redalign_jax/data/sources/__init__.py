"""One module per source of data, each with `defaults()` and `load(config, seed)`."""
