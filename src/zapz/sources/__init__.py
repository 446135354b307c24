"""What can be a slice. Everything above sees a source: a name, metadata, and chunk bytes by key."""
