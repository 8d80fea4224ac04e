"""The operations of documents, by what they work on. Importing this registers all of them."""
