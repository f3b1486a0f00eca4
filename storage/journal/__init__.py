"""Records on a local disk before they are in the database: what makes a call's record survive the gateway."""
