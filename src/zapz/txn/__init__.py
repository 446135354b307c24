"""All or nothing: the journal, the transaction that writes it, and recovery, which is what opening a target does."""
