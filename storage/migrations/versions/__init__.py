"""The revisions. One that has shipped is never changed."""
