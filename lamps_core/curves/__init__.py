"""Learning curves as Parquet: the schema, the reader, and the folder that a campaign fills."""
