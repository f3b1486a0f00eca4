"""What everything remembers: registry, call records, users, chat history."""
