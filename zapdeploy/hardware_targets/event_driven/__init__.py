"""Event-driven chips as data: one TOML file per chip."""
