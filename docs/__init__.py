"""The pages of the site, and the scripts that make what stands in them."""
