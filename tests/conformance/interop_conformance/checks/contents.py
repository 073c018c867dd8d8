"""What people do with messages: replies, reactions, edits, deletions, typing."""
