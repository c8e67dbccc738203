"""What a reader sees: pages of finished runs, for a browser and for a terminal."""
