"""The descriptions of the tables, by what they are about; `storage.schema` is their door."""
