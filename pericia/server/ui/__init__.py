"""The web page: HTML as one more client of the JSON API. A screen is one file here and its templates."""
