"""`./inv bench`: what a click costs, measured through the backend's HTTP interface beside the stock predictor."""
