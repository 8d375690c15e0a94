"""One run: what it trains, its losses, its steps."""
