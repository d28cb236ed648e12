"""The programs: one function for each row of the table, in the order in which they are shown."""
