"""What an agent says: one module per agent, native event → facts. Pure: no files, no clock, no environment."""
