"""The dashboard's rows, one per file, from the fleet down to the records."""
