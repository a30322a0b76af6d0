"""Records to pictures: Vega-Lite specifications, the verdict in words, one HTML page."""
