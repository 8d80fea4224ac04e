"""Pictures of what is in the store: maps. Reads a store, writes files, changes nothing."""
